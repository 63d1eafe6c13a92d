"""The 47 VLSE functions as formulas, each with its box, its minimum and where that lies.

Source: S. Surjanovic and D. Bingham, Virtual Library of Simulation Experiments, "Optimization Test Problems",
https://www.sfu.ca/~ssurjano/optimization.html. Written from the published formulas, with the site's default
parameters and primary boxes; minima and minimizers are refined to float64 where the site rounds them.

Every formula maps points ``x`` (batch, dim), float64, to values (batch,) and is differentiated by autograd. Gradients
are finite everywhere on the box: at a kink or an infinite slope the term that breaks contributes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import permutations, product

import torch
from scipy.optimize import brentq
from torch import Tensor

Formula = Callable[[Tensor], Tensor]
Numbers = float | Sequence[float] | Sequence[Sequence[float]]
Fact = Numbers | Callable[[int], Numbers]
"""Numbers, or how they follow from the dimension."""


@dataclass(frozen=True)
class Dims:
    """The dimensions a function is defined for.

    Attributes:
        default: The one to take when none is asked for.
        rule: The rule in words, to complete "dim must be an integer, ...".
        allows: The rule itself.
    """

    default: int
    rule: str
    allows: Callable[[int], bool]


def exactly(dim: int) -> Dims:
    """The one dimension of a function that does not scale."""
    return Dims(dim, f"exactly {dim}", lambda d: d == dim)


def at_least(least: int) -> Dims:
    """Any dimension from ``least`` on."""
    return Dims(2, f"at least {least}", lambda d: d >= least)


def multiple_of(base: int) -> Dims:
    """Any positive multiple of ``base``."""
    return Dims(base, f"a positive multiple of {base}", lambda d: d > 0 and d % base == 0)


@dataclass(frozen=True)
class Function:
    """A formula and what is known about it.

    Attributes:
        formula: Values (batch,) of points (batch, dim); its ``__name__`` is the function's name.
        group: The site's group.
        dims: Dimensions it is defined for.
        box: Lower and upper bound, one pair for all coordinates or one pair each.
        minimizers: Global minimizers (k, dim); a scalar stands for a point of equal coordinates.
        f_min: Value of the global minimum on the box.
        smooth: Whether it is differentiable, up to single points and coordinate planes.
    """

    formula: Formula
    group: str
    dims: Dims
    box: Fact
    minimizers: Fact
    f_min: Fact
    smooth: bool


FUNCTIONS: dict[str, Function] = {}


def _function(
    group: str,
    dims: Dims,
    *,
    box: Fact,
    minimizers: Fact,
    f_min: Fact = 0.0,
    smooth: bool = True,
) -> Callable[[Formula], Formula]:
    """Enters the decorated formula, under its own name, into ``FUNCTIONS``."""

    def enter(formula: Formula) -> Formula:
        FUNCTIONS[formula.__name__] = Function(formula, group, dims, box, minimizers, f_min, smooth)
        return formula

    return enter


many_local_minima = partial(_function, "many local minima")
bowl_shaped = partial(_function, "bowl-shaped")
plate_shaped = partial(_function, "plate-shaped")
valley_shaped = partial(_function, "valley-shaped")
steep_ridges_and_drops = partial(_function, "steep ridges and drops")
other = partial(_function, "other")


def _constants(rows: Sequence[object]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64, device="cpu")


def _one_to(dim: int) -> Tensor:
    """1, ..., dim as (dim,), the index i of the published sums."""
    return torch.arange(1, dim + 1, dtype=torch.float64, device="cpu")


def _sqrt(s: Tensor) -> Tensor:
    """Square root with gradient 0 at 0: the inner ``where`` keeps infinity out of the chain rule."""
    positive = s > 0
    return torch.where(positive, torch.where(positive, s, 1.0).sqrt(), 0.0)


def _signs(a: float, b: float) -> list[tuple[float, float]]:
    """The four points (+-a, +-b)."""
    return list(product((a, -a), (b, -b)))


# --- Many local minima ------------------------------------------------------------------------------------------------


@many_local_minima(at_least(1), box=(-32.768, 32.768), minimizers=0.0)
def ackley(x: Tensor) -> Tensor:
    """Ackley: a cone at the minimizer."""
    # 20 (1 - exp) as expm1 and e - exp: exactly 0 at the minimizer, where the published order of terms is not.
    root_mean_square = _sqrt((x**2).mean(-1))
    return -20 * torch.expm1(-0.2 * root_mean_square) + (math.e - torch.cos(2 * math.pi * x).mean(-1).exp())


@many_local_minima(exactly(2), box=((-15, -5), (-3, 3)), minimizers=(-10, 1), smooth=False)
def bukin_n6(x: Tensor) -> Tensor:
    """Bukin N. 6: infinite slope along the parabola x2 = x1^2 / 100."""
    x1, x2 = x.unbind(-1)
    return 100 * _sqrt((x2 - 0.01 * x1**2).abs()) + 0.01 * (x1 + 10).abs()


@many_local_minima(
    exactly(2),
    box=(-10, 10),
    minimizers=_signs(1.3494066171539107, 1.3494066171539107),
    f_min=-2.062611870822737,
    smooth=False,
)
def cross_in_tray(x: Tensor) -> Tensor:
    """Cross-in-Tray: cusps wherever a coordinate is a multiple of pi."""
    x1, x2 = x.unbind(-1)
    t = (100 - _sqrt(x1**2 + x2**2) / math.pi).abs()
    # (|s| e^t + 1)^0.1 with e^t taken out, which float32 cannot hold.
    return -1e-4 * torch.exp(0.1 * t) * ((x1.sin() * x2.sin()).abs() + torch.exp(-t)) ** 0.1


@many_local_minima(exactly(2), box=(-5.12, 5.12), minimizers=0.0, f_min=-1.0)
def drop_wave(x: Tensor) -> Tensor:
    """Drop-Wave."""
    s = (x**2).sum(-1)
    return -(1 + torch.cos(12 * _sqrt(s))) / (0.5 * s + 2)


@many_local_minima(
    exactly(2), box=(-512, 512), minimizers=(512, 404.2318051137578), f_min=-959.6406627208508, smooth=False
)
def eggholder(x: Tensor) -> Tensor:
    """Eggholder: infinite slope along two lines; the minimizer lies on the boundary."""
    x1, x2 = x[:, 0], x[:, 1] + 47
    return -x2 * _sqrt((x2 + x1 / 2).abs()).sin() - x1 * _sqrt((x1 - x2).abs()).sin()


@many_local_minima(exactly(1), box=(0.5, 2.5), minimizers=0.5485634445276052, f_min=-0.8690111349894997)
def gramacy_lee_2012(x: Tensor) -> Tensor:
    """Gramacy & Lee (2012)."""
    x1 = x[:, 0]
    return torch.sin(10 * math.pi * x1) / (2 * x1) + (x1 - 1) ** 4


@many_local_minima(at_least(1), box=(-600, 600), minimizers=0.0)
def griewank(x: Tensor) -> Tensor:
    """Griewank."""
    return (x**2).sum(-1) / 4000 - torch.cos(x / _one_to(x.shape[-1]).sqrt()).prod(-1) + 1


@many_local_minima(
    exactly(2),
    box=(-10, 10),
    minimizers=_signs(8.055023475736563, 9.664590019241272),
    f_min=-19.20850256788673,
    smooth=False,
)
def holder_table(x: Tensor) -> Tensor:
    """Holder Table: kinks where a factor changes its sign and on the circle of radius pi."""
    x1, x2 = x.unbind(-1)
    return -(x1.sin() * x2.cos() * torch.exp((1 - _sqrt(x1**2 + x2**2) / math.pi).abs())).abs()


_LANGERMANN_A = _constants([(3, 5), (5, 2), (2, 1), (1, 4), (7, 9)])  # (5, dim)
_LANGERMANN_C = _constants([1, 2, 5, 2, 3])


@many_local_minima(
    exactly(2), box=(0, 10), minimizers=(2.7934022086450367, 1.5972325013283601), f_min=-4.155809291847785
)
def langermann(x: Tensor) -> Tensor:
    """Langermann; the site's sign, others minimize its negative."""
    s = ((x[:, None] - _LANGERMANN_A) ** 2).sum(-1)  # (batch, 5)
    return (_LANGERMANN_C * torch.exp(-s / math.pi) * torch.cos(math.pi * s)).sum(-1)


