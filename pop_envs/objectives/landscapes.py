"""The two-dimensional landscapes that Rover Descent is trained on (appendix 6.1), batched, on the unit box.

Lengths in the paper are ``REGION`` times those here: its coordinate 5 is the wall of the unit box.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Literal, Self

import torch
from torch import Tensor

from pop_envs.checks import one_of
from pop_envs.objectives.base import FunctionBatch, Prior, Uniforms

Family = Literal["quadratic", "valley", "saddle", "plateau"]

FAMILIES: tuple[Family, ...] = ("quadratic", "valley", "saddle", "plateau")
"""Bowls; valleys; saddles; plateaus with a cliff, which are one family in the paper as well."""

REGION = 5.0
"""Half width of the box, in the paper's coordinates: one and a half length scales of a saddle or a plateau."""
_ANCHORS = 4
_STRETCH = (0.5, 1.5)  # singular values of A of a bowl, in the paper's coordinates
_CENTER = 0.5  # minima of bowls lie in this middle part of the box
_VARIANCE = (10.0, 2.0)  # mean and variance of the eigenvalues of S
_RATIO = (100.0, 200.0)  # of a valley's eigenvalues
_DEPTH = (-5.0, 2.0)  # mean and variance of a plateau's value at its anchor
_DISTANCES = ((0.5, 1.0), (0.5, 1.5), (0.5, 2.0), (1.0, 3.0))  # of starts from the centre, by family
_NEAREST = 0.5  # of starts to the minimum
_TRIES = 8
_PROBES, _REACH = 15, 1.4  # of the search for a saddle's minimum: a grid on a square of so many half widths
_NEWTON_STEPS = 12

NUM_START_UNIFORMS = 2 * _TRIES
"""Uniform numbers that ``Landscapes.starts`` takes for each landscape."""


