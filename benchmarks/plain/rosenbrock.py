"""The Rosenbrock function as a chain, in many dimensions: the VLSE function of that name as a sum of squares."""

from __future__ import annotations

import torch
from torch import Tensor

DIMS = (2, 10, 100, 1000)
"""Dimensions of the suite."""


def residuals(x: Tensor) -> Tensor:
    """10 (x[i+1] - x[i]^2) and 1 - x[i] for all i but the last."""
    head = x[..., :-1]
    return torch.cat([10 * (x[..., 1:] - head**2), 1 - head], -1)
