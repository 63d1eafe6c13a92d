"""Where to search: bounds in SciPy's manners, and a region that moves and grows where there are none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import Bounds

from pop_envs.objectives.base import Box
from pop_optimizer.function import array_of, real_numbers

Vector = NDArray[np.float64]
BoundsLike = Bounds | Iterable[Sequence[float | None] | None] | None

_LARGEST = np.finfo(np.float64).max
_ROUNDING = 16 * 2.0**-52  # of a number: by so much a start may be outside
# Half-widths of the region in units of the start's coordinates, or of one, chosen on functions of the plain prior
# without bounds; and the factor by which it grows.
_REGION, _GROW = 1.0, 4.0
_EDGE = 1 - 1e-6


class Space:
    """The space of a function's variables, of which a search sees a box.

    A variable whose bounds are equal is fixed and not searched. One that has no bound on a side is searched in a region
    around the start, which moves and grows with the search: see ``grown``.

    Args:
        bounds: SciPy's ``Bounds``, or pairs (lower, upper) with None for what has no bound; None for no bounds at all.
        x0: The start (dim,); only a finite box can do without.
        region: Half-widths (dim,) of the region around the start, or one for all; the larger of the start's coordinate
            and 1 if None.

    Attributes:
        lower: Lower bounds (dim,), infinite where there are none.
        upper: Upper bounds (dim,).
        free: Indices of the variables that are not fixed (n,).
        moves: Whether there is a variable without a bound, and so a region.
        box: What is searched now: a box of the free variables.

    Raises:
        TypeError: If bounds, start or region are not made of real numbers.
        ValueError: If they do not fit each other.
    """

    box: Box

    def __init__(self, bounds: BoundsLike, x0: ArrayLike | None, region: ArrayLike | None = None) -> None:
        start = None if x0 is None else _vector("x0", x0)
        self.lower, self.upper = _bounds(bounds, None if start is None else len(start))
        self.dim = len(self.lower)
        self.free = np.flatnonzero(self.lower < self.upper)
        self.moves = not (np.isfinite(self.lower) & np.isfinite(self.upper)).all()
        self._start = self._inside(start)
        self._width = self._region(region)
        if len(self.free):
            self.box = self._box_around(np.zeros(self.dim) if self._start is None else self._start)

    def start(self, rng: np.random.Generator) -> Vector:
        """The start (dim,): that given, or else uniformly random in the box."""
        if self._start is not None:
            return self._start.copy()
        return self.full(self.box.from_unit(rng.uniform(-1, 1, len(self.free)))) if len(self.free) else self.full([])

    def full(self, free: ArrayLike) -> Vector:
        """A point (dim,) whose free variables (n,) are given."""
        x = self.lower.copy()
        x[self.free] = free
        return x

    def to_unit(self, x: Vector) -> Vector:
        """The free variables of a point (dim,) in the box, as the search sees them (n,)."""
        return self.box.to_unit(x[self.free])

    def presses(self, x: Vector, g: Vector) -> NDArray[np.bool_]:
        """Which free variables (n,) are at an edge of the box that is no bound, with the slope leading out."""
        u, slope = self.to_unit(x), g[self.free]
        no_bound = np.where(u > 0, self.box.upper < self.upper[self.free], self.box.lower > self.lower[self.free])
        return (np.abs(u) >= _EDGE) & (u * slope < 0) & no_bound

    def grow(self, x: Vector, where: NDArray[np.bool_]) -> tuple[Vector, Vector]:
        """Moves the region to a point (dim,), and makes it four times as wide in some free variables (n,).

        Returns:
            Centre and half-widths (n,) of the new box, as seen from the one before.
        """
        before = self.box
        self._width[self.free[where]] = _GROW * np.minimum(self._width[self.free[where]], _LARGEST / 2 / _GROW)
        self.box = self._box_around(x)
        return before.to_unit(self.box.center), self.box.half_width / before.half_width

    def _box_around(self, x: Vector) -> Box:
        """The bounds where a variable has both, and else what of the region around ``x`` is within them."""
        bounded = np.isfinite(self.lower) & np.isfinite(self.upper)
        with np.errstate(all="ignore"):
            width = np.maximum(self._width, _ROUNDING * np.abs(x))  # or else none would be left
            low = np.where(bounded, self.lower, np.maximum(self.lower, x - width)).clip(-_LARGEST, _LARGEST)
            high = np.where(bounded, self.upper, np.minimum(self.upper, x + width)).clip(-_LARGEST, _LARGEST)
        return Box(low[self.free], high[self.free])

    def _inside(self, x: Vector | None) -> Vector | None:
        if x is None:
            if np.isfinite(self.lower).all() and np.isfinite(self.upper).all():
                return None
            unbounded = int(np.flatnonzero(~(np.isfinite(self.lower) & np.isfinite(self.upper)))[0])
            raise ValueError(f"x0 is needed where a variable has no bound: give x0, or bounds for variable {unbounded}")
        nearest = np.clip(x, self.lower, self.upper)
        excess = np.abs(x - nearest)
        far = excess > _ROUNDING * np.maximum(np.abs(x), np.abs(nearest))
        if far.any():
            i = int(np.flatnonzero(far)[0])
            side, bound = ("lower", self.lower[i]) if x[i] < self.lower[i] else ("upper", self.upper[i])
            raise ValueError(
                f"x0 must lie in the bounds: x0[{i}] = {float(x[i])!r} is beyond the {side} bound {float(bound)!r} by "
                f"{float(excess[i])!r}"
            )
        return nearest

    def _region(self, region: ArrayLike | None) -> Vector:
        if region is None:
            unit = np.zeros(self.dim) if self._start is None else np.abs(self._start)
            return _REGION * np.clip(unit, 1.0, _LARGEST / 2 / _REGION)
        width = _vector("region", region)
        if len(width) not in (1, self.dim) or not (np.isfinite(width) & (width > 0)).all():
            raise ValueError(
                f"region must be a positive half-width, or one for each of the {self.dim} variables, got {region!r}"
            )
        return np.broadcast_to(width, self.dim).copy()


def _bounds(bounds: BoundsLike, dim: int | None) -> tuple[Vector, Vector]:
    if bounds is None:
        if dim is None:
            raise ValueError("bounds or x0 must be given: nothing else says where to search")
        return np.full(dim, -np.inf), np.full(dim, np.inf)
    if isinstance(bounds, Bounds):
        lower, upper = _vector("the lower bounds", bounds.lb), _vector("the upper bounds", bounds.ub)
        length = max(len(lower), len(upper)) if dim is None else dim
        if {len(lower), len(upper)} - {1, length}:
            raise ValueError(
                f"bounds must be for {length} variables, got {len(lower)} lower and {len(upper)} upper ones"
            )
        lower, upper = np.broadcast_to(lower, length).copy(), np.broadcast_to(upper, length).copy()
    else:
        pairs = [_pair(i, pair) for i, pair in enumerate(_listed(bounds))]
        if not pairs or (dim is not None and len(pairs) != dim):
            wanted = "at least one pair" if dim is None else f"{dim} pairs as x0 has variables"
            raise ValueError(f"bounds must be {wanted} (lower, upper), got {len(pairs)}")
        lower, upper = (np.array(side, dtype=np.float64) for side in zip(*pairs, strict=True))
    for i in np.flatnonzero(~(lower <= upper) | (lower == np.inf) | (upper == -np.inf)).tolist():
        raise ValueError(
            f"bounds must be lower <= upper, got ({float(lower[i])!r}, {float(upper[i])!r}) for variable {i}"
        )
    return lower, upper


def _listed(bounds: Any) -> list[Any]:
    try:
        return list(array_of(bounds) if isinstance(bounds, np.ndarray) else bounds)
    except TypeError as error:
        raise TypeError(f"bounds must be scipy's Bounds or pairs (lower, upper), got {bounds!r}") from error


def _pair(i: int, pair: Any) -> tuple[float, float]:
    if pair is None:
        return -np.inf, np.inf
    try:
        low, high = pair
    except (TypeError, ValueError) as error:
        raise ValueError(f"bounds must be pairs (lower, upper), got {pair!r} for variable {i}") from error
    low, high = -np.inf if low is None else low, np.inf if high is None else high
    both = _vector(f"bounds of variable {i}", [low, high])
    return float(both[0]), float(both[1])


def _vector(name: str, value: Any) -> Vector:
    """Numbers as a vector of its own; one number as a vector of one."""
    try:
        array = real_numbers(value)
    except (OverflowError, RuntimeError, TypeError, ValueError) as error:
        raise TypeError(f"{name} must be real numbers, got {value!r}: {error}") from error
    if array.ndim > 1 or not array.size:
        raise ValueError(f"{name} must be a vector, got shape {array.shape}")
    finite = name in ("x0", "region")
    if np.isnan(array).any() or (finite and np.isinf(array).any()):
        raise ValueError(f"{name} must be finite{'' if finite else ' or infinite, not NaN'}, got {value!r}")
    return np.atleast_1d(array)
