"""BADS, Bayesian adaptive direct search (Acerbi and Ma, 2017), its authors' implementation, PyBADS."""

from __future__ import annotations

import warnings

import numpy as np

from benchmarks.budget import Array, Evaluate, finite_values
from benchmarks.rivals.global_generator import lent


def bads(evaluate: Evaluate, x0: Array, budget: int, rng: np.random.Generator) -> None:
    """Polls a mesh and searches with a Gaussian process, until the budget is spent; again, from a random point.

    It is told the box, and that the function is exact: what it would spend to find out is no part of the method. It
    begins at the point of its mesh that is nearest to the start, so that the start itself costs one evaluation.
    """
    import pybads

    value = finite_values(evaluate)
    value(x0)
    low, high = -np.ones(len(x0)), np.ones(len(x0))
    options = {"display": "off", "show_tips": False, "uncertainty_handling": False, "max_fun_evals": budget + 2}
    with lent(rng), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        while True:  # ends with BudgetExhausted
            seeded = {**options, "random_seed": int(rng.integers(2**31))}
            pybads.BADS(value, x0, low, high, low, high, options=seeded).optimize()
            x0 = rng.uniform(-1.0, 1.0, len(x0))