@many_local_minima(at_least(1), box=(-10, 10), minimizers=1.0)
def levy(x: Tensor) -> Tensor:
    """Levy."""
    w = 1 + (x - 1) / 4
    first, body, last = w[:, 0], w[:, :-1], w[:, -1]
    waves = ((body - 1) ** 2 * (1 + 10 * torch.sin(math.pi * body + 1) ** 2)).sum(-1)
    return torch.sin(math.pi * first) ** 2 + waves + (last - 1) ** 2 * (1 + torch.sin(2 * math.pi * last) ** 2)


@many_local_minima(exactly(2), box=(-10, 10), minimizers=1.0)
def levy_n13(x: Tensor) -> Tensor:
    """Levy N. 13."""
    x1, x2 = x.unbind(-1)
    return (
        torch.sin(3 * math.pi * x1) ** 2
        + (x1 - 1) ** 2 * (1 + torch.sin(3 * math.pi * x2) ** 2)
        + (x2 - 1) ** 2 * (1 + torch.sin(2 * math.pi * x2) ** 2)
    )


@many_local_minima(at_least(1), box=(-5.12, 5.12), minimizers=0.0)
def rastrigin(x: Tensor) -> Tensor:
    """Rastrigin."""
    return (x**2 + 10 * (1 - torch.cos(2 * math.pi * x))).sum(-1)


