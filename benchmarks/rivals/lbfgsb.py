"""L-BFGS-B (Byrd, Lu, Nocedal and Zhu, 1995), SciPy's implementation."""

from __future__ import annotations

import numpy as np

from agents.training import descent
from benchmarks.budget import Array, Evaluate


def lbfgsb(evaluate: Evaluate, x0: Array, budget: int, rng: np.random.Generator, *, ftol: float = descent.FTOL) -> None:
    """One descent from the start, until it converges or the budget is spent; see ``descent.lbfgsb``."""
    descent.lbfgsb(evaluate, x0, budget + 1, ftol)


def lbfgsb_restarts(
    evaluate: Evaluate, x0: Array, budget: int, rng: np.random.Generator, *, ftol: float = descent.FTOL
) -> None:
    """Descents until the budget is spent: the first from the start, the others from uniformly random points."""
    while True:  # ends with BudgetExhausted: each descent evaluates at least its first point
        lbfgsb(evaluate, x0, budget, rng, ftol=ftol)
        x0 = rng.uniform(-1.0, 1.0, len(x0))
