"""Trained optimizers for people who never train.

``minimize`` is POP's, and ``pop`` the same as a method of SciPy's own ``minimize``; ``predicted_step_descent`` is
Learning to Optimize's.
"""

from pop_optimizer.ask_tell import POPPolicy, Run
from pop_optimizer.checkpoint import Card, CheckpointError, load_checkpoint
from pop_optimizer.lto import predicted_step_descent
from pop_optimizer.minimize import minimize, pop
from pop_optimizer.minimize_batch import minimize_batch
from pop_optimizer.optimizer import Optimizer
from pop_optimizer.rover import RoverPolicy, RoverRun, load_rover, rover_descent
from pop_optimizer.torch_optimizer import POP

__all__ = [
    "POP",
    "Card",
    "CheckpointError",
    "Optimizer",
    "POPPolicy",
    "RoverPolicy",
    "RoverRun",
    "Run",
    "load_checkpoint",
    "load_rover",
    "minimize",
    "minimize_batch",
    "pop",
    "predicted_step_descent",
    "rover_descent",
]
