"""Adam (Kingma and Ba, 2015), PyTorch's implementation."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from benchmarks.budget import Array, Evaluate
from benchmarks.rivals.first_order import first_order


def adam(
    evaluate: Evaluate,
    x0: Array,
    budget: int,
    rng: np.random.Generator,
    *,
    learning_rate: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
) -> None:
    """Projected Adam with a constant learning rate."""
    first_order(evaluate, x0, budget, partial(torch.optim.Adam, lr=learning_rate, betas=(beta1, beta2)))