@many_local_minima(exactly(2), box=(-100, 100), minimizers=0.0)
def schaffer_n2(x: Tensor) -> Tensor:
    """Schaffer N. 2."""
    x1, x2 = x.unbind(-1)
    return 0.5 + (torch.sin(x1**2 - x2**2) ** 2 - 0.5) / (1 + 0.001 * (x1**2 + x2**2)) ** 2


_SCHAFFER = 1.2531318314637332


@many_local_minima(
    exactly(2),
    box=(-100, 100),
    minimizers=((0, _SCHAFFER), (0, -_SCHAFFER), (_SCHAFFER, 0), (-_SCHAFFER, 0)),
    f_min=0.2925786320359805,
)
def schaffer_n4(x: Tensor) -> Tensor:
    """Schaffer N. 4; the published |x1^2 - x2^2| stands inside an even function."""
    x1, x2 = x.unbind(-1)
    return 0.5 + (torch.cos(torch.sin(x1**2 - x2**2)) ** 2 - 0.5) / (1 + 0.001 * (x1**2 + x2**2)) ** 2


@many_local_minima(
    at_least(1), box=(-500, 500), minimizers=420.968746359982, f_min=lambda dim: 1.2727566293725214e-5 * dim
)
def schwefel(x: Tensor) -> Tensor:
    """Schwefel: once differentiable at x_i = 0; the rounded 418.9829 keeps its minimum above 0."""
    return (418.9829 - x * _sqrt(x.abs()).sin()).sum(-1)


def _shubert_minimizers(low: float, high: float) -> list[tuple[float, float]]:
    """One factor at its minimum, the other at its maximum, in each of the box's three periods."""
    pairs = [(low + p, high + q) for p, q in product((-2 * math.pi, 0, 2 * math.pi), repeat=2)]
    return pairs + [(b, a) for a, b in pairs]


@many_local_minima(
    exactly(2),
    box=(-10, 10),
    minimizers=_shubert_minimizers(-1.425128428319761, -0.8003211004719731),
    f_min=-186.73090883102383,
)
def shubert(x: Tensor) -> Tensor:
    """Shubert."""
    j = _one_to(5)
    return (j * torch.cos((j + 1) * x[..., None] + j)).sum(-1).prod(-1)


# --- Bowl-shaped ------------------------------------------------------------------------------------------------------


@bowl_shaped(exactly(2), box=(-100, 100), minimizers=0.0)
def bohachevsky_1(x: Tensor) -> Tensor:
    """Bohachevsky 1, standing for the site's entry of three."""
    x1, x2 = x.unbind(-1)
    return x1**2 + 2 * x2**2 + 0.3 * (1 - torch.cos(3 * math.pi * x1)) + 0.4 * (1 - torch.cos(4 * math.pi * x2))


