"""Descents by PyTorch's and SciPy's optimizers: what validation and the benchmark compare with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor
from torch.optim import Optimizer

FTOL = 2.2204460492503131e-09
"""SciPy's tolerance for L-BFGS-B."""


def lbfgsb(
    value_and_grad: Callable[[NDArray[np.float64]], tuple[float, NDArray[np.float64]]],
    x0: NDArray[np.float64],
    evaluations: int,
    ftol: float = FTOL,
) -> None:
    """One descent of SciPy's L-BFGS-B (Byrd, Lu, Nocedal and Zhu, 1995) on the unit box, until it converges.

    Args:
        value_and_grad: Value and gradient (dim,) at a point (dim,).
        x0: The start (dim,).
        evaluations: After so many it stops, or a few more.
        ftol: It has converged when a step lowers the value by less, relative to the value but for values within
            one of zero.
    """
    minimize(
        value_and_grad,
        x0,
        jac=True,
        method="L-BFGS-B",
        bounds=[(-1.0, 1.0)] * len(x0),
        options={"maxiter": evaluations, "maxfun": evaluations, "ftol": ftol},
    )


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
