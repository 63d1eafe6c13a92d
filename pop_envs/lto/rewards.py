"""Rewards of one step, from the values at its end and at the start of the run."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

WORST = 10.0  # starts' values: farther off every point is alike


class Reward(ABC):
    """What a step is worth."""

    @abstractmethod
    def __call__(self, y: Tensor, start: Tensor) -> Tensor:
        """Rewards (batch,) of a step to values ``y`` (batch,), in runs that began at values ``start`` (batch,)."""


class Cost(Reward):
    """Minus the objective: the paper's cost (section 4)."""

    def __call__(self, y: Tensor, start: Tensor) -> Tensor:
        """See ``Reward``."""
        return -y


class RelativeCost(Reward):
    """Minus the objective over that at the start, at least -10, so that every function weighs the same."""

    def __call__(self, y: Tensor, start: Tensor) -> Tensor:
        """See ``Reward``."""
        return -(y / start).nan_to_num(WORST).clamp(max=WORST)


REWARDS: dict[str, type[Reward]] = {
    "cost": Cost,
    "relative": RelativeCost,
}
"""By the names that environments and command lines know them by."""
