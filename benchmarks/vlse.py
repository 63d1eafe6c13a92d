"""The 47 VLSE functions, for evaluation: ``names()`` and ``problem(name, dim)``."""

from pop_envs.objectives.vlse import Problem, names, problem

__all__ = ["Problem", "names", "problem"]
