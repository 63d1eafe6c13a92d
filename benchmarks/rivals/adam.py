"""Adam (Kingma and Ba, 2015), PyTorch's implementation."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.budget import Array, Evaluate


def adam(evaluate: Evaluate, x0: Array, budget: int, rng: np.random.Generator, *, learning_rate: float) -> None:
    """Adam on the unit box with a constant learning rate; iterates are projected onto the box."""
    x = torch.tensor(x0)
    optimizer = torch.optim.Adam([x], lr=learning_rate)
    for _ in range(budget + 1):
        _, gradient = evaluate(x.numpy())
        x.grad = torch.from_numpy(gradient)
        optimizer.step()
        x.clamp_(-1.0, 1.0)
