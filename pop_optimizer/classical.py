"""Classical optimizers beside which POP is shown: SciPy's L-BFGS-B, once or restarted, and dual annealing.

Each is called as ``method(evaluate, x0, budget, rng)`` and minimizes on the unit box [-1, 1]^dim, from the start ``x0``
(dim,), until it is done or ``evaluate`` raises ``BudgetExhausted``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

FTOL = 2.2204460492503131e-09
"""SciPy's tolerance for L-BFGS-B."""

Array = NDArray[np.float64]

Evaluate = Callable[[Array], tuple[float, Array]]
"""What a method sees of a function: a point (dim,) of the unit box -> its value and gradient (dim,)."""


class BudgetExhausted(Exception):  # noqa: N818 - the normal end of a run, not an error
    """No evaluation is left. A method need not catch it: it ends the run."""


def lbfgsb_descent(evaluate: Evaluate, x0: Array, evaluations: int, ftol: float = FTOL) -> None:
    """One descent of SciPy's L-BFGS-B (Byrd, Lu, Nocedal and Zhu, 1995) on the unit box, until it converges.

    Args:
        evaluate: Value and gradient (dim,) at a point (dim,).
        x0: The start (dim,).
        evaluations: After so many it stops, or a few more.
        ftol: It has converged when a step lowers the value by less, relative to the value but for values within
            one of zero.
    """
    optimize.minimize(
        evaluate,
        x0,
        jac=True,
        method="L-BFGS-B",
        bounds=[(-1.0, 1.0)] * len(x0),
        options={"maxiter": evaluations, "maxfun": evaluations, "ftol": ftol},
    )


def lbfgsb(evaluate: Evaluate, x0: Array, budget: int, rng: np.random.Generator, *, ftol: float = FTOL) -> None:
    """One descent from the start, until it converges or the budget is spent; see ``lbfgsb_descent``."""
    lbfgsb_descent(evaluate, x0, budget + 1, ftol)


def lbfgsb_restarts(
    evaluate: Evaluate, x0: Array, budget: int, rng: np.random.Generator, *, ftol: float = FTOL
) -> None:
    """Descents until the budget is spent: the first from the start, the others from uniformly random points."""
    while True:  # ends with BudgetExhausted: each descent evaluates at least its first point
        lbfgsb(evaluate, x0, budget, rng, ftol=ftol)
        x0 = rng.uniform(-1.0, 1.0, len(x0))


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
    """Generalized simulated annealing (Xiang, Sun, Fan and Gong, 1997), with a descent from each new best point.

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
