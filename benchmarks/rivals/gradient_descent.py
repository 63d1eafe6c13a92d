"""Gradient descent with a scale-free learning rate."""

from __future__ import annotations

import numpy as np

from benchmarks.budget import Array, Evaluate


def gradient_descent(
    evaluate: Evaluate, x0: Array, budget: int, rng: np.random.Generator, *, learning_rate: float
) -> None:
    """Projected gradient descent on the unit box, with a constant learning rate.

    Gradients are divided by the largest entry of the first one. The functions' values span twenty
    orders of magnitude, over which no learning rate carries; with this scale the learning rate is
    the length of the first step, and one value serves all functions.
    """
    x = x0
    scale = None
    for _ in range(budget + 1):
        _, gradient = evaluate(x)
        if scale is None:
            scale = np.abs(gradient).max() or 1.0
        x = np.clip(x - learning_rate * gradient / scale, -1.0, 1.0)
