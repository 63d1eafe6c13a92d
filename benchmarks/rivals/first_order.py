"""First-order methods, PyTorch's implementations, with constant learning rates and projected onto the box."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from agents.training.descent import descend
from benchmarks.budget import Array, Evaluate


def gradient_descent(
    evaluate: Evaluate, x0: Array, budget: int, rng: np.random.Generator, *, learning_rate: float = 1e-3
) -> None:
    """Gradient descent, whose learning rate is the length of the first step."""
    _run(evaluate, x0, budget, partial(torch.optim.SGD, lr=learning_rate), scale_free=True)


def momentum(
    evaluate: Evaluate,
    x0: Array,
    budget: int,
    rng: np.random.Generator,
    *,
    learning_rate: float = 1e-3,
    momentum: float = 0.9,
) -> None:
    """The heavy ball (Polyak, 1964), whose learning rate is the length of the first step.

    PyTorch's own default is no momentum at all; 0.9 is what its documentation shows.
    """
    _run(evaluate, x0, budget, partial(torch.optim.SGD, lr=learning_rate, momentum=momentum), scale_free=True)


def rmsprop(
    evaluate: Evaluate,
    x0: Array,
    budget: int,
    rng: np.random.Generator,
    *,
    learning_rate: float = 1e-2,
    alpha: float = 0.99,
) -> None:
    """RMSprop (Tieleman and Hinton, 2012); ``alpha`` smooths the squared gradients."""
    _run(evaluate, x0, budget, partial(torch.optim.RMSprop, lr=learning_rate, alpha=alpha))


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
    """Adam (Kingma and Ba, 2015)."""
    _run(evaluate, x0, budget, partial(torch.optim.Adam, lr=learning_rate, betas=(beta1, beta2)))


def _run(
    evaluate: Evaluate,
    x0: Array,
    budget: int,
    optimizer: Callable[[list[Tensor]], Optimizer],
    *,
    scale_free: bool = False,
) -> None:
    def value_and_grad(x: Tensor) -> tuple[Tensor, Tensor]:
        y, g = evaluate(x[0].numpy())
        return torch.tensor([y], dtype=torch.float64), torch.from_numpy(g)[None]

    descend(value_and_grad, torch.from_numpy(x0)[None], budget, optimizer, scale_free=scale_free)
