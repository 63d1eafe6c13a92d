"""Rewards of one step, from the values before and after it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from pop_envs.search.trajectory import Trajectory

GAP_FLOOR = 1e-10  # of the spread: closer than this counts as solved
DECADE_WEIGHT = 0.25


class Reward(ABC):
    """What a step is worth."""

    needs_minimum: ClassVar[bool] = False
    """Whether it reads ``minimum``, which takes a multi-start descent on each new function."""

    @abstractmethod
    def __call__(self, run: Trajectory, spread: Tensor, minimum: Tensor) -> Tensor:
        """Rewards (batch,) of the newest step.

        Args:
            run: The runs after the step.
            spread: Of each function (batch,), see ``pop_envs.objectives.reference.spread``.
            minimum: Known or found minima (batch,); NaN where they are not known and not needed.
        """


class Improvement(Reward):
    """Fall of the best value, eq. 6, in units of the function's spread."""

    def __call__(self, run: Trajectory, spread: Tensor, minimum: Tensor) -> Tensor:
        """See ``Reward``."""
        return run.improvement / spread


class LogGap(Improvement):
    """Improvement plus a share of the decades gained in the gap to the minimum.

    Eq. 6 alone pays nothing for the fourth digit; decades pay for every digit alike. Of the improvement
    one spread a step counts, since a start on a peak says little about the policy.
    """

    needs_minimum = True

    def __call__(self, run: Trajectory, spread: Tensor, minimum: Tensor) -> Tensor:
        """See ``Reward``."""

        def decades(best: Tensor) -> Tensor:
            return ((best - minimum) / spread).clamp(min=GAP_FLOOR).log10()

        before = run.best_y + run.improvement
        gained = (decades(before) - decades(run.best_y)).where(run.improvement > 0, 0.0)
        return super().__call__(run, spread, minimum).clamp(max=1) + DECADE_WEIGHT * gained


REWARDS: dict[str, type[Reward]] = {
    "improvement": Improvement,
    "log_gap": LogGap,
}
"""By the names that environments and command lines know them by."""
