"""Differential evolution (Storn and Price, 1997), SciPy's implementation."""

from __future__ import annotations

import numpy as np
from scipy import optimize
from scipy.stats.qmc import LatinHypercube

from benchmarks.budget import Array, Evaluate, values_only


def differential_evolution(
    evaluate: Evaluate,
    x0: Array,
    budget: int,
    rng: np.random.Generator,
    *,
    share: float = 0.2,
    mutation: float = 0.75,
    dither: float = 0.25,
    recombination: float = 0.7,
) -> None:
    """SciPy's defaults without the final polish, which would be another method.

    SciPy's population of 15 members per coordinate leaves a budget of 50 no generations. A fifth of
    the budget leaves four, and SciPy needs five members. The start is the first member, the others
    are a Latin hypercube.

    The population is ``share`` of the budget, up to SciPy's 15 members per coordinate. Each generation draws the factor
    of a difference anew: its mean is ``mutation``, ``dither`` is how far from it at most, and it must stay in [0, 2).
    ``recombination`` is the share of the coordinates that a mutant hands down.
    """
    members = min(max(5, int(share * (budget + 1))), max(5, 15 * len(x0)))
    population = 2.0 * LatinHypercube(len(x0), rng=rng).random(members) - 1.0
    population[0] = x0
    optimize.differential_evolution(
        values_only(evaluate),
        bounds=optimize.Bounds(np.full(len(x0), -1.0), np.full(len(x0), 1.0)),
        init=population,
        maxiter=budget + 1,  # more than the budget allows
        mutation=(mutation - dither, mutation + dither),
        recombination=recombination,
        tol=0.0,
        polish=False,
        rng=rng,
    )
