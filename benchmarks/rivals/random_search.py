"""Random search: what any method must beat."""

from __future__ import annotations

import numpy as np

from benchmarks.budget import Array, Evaluate


def random_search(evaluate: Evaluate, x0: Array, budget: int, rng: np.random.Generator) -> None:
    """Evaluates the start, then uniformly random points of the box."""
    evaluate(x0)
    for _ in range(budget):
        evaluate(rng.uniform(-1.0, 1.0, len(x0)))
