"""POP's environments: random functions to optimize, as Gymnasium environments.

Importing this package registers ``POP-v0``.
"""
