"""Where to look next: the most promising of some spread-out points, by inverse distance weighting."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

NUM_POINTS = 64

_NEAREST = 1e-6  # squared distance under which points count as the same


@dataclass
class Scout:
    """A cheap model of the whole box that says where a search should go on (Bemporad 2020).

    Each of a fixed set of points is forecast a value, the mean of those seen, weighted by the inverse
    squared distance (Shepard 1968), and has a clearance, the distance to the nearest point seen. The
    target is the point whose forecast, over the range of values seen, less its clearance, over the
    largest clearance, is lowest: on validation functions half or twice the weight of the one does no
    better. Distances are root mean squares over coordinates, in half-widths of the box, so that any
    dimension looks alike. Running sums make it independent of the number of points seen.

    Attributes:
        points: Where it looks (batch, NUM_POINTS, dim): Sobol points, moved around so that the start is one.
        weight: Sums of weights (batch, NUM_POINTS).
        weighted: Sums of weighted values less the first (batch, NUM_POINTS).
        clearances: Distances to the nearest point seen (batch, NUM_POINTS).
        first: First value (batch,).
        low: Lowest value (batch,), less the first.
        high: Highest value (batch,), less the first.
        target: The most promising point (batch, dim).
        forecast: Its forecast (batch,), from 0 at the lowest to 1 at the highest value seen.
        clearance: Its clearance (batch,).
    """

    points: Tensor
    weight: Tensor
    weighted: Tensor
    clearances: Tensor
    first: Tensor
    low: Tensor
    high: Tensor
    target: Tensor
    forecast: Tensor
    clearance: Tensor

    @classmethod
    def start(cls, x: Tensor, y: Tensor) -> Scout:
        """Scouts that have seen ``x`` (batch, dim) with values (batch,), all finite."""
        points = (_sobol(x.shape[1]).to(x.device) + x[:, None] + 1) % 2 - 1
        points[:, 0] = x  # also on an upper wall, which is the lower one otherwise
        nothing, zero = torch.zeros_like(points[..., 0]), torch.zeros_like(y)
        far = torch.full_like(nothing, torch.inf)
        scout = cls(points, nothing, nothing, far, y, zero, zero, x, zero, zero)
        scout.observe(x, y)
        return scout

    def observe(self, x: Tensor, y: Tensor) -> None:
        """Takes note of new points; shapes as in ``start``."""
        squared = (self.points - x[:, None]).square().mean(-1)
        weight = 1 / (squared + _NEAREST)
        y = y - self.first
        self.weight = self.weight + weight
        self.weighted = torch.addcmul(self.weighted, weight, y[:, None])
        self.clearances = torch.minimum(self.clearances, squared.sqrt())
        self.low, self.high = torch.minimum(self.low, y), torch.maximum(self.high, y)
        self._aim()

    def _aim(self) -> None:
        width = (self.high - self.low).clamp(min=1e-300)[:, None]
        forecasts = ((self.weighted / self.weight - self.low[:, None]) / width).clamp(0, 1)
        largest = self.clearances.amax(-1, keepdim=True)
        chosen = (forecasts - self.clearances / largest).argmin(-1, keepdim=True)
        self.target = self.points.take_along_dim(chosen[..., None], 1)[:, 0]
        self.forecast = forecasts.take_along_dim(chosen, 1)[:, 0]
        self.clearance = self.clearances.take_along_dim(chosen, 1)[:, 0]


@lru_cache(maxsize=64)
def _sobol(dim: int) -> Tensor:
    """The first Sobol points (NUM_POINTS, dim) of the box [0, 2]^dim, the origin first."""
    return 2 * torch.quasirandom.SobolEngine(dim).draw(NUM_POINTS, dtype=torch.float64)
