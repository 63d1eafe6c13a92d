"""A prior of one's own: bowls with ripples. ``python examples/own_prior.py``."""

from __future__ import annotations

from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from pop_envs import Prior
from pop_envs.objectives.base import TensorFunctions, Uniforms


@dataclass
class Ripples(TensorFunctions):
    """``|x - c|^2 + a sum(1 - cos(w (x - c)))`` on [-1, 1]^dim: its minimum, 0, is at c.

    A tensor has one row for each function of the batch; picking and replacing rows is inherited.
    """

    center: Tensor  # (batch, dim)
    height: Tensor  # (batch, 1)
    frequency: Tensor  # (batch, 1)
    minimum = 0.0  # rewards that read it need not search for it

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return self.center.shape[1]

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Values (batch,) and gradients (batch, dim) at points (batch, dim)."""
        offset = x - self.center
        angle = self.frequency * offset
        values = (offset.square() + self.height * (1 - angle.cos())).sum(1)
        return values, 2 * offset + self.height * self.frequency * angle.sin()

    def values_on(self, points: Tensor) -> Tensor:
        """Values (batch, n) at the same points (n, dim), or at others for each function (batch, n, dim)."""
        offset = points - self.center[:, None]
        ripples = 1 - (self.frequency[:, None] * offset).cos()
        return (offset.square() + self.height[:, None] * ripples).sum(-1)


@dataclass(frozen=True)
class RipplePrior(Prior):
    """Centres anywhere, and ripples of some height and frequency."""

    height: tuple[float, float] = (0.01, 0.2)
    frequency: tuple[float, float] = (5.0, 20.0)

    def num_uniforms(self, dim: int) -> int:
        """A function takes dim + 2 uniform numbers: always as many, whatever they are."""
        return dim + 2

    def build(self, uniforms: Tensor, dim: int) -> Ripples:
        """The functions that rows of uniform numbers (batch, dim + 2) stand for."""
        numbers = Uniforms(uniforms)
        return Ripples(
            numbers.uniform(dim, (-0.9, 0.9)),
            numbers.log_uniform(1, self.height),
            numbers.log_uniform(1, self.frequency),
        )


def main() -> float:
    """Plays random actions on eight functions; returns the mean return."""
    envs = gym.make_vec("pop_envs:POP-full-v0", num_envs=8, prior=RipplePrior(), budget=20)
    envs.reset(seed=0)
    envs.action_space.seed(0)
    total = np.zeros(8)
    for _ in range(20):
        _, reward, _, _, infos = envs.step(envs.action_space.sample())
        total += reward
    best = infos["final_info"]["best_value"]
    print(f"mean return {total.mean():.2f}; best values {torch.tensor(best).sort().values.numpy().round(3)}")
    return float(total.mean())


if __name__ == "__main__":
    main()
