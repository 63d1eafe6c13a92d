"""Nelder-Mead (1965), SciPy's implementation."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize

from benchmarks.budget import Array, Evaluate, values_only


def nelder_mead(
    evaluate: Evaluate,
    x0: Array,
    budget: int,
    rng: np.random.Generator,
    *,
    simplex_size: float | None = None,
) -> None:
    """Descents of a simplex until the budget is spent.

    The first is from the start, the others, each after the one before has converged, from uniformly random
    points: as ``lbfgsb_restarts``, and for its reason, that no part of the budget is wasted.

    ``simplex_size`` is the length of the edges, along the axes, of the first simplex, in half widths of the box, below
    2. None is SciPy's: five percent of each coordinate.
    """
    while True:  # ends with BudgetExhausted: each descent evaluates at least its first simplex
        # SciPy turns corners beyond the upper bounds inwards.
        simplex = None if simplex_size is None else x0 + simplex_size * np.eye(len(x0) + 1, len(x0), -1)
        options: Any = {"maxiter": budget + 1, "maxfev": budget + 1, "initial_simplex": simplex}
        with np.errstate(invalid="ignore"):  # it compares infinities where the function has no value
            minimize(values_only(evaluate), x0, method="Nelder-Mead", bounds=[(-1.0, 1.0)] * len(x0), options=options)
        x0 = rng.uniform(-1.0, 1.0, len(x0))
