"""L-BFGS-B (Byrd, Lu, Nocedal and Zhu, 1995), SciPy's implementation."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from benchmarks.budget import Array, Evaluate


def lbfgsb(evaluate: Evaluate, x0: Array, budget: int, rng: np.random.Generator) -> None:
    """One descent from the start, until it converges or the budget is spent."""
    minimize(
        evaluate,
        x0,
        jac=True,
        method="L-BFGS-B",
        bounds=[(-1.0, 1.0)] * len(x0),
        options={"maxiter": budget + 1, "maxfun": budget + 1},
    )


def lbfgsb_restarts(evaluate: Evaluate, x0: Array, budget: int, rng: np.random.Generator) -> None:
    """Descents until the budget is spent: the first from the start, the others from uniformly random points."""
    while True:  # ends with BudgetExhausted: each descent evaluates at least its first point
        lbfgsb(evaluate, x0, budget, rng)
        x0 = rng.uniform(-1.0, 1.0, len(x0))
