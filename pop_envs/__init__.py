"""POP's environments: random functions to optimize, as Gymnasium environments.

Importing this package registers ``POP-v0``.
"""

import gymnasium

from pop_envs.objective import BoxObjective, Objective
from pop_envs.pop_env import POPEnv, POPVectorEnv
from pop_envs.prior import GPPrior, PriorFunctions, WidePrior

__all__ = ["BoxObjective", "GPPrior", "Objective", "POPEnv", "POPVectorEnv", "PriorFunctions", "WidePrior"]

gymnasium.register(
    id="POP-v0",
    entry_point="pop_envs.pop_env:POPEnv",
    vector_entry_point="pop_envs.pop_env:POPVectorEnv",
)
