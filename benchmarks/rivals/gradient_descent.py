"""Gradient descent with a scale-free learning rate, PyTorch's implementation."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from benchmarks.budget import Array, Evaluate
from benchmarks.rivals.first_order import first_order


def gradient_descent(
    evaluate: Evaluate, x0: Array, budget: int, rng: np.random.Generator, *, learning_rate: float = 1e-3
) -> None:
    """Projected gradient descent with a constant learning rate, which is the length of the first step."""
    first_order(evaluate, x0, budget, partial(torch.optim.SGD, lr=learning_rate), scale_free=True)
