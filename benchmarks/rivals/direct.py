"""DIRECT (Jones, Perttunen and Stuckman, 1993) and its locally biased form (Gablonsky and Kelley, 2001), SciPy's."""

from __future__ import annotations

import numpy as np
from scipy import optimize

from benchmarks.budget import Array, Evaluate, values_only


def direct(
    evaluate: Evaluate,
    x0: Array,
    budget: int,
    rng: np.random.Generator,
    *,
    eps: float = 1e-4,
    locally_biased: bool = True,
) -> None:
    """Divides the box into ever smaller ones, beginning at its centre, until the budget is spent.

    It has no use for the start, which costs it one evaluation. Where the centre is the minimum, it finds it
    with the next one. ``eps`` is the least improvement, relative to the best value, that a box must promise.
    """
    evaluate(x0)
    optimize.direct(
        values_only(evaluate),
        bounds=optimize.Bounds(np.full(len(x0), -1.0), np.full(len(x0), 1.0)),
        eps=eps,
        locally_biased=locally_biased,
        maxfun=budget + 1,  # more than the budget allows
        maxiter=budget + 1,
        vol_tol=0.0,  # no box is too small to be divided: the budget is spent
        len_tol=0.0,
    )
