"""Sums of squares: functions of which residuals are known, besides value and gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from pop_envs.objectives.base import BoxObjective

Array = NDArray[np.float64]

Residuals = Callable[[Tensor], Tensor]
"""Residuals (batch, m) of points (batch, dim), float64, differentiable."""

_BELOW, _ABOVE = 1.0, 3.0  # margins of a box: so unequal that no start and no minimizer can be its centre


class SumOfSquares(BoxObjective):
    """The sum of squared residuals on a box, seen through the unit box.

    Args:
        residuals: See ``Residuals``. They may be infinite or NaN, and so the value is.
        lower: Lower bounds (dim,).
        upper: Upper bounds (dim,).
        minimum: Known global minimum on the box.
    """

    def __init__(self, residuals: Residuals, lower: ArrayLike, upper: ArrayLike, minimum: float) -> None:
        super().__init__(lambda x: value_and_grad(residuals, x), lower, upper, minimum)
        self._residuals = residuals

    def values_on(self, points: Tensor) -> Tensor:
        """See ``Objective``; without gradients, for many points in many dimensions take much memory."""
        with torch.no_grad():
            own = torch.from_numpy(self.from_unit(points.cpu().numpy()))
            return (self._residuals(own) ** 2).sum(-1)[None].to(points.device)

    def residuals(self, u: Array) -> tuple[Array, Array]:
        """Residuals (m,) and their Jacobian (m, dim) with respect to the unit box at one of its points (dim,)."""
        r, jacobian = residuals_and_jacobian(self._residuals, self.from_unit(u))
        with np.errstate(over="ignore", invalid="ignore"):
            return r, jacobian * self.half_width


def value_and_grad(residuals: Residuals, x: ArrayLike) -> tuple[Array, Array]:
    """Values (batch,) and gradients (batch, dim) of the sum of squares at ``x`` (batch, dim)."""
    with torch.inference_mode(False), torch.enable_grad():
        points = torch.tensor(np.asarray(x), dtype=torch.float64, device="cpu", requires_grad=True)
        values = (residuals(points) ** 2).sum(-1)
        (gradients,) = torch.autograd.grad(values.sum(), points)
    return values.detach().numpy(), gradients.numpy()


def residuals_and_jacobian(residuals: Residuals, x: ArrayLike) -> tuple[Array, Array]:
    """Residuals (m,) and their Jacobian (m, dim) at one point ``x`` (dim,)."""
    point = torch.tensor(np.asarray(x), dtype=torch.float64, device="cpu")
    with torch.inference_mode(False), torch.enable_grad():
        r = residuals(point[None])[0]
        # Of the k-th copy of the point only the k-th residual counts, so that one backward pass gives all rows.
        copies = point.repeat(len(r), 1).requires_grad_()
        (jacobian,) = torch.autograd.grad(residuals(copies).diagonal().sum(), copies)
    return r.numpy(), jacobian.numpy()


@dataclass(frozen=True, eq=False)
class Fit:
    """A published sum of squares, in its own coordinates.

    Attributes:
        name: Unique in its suite.
        group: Name of the family it is reported under.
        residuals: See ``Residuals``.
        starts: The published starts (k, dim).
        minimizer: A global minimizer (dim,).
        f_min: Its value.
        floor: The least margin of the box.
    """

    name: str
    group: str
    residuals: Residuals
    starts: Array
    minimizer: Array
    f_min: float
    floor: float

    @property
    def box(self) -> tuple[Array, Array]:
        """Lower and upper bounds (dim,), by one rule for every coordinate of every problem.

        The starts and the minimizer lie between ``low`` and ``high``; the box is ``[low - w, high + 3 w]``, where
        ``w`` is the largest of ``high - low``, ``|low|``, ``|high|`` and ``floor``. So they are a fifth or more of
        half the box away from all bounds, and the centre, ``low + w`` or more, is none of them.
        """
        points = np.vstack([self.starts, self.minimizer])
        low, high = points.min(0), points.max(0)
        margin = np.maximum.reduce([high - low, np.abs(low), np.abs(high), np.full(len(low), self.floor)])
        return low - _BELOW * margin, high + _ABOVE * margin

    def objective(self) -> SumOfSquares:
        """The function on the unit box."""
        return SumOfSquares(self.residuals, *self.box, self.f_min)
