"""Evaluations are counted here and nowhere else."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import ArrayLike

from benchmarks.plain.squares import SumOfSquares
from pop_envs.objectives.base import Objective
from pop_optimizer.classical import Array, BudgetExhausted, Evaluate
from pop_optimizer.differences import differences, evaluations

__all__ = [
    "Array",
    "BudgetExhausted",
    "Evaluate",
    "EvaluateResiduals",
    "Evaluator",
    "Observe",
    "ValuesOnly",
    "finite_values",
    "values_only",
]

EvaluateResiduals = Callable[[Array], tuple[Array, Array]]
"""What a method for sums of squares sees: a point (dim,) -> residuals (m,) and their Jacobian (m, dim)."""

Observe = Callable[[float, Array], tuple[float, Array]]
"""The true value and gradient of an evaluation -> what a method sees of them, noise for instance."""


def values_only(evaluate: Evaluate) -> Callable[[Array], float]:
    """The function as methods take it that never look at a gradient."""
    return lambda x: evaluate(x)[0]


def finite_values(evaluate: Evaluate) -> Callable[[Array], float]:
    """As ``values_only``, for methods that know no infinity: it counts as the highest value so far, or 0 before any."""
    highest = -np.inf

    def value(x: Array) -> float:
        nonlocal highest
        y = evaluate(x)[0]
        if np.isfinite(y):
            highest = max(highest, y)
            return y
        return highest if np.isfinite(highest) else 0.0

    return value


class ValuesOnly(Objective):
    """One function of which nobody knows the gradient."""

    @abstractmethod
    def value(self, u: Array) -> float:
        """At a point (dim,) of the unit box."""

    def value_and_grad(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Values (batch,), and NaN for the gradients (batch, dim)."""
        return self.values_on(x)[0], torch.full_like(x, np.nan)


class Evaluator:
    """One function on the unit box [-1, 1]^dim, for one run of one method.

    One evaluation is a value together with its gradient. A budget of T steps allows T + 1 of them,
    the start included. Points outside the box are evaluated at the nearest point of the box. A value
    that is not finite is handed out as infinity, with zeros for a gradient that is not finite, and
    never becomes the best.

    Where nobody knows the gradient (``ValuesOnly``), it is a forward difference for who looks at gradients, and each
    of the values that it takes is an evaluation, which may be the best one, too.

    Args:
        objective: One function (a batch of one) on the unit box.
        x0: The start (dim,), which must be the first point evaluated.
        budget: Number of steps T.
        observe: Called once per evaluation; None shows the truth. The trace holds true values in any case.
        gradients: Whether the method looks at them.

    Attributes:
        evaluations: How many have been spent, at most ``budget + 1``.
        points: Where, each (dim,).
        price: Evaluations that a point takes.
        steps: As many as the method can make: the budget but for the price.
        seconds: Time spent inside the objective.
    """

    def __init__(
        self,
        objective: Objective,
        x0: ArrayLike,
        budget: int,
        observe: Observe | None = None,
        *,
        gradients: bool = True,
    ) -> None:
        if budget < 1:
            raise ValueError(f"the budget must be at least 1 step, got {budget}")
        self.evaluations = 0
        self.points: list[Array] = []
        self.seconds = 0.0
        by_differences = gradients and isinstance(objective, ValuesOnly)
        self.price = 1 + evaluations("2-point", objective.dim) if by_differences else 1
        self.steps = (budget + 1) // self.price - 1
        if self.steps < 1:
            raise ValueError(f"a point takes {self.price} evaluations: a budget of {budget} steps is too small")
        self._objective = objective
        self._observe = observe
        self._x0 = np.array(x0, dtype=np.float64)
        if self._x0.shape != (objective.dim,):
            raise ValueError(f"the start must have shape ({objective.dim},), got {self._x0.shape}")
        self._best = np.full(budget + 1, np.inf)

    def __call__(self, x: Array) -> tuple[float, Array]:
        """Value and gradient (dim,) at ``x`` (dim,), as the method sees them.

        Raises:
            BudgetExhausted: If all evaluations are spent; also on every further call.
            ValueError: If ``x`` is not one point, or is the first point and not the start.
        """
        return self._spend(x)[1]

    def residuals(self, x: Array) -> tuple[Array, Array]:
        """Residuals (m,) and their Jacobian (m, dim), zeros if not finite, at ``x`` (dim,), for value and gradient.

        Raises:
            BudgetExhausted: If all evaluations are spent; also on every further call.
            ValueError: If the function is no sum of squares, or as above.
        """
        if not isinstance(self._objective, SumOfSquares):
            raise ValueError("residuals are known of sums of squares only, as in the suites mgh, rosenbrock and nist")
        point, _ = self._spend(x)
        began = time.perf_counter()
        residuals, jacobian = self._objective.residuals(point)
        self.seconds += time.perf_counter() - began
        return residuals, jacobian if np.isfinite(jacobian).all() else np.zeros_like(jacobian)

    def _spend(self, x: Array) -> tuple[Array, tuple[float, Array]]:
        """One evaluation: the point of the box, and its value and gradient as the method sees them."""
        if self.evaluations + self.price > len(self._best):
            raise BudgetExhausted
        x = np.array(x, dtype=np.float64)
        if x.shape != self._x0.shape:
            raise ValueError(f"evaluate one point of shape {self._x0.shape} at a time, got shape {x.shape}")
        x = np.clip(x, -1.0, 1.0)
        # The tolerance is for methods that work in a box of their own.
        if self.evaluations == 0 and not np.allclose(x, self._x0, rtol=0.0, atol=1e-9):
            raise ValueError(f"all methods begin at the same start: evaluate x0 = {self._x0} first, got {x}")

        began = time.perf_counter()
        value, gradient = self._evaluated(x)
        self.seconds += time.perf_counter() - began
        if not np.isfinite(gradient).all():
            gradient = np.zeros_like(gradient)
        self.points.append(x)
        return x, self._observe(value, gradient) if self._observe else (value, gradient)

    def _evaluated(self, x: Array) -> tuple[float, Array]:
        if isinstance(self._objective, ValuesOnly):
            one = self._objective

            def values_at(u: Array) -> Array:
                return np.asarray(self._counted(one.value(u)))

            value = values_at(x)
            if self.price == 1:
                return float(value), np.full_like(x, np.nan)
            return float(value), differences(values_at, x, value, -np.ones_like(x), np.ones_like(x))
        y, g = self._objective.value_and_grad(torch.from_numpy(x)[None])
        return self._counted(float(y[0])), g[0].numpy().copy()

    def _counted(self, value: float) -> float:
        value = value if np.isfinite(value) else np.inf
        self._best[self.evaluations :] = min(value, self._best[self.evaluations - 1] if self.evaluations else np.inf)
        self.evaluations += 1
        return value

    @property
    def trace(self) -> Array:
        """Best true value after each evaluation (budget + 1,); a run that ends early keeps its last one."""
        return self._best.copy()
