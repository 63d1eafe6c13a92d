"""What an objective is: a batch of functions on the unit box [-1, 1]^dim."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, is_dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

Range = tuple[float, float]
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

    def values_at(self, x: Tensor) -> Tensor:
        """Values (batch, n) at n points of each function's own, ``x`` (batch, n, dim), float64."""
        each = torch.arange(len(x), device=x.device).repeat_interleave(x.shape[1])
        return self.rows(each).value_and_grad(x.flatten(0, 1))[0].unflatten(0, x.shape[:2])

    def rows(self, index: Tensor) -> Objective:
        """The functions at ``index`` (n,); one function that accepts any batch is its own row."""
        return self


class FunctionBatch(Objective):
    """A batch of different functions, one for each row of points, which can be picked and replaced."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of functions."""

    @abstractmethod
    def rows(self, index: Tensor) -> Self:
        """The functions at ``index`` (n,), in that order; repeats are allowed."""

    @abstractmethod
    def put(self, index: Tensor, other: Self) -> None:
        """Replaces the functions at ``index`` (n,) by the n functions of ``other``."""


class TensorFunctions(FunctionBatch):
    """A dataclass whose tensors have one row for each function."""

    def __len__(self) -> int:
        return len(next(iter(self._tensors().values())))

    def rows(self, index: Tensor) -> Self:
        """See ``FunctionBatch``."""
        return replace(self, **{name: tensor[index] for name, tensor in self._tensors().items()})  # type: ignore[type-var]

    def put(self, index: Tensor, other: Self) -> None:
        """See ``FunctionBatch``."""
        for name, tensor in self._tensors().items():
            tensor[index] = getattr(other, name)

    def _tensors(self) -> dict[str, Tensor]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}


class Uniforms:
    """Columns of a (batch, n) table of uniform numbers, handed out from left to right."""

    def __init__(self, table: Tensor) -> None:
        self.table = table
        self.used = 0

    def take(self, n: int) -> Tensor:
        """The next n columns (batch, n)."""
        self.used += n
        assert self.used <= self.table.shape[1]
        return self.table[:, self.used - n : self.used]

    def uniform(self, n: int, bounds: Range) -> Tensor:
        """Uniform numbers (batch, n) between bounds."""
        low, high = bounds
        return low + (high - low) * self.take(n)

    def log_uniform(self, n: int, bounds: Range) -> Tensor:
        """Numbers (batch, n) whose logarithms are uniform between those of positive bounds."""
        return self.uniform(n, (math.log(bounds[0]), math.log(bounds[1]))).exp()

    def normal(self, n: int) -> Tensor:
        """Standard normal numbers (batch, n)."""
        # Half a unit in the last place keeps the quantile of 0 finite, and rounds the largest number up to 1.
        return torch.special.ndtri((self.take(n) + 2.0**-54).clamp(max=1 - 2.0**-53))


class Prior(ABC):
    """A distribution over functions: a fixed map of one row of uniform numbers a function.

    So a batch drawn from one generator, row after row, equals functions drawn one by one.
    """

    @abstractmethod
    def num_uniforms(self, dim: int) -> int:
        """Length of the row of uniform numbers that one function in ``dim`` dimensions takes."""

    @abstractmethod
    def build(self, uniforms: Tensor, dim: int) -> FunctionBatch:
        """The functions that the rows of ``uniforms`` (batch, num_uniforms(dim)) stand for."""

    def record(self) -> dict[str, Any]:
        """Its configuration as plain values, if it is a dataclass."""
        return asdict(self) if is_dataclass(self) else {}

    def sample(
        self, batch: int, dim: int, rng: np.random.Generator, device: torch.device | str = "cpu"
    ) -> FunctionBatch:
        """Draws ``batch`` functions in ``dim`` dimensions from one generator."""
        return self.build(torch.from_numpy(rng.random((batch, self.num_uniforms(dim)))).to(device), dim)


def uniform_rows(rngs: Sequence[np.random.Generator], length: int) -> Tensor:
    """A row of uniform numbers (len(rngs), length) from each generator, float64, so that N rows equal N single ones."""
    rows = np.empty((len(rngs), length))
    for rng, row in zip(rngs, rows, strict=True):
        rng.random(out=row)
    return torch.from_numpy(rows)


