"""What an objective is: a batch of functions on the unit box [-1, 1]^dim."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

ValueAndGrad = Callable[[NDArray[np.float64]], tuple[ArrayLike, ArrayLike]]


class Objective(ABC):
    """Functions to minimize over the unit box, evaluated in one batched call.

    Row ``i`` of a batch of points belongs to function ``i``; an objective that stands for one
    function only (a user's own, say) accepts any batch.

    Attributes:
        dim: Number of coordinates.
        minimum: Known global minimum on the box, or None.
    """

    dim: int
    minimum: float | None = None

    @abstractmethod
    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Values (batch,) and gradients (batch, dim) at the points ``x`` (batch, dim), float64."""

    @abstractmethod
    def values_on(self, points: Tensor) -> Tensor:
        """Values of every function on shared points (n, dim): (batch or 1, n), float64."""

    def rows(self, index: Tensor) -> Objective:
        """The functions at ``index`` (n,); one function that accepts any batch is its own row."""
        return self


class BoxObjective(Objective):
    """A function of one's own on a box, seen through the unit box.

    Args:
        value_and_grad: Maps NumPy points (batch, dim), in the function's own coordinates, to values
            (batch,) and gradients (batch, dim). NaN and infinity are allowed.
        lower: Lower bounds (dim,), finite.
        upper: Upper bounds (dim,), finite and above ``lower``.
        minimum: Known global minimum on the box, if any.

    Raises:
        ValueError: If the bounds are not finite, not ordered, or not of one length.
    """

    def __init__(
        self, value_and_grad: ValueAndGrad, lower: ArrayLike, upper: ArrayLike, minimum: float | None = None
    ) -> None:
        self.lower = np.atleast_1d(np.asarray(lower, dtype=np.float64))
        self.upper = np.atleast_1d(np.asarray(upper, dtype=np.float64))
        if self.lower.ndim != 1 or self.lower.shape != self.upper.shape:
            raise ValueError(
                f"lower and upper must be vectors of one length, got shapes {self.lower.shape} and {self.upper.shape}"
            )
        if not (np.isfinite(self.lower).all() and np.isfinite(self.upper).all() and (self.lower < self.upper).all()):
            raise ValueError(f"bounds must be finite with lower < upper, got lower={self.lower}, upper={self.upper}")
        self.dim = len(self.lower)
        self.minimum = minimum
        self._value_and_grad = value_and_grad
        # Halving first keeps the width of the widest representable box finite.
        self._center = self.lower / 2 + self.upper / 2
        self._half_width = self.upper / 2 - self.lower / 2

    def to_unit(self, x: ArrayLike) -> NDArray[np.float64]:
        """Own coordinates (..., dim) to the unit box."""
        return (np.asarray(x, dtype=np.float64) - self._center) / self._half_width

    def from_unit(self, u: ArrayLike) -> NDArray[np.float64]:
        """Unit box (..., dim) to own coordinates; rounding never leaves the bounds."""
        x = self._center + self._half_width * np.asarray(u, dtype=np.float64)
        return np.clip(x, self.lower, self.upper)

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Objective``; gradients are with respect to the unit box.

        Raises:
            ValueError: If the wrapped function returns other shapes than (batch,) and (batch, dim).
        """
        own = self.from_unit(x.cpu().numpy())
        y, g = self._value_and_grad(own)
        y, g = np.asarray(y, dtype=np.float64), np.asarray(g, dtype=np.float64)
        if y.shape != own.shape[:1] or g.shape != own.shape:
            raise ValueError(
                f"the objective must return values {own.shape[:1]} and gradients {own.shape}, "
                f"got {y.shape} and {g.shape}"
            )
        with np.errstate(over="ignore", invalid="ignore"):
            g = g * self._half_width
        return torch.as_tensor(y, device=x.device), torch.as_tensor(g, device=x.device)

    def values_on(self, points: Tensor) -> Tensor:
        """See ``Objective``."""
        return self.value_and_grad(points)[0][None]
