"""The measures that every table and figure uses, in NumPy, elementwise over arrays of runs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

Array = NDArray[np.float64]

REGRET_FLOOR = 1e-8


def normalized_improvement(y0: ArrayLike, y_best: ArrayLike, f_min: ArrayLike) -> Array:
    """NI: the share of the way from the start's value down to the minimum, in [0, 1].

    Args:
        y0: Value at the start; infinite where the start has no finite value.
        y_best: Best value found; infinite where no finite value was found.
        f_min: Global minimum.

    Returns:
        ``(y0 - y_best) / (y0 - f_min)`` clipped to [0, 1], in the arguments' common shape; 1 where
        the start is a minimizer.
    """
    y0, y_best, f_min = np.broadcast_arrays(*(np.asarray(a, dtype=np.float64) for a in (y0, y_best, f_min)))
    with np.errstate(invalid="ignore", divide="ignore"):
        ni = np.clip((y0 - y_best) / (y0 - f_min), 0.0, 1.0)
    ni = np.where(y0 <= f_min, 1.0, ni)
    return np.where(np.isfinite(y0), ni, np.isfinite(y_best).astype(np.float64))


def solved(y0: ArrayLike, y_best: ArrayLike, f_min: ArrayLike, tau: float) -> NDArray[np.bool_]:
    """Whether runs solve their problems in the manner of Moré and Wild (2009): ``y_best - f_min <= tau (y0 - f_min)``.

    Moré and Wild, Benchmarking derivative-free optimization algorithms, SIAM Journal on Optimization 20(1).

    Args:
        y0: Value at the start; infinite where the start has no finite value.
        y_best: Best value found; infinite where no finite value was found, which solves nothing.
        f_min: Global minimum.
        tau: Accuracy.
    """
    y0, y_best, f_min = (np.asarray(a, dtype=np.float64) for a in (y0, y_best, f_min))
    return np.asarray((y_best - f_min <= tau * (y0 - f_min)) & np.isfinite(y_best))


def log10_regret(y_best: ArrayLike, f_min: ArrayLike, f_ref: ArrayLike, floor: float = REGRET_FLOOR) -> Array:
    """The decimal logarithm of the normalized regret, which tells convergence apart where NI no longer does.

    Args:
        y_best: Best value found.
        f_min: Global minimum.
        f_ref: Median of the function over its box. Where it is no higher than ``f_min`` (more than
            half of the box is minimal) the gap is taken as it is.
        floor: Regrets below count as converged.

    Returns:
        ``log10(max((y_best - f_min) / (f_ref - f_min), floor))`` in the arguments' common shape.
    """
    y_best, f_min, f_ref = (np.asarray(a, dtype=np.float64) for a in (y_best, f_min, f_ref))
    scale = np.where(f_ref > f_min, f_ref - f_min, 1.0)
    return np.asarray(np.log10(np.maximum((y_best - f_min) / scale, floor)))


def ranks(regret: ArrayLike, axis: int = -1) -> Array:
    """Ranks along ``axis`` (the methods), 1 for the least regret, ties averaged.

    Floored regrets make all converged methods tie. A slice that holds a NaN is not ranked: all NaN.
    """
    return np.asarray(rankdata(np.asarray(regret, dtype=np.float64), method="average", axis=axis))
