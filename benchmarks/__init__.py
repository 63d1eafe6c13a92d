"""Test functions, rivals and the verdict. Importing it registers ``VLSE/Ackley-v0`` and its kin in Gymnasium."""

from benchmarks import vlse

vlse.register_envs()
