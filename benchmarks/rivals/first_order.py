"""One loop for all of PyTorch's optimizers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.optim import Optimizer

from benchmarks.budget import Array, Evaluate


def first_order(
    evaluate: Evaluate,
    x0: Array,
    budget: int,
    optimizer: Callable[[list[torch.Tensor]], Optimizer],
    *,
    scale_free: bool = False,
) -> None:
    """Steps of a ``torch.optim`` optimizer on the unit box; iterates are projected onto the box.

    Args:
        evaluate: See ``benchmarks.rivals``.
        x0: The start (dim,).
        budget: Number of steps T.
        optimizer: Makes the optimizer of a list of parameters.
        scale_free: Whether gradients are divided by the largest entry of the first one. The functions' values
            span twenty orders of magnitude, over which no learning rate carries; with this scale the learning
            rate is the length of the first step, and one value serves all functions. Adam and RMSprop
            divide by a running scale of their own.
    """
    x = torch.tensor(x0)
    optimize = optimizer([x])
    scale = None
    for _ in range(budget + 1):
        gradient = torch.from_numpy(evaluate(x.numpy())[1])
        if scale is None:
            scale = gradient.abs().max().item() or 1.0
        x.grad = gradient / scale if scale_free else gradient
        optimize.step()
        x.clamp_(-1.0, 1.0)
