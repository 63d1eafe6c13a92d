"""POP, as its users call it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import pop_optimizer
from benchmarks.budget import Array, Evaluate


def pop(
    evaluate: Evaluate, x0: Array, budget: int, rng: np.random.Generator, *, checkpoint: Path | None = None
) -> None:
    """A trained policy from the start; None is the checkpoint that comes with the package."""
    pop_optimizer.minimize(
        evaluate,
        x0,
        bounds=[(-1.0, 1.0)] * len(x0),
        jac=True,
        budget=budget,
        seed=int(rng.integers(2**31)),
        checkpoint=checkpoint,
    )
