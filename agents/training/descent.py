"""Descents by PyTorch's optimizers: what validation and the benchmark compare with."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.optim import Optimizer


def descend(
    value_and_grad: Callable[[Tensor], tuple[Tensor, Tensor]],
    x0: Tensor,
    budget: int,
    optimizer: Callable[[list[Tensor]], Optimizer],
    *,
    scale_free: bool = False,
) -> Tensor:
    """Steps of a ``torch.optim`` optimizer on the unit box; iterates are projected onto the box.

    Args:
        value_and_grad: Values (batch,) and gradients (batch, dim) at points (batch, dim).
        x0: The starts (batch, dim).
        budget: Number of steps T.
        optimizer: Makes the optimizer of a list of parameters.
        scale_free: Whether gradients are divided by the largest entry of a run's first one. The functions' values
            span twenty orders of magnitude, over which no learning rate carries; with this scale the learning
            rate is the length of the first step, and one value serves all functions. Adam and RMSprop
            divide by a running scale of their own.

    Returns:
        The values (batch, budget + 1), the starts' first.
    """
    x = x0.clone()
    optimize = optimizer([x])
    values: list[Tensor] = []
    for _ in range(budget + 1):
        y, gradient = value_and_grad(x)
        if not values:
            largest = gradient.abs().amax(1, keepdim=True)
            scale = torch.where(largest == 0, 1.0, largest)
        values.append(y)
        x.grad = gradient / scale if scale_free else gradient
        optimize.step()
        x.clamp_(-1.0, 1.0)
    return torch.stack(values, 1)
