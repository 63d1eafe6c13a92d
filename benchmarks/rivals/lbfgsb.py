"""L-BFGS-B (Byrd, Lu, Nocedal and Zhu, 1995), SciPy's implementation."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from benchmarks.budget import Array, Evaluate

_FTOL = 2.2204460492503131e-09  # SciPy's


def lbfgsb(evaluate: Evaluate, x0: Array, budget: int, rng: np.random.Generator, *, ftol: float = _FTOL) -> None:
    """One descent from the start, until it converges or the budget is spent.

    A descent has converged when a step lowers the value by less than ``ftol``, relative to the value but
    for values within one of zero.
    """
    minimize(
        evaluate,
        x0,
        jac=True,
        method="L-BFGS-B",
        bounds=[(-1.0, 1.0)] * len(x0),
        options={"maxiter": budget + 1, "maxfun": budget + 1, "ftol": ftol},
    )


def lbfgsb_restarts(
    evaluate: Evaluate, x0: Array, budget: int, rng: np.random.Generator, *, ftol: float = _FTOL
) -> None:
    """Descents until the budget is spent: the first from the start, the others from uniformly random points."""
    while True:  # ends with BudgetExhausted: each descent evaluates at least its first point
        lbfgsb(evaluate, x0, budget, rng, ftol=ftol)
        x0 = rng.uniform(-1.0, 1.0, len(x0))
