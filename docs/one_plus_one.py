"""The (1+1) evolution strategy with the one-fifth success rule, as a rival of one's own."""

import numpy as np

GRADIENT_FREE = True


def one_plus_one(evaluate, x0, budget, rng):
    """Evaluates the start, then steps from the best point; ``evaluate`` ends the run when the budget is spent."""
    best, sigma = evaluate(x0)[0], 0.5
    while True:
        x = np.clip(x0 + sigma * rng.standard_normal(len(x0)), -1, 1)
        value, _ = evaluate(x)
        if value < best:
            x0, best, sigma = x, value, 1.5 * sigma
        else:
            sigma *= 1.5**-0.25
