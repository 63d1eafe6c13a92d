"""The 35 unconstrained problems of Moré, Garbow and Hillstrom as sums of squares, from their standard starts.

Source: J. J. Moré, B. S. Garbow and K. E. Hillstrom (1981), "Testing unconstrained optimization software", ACM
Transactions on Mathematical Software 7(1), 17-41, section 3; numbers in brackets are the paper's. Written from the
published formulas. Of problems in any dimension those are taken for which the paper gives a minimum, and dimension 10.
Minima and minimizers that have no closed form are recomputed by ``minima.py`` and stand in ``mgh.json``; a test holds
them against the published ones.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from benchmarks.plain import nist
from benchmarks.plain.squares import Array, Fit, Residuals

Fact = float | Sequence[float] | Callable[[int], ArrayLike]
"""Coordinates of a point, one for all or one each, or how they follow from the dimension."""

_DIM = 10  # of problems in any dimension
_M = 20  # residuals of the linear problems, which may have any number


@dataclass(frozen=True)
class Formula:
    """Residuals and what is known about them.

    Attributes:
        residuals: Of points (batch, dim).
        number: In the paper.
        dims: Dimensions in the suite.
        start: The standard start.
        minimizer: A global minimizer where it has a closed form, else None; descents from the start find those.
        f_min: How the minimum follows from the dimension where it is not zero and has a closed form, else None.
        published: The paper's minimum in each dimension as it is printed; none where all are zero or have a formula.
    """

    residuals: Residuals
    number: int
    dims: Sequence[int]
    start: Fact
    minimizer: Fact | None = None
    f_min: Callable[[int], float] | None = None
    published: Sequence[str] = ()


FORMULAS: dict[str, Formula] = {}


def _problem(
    number: int,
    dims: int | Sequence[int],
    *,
    start: Fact,
    minimizer: Fact | None = None,
    f_min: Callable[[int], float] | None = None,
    published: str | Sequence[str] = (),
) -> Callable[[Residuals], Residuals]:
    """Enters the decorated residuals, under their own name, into ``FORMULAS``."""
    all_dims = (dims,) if isinstance(dims, int) else dims
    printed = (published,) if isinstance(published, str) else published

    def enter(residuals: Residuals) -> Residuals:
        name = residuals.__name__
        FORMULAS[name] = Formula(residuals, number, all_dims, start, minimizer, f_min, printed)
        return residuals

    return enter


def names() -> tuple[str, ...]:
    """Names of the problems in the paper's order; those in several dimensions carry it, "watson-6d" for one."""
    return tuple(_name(name, formula, dim) for name, formula in FORMULAS.items() for dim in formula.dims)


def formula(name: str) -> tuple[Formula, int]:
    """The formula of one of ``names()``, and the dimension."""
    return {_name(key, found, dim): (found, dim) for key, found in FORMULAS.items() for dim in found.dims}[name]


def _name(name: str, formula: Formula, dim: int) -> str:
    return f"{name}-{dim}d" if len(formula.dims) > 1 else name


def fit(name: str) -> Fit:
    """The problem of that name, one of ``names()``.

    The margins of its box are at least 1, so that bad scaling, as the paper has it, stays bad.
    """
    known, dim = formula(name)
    if known.minimizer is None:
        f_min, minimizer = _minima()[name]
    else:
        f_min, minimizer = 0.0 if known.f_min is None else known.f_min(dim), point(known.minimizer, dim)
    group = "minimum above zero" if f_min > 0 else "minimum zero"
    return Fit(name, group, known.residuals, point(known.start, dim)[None], minimizer, f_min, floor=1.0)


def point(fact: Fact, dim: int) -> Array:
    """A point (dim,)."""
    return np.array(np.broadcast_to(fact(dim) if callable(fact) else fact, dim), dtype=np.float64)


@cache
def _minima() -> dict[str, tuple[float, Array]]:
    found = json.loads(resources.files("benchmarks.plain").joinpath("mgh.json").read_text("utf-8"))
    return {name: (entry["f_min"], np.array(entry["minimizer"])) for name, entry in found.items()}


def _constants(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64, device="cpu")


