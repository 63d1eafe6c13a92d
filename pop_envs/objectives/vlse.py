"""The 47 VLSE test functions as problems to solve: ``problem("ackley", dim=5)``, with box, minimum and minimizers.

The formulas stand in ``vlse_formulas``.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from pop_envs.objectives.base import BoxObjective
from pop_envs.objectives.vlse_formulas import FUNCTIONS, Fact, Formula, Function


@dataclass(frozen=True, eq=False)
class Problem:
    """One function in one dimension, in its own coordinates. Arrays are read-only float64.

    Attributes:
        name: Its name, one of ``names()``.
        group: The group it has on the VLSE site.
        dim: Number of coordinates.
        lower: Lower bounds (dim,).
        upper: Upper bounds (dim,).
        f_min: Global minimum on the box.
        minimizers: Known global minimizers (k, dim); the Perm functions have further ones from dim 3 on.
        smooth: False for the four functions with kinks or infinite slopes along curves.
        formula: Values (batch,) of float64 tensors (batch, dim), differentiable.
    """

    name: str
    group: str
    dim: int
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    f_min: float
    minimizers: NDArray[np.float64]
    smooth: bool
    formula: Formula

    def value_and_grad(self, x: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Values (batch,) and gradients (batch, dim) at the points ``x`` (batch, dim).

        Both are finite on the whole box. At a kink, a term |s| has slope 0; where sqrt(s) is infinitely steep, too.

        Raises:
            ValueError: If ``x`` is not of shape (batch, dim).
        """
        array = np.array(x, dtype=np.float64)
        if array.ndim != 2 or array.shape[1] != self.dim:
            raise ValueError(
                f"{self.name}: x must have shape (batch, {self.dim}), got {array.shape}; use x[None] for one point"
            )
        # Callers may run under no_grad or inference_mode; leaving the latter also switches gradients on.
        with torch.inference_mode(False):
            points = torch.from_numpy(array).requires_grad_()
            values = self.formula(points)
            (gradients,) = torch.autograd.grad(values.sum(), points)
        return values.detach().numpy(), gradients.numpy()

    def objective(self) -> BoxObjective:
        """The function on the unit box, for the environments and the optimizer."""
        return BoxObjective(self.value_and_grad, self.lower, self.upper, minimum=self.f_min)


def names(*, smooth: bool | None = None) -> tuple[str, ...]:
    """Names of the functions, in the order of the VLSE site's groups.

    Args:
        smooth: True for the 43 smooth ones, False for the 4 others, None for all 47.
    """
    return tuple(name for name, function in FUNCTIONS.items() if smooth in (None, function.smooth))


def problem(name: str, dim: int | None = None) -> Problem:
    """One of the 47 functions.

    Args:
        name: One of ``names()``.
        dim: Number of coordinates; by default the only one, or 2 where the function scales (4 for Powell).

    Raises:
        ValueError: If there is no function of this name, or none in this dimension.
    """
    known = function(name)
    dim = known.dims.default if dim is None else dim
    if not (isinstance(dim, Integral) and known.dims.allows(dim)):
        raise ValueError(
            f"{name}: dim must be an integer, {known.dims.rule}, got {dim!r}; "
            f"leave it out for the default {known.dims.default}"
        )
    box = np.broadcast_to(_in_dim(known.box, dim), (dim, 2))
    minimizers = np.atleast_2d(_in_dim(known.minimizers, dim))
    return Problem(
        name=name,
        group=known.group,
        dim=int(dim),
        lower=_read_only(box[:, 0]),
        upper=_read_only(box[:, 1]),
        f_min=float(_in_dim(known.f_min, dim)),
        minimizers=_read_only(np.broadcast_to(minimizers, (len(minimizers), dim))),
        smooth=known.smooth,
        formula=known.formula,
    )


def function(name: str) -> Function:
    """The formula of that name, and what is known about it in any dimension.

    Raises:
        ValueError: If there is none.
    """
    if name not in FUNCTIONS:
        close = difflib.get_close_matches(name, FUNCTIONS)
        hint = f"did you mean {' or '.join(close)}?" if close else "pop_envs.objectives.vlse.names() lists them"
        raise ValueError(f"name must be one of the {len(FUNCTIONS)} VLSE functions, got {name!r}; {hint}")
    return FUNCTIONS[name]


def _in_dim(fact: Fact, dim: int) -> NDArray[np.float64]:
    return np.asarray(fact(dim) if callable(fact) else fact, dtype=np.float64)


def _read_only(array: NDArray[np.float64]) -> NDArray[np.float64]:
    copy = array.copy()
    copy.flags.writeable = False
    return copy