def _perm_minimizers(
    published: Callable[[int], list[float]], second_in_2d: tuple[float, float]
) -> Callable[[int], Numbers]:
    """The published minimizer and, in two dimensions, the other root; more dimensions have further, unlisted ones."""
    return lambda dim: [published(dim), second_in_2d] if dim == 2 else [published(dim)]


@bowl_shaped(
    at_least(1),
    box=lambda dim: (-dim, dim),
    minimizers=_perm_minimizers(lambda dim: [1 / j for j in range(1, dim + 1)], (11 / 23, 45 / 46)),
)
def perm_0_d_beta(x: Tensor) -> Tensor:
    """Perm 0, d, beta with beta = 10."""
    j = _one_to(x.shape[-1])
    i = j[:, None]
    return (((j + 10) * (x[:, None] ** i - j**-i)).sum(-1) ** 2).sum(-1)


@bowl_shaped(at_least(1), box=(-65.536, 65.536), minimizers=0.0)
def rotated_hyper_ellipsoid(x: Tensor) -> Tensor:
    """Rotated Hyper-Ellipsoid."""
    return (x**2).cumsum(-1).sum(-1)


@bowl_shaped(at_least(1), box=(-5.12, 5.12), minimizers=0.0)
def sphere(x: Tensor) -> Tensor:
    """Sphere."""
    return (x**2).sum(-1)


@bowl_shaped(at_least(1), box=(-1, 1), minimizers=0.0)
def sum_of_different_powers(x: Tensor) -> Tensor:
    """Sum of Different Powers."""
    return (x.abs() ** (_one_to(x.shape[-1]) + 1)).sum(-1)


@bowl_shaped(at_least(1), box=(-10, 10), minimizers=0.0)
def sum_squares(x: Tensor) -> Tensor:
    """Sum Squares."""
    return (_one_to(x.shape[-1]) * x**2).sum(-1)


@bowl_shaped(
    at_least(2),
    box=lambda dim: (-(dim**2), dim**2),
    minimizers=lambda dim: [i * (dim + 1 - i) for i in range(1, dim + 1)],
    f_min=lambda dim: -dim * (dim + 4) * (dim - 1) / 6,
)
def trid(x: Tensor) -> Tensor:
    """Trid."""
    return ((x - 1) ** 2).sum(-1) - (x[:, 1:] * x[:, :-1]).sum(-1)


# --- Plate-shaped -----------------------------------------------------------------------------------------------------


@plate_shaped(exactly(2), box=(-10, 10), minimizers=(1, 3))
def booth(x: Tensor) -> Tensor:
    """Booth."""
    x1, x2 = x.unbind(-1)
    return (x1 + 2 * x2 - 7) ** 2 + (2 * x1 + x2 - 5) ** 2


@plate_shaped(exactly(2), box=(-10, 10), minimizers=0.0)
def matyas(x: Tensor) -> Tensor:
    """Matyas."""
    x1, x2 = x.unbind(-1)
    return 0.26 * (x1**2 + x2**2) - 0.48 * x1 * x2


@plate_shaped(
    exactly(2),
    box=((-1.5, 4), (-3, 4)),
    minimizers=(0.5 - math.pi / 3, -0.5 - math.pi / 3),
    f_min=-math.pi / 3 - math.sqrt(3) / 2,
)
def mccormick(x: Tensor) -> Tensor:
    """McCormick."""
    x1, x2 = x.unbind(-1)
    return torch.sin(x1 + x2) + (x1 - x2) ** 2 - 1.5 * x1 + 2.5 * x2 + 1


_POWER_SUM_B = _constants([8, 18, 44, 114])
_POWER_SUM_MINIMIZERS = sorted(set(permutations((1, 2, 2, 3))))


@plate_shaped(exactly(4), box=(0, 4), minimizers=_POWER_SUM_MINIMIZERS)
def power_sum(x: Tensor) -> Tensor:
    """Power Sum: very flat at its minimizers, where the Jacobian of the sums is singular."""
    return (((x[:, None] ** _one_to(4)[:, None]).sum(-1) - _POWER_SUM_B) ** 2).sum(-1)


