"""POP's agent: the transformer, its training, and the optimizer that comes out of it."""

from agents.checkpoint import Card, CheckpointError, load_checkpoint
from agents.episodic_ppo import EpisodicPPO
from agents.extractor import TrajectoryExtractor
from agents.optimizer import minimize, pop
from agents.policy import TrajectoryPolicy
from agents.vec_env import GymnasiumVecEnv

__all__ = [
    "Card",
    "CheckpointError",
    "EpisodicPPO",
    "GymnasiumVecEnv",
    "TrajectoryExtractor",
    "TrajectoryPolicy",
    "load_checkpoint",
    "minimize",
    "pop",
]
