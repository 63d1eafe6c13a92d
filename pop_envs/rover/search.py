"""What a run of the rover knows, and how it moves (eq. 4): environment and optimizer share it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from pop_envs.rover.grid import grid_offsets, rescaled

LOWEST_CHANGE, HIGHEST_CHANGE = -0.5, 1.0
"""Of step size and resolution, in one step."""
_SMALLEST, _LARGEST = 1e-150, 1e150  # so that their squares are numbers


@dataclass
class Scales:
    """Step sizes and resolutions, whose changes are all that the policy decides.

    Attributes:
        alpha: Step sizes (batch,).
        delta: Resolutions (batch,), distances of neighbours on the grid.
    """

    alpha: Tensor
    delta: Tensor

    def changed(self, action: Tensor, trusted: Tensor) -> Scales:
        """After actions (batch, 2): the changes of step size and resolution, in [-0.5, 1], as in eq. 4.

        Both are halved where a value on the grid is not finite, whatever the action: ``trusted`` (batch,) is False.
        """
        change = action.clamp(LOWEST_CHANGE, HIGHEST_CHANGE).where(trusted[:, None], LOWEST_CHANGE)
        alpha, delta = ((s * (1 + c)).clamp(_SMALLEST, _LARGEST) for s, c in zip(self, change.unbind(-1), strict=True))
        return Scales(alpha, delta)

    def lengths(self, trusted: Tensor) -> Tensor:
        """Of the next steps (batch,): half the step size where a value on the grid is not finite."""
        return self.alpha * torch.where(trusted, 1.0, 1 + LOWEST_CHANGE)

    def __iter__(self) -> Iterator[Tensor]:
        return iter((self.alpha, self.delta))


@dataclass
class Search:
    """A batch of rovers in the plane.

    Attributes:
        x: Where they are (batch, 2).
        scales: Their step sizes and resolutions.
        values: On their grids (batch, n * n), row by row.
        seen: The grids as they are seen (batch, n, n), float32.
        trusted: Whether all values on a grid are finite (batch,).
        before: The last points (batch, 2) around which there were finite values.
    """

    x: Tensor
    scales: Scales
    values: Tensor
    seen: Tensor
    trusted: Tensor
    before: Tensor

    @classmethod
    def start(cls, x: Tensor, alpha: Tensor, delta: Tensor, n: int) -> Search:
        """Rovers at ``x`` (batch, 2) that have seen nothing yet: ``sense`` comes next."""
        values = torch.zeros(len(x), n * n, dtype=x.dtype, device=x.device)
        return cls(x, Scales(alpha, delta), values, *rescaled(values), x)

    @property
    def n(self) -> int:
        """Points of a side of the grid."""
        return self.seen.shape[1]

    @property
    def points(self) -> Tensor:
        """Of the grids (batch, n * n, 2), eq. 1."""
        return self.x[:, None] - self.scales.delta[:, None, None] * grid_offsets(self.n).to(self.x)

    @property
    def y(self) -> Tensor:
        """Values (batch,) where the rovers are, the middle of their grids."""
        return self.values[:, self.n**2 // 2]

    def sense(self, values: Tensor) -> None:
        """Takes the values (batch, n * n) at ``points``."""
        self.values = values
        self.seen, self.trusted = rescaled(values)

    def move(self, direction: Tensor, action: Tensor) -> None:
        """One step along unit vectors (batch, 2), after which step size and resolution change, eq. 4.

        Where a value on the grid is not finite the step is halved too; where none is, it leads half the way back to
        where one was.
        """
        blind = ~self.values.isfinite().any(-1)
        ahead = self.x + self.scales.lengths(self.trusted)[:, None] * direction
        here, self.before = self.x, torch.where(blind[:, None], self.before, self.x)
        self.x = torch.where(blind[:, None], (here + self.before) / 2, ahead)
        self.scales = self.scales.changed(action, self.trusted)

    def put(self, index: Tensor, other: Self) -> None:
        """Replaces the rovers at ``index`` (n,) by those of ``other``."""
        for name in ("x", "values", "seen", "trusted", "before"):
            setattr(self, name, getattr(self, name).index_copy(0, index, getattr(other, name)))
        self.scales = Scales(
            *(mine.index_copy(0, index, new) for mine, new in zip(self.scales, other.scales, strict=True))
        )