@plate_shaped(at_least(1), box=(-5, 10), minimizers=0.0)
def zakharov(x: Tensor) -> Tensor:
    """Zakharov."""
    s = (0.5 * _one_to(x.shape[-1]) * x).sum(-1)
    return (x**2).sum(-1) + s**2 + s**4


# --- Valley-shaped ----------------------------------------------------------------------------------------------------


@valley_shaped(exactly(2), box=(-5, 5), minimizers=0.0)
def three_hump_camel(x: Tensor) -> Tensor:
    """Three-Hump Camel."""
    x1, x2 = x.unbind(-1)
    return 2 * x1**2 - 1.05 * x1**4 + x1**6 / 6 + x1 * x2 + x2**2


_SIX_HUMP = (0.08984201310031806, -0.7126564030207396)


@valley_shaped(
    exactly(2),
    box=((-3, 3), (-2, 2)),
    minimizers=(_SIX_HUMP, tuple(-c for c in _SIX_HUMP)),
    f_min=-1.0316284534898774,
)
def six_hump_camel(x: Tensor) -> Tensor:
    """Six-Hump Camel."""
    x1, x2 = x.unbind(-1)
    return (4 - 2.1 * x1**2 + x1**4 / 3) * x1**2 + x1 * x2 + (-4 + 4 * x2**2) * x2**2


def _dixon_price_minimizers(dim: int) -> list[list[float]]:
    """Only squares of the last coordinate enter: its sign is free."""
    *head, last = (2 ** (2.0 ** (1 - i) - 1) for i in range(1, dim + 1))
    return [[*head, last], [*head, -last]]


@valley_shaped(at_least(2), box=(-10, 10), minimizers=_dixon_price_minimizers)
def dixon_price(x: Tensor) -> Tensor:
    """Dixon-Price."""
    weights = _one_to(x.shape[-1])[1:]
    return (x[:, 0] - 1) ** 2 + (weights * (2 * x[:, 1:] ** 2 - x[:, :-1]) ** 2).sum(-1)


@valley_shaped(at_least(2), box=(-5, 10), minimizers=1.0)
def rosenbrock(x: Tensor) -> Tensor:
    """Rosenbrock: from dim 4 on with a second, local minimum near (-1, 1, ..., 1)."""
    return (100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (x[:, :-1] - 1) ** 2).sum(-1)


# --- Steep ridges and drops -------------------------------------------------------------------------------------------

_DE_JONG_A = _constants([(a, b) for b in range(-32, 33, 16) for a in range(-32, 33, 16)])  # (25, dim)


@steep_ridges_and_drops(
    exactly(2), box=(-65.536, 65.536), minimizers=(-31.97833483565697, -31.978334837300796), f_min=0.9980038377944503
)
def de_jong_n5(x: Tensor) -> Tensor:
    """De Jong N. 5: a plateau near 500 with 25 wells."""
    wells = _one_to(25) + ((x[:, None] - _DE_JONG_A) ** 6).sum(-1)  # (batch, 25)
    return 1 / (0.002 + (1 / wells).sum(-1))


@steep_ridges_and_drops(exactly(2), box=(-100, 100), minimizers=math.pi, f_min=-1.0)
def easom(x: Tensor) -> Tensor:
    """Easom: flat away from the minimizer, to the point of underflow."""
    return -x.cos().prod(-1) * torch.exp(-((x - math.pi) ** 2).sum(-1))


def _michalewicz_minimizer(dim: int) -> list[float]:
    """Coordinate by coordinate, for the function is separable: the root of the slope at the best peak of sin^20."""

    def root(i: int) -> float:
        def slope(x: float) -> float:
            return 1 / math.tan(x) + 40 * i * x / math.pi / math.tan(i * x**2 / math.pi)

        # The peaks lie at x_k = pi sqrt(k / i), k = 1/2, 3/2, ...; nearest to pi/2 is best.
        k = max((k + 0.5 for k in range(i)), key=lambda k: math.sin(math.pi * math.sqrt(k / i)))
        left, right = (math.pi * math.sqrt((k + shift) / i) for shift in (-0.25, 0.25))
        return float(brentq(slope, left, right, xtol=1e-15))

    return [root(i) for i in range(1, dim + 1)]


