"""Learning: SB3 policies, extractors and algorithms for the suite's environments, and their training."""

from pop_envs.checks import require

require("train", "stable_baselines3", "sb3_contrib", "matplotlib", "rich", "sklearn", "tyro")

from agents.pop.episodic_ppo import EpisodicPPO  # noqa: E402
from agents.pop.extractor import TrajectoryExtractor  # noqa: E402
from agents.pop.policy import TrajectoryPolicy  # noqa: E402
from agents.vec_env import GymnasiumVecEnv  # noqa: E402

__all__ = ["EpisodicPPO", "GymnasiumVecEnv", "TrajectoryExtractor", "TrajectoryPolicy"]
