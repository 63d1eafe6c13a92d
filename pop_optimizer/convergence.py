"""When a point counts as a local minimum."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FTOL = 2.2e-9
"""As SciPy's L-BFGS-B."""


def negligible(fall: Array, value: Array, highest: Array, ftol: float) -> NDArray[np.bool_]:
    """Whether the ``fall`` that is predicted for the next step is nothing any more.

    It is relative to the value or, for values within one of zero, to one, as in SciPy's L-BFGS-B, or to the distance
    from the ``highest`` value seen, whichever is less: so a function in small units is held to the same standard.
    """
    return fall <= ftol * np.maximum(np.abs(value), np.minimum(1.0, highest - value))


def projected_gradient(x: Array, g: Array, lower: Array, upper: Array) -> Array:
    """The largest entry (...,) of ``x`` (..., dim) less the bounds' nearest point to ``x - g``; zero at a minimum.

    Byrd, Lu, Nocedal and Zhu (1995), equation 6.1.
    """
    with np.errstate(all="ignore"):  # the bounds are moved, not x: beside a large one a small slope would be lost
        return np.abs(np.clip(-g, lower - x, upper - x)).max(-1, initial=0.0, where=lower < upper)


def tolerance(name: str, value: float) -> float:
    """``value``, if it is a number and not negative.

    Raises:
        ValueError: If it is not.
    """
    if not real_number(name, value) >= 0:
        raise ValueError(f"{name} must be a number of at least 0, got {value!r}")
    return float(value)


def real_number(name: str, value: float) -> float:
    """``value``, if it is a real number.

    Raises:
        ValueError: If it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating) or math.isnan(value):
        raise ValueError(f"{name} must be a number, got {value!r}")
    return float(value)
