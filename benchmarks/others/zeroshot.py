"""The 20 functions on which Meindl et al. (2025), "ZeroShotOpt", report: 19 of VLSE's, and BoTorch's Cosine8.

Which function in which dimension stands in the paper's published list. Its model and its curves are not here: the one
is on a file host without a licence, and the others are published as figures.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pop_envs.objectives.base import BoxObjective

Array = NDArray[np.float64]

BUDGETS = (20, 30, 40, 50)
"""Evaluations at which it reports."""

FIXED = {
    **dict.fromkeys(("beale", "branin", "bukin_n6", "drop_wave", "eggholder", "holder_table", "six_hump_camel"), (2,)),
    "three_hump_camel": (2,),
    "hartmann_3d": (3,),
    "hartmann_4d": (4,),
    "hartmann_6d": (6,),
    "shekel": (4,),
    "powell": (4, 8),
    "cosine_8": (8,),
}
"""Functions in some dimensions only; Hartmann's three count as one."""
SCALING = ("ackley", "dixon_price", "griewank", "levy", "michalewicz", "rastrigin", "rosenbrock", "styblinski_tang")
"""Functions in 2 to 20 dimensions."""


def functions(dim: int) -> tuple[str, ...]:
    """Names of the functions in that dimension."""
    scaling = SCALING if 2 <= dim <= 20 else ()
    return (*scaling, *(name for name, dims in FIXED.items() if dim in dims))


def cosine_8() -> BoxObjective:
    """The sum of x^2 - cos(5 pi x) / 10 over eight coordinates, on [-1, 1]^8; its minimum is -0.8, at 0."""

    def value_and_grad(x: Array) -> tuple[Array, Array]:
        turns = 5.0 * np.pi * x
        return (x**2 - 0.1 * np.cos(turns)).sum(-1), 2.0 * x + 0.5 * np.pi * np.sin(turns)

    return BoxObjective(value_and_grad, -np.ones(8), np.ones(8), -0.8)
