"""Random functions to optimize, as Gymnasium environments. Importing it registers the suite's ids."""

from pop_envs.lto.env import LearningToOptimizeEnv, LearningToOptimizeVectorEnv
from pop_envs.lto.task import LTOTask
from pop_envs.objectives.base import BoxObjective, FunctionBatch, Objective, Prior
from pop_envs.objectives.gp_prior import GPPrior, PriorFunctions, WidePrior
from pop_envs.objectives.kernel_prior import KernelPrior
from pop_envs.objectives.landscapes import LandscapePrior, Landscapes
from pop_envs.objectives.learning_tasks import (
    LearningTask,
    LogisticRegression,
    NetworkClassifier,
    RobustRegression,
)
from pop_envs.objectives.plain_prior import PlainFunctions, PlainPrior
from pop_envs.pop.env import POPEnv, POPVectorEnv
from pop_envs.pop.task import POPTask
from pop_envs.registration import register_all
from pop_envs.rover.env import RoverEnv, RoverVectorEnv
from pop_envs.rover.task import RoverTask

__all__ = [
    "BoxObjective",
    "FunctionBatch",
    "GPPrior",
    "KernelPrior",
    "LTOTask",
    "LandscapePrior",
    "Landscapes",
    "LearningTask",
    "LearningToOptimizeEnv",
    "LearningToOptimizeVectorEnv",
    "LogisticRegression",
    "NetworkClassifier",
    "Objective",
    "POPEnv",
    "POPTask",
    "POPVectorEnv",
    "PlainFunctions",
    "PlainPrior",
    "Prior",
    "PriorFunctions",
    "RobustRegression",
    "RoverEnv",
    "RoverTask",
    "RoverVectorEnv",
    "WidePrior",
]

register_all()