@dataclass
class Landscapes(FunctionBatch):
    r"""A batch of landscapes, bowls and means of Gaussian fields alike.

    A bowl is :math:`\|Ax - b\|^2 = (x - c)^T A^T A (x - c)` with :math:`b = Ac`. The others are conditional means
    :math:`k(x)^T K^{-1} v` (eq. 12) of a Gaussian field that has the values v at some anchors, with the kernel

    .. math:: k(x, x') = |2 \pi S|^{-1/2} \exp(-\tfrac{1}{2} (x - x')^T S^{-1} (x - x')).

    Eq. 11 has :math:`x^T S^{-1} x'` in the exponent; but that is no covariance of a stationary field, and the text
    speaks of a Mahalanobis norm, which is the difference's.

    Attributes:
        anchors: Points (batch, 4, 2) with given values; those with weight 0 play no part.
        weights: Their factors (batch, 4), the entries of :math:`K^{-1} v` times the kernel's own factor.
        precision: :math:`S^{-1}` (batch, 3): the entries 11, 12 and 22.
        bowl: :math:`A^T A` (batch, 3), likewise; zero but for bowls.
        center: Minimizers of bowls (batch, 2).
        gram: Inverse (batch, 4, 4) of the anchors' correlations; zero where there is no anchor.
        variance: Of the field (batch,), :math:`|2 \pi S|^{-1/2}` in the paper's coordinates; zero for bowls.
        minimizer: Global minimizers (batch, 2).
        minima: Global minima (batch,).
        family: Number in ``FAMILIES`` (batch,).
    """

    anchors: Tensor
    weights: Tensor
    precision: Tensor
    bowl: Tensor
    center: Tensor
    gram: Tensor
    variance: Tensor
    minimizer: Tensor
    minima: Tensor
    family: Tensor

    dim = 2

    def __len__(self) -> int:
        return len(self.weights)

    def rows(self, index: Tensor) -> Self:
        """See ``FunctionBatch``."""
        return replace(self, **{each.name: getattr(self, each.name)[index] for each in fields(self)})

    def put(self, index: Tensor, other: Self) -> None:
        """See ``FunctionBatch``."""
        for each in fields(self):
            getattr(self, each.name)[index] = getattr(other, each.name)

    def values_at(self, x: Tensor) -> Tensor:
        """See ``Objective``."""
        x1, x2 = x.unbind(-1)
        c1, c2 = (x - self.center[:, None]).unbind(-1)
        y = _form(self.bowl[:, None], c1, c2)
        # One anchor after the other, and the quadratic form multiplied out: a fifth of the time of batched differences.
        p11, p12, p22 = self.precision[:, None].unbind(-1)
        own = _form(-0.5 * self.precision[:, None], x1, x2)
        for i in range(_ANCHORS):
            (a1, a2), weight = self.anchors[:, i, :, None].unbind(1), self.weights[:, i, None]
            l1, l2 = p11 * a1 + p12 * a2, p12 * a1 + p22 * a2
            exponent = torch.addcmul(own - 0.5 * (l1 * a1 + l2 * a2), l1, x1).addcmul_(l2, x2)
            y = torch.addcmul(y, weight, exponent.exp_())
        return y

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Objective``."""
        y, g, _ = self.derivatives(x)
        return y, g

    def values_on(self, points: Tensor) -> Tensor:
        """See ``Objective``."""
        return self.values_at(points.expand(len(self), -1, -1))

    def derivatives(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Values (batch,), gradients (batch, 2) and Hessians (batch, 2, 2) at ``x`` (batch, 2)."""
        (d1, d2), (c1, c2) = ((a[:, 0], b[:, 0]) for a, b in self._offsets(x[:, None]))
        wells = self.weights * self._correlations(d1, d2)  # (batch, 4)
        p11, p12, p22 = self.precision[:, None].unbind(-1)
        s1, s2 = p11 * d1 + p12 * d2, p12 * d1 + p22 * d2  # minus the slopes of the logarithms
        b11, b12, b22 = self.bowl.unbind(-1)
        y = _form(self.bowl, c1, c2) + wells.sum(-1)
        g1 = 2 * (b11 * c1 + b12 * c2) - (wells * s1).sum(-1)
        g2 = 2 * (b12 * c1 + b22 * c2) - (wells * s2).sum(-1)
        h11 = 2 * b11 + (wells * (s1 * s1 - p11)).sum(-1)
        h12 = 2 * b12 + (wells * (s1 * s2 - p12)).sum(-1)
        h22 = 2 * b22 + (wells * (s2 * s2 - p22)).sum(-1)
        return y, torch.stack([g1, g2], -1), torch.stack([h11, h12, h12, h22], -1).unflatten(-1, (2, 2))

    def deviation(self, x: Tensor) -> Tensor:
        """Standard deviations (batch, n) of the conditional distribution (eq. 12) at points ``x`` (batch, n, 2)."""
        (d1, d2), _ = self._offsets(x)
        k = self._correlations(d1, d2)  # (batch, n, 4)
        explained = (torch.bmm(k, self.gram) * k).sum(-1)
        return (self.variance[:, None] * (1 - explained)).clamp(min=0).sqrt()

    def starts(self, uniforms: Tensor) -> Tensor:
        """Starts (batch, 2) far enough from the minimum, from uniform numbers (batch, NUM_START_UNIFORMS).

        Distances count in half widths of the box for bowls, and in standard deviations of the kernel, along its own
        axes, for the others: a valley is entered far up its floor. A start lies on a random ring around the bowl's
        minimum or the origin, 0.5 to 1 (bowls), 0.5 to 1.5 (valleys), 0.5 to 2 (saddles) or 1 to 3 (plateaus) wide,
        and at least 0.5 from the minimum.
        """
        u, turn = uniforms.view(len(self), _TRIES, 2).unbind(-1)
        low, high = torch.tensor(_DISTANCES, dtype=torch.float64, device=u.device)[self.family, :, None].unbind(1)
        radius, turn = low + (high - low) * u, 2 * math.pi * turn
        e1, e2 = radius * turn.cos(), radius * turn.sin()
        # The kernel's metric by a Cholesky factor, which maps circles as the symmetric root of S does.
        is_bowl = (self.family == 0)[:, None]
        p11, p12, p22 = torch.where(is_bowl, torch.tensor([1.0, 0.0, 1.0]).to(self.precision), self.precision).unbind(1)
        a = p11.sqrt()[:, None]
        b = p12[:, None] / a
        c = (p22[:, None] - b.square()).sqrt()
        y2 = e2 / c
        x = torch.stack([(e1 - b * y2) / a, y2], -1) + self.center[:, None]  # (batch, tries, 2)
        d1, d2 = (x - self.minimizer[:, None]).unbind(-1)
        distance = _form(torch.stack([p11, p12, p22], -1)[:, None], d1, d2).sqrt()
        far = distance >= _NEAREST
        chosen = torch.where(far.any(1), far.int().argmax(1), distance.argmax(1))
        return x[torch.arange(len(x), device=x.device), chosen]

    def _offsets(self, x: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """From anchors (batch, n, 4) and from the bowl's centre (batch, n), each coordinate by itself."""
        x1, x2 = x.unbind(-1)
        a1, a2 = self.anchors[:, None].unbind(-1)
        c1, c2 = self.center[:, None].unbind(-1)
        return (x1[..., None] - a1, x2[..., None] - a2), (x1 - c1, x2 - c2)

    def _correlations(self, d1: Tensor, d2: Tensor) -> Tensor:
        shape = (len(self), *[1] * (d1.ndim - 1), 3)
        return _form(self.precision.view(shape), d1, d2).mul_(-0.5).exp_()


@dataclass(frozen=True)
class LandscapePrior(Prior):
    """Landscapes of some families, in equal shares.

    What the paper leaves open: A of a bowl has singular values between 0.5 and 1.5 in its coordinates, and the
    minimum is uniform in the middle quarter of the box; a saddle's values are half normal; the value of a plateau's
    anchor is negative, for a positive one has no minimum.

    Attributes:
        families: Names of the families.

    Raises:
        ValueError: If a family is unknown, or there is none.
    """

    families: tuple[Family, ...] = FAMILIES

    def __post_init__(self) -> None:
        if not self.families:
            raise ValueError(f"families must name at least one of {', '.join(FAMILIES)}")
        for family in self.families:
            one_of("family", family, FAMILIES)

    def num_uniforms(self, dim: int) -> int:
        """See ``Prior``.

        Raises:
            ValueError: If ``dim`` is not 2.
        """
        if dim != 2:
            raise ValueError(f"landscapes have 2 dimensions, got dim={dim}")
        return 1 + 1 + 2 + 2 * _ANCHORS + _ANCHORS + 2 + 1

    def build(self, uniforms: Tensor, dim: int = 2) -> Landscapes:
        """See ``Prior``."""
        u = Uniforms(uniforms)
        batch, device = len(uniforms), uniforms.device
        chosen = (u.take(1)[:, 0] * len(self.families)).long().clamp(max=len(self.families) - 1)
        family = torch.tensor([FAMILIES.index(name) for name in self.families], device=device)[chosen]
        is_bowl, is_valley, is_saddle, is_plateau = (family == i for i in range(len(FAMILIES)))
        angle = u.uniform(1, (0.0, 2 * math.pi))[:, 0]
        spread = u.take(2)  # of eigenvalues or singular values
        places, heights = u.take(2 * _ANCHORS).view(batch, _ANCHORS, 2), u.take(_ANCHORS)
        center = u.uniform(2, (-_CENTER, _CENTER))
        flip = u.take(1)

        # S: eigenvalues in the paper's coordinates, then the precision in ours.
        eigenvalues = _truncated_normal(spread, *_VARIANCE)
        ratio = _RATIO[0] + (_RATIO[1] - _RATIO[0]) * spread[:, 1]
        eigenvalues[:, 1] = torch.where(is_valley, eigenvalues[:, 0] * ratio, eigenvalues[:, 1])
        precision = _rotated(REGION**2 / eigenvalues, angle)
        variance = torch.where(is_bowl, 0.0, 1 / (2 * math.pi * eigenvalues.prod(-1).sqrt()))
        stretch = _STRETCH[0] + (_STRETCH[1] - _STRETCH[0]) * spread
        bowl = torch.where(is_bowl[:, None], _rotated(REGION**2 * stretch.square(), angle), 0.0)

        # Anchors: the origin, or one point in each quadrant, in the order of the circle.
        quadrant = torch.tensor([[1, 1], [-1, 1], [-1, -1], [1, -1]], dtype=torch.float64, device=device)
        anchors = torch.where(is_saddle[:, None, None], quadrant * places / REGION, 0.0)
        single = torch.where(is_valley, -5 * (1 - heights[:, 0]), -_truncated_normal(heights[:, 0], *_PLATEAU))
        signs = torch.where(flip < 0.5, 1.0, -1.0) * quadrant.prod(-1)
        values = torch.where(is_saddle[:, None], signs * _half_normal(heights), 0.0)
        values[:, 0] = torch.where(is_valley | is_plateau, single, values[:, 0])
        gram = self._inverse_correlations(anchors, precision, is_saddle, is_bowl)
        weights = torch.einsum("bij,bj->bi", gram, values)

        center = torch.where(is_bowl[:, None], center, 0.0)
        minima = torch.where(is_bowl, 0.0, single)
        made = Landscapes(anchors, weights, precision, bowl, center, gram, variance, center.clone(), minima, family)
        rows = torch.nonzero(is_saddle)[:, 0]
        if len(rows):
            made.minimizer[rows], made.minima[rows] = _lowest(made.rows(rows))
        return made

    @staticmethod
    def _inverse_correlations(anchors: Tensor, precision: Tensor, is_saddle: Tensor, is_bowl: Tensor) -> Tensor:
        d1, d2 = (anchors[:, :, None] - anchors[:, None]).unbind(-1)
        correlations = _form(precision[:, None, None], d1, d2).mul(-0.5).exp()
        eye = torch.eye(_ANCHORS, dtype=torch.float64, device=anchors.device)
        inverse = torch.linalg.inv(torch.where(is_saddle[:, None, None], correlations, eye))
        # One anchor, the first, or none: nothing to invert.
        one = torch.zeros_like(eye)
        one[0, 0] = 1.0
        lone = torch.where(is_bowl[:, None, None], torch.zeros_like(one), one)
        return torch.where(is_saddle[:, None, None], inverse, lone)


_PLATEAU = (-_DEPTH[0], _DEPTH[1])


def _form(matrix: Tensor, d1: Tensor, d2: Tensor) -> Tensor:
    """Quadratic forms of symmetric matrices (..., 3) at (d1, d2)."""
    m11, m12, m22 = matrix.unbind(-1)
    return torch.addcmul(m11 * d1 * d1, d2, 2 * m12 * d1 + m22 * d2)


def _rotated(eigenvalues: Tensor, angle: Tensor) -> Tensor:
    """The entries 11, 12, 22 (batch, 3) of R^T diag(eigenvalues) R."""
    cos, sin = angle.cos(), angle.sin()
    e1, e2 = eigenvalues.unbind(-1)
    return torch.stack([e1 * cos**2 + e2 * sin**2, (e2 - e1) * sin * cos, e1 * sin**2 + e2 * cos**2], -1)


def _truncated_normal(uniforms: Tensor, mean: float, variance: float) -> Tensor:
    """Positive draws of a normal distribution that is cut at zero."""
    deviation = math.sqrt(variance)
    below = 0.5 * math.erfc(mean / deviation / math.sqrt(2))
    return mean + deviation * torch.special.ndtri((below + (1 - below) * uniforms).clamp(2.0**-54, 1 - 2.0**-53))


def _half_normal(uniforms: Tensor) -> Tensor:
    return torch.special.ndtri((0.5 + 0.5 * uniforms).clamp(max=1 - 2.0**-53))


def _lowest(saddles: Landscapes) -> tuple[Tensor, Tensor]:
    """Minimizers (batch, 2) and minima (batch,): damped Newton steps from the best point of a grid in each quadrant."""
    device = saddles.weights.device
    ticks = torch.linspace(-_REACH, _REACH, 2 * (_PROBES // 2 + 1), dtype=torch.float64, device=device)
    grid = torch.cartesian_prod(ticks, ticks)
    values = saddles.values_on(grid)
    starts = []
    for s1 in (-1, 1):
        for s2 in (-1, 1):
            inside = (grid[:, 0] * s1 > 0) & (grid[:, 1] * s2 > 0)
            starts.append(grid[torch.where(inside, values, torch.inf).argmin(-1)])
    x = torch.stack(starts, 1).flatten(0, 1)  # (batch * 4, 2)
    functions = saddles.rows(torch.arange(len(saddles), device=device).repeat_interleave(4))
    limit = 2 * _REACH / len(ticks)
    for _ in range(_NEWTON_STEPS):
        _, g, hessian = functions.derivatives(x)
        step = newton_step(g, hessian)
        x = x + step * (limit / step.norm(dim=-1, keepdim=True).clamp(min=limit))
    y = functions.derivatives(x)[0].unflatten(0, (-1, 4))
    best = y.argmin(-1)
    rows = torch.arange(len(saddles), device=device)
    return x.unflatten(0, (-1, 4))[rows, best], y[rows, best]


def newton_step(gradient: Tensor, hessian: Tensor, positive: bool = True) -> Tensor:
    """Newton's steps (batch, 2), zero where the Hessian has no inverse.

    Args:
        gradient: Gradients (batch, 2).
        hessian: Hessians (batch, 2, 2).
        positive: Whether to take eigenvalues by their size, so that every step descends.
    """
    eigenvalues, vectors = torch.linalg.eigh(hessian)
    along = torch.einsum("bij,bi->bj", vectors, gradient)
    size = eigenvalues.abs() if positive else eigenvalues
    scaled = torch.where(size != 0, -along / size, 0.0)
    return torch.einsum("bij,bj->bi", vectors, scaled)
