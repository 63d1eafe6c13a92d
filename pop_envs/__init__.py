"""Random functions to optimize, as Gymnasium environments. Importing it registers ``POP-v0`` and ``VLSE/...``."""

from pop_envs.objectives.base import BoxObjective, FunctionBatch, Objective, Prior
from pop_envs.objectives.gp_prior import GPPrior, PriorFunctions, WidePrior
from pop_envs.objectives.plain_prior import PlainFunctions, PlainPrior
from pop_envs.pop.env import POPEnv, POPVectorEnv
from pop_envs.pop.task import POPTask
from pop_envs.registration import register_all

__all__ = [
    "BoxObjective",
    "FunctionBatch",
    "GPPrior",
    "Objective",
    "POPEnv",
    "POPTask",
    "POPVectorEnv",
    "PlainFunctions",
    "PlainPrior",
    "Prior",
    "PriorFunctions",
    "WidePrior",
]

register_all()
