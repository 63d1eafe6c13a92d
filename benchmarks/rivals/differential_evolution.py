"""Differential evolution (Storn and Price, 1997), SciPy's implementation."""

from __future__ import annotations

import numpy as np
from scipy import optimize
from scipy.stats.qmc import LatinHypercube

from benchmarks.budget import Array, Evaluate


def differential_evolution(evaluate: Evaluate, x0: Array, budget: int, rng: np.random.Generator) -> None:
    """SciPy's defaults without the final polish, which would be another method.

    SciPy's population of 15 members per coordinate leaves a budget of 50 no generations. A fifth of
    the budget leaves four, and SciPy needs five members. The start is the first member, the others
    are a Latin hypercube.
    """
    members = min(max(5, (budget + 1) // 5), max(5, 15 * len(x0)))
    population = 2.0 * LatinHypercube(len(x0), rng=rng).random(members) - 1.0
    population[0] = x0

    def value(x: Array) -> float:
        return evaluate(x)[0]

    optimize.differential_evolution(
        value,
        bounds=optimize.Bounds(np.full(len(x0), -1.0), np.full(len(x0), 1.0)),
        init=population,
        maxiter=budget + 1,  # more than the budget allows
        tol=0.0,
        polish=False,
        rng=rng,
    )
