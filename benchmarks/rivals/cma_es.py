"""CMA-ES (Hansen and Ostermeier, 2001), pycma's implementation."""

from __future__ import annotations

import cma
import numpy as np

from benchmarks.budget import Array, Evaluate


def cma_es(
    evaluate: Evaluate,
    x0: Array,
    budget: int,
    rng: np.random.Generator,
    *,
    sigma0: float = 0.6,
    population: float = 1.0,
) -> None:
    """CMA-ES from the start; restarted with twice the population (IPOP) at random points until the budget is spent.

    ``sigma0`` is the deviation of the first population. pycma advises 0.3 of the box's width: the minimum should lie
    within about three deviations. ``population`` is the size of the first population, as a multiple of pycma's own for
    so many coordinates; it has at least 2 members.
    """
    evaluate(x0)
    options = {
        "bounds": [-1.0, 1.0],
        "randn": lambda *shape: rng.standard_normal(shape),
        "seed": np.nan,  # the generator above is the only source of randomness: leave the global one alone
        "verbose": -9,
        "verb_log": 0,
    }
    if len(x0) == 1:
        options["maxstd"] = np.inf  # pycma cannot limit the deviation of a single coordinate: it raises
    members = max(2, round(population * cma.CMAEvolutionStrategy(x0, sigma0, options).popsize))
    while True:  # ends with BudgetExhausted
        strategy = cma.CMAEvolutionStrategy(x0, sigma0, {**options, "popsize": members})
        while not strategy.stop():
            points = strategy.ask()
            strategy.tell(points, [evaluate(point)[0] for point in points])
        x0 = rng.uniform(-1.0, 1.0, len(x0))
        members *= 2
