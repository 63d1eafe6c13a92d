"""Rewards of one step of the rover (section 3.2.3)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from pop_envs.checks import positive_int

GAP_FLOOR = 1e-10
"""Of the start's gap to the minimum: what is closer counts as there."""


@dataclass
class Path:
    """The values that runs have met.

    Attributes:
        values: Of the iterates (batch, budget + 1), the start's first; what is to come means nothing.
        t: Steps made (batch,).
        minimum: Of each function (batch,).
    """

    values: Tensor
    t: Tensor
    minimum: Tensor

    @property
    def gaps(self) -> Tensor:
        """Of all iterates to the minimum (batch, budget + 1), at least zero."""
        gaps = (self.values - self.minimum[:, None]).clamp(min=0)
        return torch.where(gaps > GAP_FLOOR * gaps[:, :1], gaps, 0.0)

    def newest(self, of: Tensor) -> Tensor:
        """The newest entries (batch,) of what there is for all iterates (batch, budget + 1)."""
        return of.gather(1, self.t[:, None])[:, 0]

    def mean_of_last(self, of: Tensor, k: int) -> Tensor:
        """Means (batch,) of the newest k entries, or of all where there are fewer."""
        steps = torch.arange(of.shape[1], device=of.device)
        counted = (steps <= self.t[:, None]) & (steps > self.t[:, None] - k)
        return torch.where(counted, of, 0.0).sum(1) / counted.sum(1)


class Reward(ABC):
    """What a step is worth."""

    @abstractmethod
    def __call__(self, path: Path) -> Tensor:
        """Rewards (batch,) of the newest step."""


class Value(Reward):
    """Minus the value, eq. 5: no two functions pay in one currency."""

    def __call__(self, path: Path) -> Tensor:
        """See ``Reward``."""
        return -path.newest(path.values)


class FromStart(Reward):
    """Minus the gap to the minimum, in units of the start's, eq. 6."""

    def __call__(self, path: Path) -> Tensor:
        """See ``Reward``; zero where the start is a minimizer."""
        gaps = path.gaps
        return -_ratio(path.newest(gaps), gaps[:, 0])


class FromRecent(Reward):
    """Minus the gap to the minimum, in units of the last iterates' mean gap, eq. 7.

    The newest iterate is one of the k: so a reward lies in [-k, 0], however far a step leads astray.

    Args:
        k: How many iterates.

    Raises:
        ValueError: If ``k`` is not positive.
    """

    def __init__(self, k: int = 5) -> None:
        self.k = positive_int("k", k)

    def __call__(self, path: Path) -> Tensor:
        """See ``Reward``; zero at a minimum that the rover stays at."""
        gaps = path.gaps
        return -_ratio(path.newest(gaps), path.mean_of_last(gaps, self.k))


def _ratio(gap: Tensor, unit: Tensor) -> Tensor:
    return torch.where(unit > 0, gap / unit, 0.0)


REWARDS: dict[str, type[Reward]] = {"value": Value, "from_start": FromStart, "from_recent": FromRecent}
"""By the names that environments and command lines know them by."""
