"""Nonlinear least squares with a trust region (Branch, Coleman and Li, 1999), SciPy's implementation."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import optimize
from scipy.sparse import csr_array

from benchmarks.budget import Array, EvaluateResiduals

_SPARSE = 100  # coordinates from which on a factorization would be slower than an iterative solver


def least_squares(evaluate: EvaluateResiduals, x0: Array, budget: int, rng: np.random.Generator) -> None:
    """One descent from the start with SciPy's settings, until it converges or the budget is spent.

    Unlike all other rivals it sees residuals and their Jacobian.
    """
    jacobian = np.empty(0)

    def residuals(x: Array) -> Array:
        nonlocal jacobian
        r, jacobian = evaluate(x)
        return r

    def at_the_same_point(x: Array) -> Any:
        """SciPy asks for the Jacobian only where it has just asked for the residuals."""
        return csr_array(jacobian) if len(x) > _SPARSE else jacobian

    optimize.least_squares(
        residuals,
        x0,
        at_the_same_point,
        bounds=(-1.0, 1.0),
        method="trf",
        max_nfev=budget + 1,
    )
