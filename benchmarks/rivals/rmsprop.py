"""RMSprop (Tieleman and Hinton, 2012), PyTorch's implementation."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from benchmarks.budget import Array, Evaluate
from benchmarks.rivals.first_order import first_order


def rmsprop(
    evaluate: Evaluate,
    x0: Array,
    budget: int,
    rng: np.random.Generator,
    *,
    learning_rate: float = 1e-2,
    alpha: float = 0.99,
) -> None:
    """Projected RMSprop with a constant learning rate; ``alpha`` smooths the squared gradients."""
    first_order(evaluate, x0, budget, partial(torch.optim.RMSprop, lr=learning_rate, alpha=alpha))
