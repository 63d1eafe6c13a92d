"""TikTak (Arnoud, Guvenen and Kleineberg, 2019), with L-BFGS-B for its descents."""

from __future__ import annotations

import numpy as np
import torch
from torch.quasirandom import SobolEngine

from benchmarks.budget import Array, Evaluate
from pop_optimizer.classical import lbfgsb_descent


def tiktak(
    evaluate: Evaluate,
    x0: Array,
    budget: int,
    rng: np.random.Generator,
    *,
    share: float = 0.3,
    kept: float = 0.3,
) -> None:
    """Descents from the best Sobol points, each drawn towards the best point so far, the later ones the more.

    The start is one of the points; together they are a ``share`` of the budget, of which so many are ``kept``:
    the paper's hundreds of points and its tenth of them would leave a small budget no second descent. As there, the
    i-th of n descents begins at (1 - w) s + w x with w = sqrt(i / n), at least 0.1 and at most 0.995, s its Sobol
    point and x the best point. When all have ended, further Sobol points follow.
    """
    sobol = SobolEngine(len(x0), scramble=True, seed=int(rng.integers(2**31)))
    best, lowest = x0, np.inf

    def seen(x: Array) -> tuple[float, Array]:
        nonlocal best, lowest
        y, g = evaluate(x)
        if y < lowest:
            best, lowest = np.array(x), y
        return y, g

    points = max(2, round(share * (budget + 1)))
    descents = max(1, round(kept * points))
    first = [x0]
    while True:  # ends with BudgetExhausted
        sites = [*first, *(2.0 * sobol.draw(points - len(first), dtype=torch.float64).numpy() - 1.0)]
        values = [seen(site)[0] for site in sites]
        for i, chosen in enumerate(np.argsort(values, kind="stable")[:descents], 1):
            weight = min(max(0.1, np.sqrt(i / descents)), 0.995)
            lbfgsb_descent(seen, (1.0 - weight) * sites[chosen] + weight * best, budget + 1)
        first = []
