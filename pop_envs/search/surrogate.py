"""A batched Gaussian-process surrogate of the whole box, which proposes where a search should go on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from pop_envs.arrays import Array, namespace, replaced

NUM_CANDIDATES = 64
# Chosen on validation functions in 2-D and 8-D, for how low descents come that start at proposal after proposal.
LENGTHSCALE = 0.3  # of the kernel
NOISE = 0.1  # variance that the process does not explain, as of ripples, over its own
CAPACITY = 256  # points of a run; a longer one forgets those that tell least
XI = 1.0  # by how many of its deviations a proposal should improve on the best value

_IDENTITY = NUM_CANDIDATES + 2  # the first of the whitened identity's columns
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
    forgotten that the other half tells most about. ``points``, ``values`` and ``whitened`` are written in
    place, and nobody else holds them.

    Attributes:
        points: (batch, NUM_CANDIDATES + capacity, dim): the candidates, Sobol points moved around so that the start
            is one; and the points seen, so far away that nothing covaries where there is none yet.
        values: Of the points seen (batch, capacity), less the first; 0 where there is none yet.
        first: First value (batch,).
        low: Lowest value (batch,), less the first.
        count: Number of points kept (batch,).
        whitened: The inverse Cholesky factor of the covariances of the points seen, times (batch, capacity,
            NUM_CANDIDATES + 2 + capacity): their covariances with the candidates, their values, ones, and the
            identity, which leaves the inverse factor itself; rows are 0 where there is no point yet.
        squares: Sums of squares of the columns of ``whitened`` (batch, NUM_CANDIDATES + 2), without the identity's.
        with_values: Sums of their products with the values' column (batch, NUM_CANDIDATES + 2).
        with_ones: Sums of their products with the ones' column (batch, NUM_CANDIDATES + 2).
        proposal: The candidate of the highest acquisition (batch, dim).
        mean: Posterior mean there (batch,), less the lowest value seen, in deviations of the process.
        deviation: Posterior standard deviation there (batch,), in the same unit: 1 far from all points seen.
    """

    points: Array
    values: Array
    first: Array
    low: Array
    count: Array
    whitened: Array
    squares: Array
    with_values: Array
    with_ones: Array
    proposal: Array
    mean: Array
    deviation: Array

    @classmethod
    def start(cls, x: Array, y: Array, capacity: int) -> Surrogate:
        """Surrogates that have seen ``x`` (batch, dim) with finite values (batch,), of at most ``capacity`` points."""
        xp = namespace(x)
        batch, dim = x.shape
        points = xp.full((batch, NUM_CANDIDATES + capacity, dim), _FAR, x)
        points[:, :NUM_CANDIDATES] = (xp.from_tensor(_sobol(dim), x) + x[:, None] + 1) % 2 - 1
        points[:, 0] = x  # also on an upper wall, which is the lower one otherwise
        zero, columns = xp.zeros((batch,), x), xp.zeros((batch, _IDENTITY), x)
        surrogate = cls(
            points=points,
            values=xp.zeros((batch, capacity), x),
            first=y,
            low=zero,
            count=xp.integers((batch,), x),
            whitened=xp.zeros((batch, capacity, _IDENTITY + capacity), x),
            squares=columns,
            with_values=columns,
            with_ones=columns,
            proposal=x,
            mean=zero,
            deviation=zero,
        )
        surrogate.update(x, y)
        return surrogate

    @property
    def candidates(self) -> Array:
        """Where it proposes to go on (batch, NUM_CANDIDATES, dim)."""
        return self.points[:, :NUM_CANDIDATES]

    @property
    def seen(self) -> Array:
        """The points seen (batch, capacity, dim), see ``points``."""
        return self.points[:, NUM_CANDIDATES:]

    def update(self, x: Array, y: Array) -> None:
        """Takes note of new points; shapes as in ``start``."""
        xp = namespace(x)
        filled = int(self.count.max())  # what follows is 0
        if filled == self.values.shape[1]:
            self._forget(self.count == filled)
            filled = int(self.count.max())
        y = y - self.first
        runs, at = xp.index(len(x), x), self.count
        covariances = _kernel(self.points[:, : NUM_CANDIDATES + filled], x)
        known = self.whitened[:, :filled, : _IDENTITY + filled + 1]
        column = (known[..., _IDENTITY:-1] @ covariances[:, NUM_CANDIDATES:, None])[..., 0]
        pivot = xp.sqrt(1 + NOISE - xp.vecdot(column, column))
        row = (-column[:, None] @ known)[:, 0]
        row[:, :NUM_CANDIDATES] += covariances[:, :NUM_CANDIDATES]
        row[:, NUM_CANDIDATES] += y
        row[:, NUM_CANDIDATES + 1] += 1
        row[runs, _IDENTITY + at] = 1.0
        row = row / pivot[:, None]

        self.seen[runs, at] = x
        self.values[runs, at] = y
        self.whitened[runs, at, : row.shape[1]] = row
        self.count = self.count + 1
        row = row[:, :_IDENTITY]
        self.squares = self.squares + row * row
        self.with_values = xp.add_product(self.with_values, row, row[:, -2:-1])
        self.with_ones = xp.add_product(self.with_ones, row, row[:, -1:])
        self.low = xp.minimum(self.low, y)
        self._propose()

    def _forget(self, rows: Array) -> None:
        """Keeps half of the points of ``rows`` (batch,): those that a pivoted Cholesky factorization takes first."""
        xp = namespace(rows)
        seen, values, candidates = self.seen[rows], self.values[rows], self.candidates[rows]
        covariances = _kernels(seen, seen)
        chosen = _most_telling(covariances, values.argmin(-1), max(1, seen.shape[1] // 2))
        kept, runs = chosen.shape[1], xp.index(len(chosen), chosen)[:, None]
        seen, values, every = seen[runs, chosen], values[runs, chosen], xp.index(kept, chosen)
        covariances = covariances[runs[..., None], chosen[..., None], chosen[:, None]]
        covariances[:, every, every] += NOISE
        columns = xp.zeros((len(chosen), kept, _IDENTITY + kept), seen)
        columns[..., :NUM_CANDIDATES] = _kernels(candidates, seen)
        columns[..., NUM_CANDIDATES] = values
        columns[..., NUM_CANDIDATES + 1] = 1.0
        columns[:, every, _IDENTITY + every] = 1.0
        whitened = xp.linalg.solve(xp.linalg.cholesky(covariances), columns)
        for part, empty, new in ((self.seen, _FAR, seen), (self.values, 0.0, values)):
            part[rows] = empty
            part[rows, :kept] = new
        self.whitened[rows] = 0.0
        self.whitened[rows, :kept, : _IDENTITY + kept] = whitened
        self.count = xp.where(rows, kept, self.count)
        whitened = whitened[..., :_IDENTITY]
        self.squares = replaced(self.squares, rows, (whitened * whitened).sum(1))
        self.with_values = replaced(self.with_values, rows, (whitened * whitened[..., -2:-1]).sum(1))
        self.with_ones = replaced(self.with_ones, rows, (whitened * whitened[..., -1:]).sum(1))

    def _propose(self) -> None:
        xp = namespace(self.points)
        constant = self.with_values[:, -1] / self.with_ones[:, -1]  # by generalized least squares
        variance = (self.with_values[:, -2] - constant * self.with_values[:, -1]) / self.count  # of highest likelihood
        unit = xp.sqrt(xp.at_least(variance, 1e-300))[:, None]
        levels = self.with_values[:, :-2] + constant[:, None] * (1 - self.with_ones[:, :-2])
        means = (levels - self.low[:, None]) / unit
        deviations = xp.sqrt(1 - self.squares[:, :-2])  # NOISE keeps them above 0
        chosen = xp.index(len(means), means), ((means + XI) / deviations).argmin(-1)
        self.proposal, self.mean, self.deviation = self.points[chosen], means[chosen], deviations[chosen]


def _kernel(points: Array, x: Array) -> Array:
    """Covariances (batch, n) of the process at ``points`` (batch, n, dim) and ``x`` (batch, dim)."""
    xp = namespace(x)
    return xp.exp(xp.squared_distances(points, x) * (-0.5 / (x.shape[1] * LENGTHSCALE**2)))


def _kernels(points: Array, others: Array) -> Array:
    """Covariances (batch, m, n) of the process at ``points`` (batch, n, dim) and ``others`` (batch, m, dim)."""
    xp = namespace(points)
    return xp.stack([_kernel(points, x) for x in xp.unbind(others, 1)]).swapaxes(0, 1)


def _most_telling(covariances: Array, first: Array, count: int) -> Array:
    """Indices (batch, count) of points, each the one that those before it tell least about.

    A pivoted Cholesky factorization of the covariances (batch, n, n), which begins at ``first`` (batch,).
    """
    xp = namespace(covariances)
    batch, n, _ = covariances.shape
    runs, variance = xp.index(batch, first), xp.full((batch, n), 1.0, covariances)
    variance[runs, first] = 2.0
    factor, chosen = xp.zeros((batch, n, count), covariances), []
    for k in range(count):
        pivot = variance.argmax(-1)
        chosen.append(pivot)
        row = covariances[runs, pivot] - (factor[:, :, :k] @ factor[runs, pivot, :k, None])[..., 0]
        # With the noise, so that a point's neighbours are not told everything about.
        factor[:, :, k] = row / xp.sqrt(row[runs, pivot, None] + NOISE)
        variance = variance - factor[:, :, k] ** 2
        variance[runs, pivot] = -math.inf
    return xp.stack(chosen).swapaxes(0, 1)


@lru_cache(maxsize=64)
def _sobol(dim: int) -> Tensor:
    """The first Sobol points (NUM_CANDIDATES, dim) of the box [0, 2]^dim, the origin first."""
    with torch.device("cpu"):  # the engine makes tensors of its own
        return 2 * torch.quasirandom.SobolEngine(dim).draw(NUM_CANDIDATES, dtype=torch.float64)
