"""A reward of one's own: -1 for each step until the function is solved. ``python examples/own_reward.py``."""

from __future__ import annotations

from typing import ClassVar

import gymnasium as gym
import numpy as np
from torch import Tensor

from pop_envs.pop.rewards import Reward
from pop_envs.search.trajectory import Trajectory


class StepsToSolve(Reward):
    """-1 for each step that ends above a thousandth of the spread over the minimum: the shortest way is the best."""

    needs_minimum: ClassVar[bool] = True

    def __call__(self, run: Trajectory, spread: Tensor, minimum: Tensor) -> Tensor:
        """Rewards (batch,) of the newest step."""
        solved = run.best_y - minimum <= 1e-3 * spread
        return solved.double() - 1


def main() -> np.ndarray:
    """Plays the trust region's own proposals on eight functions; returns their returns (8,)."""
    envs = gym.make_vec("pop_envs:POP-full-v0", num_envs=8, reward=StepsToSolve(), observation="token", budget=30)
    proposal = envs.unwrapped.single_observation_space.features.index("trust-region proposal")
    token, _ = envs.reset(seed=0)
    total = np.zeros(8)
    for _ in range(30):
        token, reward, *_ = envs.step(token[..., proposal])
        total += reward
    print(f"steps before each function was solved: {sorted((-total).astype(int).tolist())} of 30")
    return total


if __name__ == "__main__":
    main()
