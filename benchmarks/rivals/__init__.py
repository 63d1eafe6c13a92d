"""The methods that are compared, all behind one interface.

A rival is a function ``rival(evaluate, x0, budget, rng, **settings)``. It minimizes on the unit box
[-1, 1]^dim: it evaluates the start ``x0`` (dim,) first and goes on for as long as it likes. After
``budget`` more evaluations ``evaluate`` raises ``BudgetExhausted``, which ends the run. What it found
is known from the evaluations, so it returns nothing. All its randomness comes from ``rng``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import resources
from typing import Any

from benchmarks.rivals.adam import adam
from benchmarks.rivals.cma_es import cma_es
from benchmarks.rivals.differential_evolution import differential_evolution
from benchmarks.rivals.gradient_descent import gradient_descent
from benchmarks.rivals.lbfgsb import lbfgsb, lbfgsb_restarts
from benchmarks.rivals.pop import pop
from benchmarks.rivals.random_search import random_search

Rival = Callable[..., None]

RIVALS: dict[str, Rival] = {
    "random_search": random_search,
    "gradient_descent": gradient_descent,
    "adam": adam,
    "lbfgsb": lbfgsb,
    "lbfgsb_restarts": lbfgsb_restarts,
    "cma_es": cma_es,
    "differential_evolution": differential_evolution,
    "pop": pop,
}


def tuned(name: str) -> dict[str, Any]:
    """The settings that ``python -m benchmarks.tune`` found for a rival; empty where nothing is tuned."""
    found = json.loads(resources.files("benchmarks").joinpath("tuned.json").read_text("utf-8"))
    settings: dict[str, Any] = found["settings"].get(name, {})
    return settings
