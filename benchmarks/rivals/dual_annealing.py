"""Dual annealing (Xiang, Sun, Fan and Gong, 1997), SciPy's implementation."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import optimize

from benchmarks.budget import Array, Evaluate


def dual_annealing(
    evaluate: Evaluate,
    x0: Array,
    budget: int,
    rng: np.random.Generator,
    *,
    initial_temp: float = 5230.0,
    visit: float = 2.62,
    local_search: bool = True,
) -> None:
    """Generalized simulated annealing with a descent of L-BFGS-B from each new best point.

    The descents are given the gradients, which come with the values at no further cost; SciPy would spend
    a value per coordinate on each. So it counts as a method with gradients, though annealing itself, which is
    all that is left without ``local_search``, looks at values only.
    """
    gradients: dict[bytes, Array] = {}  # SciPy asks for a gradient where it has asked for the value

    def value(x: Array) -> float:
        y, gradients[x.tobytes()] = evaluate(x)
        return y

    bounds = [(-1.0, 1.0)] * len(x0)
    descent: Any = {"method": "L-BFGS-B", "jac": lambda x: gradients[x.tobytes()], "bounds": bounds}
    with np.errstate(over="ignore", invalid="ignore"):  # in steps that it draws from tails without moments
        optimize.dual_annealing(
            value,
            bounds=bounds,
            x0=x0,
            maxiter=budget + 1,  # more than the budget allows
            initial_temp=initial_temp,
            visit=visit,
            no_local_search=not local_search,
            minimizer_kwargs=descent,
            rng=rng,
        )