def _one_to(m: int) -> Tensor:
    """1, ..., m as (m,), the index i of the published sums."""
    return torch.arange(1, m + 1, dtype=torch.float64, device="cpu")


def _columns(x: Tensor) -> tuple[Tensor, ...]:
    """The coordinates, each (batch, 1), to go with the index i of residuals."""
    return x[..., None].unbind(-2)


def _steps(dim: int) -> Array:
    """The points i / (dim + 1) of a grid."""
    return np.arange(1, dim + 1) / (dim + 1)


@_problem(1, 2, start=(-1.2, 1), minimizer=1)
def rosenbrock(x: Tensor) -> Tensor:
    """Rosenbrock (1)."""
    x1, x2 = x.unbind(-1)
    return torch.stack([10 * (x2 - x1**2), 1 - x1], -1)


@_problem(2, 2, start=(0.5, -2), minimizer=(5, 4))
def freudenstein_roth(x: Tensor) -> Tensor:
    """Freudenstein and Roth (2): from the standard start some descents end in the local minimum 48.98."""
    x1, x2 = x.unbind(-1)
    return torch.stack([-13 + x1 + ((5 - x2) * x2 - 2) * x2, -29 + x1 + ((x2 + 1) * x2 - 14) * x2], -1)


@_problem(3, 2, start=(0, 1))
def powell_badly_scaled(x: Tensor) -> Tensor:
    """Powell badly scaled (3)."""
    x1, x2 = x.unbind(-1)
    return torch.stack([1e4 * x1 * x2 - 1, torch.exp(-x1) + torch.exp(-x2) - 1.0001], -1)


@_problem(4, 2, start=1, minimizer=(1e6, 2e-6))
def brown_badly_scaled(x: Tensor) -> Tensor:
    """Brown badly scaled (4)."""
    x1, x2 = x.unbind(-1)
    return torch.stack([x1 - 1e6, x2 - 2e-6, x1 * x2 - 2], -1)


@_problem(5, 2, start=1, minimizer=(3, 0.5))
def beale(x: Tensor) -> Tensor:
    """Beale (5)."""
    x1, x2 = _columns(x)
    return _constants(1.5, 2.25, 2.625) - x1 * (1 - x2 ** _one_to(3))


@_problem(6, 2, start=(0.3, 0.4), published="124.362")
def jennrich_sampson(x: Tensor) -> Tensor:
    """Jennrich and Sampson (6), m = 10."""
    x1, x2 = _columns(x)
    i = _one_to(10)
    return 2 + 2 * i - (torch.exp(i * x1) + torch.exp(i * x2))


@_problem(7, 3, start=(-1, 0, 0), minimizer=(1, 0, 0))
def helical_valley(x: Tensor) -> Tensor:
    """Helical valley (7): it jumps where x1 = 0 and x2 < 0."""
    x1, x2, x3 = x.unbind(-1)
    theta = torch.atan(x2 / x1) / (2 * math.pi) + torch.where(x1 < 0, 0.5, 0.0)
    return torch.stack([10 * (x3 - 10 * theta), 10 * (torch.hypot(x1, x2) - 1), x3], -1)


@_problem(8, 3, start=1, published="8.21487e-3")
def bard(x: Tensor) -> Tensor:
    """Bard (8)."""
    x1, x2, x3 = _columns(x)
    y = _constants(0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39)
    u = _one_to(15)
    v = 16 - u
    return y - (x1 + u / (v * x2 + torch.minimum(u, v) * x3))


@_problem(9, 3, start=(0.4, 1, 0), published="1.12793e-8")
def gaussian(x: Tensor) -> Tensor:
    """Gaussian (9)."""
    x1, x2, x3 = _columns(x)
    half = (0.0009, 0.0044, 0.0175, 0.0540, 0.1295, 0.2420, 0.3521)
    t = (8 - _one_to(15)) / 2
    return x1 * torch.exp(-x2 * (t - x3) ** 2 / 2) - _constants(*half, 0.3989, *half[::-1])


@_problem(10, 3, start=(0.02, 4000, 250), published="87.9458")
def meyer(x: Tensor) -> Tensor:
    """Meyer (10): NIST's MGH10."""
    return nist.residuals("mgh10")(x)


