"""Py-BOBYQA (Cartis, Fiala, Marteau and Roberts, 2019), its authors' implementation."""

from __future__ import annotations

import numpy as np

from benchmarks.budget import Array, Evaluate, finite_values
from benchmarks.rivals.global_generator import lent


def bobyqa(evaluate: Evaluate, x0: Array, budget: int, rng: np.random.Generator, *, radius: float = 0.1) -> None:
    """A trust-region method on quadratic models of values, with its restarts that look for a global minimum.

    ``radius`` is that of the first trust region.
    """
    import pybobyqa

    value = finite_values(evaluate)
    with lent(rng):
        while True:  # ends with BudgetExhausted
            pybobyqa.solve(
                value,
                x0,
                bounds=(-np.ones(len(x0)), np.ones(len(x0))),
                rhobeg=radius,
                maxfun=max(budget + 2, 2 * len(x0) + 3),  # more than the budget allows, and than its first points are
                seek_global_minimum=True,
                do_logging=False,
            )
            x0 = rng.uniform(-1.0, 1.0, len(x0))
