"""Gradient descent with momentum (Polyak, 1964) and a scale-free learning rate, PyTorch's implementation."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from benchmarks.budget import Array, Evaluate
from benchmarks.rivals.first_order import first_order


def momentum(
    evaluate: Evaluate,
    x0: Array,
    budget: int,
    rng: np.random.Generator,
    *,
    learning_rate: float = 1e-3,
    momentum: float = 0.9,
) -> None:
    """The heavy ball, projected, with a constant learning rate, which is the length of the first step.

    PyTorch's own default is no momentum at all; 0.9 is what its documentation shows.
    """
    optimizer = partial(torch.optim.SGD, lr=learning_rate, momentum=momentum)
    first_order(evaluate, x0, budget, optimizer, scale_free=True)
