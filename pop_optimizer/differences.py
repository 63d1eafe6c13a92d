"""Gradients by finite differences that stay within the bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

EPS = float(np.finfo(np.float64).eps)
# The step that balances rounding against what the formula leaves out, as a power of the precision (Nocedal & Wright,
# section 8.1); a complex step has nothing to balance.
_POWERS = {"2-point": 1 / 2, "3-point": 1 / 3, "cs": 1 / 2}
SCHEMES = tuple(_POWERS)


def evaluations(scheme: str, variables: int) -> int:
    """Evaluations that a gradient of so many ``variables`` takes, the value itself not counted."""
    return {"2-point": 1, "3-point": 2, "cs": 1}[scheme] * variables


def differences(
    values_at: Callable[[NDArray[Any]], NDArray[Any]],
    x: Array,
    y: Array,
    lower: Array,
    upper: Array,
    scheme: str = "2-point",
    eps: float = EPS,
) -> Array:
    """Gradients (..., dim) at points ``x`` (..., dim) of values ``y`` (...,).

    Steps are in units of the variable, or of the box where that is narrower, and never out of the bounds.

    Args:
        values_at: Values (...,) at points (..., dim); complex ones at complex points if the scheme is ``"cs"``.
        x: The points.
        y: Their values.
        lower: Lower bounds (..., dim) or (dim,), infinite where there are none; a variable with equal ones is fixed,
            and has slope 0.
        upper: Upper bounds.
        scheme: ``"2-point"``; ``"3-point"``, central or one-sided at a wall; or ``"cs"``, a complex step.
        eps: The precision of the values.
    """
    slopes = np.zeros_like(x)
    with _quiet():
        above, below = upper - x, x - lower
        unit = np.minimum(np.maximum(np.abs(x), 1.0), upper / 2 - lower / 2)
        # No less than what rounding would swallow.
        steps = np.maximum(eps ** _POWERS[scheme] * unit, 16 * EPS * np.abs(x)).clip(5e-324)

    def secant(i: int, h: Array) -> tuple[Array, Array]:
        """Steps of ``h`` (...,) along a coordinate as they are rounded, and the slopes of the secants."""
        there = x[..., i] + h
        there = np.where(there == x[..., i], np.nextafter(x[..., i], np.copysign(np.inf, h)), there)
        moved = _moved(x, i, np.clip(there, lower[..., i], upper[..., i]))
        h, values = moved[..., i] - x[..., i], values_at(moved)
        with _quiet():
            return h, (values - y) / h

    for i in np.flatnonzero((lower < upper).reshape(-1, x.shape[-1]).any(0)).tolist():
        h, room = steps[..., i], np.maximum(above[..., i], below[..., i])
        # To the side with more room, where there is none on both.
        one_sided = np.copysign(np.minimum(h, room / 2), above[..., i] - below[..., i])
        if scheme == "cs":
            slopes[..., i] = values_at(_moved(x.astype(np.complex128), i, x[..., i] + 1j * h)).imag / h
        elif scheme == "2-point":
            slopes[..., i] = secant(i, one_sided)[1]
        else:  # of the parabola through three points
            central = np.minimum(above[..., i], below[..., i]) >= h
            a, slope_a = secant(i, np.where(central, -h, one_sided))
            b, slope_b = secant(i, np.where(central, h, 2 * one_sided))
            with _quiet():
                slopes[..., i] = np.where(a == b, slope_a, (slope_a * b - slope_b * a) / (b - a))
    return np.where(lower < upper, slopes, 0.0)


def _quiet() -> np.errstate:
    """For our own sums alone: the user's function sees the user's settings."""
    return np.errstate(all="ignore")


def _moved(x: NDArray[Any], i: int, there: NDArray[Any]) -> NDArray[Any]:
    moved = x.copy()
    moved[..., i] = there
    return moved
