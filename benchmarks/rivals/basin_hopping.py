"""Basin hopping (Wales and Doye, 1997), SciPy's implementation."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import basinhopping

from benchmarks.budget import Array, Evaluate


def basin_hopping(
    evaluate: Evaluate,
    x0: Array,
    budget: int,
    rng: np.random.Generator,
    *,
    step_size: float = 0.5,
    temperature: float = 1.0,
) -> None:
    """Random displacements of up to ``step_size`` in each coordinate, each followed by a descent of L-BFGS-B.

    A minimum that lies higher than the last one is accepted with the Metropolis probability at ``temperature``,
    which is in the function's own units.
    """
    descent: Any = {"method": "L-BFGS-B", "jac": True, "bounds": [(-1.0, 1.0)] * len(x0)}
    basinhopping(
        evaluate,  # type: ignore[arg-type]  # the stubs do not know of jac=True
        x0,
        niter=budget + 1,  # more than the budget allows
        stepsize=step_size,
        T=temperature,
        minimizer_kwargs=descent,
        rng=rng,
    )