def one_per_run(objective: Objective, num_envs: int) -> Objective:
    """A fixed objective of ``num_envs`` runs, with a row for each where it is a batch.

    Raises:
        ValueError: If it is no objective, or a batch of another number of functions than one or one for each run.
    """
    if not isinstance(objective, Objective):
        raise ValueError(
            f"objective must be a pop_envs.Objective, got {type(objective).__name__}; "
            "wrap a function of your own in pop_envs.BoxObjective(value_and_grad, lower, upper)"
        )
    if not isinstance(objective, FunctionBatch) or len(objective) == num_envs:
        return objective
    if len(objective) != 1:
        raise ValueError(
            f"objective must hold one function, or one for each of the num_envs={num_envs} runs, got {len(objective)}"
        )
    return objective.rows(torch.zeros(num_envs, dtype=torch.int64, device="cpu"))


def evaluate(objective: Objective, x: Tensor) -> tuple[Tensor, Tensor]:
    """Values (batch,) and gradients (batch, dim) at ``x`` (batch, dim), float64, which nobody else holds.

    Raises:
        ValueError: If the objective returns other shapes.
    """
    y, g = objective.value_and_grad(x.clone())
    _check_shapes(tuple(x.shape), tuple(y.shape), tuple(g.shape))
    return y.detach().to(x, copy=True), g.detach().to(x, copy=True)


class Box:
    """A box with finite bounds, and its way to the unit box [-1, 1]^dim and back.

    Args:
        lower: Lower bounds (dim,), finite.
        upper: Upper bounds (dim,), finite and above ``lower``.

    Raises:
        ValueError: If the bounds are not finite, not ordered, or not of one length.
    """

    def __init__(self, lower: ArrayLike, upper: ArrayLike) -> None:
        self.lower = np.atleast_1d(np.asarray(lower, dtype=np.float64))
        self.upper = np.atleast_1d(np.asarray(upper, dtype=np.float64))
        if self.lower.ndim != 1 or self.lower.shape != self.upper.shape:
            raise ValueError(
                f"lower and upper must be vectors of one length, got shapes {self.lower.shape} and {self.upper.shape}"
            )
        if not (np.isfinite(self.lower).all() and np.isfinite(self.upper).all() and (self.lower < self.upper).all()):
            raise ValueError(f"bounds must be finite with lower < upper, got lower={self.lower}, upper={self.upper}")
        # Halving first keeps the width of the widest representable box finite.
        self.center = self.lower / 2 + self.upper / 2
        self.half_width = np.maximum(self.upper / 2 - self.lower / 2, 5e-324)  # of the narrowest box it would be 0

    def to_unit(self, x: ArrayLike) -> NDArray[np.float64]:
        """Own coordinates (..., dim) to the unit box."""
        return (np.asarray(x, dtype=np.float64) - self.center) / self.half_width

    def from_unit(self, u: ArrayLike) -> NDArray[np.float64]:
        """Unit box (..., dim) to own coordinates; rounding never leaves the bounds, and walls are met exactly."""
        u = np.asarray(u, dtype=np.float64)
        x = np.minimum(np.maximum(self.center + self.half_width * u, self.lower), self.upper)  # np.clip takes longer
        if not (np.abs(u) >= 1).any():
            return x
        return np.where(u >= 1, self.upper, np.where(u <= -1, self.lower, x))


class BoxObjective(Box, Objective):
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
        super().__init__(lower, upper)
        self.dim = len(self.lower)
        self.minimum = minimum
        self._value_and_grad = value_and_grad

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Objective``; gradients are with respect to the unit box.

        Raises:
            ValueError: If the wrapped function returns other shapes than (batch,) and (batch, dim).
        """
        y, g = self.evaluate_own(self.from_unit(x.cpu().numpy()))
        return torch.from_numpy(y).to(x.device), torch.from_numpy(g).to(x.device)

    def evaluate_own(self, own: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Values (batch,) and gradients (batch, dim) with respect to the unit box, at own points (batch, dim).

        Raises:
            ValueError: If the wrapped function returns other shapes.
        """
        # Copies: a function may keep one array for all of its answers.
        y, g = (np.array(answer, dtype=np.float64) for answer in self._value_and_grad(own))
        _check_shapes(own.shape, y.shape, g.shape)
        with np.errstate(over="ignore", invalid="ignore"):
            return y, g * self.half_width

    def values_on(self, points: Tensor) -> Tensor:
        """See ``Objective``."""
        return self.value_and_grad(points)[0][None]


def _check_shapes(x: tuple[int, ...], y: tuple[int, ...], g: tuple[int, ...]) -> None:
    if y != x[:1] or g != x:
        raise ValueError(f"the objective must return values {x[:1]} and gradients {x}, got {y} and {g}")