def _michalewicz_minimum(dim: int) -> float:
    return michalewicz(_constants([_michalewicz_minimizer(dim)])).item()


@steep_ridges_and_drops(
    at_least(1),
    box=(0, math.pi),
    minimizers=_michalewicz_minimizer,
    f_min=_michalewicz_minimum,
)
def michalewicz(x: Tensor) -> Tensor:
    """Michalewicz with m = 10."""
    return -(x.sin() * torch.sin(_one_to(x.shape[-1]) * x**2 / math.pi) ** 20).sum(-1)


# --- Other ------------------------------------------------------------------------------------------------------------


@other(exactly(2), box=(-4.5, 4.5), minimizers=(3, 0.5))
def beale(x: Tensor) -> Tensor:
    """Beale."""
    x1, x2 = x.unbind(-1)
    return (1.5 - x1 + x1 * x2) ** 2 + (2.25 - x1 + x1 * x2**2) ** 2 + (2.625 - x1 + x1 * x2**3) ** 2


@other(
    exactly(2),
    box=((-5, 10), (0, 15)),
    minimizers=((-math.pi, 12.275), (math.pi, 2.275), (3 * math.pi, 2.475)),
    f_min=1.25 / math.pi,
)
def branin(x: Tensor) -> Tensor:
    """Branin."""
    x1, x2 = x.unbind(-1)
    valley = x2 - 5.1 / (4 * math.pi**2) * x1**2 + 5 / math.pi * x1 - 6
    return valley**2 + 10 * (1 - 1 / (8 * math.pi)) * x1.cos() + 10


@other(exactly(4), box=(-10, 10), minimizers=1.0)
def colville(x: Tensor) -> Tensor:
    """Colville."""
    x1, x2, x3, x4 = x.unbind(-1)
    return (
        100 * (x1**2 - x2) ** 2
        + (x1 - 1) ** 2
        + (x3 - 1) ** 2
        + 90 * (x3**2 - x4) ** 2
        + 10.1 * ((x2 - 1) ** 2 + (x4 - 1) ** 2)
        + 19.8 * (x2 - 1) * (x4 - 1)
    )


@other(exactly(1), box=(0, 1), minimizers=0.7572487578418559, f_min=-6.020740055767083)
def forrester_2008(x: Tensor) -> Tensor:
    """Forrester et al. (2008)."""
    x1 = x[:, 0]
    return (6 * x1 - 2) ** 2 * torch.sin(12 * x1 - 4)


@other(exactly(2), box=(-2, 2), minimizers=(0, -1), f_min=3.0)
def goldstein_price(x: Tensor) -> Tensor:
    """Goldstein-Price."""
    x1, x2 = x.unbind(-1)
    u = (x1 + x2 + 1) ** 2 * (19 - 14 * x1 + 3 * x1**2 - 14 * x2 + 6 * x1 * x2 + 3 * x2**2)
    v = (2 * x1 - 3 * x2) ** 2 * (18 - 32 * x1 + 12 * x1**2 + 48 * x2 - 36 * x1 * x2 + 27 * x2**2)
    return (1 + u) * (30 + v)


_HARTMANN_ALPHA = _constants([1.0, 1.2, 3.0, 3.2])
_HARTMANN_3_A = _constants([(3, 10, 30), (0.1, 10, 35), (3, 10, 30), (0.1, 10, 35)])  # (4, dim)
_HARTMANN_3_P = 1e-4 * _constants([(3689, 1170, 2673), (4699, 4387, 7470), (1091, 8732, 5547), (381, 5743, 8828)])
_HARTMANN_6_A = _constants(
    [(10, 3, 17, 3.5, 1.7, 8), (0.05, 10, 17, 0.1, 8, 14), (3, 3.5, 1.7, 10, 17, 8), (17, 8, 0.05, 10, 0.1, 14)]
)
_HARTMANN_6_P = 1e-4 * _constants(
    [
        (1312, 1696, 5569, 124, 8283, 5886),
        (2329, 4135, 8307, 3736, 1004, 9991),
        (2348, 1451, 3522, 2883, 3047, 6650),
        (4047, 8828, 8732, 5743, 1091, 381),
    ]
)


