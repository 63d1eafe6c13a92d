"""Scatter search with descents, OQNLP (Ugray et al., 2007), globalsearch-rs's implementation."""

from __future__ import annotations

import numpy as np

from benchmarks.budget import Array, Evaluate
from benchmarks.rivals.relay import relayed


def scatter_search(
    evaluate: Evaluate,
    x0: Array,
    budget: int,
    rng: np.random.Generator,
    *,
    share: float = 0.2,
    threshold_factor: float = 0.2,
    distance_factor: float = 0.75,
) -> None:
    """A reference set, combinations of its points, and descents of L-BFGS from those that pass its two filters.

    The library's set of a thousand points leaves a small budget no descent: here the set, with the start in it, is a
    ``share`` of the budget. Its L-BFGS knows no bounds: beyond them it sees the value at the nearest point of the
    box, and no slope towards it. A run that ends before the budget is followed by another, with a random point for
    the start. A point is evaluated once.
    """
    import pyglobalsearch  # here, so that whoever does not run it need not have it

    members = max(4, round(share * (budget + 1)))
    settings = pyglobalsearch.PyOQNLPParams(
        population_size=members,
        iterations=members,
        wait_cycle=min(15, members - 1),
        threshold_factor=threshold_factor,
        distance_factor=distance_factor,
    )
    box = np.array([[-1.0, 1.0]] * len(x0))
    known = {x0.tobytes(): evaluate(x0)}
    with relayed(evaluate) as relay:

        def at(x: Array) -> tuple[float, Array]:
            inside = np.clip(x, -1.0, 1.0)
            key = inside.tobytes()
            if key not in known:
                known[key] = relay(inside)
            y, g = known[key]
            return float(y), np.where(inside == x, g, 0.0)

        problem = pyglobalsearch.PyProblem(lambda x: at(np.asarray(x))[0], lambda: box, lambda x: at(np.asarray(x))[1])
        while True:  # ends with BudgetExhausted: each run has a point of its own
            pyglobalsearch.optimize(
                problem, settings, local_solver="LBFGS", seed=int(rng.integers(2**31)), with_points=x0[None]
            )
            x0 = rng.uniform(-1.0, 1.0, len(x0))
