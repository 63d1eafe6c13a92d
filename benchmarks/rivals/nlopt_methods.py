"""StoGO (Madsen, Zertchaninov and Žilinskas, 1998), MLSL (Rinnooy Kan and Timmer, 1987) and DIRECT-L, all NLopt's."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.budget import Array, Evaluate
from benchmarks.rivals.relay import relayed


def stogo(evaluate: Evaluate, x0: Array, budget: int, rng: np.random.Generator, *, points: float = 2.0) -> None:
    """Branch and bound with random points, and a descent in each box: ``GD_STOGO_RAND``, again and again.

    It has no use for the start, which costs it one evaluation. ``points`` is how many it draws in a box, for each
    coordinate.
    """
    evaluate(x0)
    _run("GD_STOGO_RAND", evaluate, x0, budget, rng, population=max(1, round(points * len(x0))))


def mlsl(
    evaluate: Evaluate, x0: Array, budget: int, rng: np.random.Generator, *, points: int = 4, ftol: float = 1e-8
) -> None:
    """Multi-level single linkage on Sobol points (Kucherenko and Sytsko, 2005) with L-BFGS: ``GD_MLSL_LDS``.

    Each iteration evaluates so many ``points``, and descends from those that have no better one nearby, the first
    from the start. A descent ends where a step lowers the value by less than ``ftol`` of it; NLopt has no default.
    """
    _run("GD_MLSL_LDS", evaluate, x0, budget, rng, population=points, ftol=ftol)


def direct_l(evaluate: Evaluate, x0: Array, budget: int, rng: np.random.Generator, *, randomized: bool = False) -> None:
    """DIRECT's locally biased form (Gablonsky and Kelley, 2001): ``GN_DIRECT_L``, or ``GN_DIRECT_L_RAND``.

    It has no use for the start, which costs it one evaluation. ``randomized`` draws which of a box's longest sides
    is divided.
    """
    evaluate(x0)
    _run("GN_DIRECT_L_RAND" if randomized else "GN_DIRECT_L", evaluate, x0, budget, rng)


def _run(
    algorithm: str,
    evaluate: Evaluate,
    x0: Array,
    budget: int,
    rng: np.random.Generator,
    *,
    population: int = 0,
    ftol: float | None = None,
) -> None:
    """Runs an algorithm of NLopt until the budget is spent, again if it ends before; a point is evaluated once.

    ``ftol`` is of the L-BFGS that some need.
    """
    import nlopt  # here, so that whoever does not run it need not have it

    known = {x0.tobytes(): evaluate(x0)} if algorithm == "GD_MLSL_LDS" else {}
    with relayed(evaluate) as relay:

        def value(x: Array, gradient: Array) -> float:
            key = x.tobytes()
            if key not in known:
                known[key] = relay(x)
            y, g = known[key]
            gradient[:] = g[: gradient.size]  # empty where none is asked for
            if np.isfinite(y):
                return float(y)
            # Infinity keeps DIRECT busy for ever: it counts as the highest value so far.
            return max((float(other) for other, _ in known.values() if np.isfinite(other)), default=0.0)

        def method(name: str) -> Any:
            made = nlopt.opt(getattr(nlopt, name), len(x0))
            made.set_lower_bounds(-1.0)
            made.set_upper_bounds(1.0)
            return made

        optimizer = method(algorithm)
        optimizer.set_min_objective(value)
        optimizer.set_population(population)
        optimizer.set_maxeval(10 * (budget + 1))  # what is known counts, too
        if ftol is not None:
            local = method("LD_LBFGS")
            local.set_ftol_rel(ftol)
            optimizer.set_local_optimizer(local)
        while True:  # ends with BudgetExhausted
            nlopt.srand(int(rng.integers(2**31)))
            try:
                optimizer.optimize(x0)
            except nlopt.runtime_error:  # its L-BFGS fails where slopes are infinite: another start
                x0 = rng.uniform(-1.0, 1.0, len(x0))