def _hartmann(x: Tensor, a: Tensor, p: Tensor) -> Tensor:
    """The sum of four Gaussian bumps that the three functions share."""
    return (_HARTMANN_ALPHA * torch.exp(-(a * (x[:, None] - p) ** 2).sum(-1))).sum(-1)


@other(
    exactly(3),
    box=(0, 1),
    minimizers=(0.11458887665506896, 0.5556488946169301, 0.8525469846866774),
    f_min=-3.8627797873326625,
)
def hartmann_3d(x: Tensor) -> Tensor:
    """Hartmann 3-D, with the site's 0.0381 where the older literature has 0.03815."""
    return -_hartmann(x, _HARTMANN_3_A, _HARTMANN_3_P)


@other(
    exactly(4),
    box=(0, 1),
    minimizers=(0.1873952729734667, 0.19415152930244078, 0.5579177800625691, 0.26477962417039713),
    f_min=-3.134494141222399,
)
def hartmann_4d(x: Tensor) -> Tensor:
    """Hartmann 4-D, rescaled as on the site: the first four coordinates of the 6-D constants."""
    return (1.1 - _hartmann(x, _HARTMANN_6_A[:, :4], _HARTMANN_6_P[:, :4])) / 0.839


@other(
    exactly(6),
    box=(0, 1),
    minimizers=(
        *(0.20168951100670543, 0.15001069182345797, 0.47687397422189703),
        *(0.2753324304940561, 0.31165161660011326, 0.6573005340656204),
    ),
    f_min=-3.322368011415515,
)
def hartmann_6d(x: Tensor) -> Tensor:
    """Hartmann 6-D, not rescaled."""
    return -_hartmann(x, _HARTMANN_6_A, _HARTMANN_6_P)


@other(
    at_least(1),
    box=lambda dim: (-dim, dim),
    minimizers=_perm_minimizers(lambda dim: [float(j) for j in range(1, dim + 1)], (23 / 13, 14 / 13)),
)
def perm_d_beta(x: Tensor) -> Tensor:
    """Perm d, beta with beta = 0.5; a minimizer lies on the boundary."""
    j = _one_to(x.shape[-1])
    i = j[:, None]
    return (((j**i + 0.5) * ((x / j)[:, None] ** i - 1)).sum(-1) ** 2).sum(-1)


@other(multiple_of(4), box=(-4, 5), minimizers=0.0)
def powell(x: Tensor) -> Tensor:
    """Powell: singular Hessian at the minimizer."""
    a, b, c, d = (x[:, k::4] for k in range(4))  # (batch, dim / 4) each
    return ((a + 10 * b) ** 2 + 5 * (c - d) ** 2 + (b - 2 * c) ** 4 + 10 * (a - d) ** 4).sum(-1)


_SHEKEL_BETA = 0.1 * _constants([1, 2, 2, 4, 4, 6, 3, 7, 5, 5])
_SHEKEL_C = _constants(
    [
        *((4, 4, 4, 4), (1, 1, 1, 1), (8, 8, 8, 8), (6, 6, 6, 6), (3, 7, 3, 7)),
        *((2, 9, 2, 9), (5, 3, 5, 3), (8, 1, 8, 1), (6, 2, 6, 2), (7, 3.6, 7, 3.6)),
    ]
)  # (10, dim)


@other(
    exactly(4),
    box=(0, 10),
    minimizers=(4.000746868270634, 3.9995094800857736, 4.000746868270634, 3.9995094800857736),
    f_min=-10.53644315348353,
)
def shekel(x: Tensor) -> Tensor:
    """Shekel with m = 10."""
    return -(1 / (((x[:, None] - _SHEKEL_C) ** 2).sum(-1) + _SHEKEL_BETA)).sum(-1)


@other(at_least(1), box=(-5, 5), minimizers=-2.903534027771177, f_min=lambda dim: -39.16616570377142 * dim)
def styblinski_tang(x: Tensor) -> Tensor:
    """Styblinski-Tang."""
    return 0.5 * (x**4 - 16 * x**2 + 5 * x).sum(-1)
