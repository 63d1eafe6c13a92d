"""Rewards of one step, as plain functions of the values before and after it."""

from __future__ import annotations

from torch import Tensor

from pop_envs.trajectory import Trajectory

GAP_FLOOR = 1e-8  # of the spread: closer than this counts as solved
DECADE_WEIGHT = 0.25


def improvement(run: Trajectory, spread: Tensor) -> Tensor:
    """Fall of the best value (batch,), eq. 6, in units of the function's ``spread`` (batch,)."""
    return run.improvement / spread


def log_gap(run: Trajectory, spread: Tensor, minimum: Tensor) -> Tensor:
    """Improvement plus a share of the decades gained in the gap to a reference ``minimum`` (batch,).

    Eq. 6 alone pays nothing for the fourth digit; decades pay for every digit alike. Of the improvement
    one spread a step counts, since a start on a peak says little about the policy.
    """

    def decades(best: Tensor) -> Tensor:
        return ((best - minimum) / spread).clamp(min=GAP_FLOOR).log10()

    before = run.best_y + run.improvement
    gained = (decades(before) - decades(run.best_y)).where(run.improvement > 0, 0.0)
    return improvement(run, spread).clamp(max=1) + DECADE_WEIGHT * gained


REWARDS = ("improvement", "log_gap")
