"""A batched Gaussian-process surrogate of the whole box, which proposes where a search should go on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

NUM_CANDIDATES = 64
# Chosen on validation functions in 2-D and 8-D, for how low descents come that start at proposal after proposal.
LENGTHSCALE = 0.3  # of the kernel
NOISE = 0.1  # variance that the process does not explain, as of ripples, over its own
CAPACITY = 256  # points of a run; a longer one forgets those that tell least
XI = 1.0  # by how many of its deviations a proposal should improve on the best value

_FAR = 1e3  # half-widths of the box: what lies there covaries with nothing in it


@dataclass
class Surrogate:
    """A Gaussian process, fitted to the values seen, and the candidate of the highest acquisition.

    The values are regressed on the points by a Gaussian process with an RBF kernel and a constant but
    unknown mean and variance (Rasmussen & Williams 2006, sections 2.2 and 2.7). The acquisition is the
    probability of improvement by ``XI`` (Kushner 1964): without it, proposals would lie in basins that
    are known. Distances are root mean squares over coordinates, in half-widths of the box, so that any
    dimension looks alike. A new point adds a row to the Cholesky factor of the covariances, so that
    after t points it costs O(t (t + NUM_CANDIDATES)). Once there is no more room the half of the points is
    forgotten that the other half tells most about. ``seen``, ``factor`` and ``whitened`` are written in
    place, and nobody else holds them.

    Attributes:
        candidates: (batch, NUM_CANDIDATES, dim): Sobol points, moved around so that the start is one.
        first: First value (batch,).
        low: Lowest value (batch,), less the first.
        count: Number of points kept (batch,).
        seen: The points seen (batch, capacity, dim); so far away that nothing covaries where there is none yet.
        factor: Cholesky factor (batch, capacity, capacity) of their covariances; of the identity there.
        whitened: The inverse factor times (batch, capacity, NUM_CANDIDATES + 2): the covariances with the
            candidates, the values less the first, and ones; 0 there.
        squares: Sums of squares of the columns of ``whitened`` (batch, NUM_CANDIDATES + 2).
        with_values: Sums of their products with the values' column (batch, NUM_CANDIDATES + 2).
        with_ones: Sums of their products with the ones' column (batch, NUM_CANDIDATES + 2).
        proposal: The candidate of the highest acquisition (batch, dim).
        mean: Posterior mean there (batch,), less the lowest value seen, in deviations of the process.
        deviation: Posterior standard deviation there (batch,), in the same unit: 1 far from all points seen.
    """

    candidates: Tensor
    first: Tensor
    low: Tensor
    count: Tensor
    seen: Tensor
    factor: Tensor
    whitened: Tensor
    squares: Tensor
    with_values: Tensor
    with_ones: Tensor
    proposal: Tensor
    mean: Tensor
    deviation: Tensor

    @classmethod
    def start(cls, x: Tensor, y: Tensor, capacity: int) -> Surrogate:
        """Surrogates that have seen ``x`` (batch, dim) with finite values (batch,), of at most ``capacity`` points."""
        batch, dim = x.shape
        candidates = (_sobol(dim).to(x.device) + x[:, None] + 1) % 2 - 1
        candidates[:, 0] = x  # also on an upper wall, which is the lower one otherwise
        zero, columns = torch.zeros_like(y), x.new_zeros(batch, NUM_CANDIDATES + 2)
        surrogate = cls(
            candidates=candidates,
            first=y,
            low=zero,
            count=torch.zeros_like(y, dtype=torch.int64),
            seen=x.new_full((batch, capacity, dim), _FAR),
            factor=torch.eye(capacity, dtype=x.dtype, device=x.device).repeat(batch, 1, 1),
            whitened=x.new_zeros(batch, capacity, NUM_CANDIDATES + 2),
            squares=columns,
            with_values=columns,
            with_ones=columns,
            proposal=x,
            mean=zero,
            deviation=zero,
        )
        surrogate.update(x, y)
        return surrogate

    def update(self, x: Tensor, y: Tensor) -> None:
        """Takes note of new points; shapes as in ``start``."""
        full = self.count == self.seen.shape[1]
        if full.any():
            self._forget(full.nonzero()[:, 0])
        y = y - self.first
        covariance = _kernel(self.seen, x)[..., None]
        column = torch.linalg.solve_triangular(self.factor, covariance, upper=False)[..., 0]
        pivot = (1 + NOISE - torch.linalg.vecdot(column, column)).sqrt()
        joint = torch.cat([_kernel(self.candidates, x), y[:, None], torch.ones_like(y)[:, None]], -1)
        filled = int(self.count.max())  # what follows is 0
        row = (joint - (column[:, None, :filled] @ self.whitened[:, :filled])[:, 0]) / pivot[:, None]

        runs, at = torch.arange(len(x), device=x.device), self.count
        self.seen[runs, at] = x
        self.factor[runs, at] = column
        self.factor[runs, at, at] = pivot
        self.whitened[runs, at] = row
        self.count = self.count + 1
        self.squares = self.squares + row.square()
        self.with_values = torch.addcmul(self.with_values, row, row[:, -2:-1])
        self.with_ones = torch.addcmul(self.with_ones, row, row[:, -1:])
        self.low = torch.minimum(self.low, y)
        self._propose()

    def _forget(self, rows: Tensor) -> None:
        """Keeps half of the points of full ``rows`` (n,): those that a pivoted Cholesky factorization takes first."""
        seen, capacity = self.seen[rows], self.seen.shape[1]
        y = (self.factor[rows] @ self.whitened[rows, :, -2:-1])[..., 0]
        covariances = torch.stack([_kernel(seen, point) for point in seen.unbind(1)], 1)
        chosen = _most_telling(covariances, y.argmin(-1), max(1, capacity // 2))
        kept, runs = chosen.shape[1], torch.arange(len(rows), device=rows.device)[:, None]
        seen = seen[runs, chosen]
        factor = torch.linalg.cholesky(
            covariances[runs[..., None], chosen[..., None], chosen[:, None]]
            + NOISE * torch.eye(kept, dtype=seen.dtype, device=seen.device)
        )
        joint = [_kernel(self.candidates[rows], point) for point in seen.unbind(1)]
        values = y[runs, chosen]
        columns = torch.cat([torch.stack(joint, 1), values[..., None], torch.ones_like(values)[..., None]], -1)
        whitened = torch.linalg.solve_triangular(factor, columns, upper=False)
        self.seen[rows] = _FAR
        self.factor[rows] = torch.eye(capacity, dtype=seen.dtype, device=seen.device)
        self.whitened[rows] = 0.0
        self.seen[rows, :kept], self.factor[rows, :kept, :kept], self.whitened[rows, :kept] = seen, factor, whitened
        self.count = self.count.index_fill(0, rows, kept)
        self.squares = self.squares.index_copy(0, rows, whitened.square().sum(1))
        self.with_values = self.with_values.index_copy(0, rows, (whitened * whitened[..., -2:-1]).sum(1))
        self.with_ones = self.with_ones.index_copy(0, rows, (whitened * whitened[..., -1:]).sum(1))

    def _propose(self) -> None:
        constant = self.with_values[:, -1] / self.with_ones[:, -1]  # by generalized least squares
        variance = (self.with_values[:, -2] - constant * self.with_values[:, -1]) / self.count  # of highest likelihood
        unit = variance.clamp(min=1e-300).sqrt()[:, None]
        levels = self.with_values[:, :-2] + constant[:, None] * (1 - self.with_ones[:, :-2])
        means = (levels - self.low[:, None]) / unit
        deviations = (1 - self.squares[:, :-2]).sqrt()  # NOISE keeps them above 0
        chosen = ((means + XI) / deviations).argmin(-1, keepdim=True)
        self.proposal = self.candidates.take_along_dim(chosen[..., None], 1)[:, 0]
        self.mean = means.take_along_dim(chosen, 1)[:, 0]
        self.deviation = deviations.take_along_dim(chosen, 1)[:, 0]


def _kernel(points: Tensor, x: Tensor) -> Tensor:
    """Covariances (batch, n) of the process at ``points`` (batch, n, dim) and ``x`` (batch, dim)."""
    distances = torch.cdist(points, x[:, None], compute_mode="donot_use_mm_for_euclid_dist")[..., 0]
    return (distances.square() * (-0.5 / (x.shape[1] * LENGTHSCALE**2))).exp()


def _most_telling(covariances: Tensor, first: Tensor, count: int) -> Tensor:
    """Indices (batch, count) of points, each the one that those before it tell least about.

    A pivoted Cholesky factorization of the covariances (batch, n, n), which begins at ``first`` (batch,).
    """
    runs, variance = torch.arange(len(covariances), device=first.device), 1.0 - torch.zeros_like(covariances[:, 0])
    variance[runs, first] = 2.0
    factor, chosen = covariances.new_zeros(len(covariances), covariances.shape[1], count), []
    for k in range(count):
        pivot = variance.argmax(-1)
        chosen.append(pivot)
        row = covariances[runs, pivot] - (factor[:, :, :k] @ factor[runs, pivot, :k, None])[..., 0]
        # With the noise, so that a point's neighbours are not told everything about.
        factor[:, :, k] = row / (row[runs, pivot, None] + NOISE).sqrt()
        variance = (variance - factor[:, :, k].square()).index_put((runs, pivot), variance.new_tensor(-torch.inf))
    return torch.stack(chosen, 1)


@lru_cache(maxsize=64)
def _sobol(dim: int) -> Tensor:
    """The first Sobol points (NUM_CANDIDATES, dim) of the box [0, 2]^dim, the origin first."""
    with torch.device("cpu"):  # the engine makes tensors of its own
        return 2 * torch.quasirandom.SobolEngine(dim).draw(NUM_CANDIDATES, dtype=torch.float64)