@_problem(11, 3, start=(5, 2.5, 0.15), minimizer=(50, 25, 1.5))
def gulf(x: Tensor) -> Tensor:
    """Gulf research and development (11), m = 99; where the paper prints y m i x2, y - x2 is meant."""
    x1, x2, x3 = _columns(x)
    t = _one_to(99) / 100
    y = 25 + (-50 * t.log()) ** (2 / 3)
    return torch.exp(-((y - x2).abs() ** x3) / x1) - t


@_problem(12, 3, start=(0, 10, 20), minimizer=(1, 10, 1))
def box_3d(x: Tensor) -> Tensor:
    """Box three-dimensional (12), m = 10."""
    x1, x2, x3 = _columns(x)
    t = _one_to(10) / 10
    return torch.exp(-t * x1) - torch.exp(-t * x2) - x3 * (torch.exp(-t) - torch.exp(-10 * t))


@_problem(13, 4, start=(3, -1, 0, 1), minimizer=0)
def powell_singular(x: Tensor) -> Tensor:
    """Powell singular (13)."""
    x1, x2, x3, x4 = x.unbind(-1)
    return torch.stack([x1 + 10 * x2, math.sqrt(5) * (x3 - x4), (x2 - 2 * x3) ** 2, math.sqrt(10) * (x1 - x4) ** 2], -1)


@_problem(14, 4, start=(-3, -1, -3, -1), minimizer=1)
def wood(x: Tensor) -> Tensor:
    """Wood (14)."""
    x1, x2, x3, x4 = x.unbind(-1)
    valleys = [10 * (x2 - x1**2), 1 - x1, math.sqrt(90) * (x4 - x3**2), 1 - x3]
    return torch.stack([*valleys, math.sqrt(10) * (x2 + x4 - 2), (x2 - x4) / math.sqrt(10)], -1)


@_problem(15, 4, start=(0.25, 0.39, 0.415, 0.39), published="3.07505e-4")
def kowalik_osborne(x: Tensor) -> Tensor:
    """Kowalik and Osborne (15): NIST's MGH09."""
    return nist.residuals("mgh09")(x)


@_problem(16, 4, start=(25, 5, -5, -1), published="85822.2")
def brown_dennis(x: Tensor) -> Tensor:
    """Brown and Dennis (16), m = 20."""
    x1, x2, x3, x4 = _columns(x)
    t = _one_to(20) / 5
    return (x1 + t * x2 - t.exp()) ** 2 + (x3 + x4 * t.sin() - t.cos()) ** 2


@_problem(17, 5, start=(0.5, 1.5, -1, 0.01, 0.02), published="5.46489e-5")
def osborne_1(x: Tensor) -> Tensor:
    """Osborne 1 (17): NIST's MGH17."""
    return nist.residuals("mgh17")(x)


@_problem(18, 6, start=(1, 2, 1, 1, 1, 1), minimizer=(1, 10, 1, 5, 4, 3))
def biggs_exp6(x: Tensor) -> Tensor:
    """Biggs EXP6 (18), m = 13."""
    x1, x2, x3, x4, x5, x6 = _columns(x)
    t = _one_to(13) / 10
    y = torch.exp(-t) - 5 * torch.exp(-10 * t) + 3 * torch.exp(-4 * t)
    return x3 * torch.exp(-t * x1) - x4 * torch.exp(-t * x2) + x6 * torch.exp(-t * x5) - y


@_problem(19, 11, start=(1.3, 0.65, 0.65, 0.7, 0.6, 3, 5, 7, 2, 4.5, 5.5), published="4.01377e-2")
def osborne_2(x: Tensor) -> Tensor:
    """Osborne 2 (19)."""
    x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11 = _columns(x)
    y = _constants(
        *(1.366, 1.191, 1.112, 1.013, 0.991, 0.885, 0.831, 0.847, 0.786, 0.725, 0.746, 0.679, 0.608),
        *(0.655, 0.616, 0.606, 0.602, 0.626, 0.651, 0.724, 0.649, 0.649, 0.694, 0.644, 0.624, 0.661),
        *(0.612, 0.558, 0.533, 0.495, 0.500, 0.423, 0.395, 0.375, 0.372, 0.391, 0.396, 0.405, 0.428),
        *(0.429, 0.523, 0.562, 0.607, 0.653, 0.672, 0.708, 0.633, 0.668, 0.645, 0.632, 0.591, 0.559),
        *(0.597, 0.625, 0.739, 0.710, 0.729, 0.720, 0.636, 0.581, 0.428, 0.292, 0.162, 0.098, 0.054),
    )
    t = (_one_to(65) - 1) / 10
    peaks = ((x2, x9, x6), (x3, x10, x7), (x4, x11, x8))
    return y - (x1 * torch.exp(-t * x5) + sum(a * torch.exp(-((t - c) ** 2) * b) for a, c, b in peaks))


