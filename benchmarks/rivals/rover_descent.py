"""Rover Descent, as its users call it."""

from __future__ import annotations

import numpy as np

import pop_optimizer
from benchmarks.budget import Array, Evaluate, values_only


def rover_descent(evaluate: Evaluate, x0: Array, budget: int, rng: np.random.Generator, *, scale: float = 1.0) -> None:
    """The trained rover from the start, on values alone; it knows no walls, and what lies beyond is seen at the wall.

    ``scale`` is how far away the minimum may be, in half widths of the box.
    """
    value = values_only(evaluate)
    pop_optimizer.rover_descent(
        lambda x: value(x.clip(-1.0, 1.0)), x0, budget=budget + 1, scale=scale, seed=int(rng.integers(2**31))
    )
