"""A step rule of one's own: along the last move as well. ``python examples/own_step_rule.py``."""

from __future__ import annotations

import gymnasium as gym
import numpy as np

from pop_envs.arrays import Array, namespace
from pop_envs.pop.step_rules import GradientStep
from pop_envs.search.trajectory import Trajectory


class HeavyBall(GradientStep):
    """Polyak's heavy ball: eq. 4 of POP plus a share of the last move.

    Args:
        momentum: That share.
    """

    def __init__(self, momentum: float = 0.7) -> None:
        self.momentum = momentum

    def displacement(self, run: Trajectory, action: Array) -> Array:
        """The move (batch, dim), were there no walls."""
        return super().displacement(run, action) + self.momentum * run.dx

    def direction(self, run: Trajectory) -> Array:
        """Signs (batch, dim) of a move of step size 1, the middle of the range."""
        return namespace(run.g).sign(self.momentum * run.dx - run.slope)


def main() -> dict[float, float]:
    """Plays one small step size on 64 functions, with and without momentum; returns the mean fall of the best value."""
    falls = {}
    for momentum in (0.0, 0.7):
        envs = gym.make_vec("pop_envs:POP-v0", num_envs=64, step_rule=HeavyBall(momentum), budget=30)
        envs.reset(seed=0)
        total = np.zeros(64)
        for _ in range(30):
            total += envs.step(np.full((64, 2), -0.25, np.float32))[1]  # eta = 10 ** -1.5
        falls[momentum] = float(total.mean())
        print(f"momentum {momentum}: mean fall of the best value, in spreads, {falls[momentum]:.3f}")
    return falls


if __name__ == "__main__":
    main()