@_problem(20, (6, 9, 12), start=0, published=("2.28767e-3", "1.39976e-6", "4.72238e-10"))
def watson(x: Tensor) -> Tensor:
    """Watson (20)."""
    j = _one_to(x.shape[-1])
    t = _one_to(29)[:, None] / 29
    slope = x[..., 1:] @ ((j[1:] - 1) * t ** (j[1:] - 2)).T
    x1, x2 = x[..., 0], x[..., 1]
    return torch.cat([slope - (x @ (t ** (j - 1)).T) ** 2 - 1, torch.stack([x1, x2 - x1**2 - 1], -1)], -1)


@_problem(21, _DIM, start=lambda dim: np.tile((-1.2, 1), dim // 2), minimizer=1)
def extended_rosenbrock(x: Tensor) -> Tensor:
    """Extended Rosenbrock (21): independent pairs of coordinates, not a chain."""
    odd, even = x[..., 0::2], x[..., 1::2]
    return torch.cat([10 * (even - odd**2), 1 - odd], -1)


@_problem(22, 12, start=lambda dim: np.tile((3, -1, 0, 1), dim // 4), minimizer=0)
def extended_powell_singular(x: Tensor) -> Tensor:
    """Extended Powell singular (22)."""
    return powell_singular(x.unflatten(-1, (-1, 4))).flatten(-2)


@_problem(23, (4, 10), start=lambda dim: np.arange(1, dim + 1), published=("2.24997e-5", "7.08765e-5"))
def penalty_1(x: Tensor) -> Tensor:
    """Penalty I (23)."""
    return torch.cat([math.sqrt(1e-5) * (x - 1), (x**2).sum(-1, keepdim=True) - 0.25], -1)


@_problem(24, (4, 10), start=0.5, published=("9.37629e-6", "2.93660e-4"))
def penalty_2(x: Tensor) -> Tensor:
    """Penalty II (24)."""
    j = _one_to(x.shape[-1])
    e, wanted = torch.exp(x / 10), torch.exp(j / 10)
    pairs = e[..., 1:] + e[..., :-1] - (wanted[1:] + wanted[:-1])
    penalties = math.sqrt(1e-5) * torch.cat([pairs, e[..., 1:] - math.exp(-0.1)], -1)
    sphere = (j.flip(-1) * x**2).sum(-1, keepdim=True) - 1
    return torch.cat([x[..., :1] - 0.2, penalties, sphere], -1)


@_problem(25, _DIM, start=lambda dim: 1 - np.arange(1, dim + 1) / dim, minimizer=1)
def variably_dimensioned(x: Tensor) -> Tensor:
    """Variably dimensioned (25)."""
    weighted = (_one_to(x.shape[-1]) * (x - 1)).sum(-1, keepdim=True)
    return torch.cat([x - 1, weighted, weighted**2], -1)


@_problem(26, _DIM, start=lambda dim: 1 / dim, minimizer=0)
def trigonometric(x: Tensor) -> Tensor:
    """Trigonometric (26): from the standard start descents end in the local minimum 2.79506e-5."""
    dim = x.shape[-1]
    return dim - x.cos().sum(-1, keepdim=True) + _one_to(dim) * (1 - x.cos()) - x.sin()


@_problem(27, _DIM, start=0.5, minimizer=1)
def brown_almost_linear(x: Tensor) -> Tensor:
    """Brown almost-linear (27)."""
    linear = x[..., :-1] + x.sum(-1, keepdim=True) - (x.shape[-1] + 1)
    return torch.cat([linear, x.prod(-1, keepdim=True) - 1], -1)


@_problem(28, _DIM, start=lambda dim: _steps(dim) * (_steps(dim) - 1))
def discrete_boundary_value(x: Tensor) -> Tensor:
    """Discrete boundary value (28)."""
    h = 1 / (x.shape[-1] + 1)
    t = h * _one_to(x.shape[-1])
    around = torch.nn.functional.pad(x, (1, 1))
    return 2 * x - around[..., :-2] - around[..., 2:] + h**2 * (x + t + 1) ** 3 / 2


@_problem(29, _DIM, start=lambda dim: _steps(dim) * (_steps(dim) - 1))
def discrete_integral_equation(x: Tensor) -> Tensor:
    """Discrete integral equation (29)."""
    h = 1 / (x.shape[-1] + 1)
    t = h * _one_to(x.shape[-1])
    cubes = (x + t + 1) ** 3
    below = (t * cubes).cumsum(-1)  # of all j <= i
    weights = (1 - t) * cubes
    above = weights.sum(-1, keepdim=True) - weights.cumsum(-1)  # of all j > i
    return x + h * ((1 - t) * below + t * above) / 2


@_problem(30, _DIM, start=-1)
def broyden_tridiagonal(x: Tensor) -> Tensor:
    """Broyden tridiagonal (30)."""
    around = torch.nn.functional.pad(x, (1, 1))
    return (3 - 2 * x) * x - around[..., :-2] - 2 * around[..., 2:] + 1


@_problem(31, _DIM, start=-1)
def broyden_banded(x: Tensor) -> Tensor:
    """Broyden banded (31): five bands below the diagonal and one above."""
    i = _one_to(x.shape[-1])
    offset = i[:, None] - i
    band = ((offset <= 5) & (offset >= -1) & (offset != 0)).double()
    return x * (2 + 5 * x**2) + 1 - (x * (1 + x)) @ band.T


@_problem(32, _DIM, start=1, minimizer=-1, f_min=lambda dim: _M - dim)
def linear_full_rank(x: Tensor) -> Tensor:
    """Linear, full rank (32)."""
    mean = 2 / _M * x.sum(-1, keepdim=True) + 1
    return torch.cat([x, x.new_zeros(*x.shape[:-1], _M - x.shape[-1])], -1) - mean


@_problem(
    *(33, _DIM),
    start=1,
    minimizer=lambda dim: 6 / ((2 * _M + 1) * dim * (dim + 1)),
    f_min=lambda dim: _M * (_M - 1) / (2 * (2 * _M + 1)),
)
def linear_rank_1(x: Tensor) -> Tensor:
    """Linear, rank 1 (33): of its minimizers that with equal coordinates."""
    return _one_to(_M) * (_one_to(x.shape[-1]) * x).sum(-1, keepdim=True) - 1


@_problem(
    *(34, _DIM),
    start=1,
    minimizer=lambda dim: 6 / ((2 * _M - 3) * (dim * (dim - 1) - 2)),
    f_min=lambda dim: (_M**2 + 3 * _M - 6) / (2 * (2 * _M - 3)),
)
def linear_rank_1_with_zeros(x: Tensor) -> Tensor:
    """Linear, rank 1 with zero columns and rows (34): of its minimizers that with equal coordinates."""
    weights = torch.nn.functional.pad(_one_to(_M - 2), (1, 1))
    return weights * (_one_to(x.shape[-1])[1:-1] * x[..., 1:-1]).sum(-1, keepdim=True) - 1


@_problem(35, (8, 9), start=_steps, published=("3.51687e-3", "0"))
def chebyquad(x: Tensor) -> Tensor:
    """Chebyquad (35), m = n; in ten dimensions the published 6.50395e-3 is not the lowest minimum, but 4.77271e-3."""
    z = 2 * x - 1
    polynomials = [torch.ones_like(z), z]
    for _ in range(x.shape[-1] - 1):
        polynomials.append(2 * z * polynomials[-1] - polynomials[-2])
    i = _one_to(x.shape[-1])
    integrals = torch.where(i % 2 == 0, -1 / (i**2 - 1), 0.0)
    return torch.stack([p.mean(-1) for p in polynomials[1:]], -1) - integrals
