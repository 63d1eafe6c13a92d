"""Where to look next: the most promising of some spread-out points, by Gaussian-process regression."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

NUM_POINTS = 64
# Chosen on validation functions in 2-D and 8-D, for how low descents come that start at target after target.
LENGTHSCALE = 0.3  # of the kernel
NOISE = 0.1  # variance that the process does not explain, as of ripples, over its own
MARGIN = 1.0  # by how many of its deviations a target should be better than all that was seen

_FAR = 1e3  # half-widths of the box: what lies there covaries with nothing in it


@dataclass
class Scout:
    """A Gaussian process that models the whole box and says where a search should go on.

    The values seen are regressed on the points by a Gaussian process with an RBF kernel and a constant
    but unknown mean and variance (Rasmussen & Williams 2006, sections 2.2 and 2.7). The target is the
    one of a fixed set of points that is most probably better than the best seen by a margin (Kushner
    1964): without one, targets would lie in basins that are known. Distances are root mean squares over
    coordinates, in half-widths of the box, so that any dimension looks alike. A new point adds a row to
    the Cholesky factor of the covariances, so that after t points it costs O(t (t + NUM_POINTS)).

    Attributes:
        points: Where it looks (batch, NUM_POINTS, dim): Sobol points, moved around so that the start is one.
        first: First value (batch,).
        low: Lowest value (batch,), less the first.
        count: Number of points seen (batch,).
        seen: The points seen (batch, capacity, dim); so far away that nothing covaries where there is none yet.
        factor: Cholesky factor (batch, capacity, capacity) of their covariances; of the identity there.
        whitened: The inverse factor times (batch, capacity, NUM_POINTS + 2): the covariances with ``points``,
            the values less the first, and ones; 0 there.
        squares: Sums of squares of the columns of ``whitened`` (batch, NUM_POINTS + 2).
        with_values: Sums of their products with the values' column (batch, NUM_POINTS + 2).
        with_ones: Sums of their products with the ones' column (batch, NUM_POINTS + 2).
        target: The most promising point (batch, dim).
        forecast: Its forecast (batch,) above the lowest value seen, in standard deviations of the process.
        doubt: Standard deviation of the forecast (batch,), in the same unit: 1 far from all that was seen.
    """

    points: Tensor
    first: Tensor
    low: Tensor
    count: Tensor
    seen: Tensor
    factor: Tensor
    whitened: Tensor
    squares: Tensor
    with_values: Tensor
    with_ones: Tensor
    target: Tensor
    forecast: Tensor
    doubt: Tensor

    @classmethod
    def start(cls, x: Tensor, y: Tensor, capacity: int) -> Scout:
        """Scouts that have seen ``x`` (batch, dim) with values (batch,), all finite, and have room for ``capacity``."""
        batch, dim = x.shape
        points = (_sobol(dim).to(x.device) + x[:, None] + 1) % 2 - 1
        points[:, 0] = x  # also on an upper wall, which is the lower one otherwise
        zero, columns = torch.zeros_like(y), x.new_zeros(batch, NUM_POINTS + 2)
        scout = cls(
            points=points,
            first=y,
            low=zero,
            count=torch.zeros_like(y, dtype=torch.int64),
            seen=x.new_full((batch, capacity, dim), _FAR),
            factor=torch.eye(capacity, dtype=x.dtype, device=x.device).repeat(batch, 1, 1),
            whitened=x.new_zeros(batch, capacity, NUM_POINTS + 2),
            squares=columns,
            with_values=columns,
            with_ones=columns,
            target=x,
            forecast=zero,
            doubt=zero,
        )
        scout.observe(x, y)
        return scout

    def observe(self, x: Tensor, y: Tensor) -> None:
        """Takes note of new points; shapes as in ``start``."""
        y = y - self.first
        covariance = _kernel(self.seen, x)[..., None]
        column = torch.linalg.solve_triangular(self.factor, covariance, upper=False)[..., 0]
        pivot = (1 + NOISE - torch.linalg.vecdot(column, column)).sqrt()
        joint = torch.cat([_kernel(self.points, x), y[:, None], torch.ones_like(y)[:, None]], -1)
        filled = slice(int(self.count.max()))  # what follows is 0
        row = (joint - (column[:, None, filled] @ self.whitened[:, filled])[:, 0]) / pivot[:, None]

        runs = torch.arange(len(x), device=x.device)
        self.seen[runs, self.count] = x
        self.factor[runs, self.count] = column
        self.factor[runs, self.count, self.count] = pivot
        self.whitened[runs, self.count] = row
        self.count = self.count + 1
        self.squares = self.squares + row.square()
        self.with_values = torch.addcmul(self.with_values, row, row[:, -2:-1])
        self.with_ones = torch.addcmul(self.with_ones, row, row[:, -1:])
        self.low = torch.minimum(self.low, y)
        self._aim()

    def _aim(self) -> None:
        mean = self.with_values[:, -1] / self.with_ones[:, -1]  # by generalized least squares
        variance = (self.with_values[:, -2] - mean * self.with_values[:, -1]) / self.count  # of highest likelihood
        deviation = variance.clamp(min=1e-300).sqrt()[:, None]
        levels = self.with_values[:, :-2] + mean[:, None] * (1 - self.with_ones[:, :-2])
        forecasts = (levels - self.low[:, None]) / deviation
        doubts = (1 - self.squares[:, :-2]).sqrt()  # NOISE keeps them above 0
        chosen = ((forecasts + MARGIN) / doubts).argmin(-1, keepdim=True)
        self.target = self.points.take_along_dim(chosen[..., None], 1)[:, 0]
        self.forecast = forecasts.take_along_dim(chosen, 1)[:, 0]
        self.doubt = doubts.take_along_dim(chosen, 1)[:, 0]


def _kernel(points: Tensor, x: Tensor) -> Tensor:
    """Covariances (batch, n) of the process at ``points`` (batch, n, dim) and ``x`` (batch, dim)."""
    distances = torch.cdist(points, x[:, None], compute_mode="donot_use_mm_for_euclid_dist")[..., 0]
    return (distances.square() * (-0.5 / (x.shape[1] * LENGTHSCALE**2))).exp()


@lru_cache(maxsize=64)
def _sobol(dim: int) -> Tensor:
    """The first Sobol points (NUM_POINTS, dim) of the box [0, 2]^dim, the origin first."""
    return 2 * torch.quasirandom.SobolEngine(dim).draw(NUM_POINTS, dtype=torch.float64)
