"""What a run of Learning to Optimize knows: its newest point, and the values and gradients of the last ones."""

from __future__ import annotations

import torch
from torch import Tensor

LIMIT = 1e4
"""Observations are clipped to it, either way."""


class Search:
    """A batch of runs, each a point, its history and steps from it (Li and Malik, sections 4 and 5).

    Args:
        history: Number of past iterates that are kept, H.
        max_step: What an action of 1 stands for.

    Attributes:
        t: Steps made (batch,).
        x: Newest points (batch, dim).
        y: Their values (batch,).
        gradients: At the last H points (batch, H, dim), the newest first; zero before there are any.
        values: At the H points before the newest (batch, H), the newest first; zero before there are any.
    """

    t: Tensor
    x: Tensor
    y: Tensor
    gradients: Tensor
    values: Tensor

    def __init__(self, history: int, max_step: float) -> None:
        self.history, self.max_step = history, max_step

    def start(self, x: Tensor, y: Tensor, g: Tensor) -> None:
        """Begins runs at ``x`` (batch, dim) with values ``y`` (batch,) and gradients ``g`` (batch, dim)."""
        self.t = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        self.x, self.y = x, y
        self.gradients = torch.cat([g[:, None], g.new_zeros(len(g), self.history - 1, g.shape[1])], 1)
        self.values = y.new_zeros(len(y), self.history)

    def propose(self, action: Tensor) -> Tensor:
        """The next points (batch, dim) for actions (batch, dim), of which what lies outside [-1, 1] is clipped."""
        return self.x + self.max_step * action.clamp(-1, 1)

    def update(self, x: Tensor, y: Tensor, g: Tensor) -> None:
        """The newest points (batch, dim), with values (batch,) and gradients (batch, dim)."""
        self.gradients = torch.cat([g[:, None], self.gradients[:, :-1]], 1)
        self.values = torch.cat([self.y[:, None], self.values[:, :-1]], 1)
        self.t, self.x, self.y = self.t + 1, x, y

    def put(self, index: Tensor, other: Search) -> None:
        """Replaces the runs at ``index`` (n,) by the n runs of ``other``."""
        for name in ("t", "x", "y", "gradients", "values"):
            setattr(self, name, getattr(self, name).index_copy(0, index, getattr(other, name)))

    def observe(self) -> Tensor:
        """Observations (batch, H + H dim), float32: changes of the value, then gradients, the newest first."""
        known = torch.arange(self.history, device=self.t.device) < self.t[:, None]
        changes = (self.y[:, None] - self.values).where(known, 0.0)
        seen = torch.cat([changes, self.gradients.flatten(1)], 1)
        return seen.nan_to_num(LIMIT).clamp(-LIMIT, LIMIT).to(torch.float32)
