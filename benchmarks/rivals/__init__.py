"""The methods that are compared, all behind one interface.

A rival is a function ``rival(evaluate, x0, budget, rng, **settings)``. It minimizes on the unit box
[-1, 1]^dim: it evaluates the start ``x0`` (dim,) first and goes on for as long as it likes. After
``budget`` more evaluations ``evaluate`` raises ``BudgetExhausted``, which ends the run. What it found
is known from the evaluations, so it returns nothing. All its randomness comes from ``rng``.

Rivals in ``LEAST_SQUARES`` are for sums of squares alone: their ``evaluate`` tells residuals and Jacobian instead.

A rival of one's own is a file with a function of the file's name, and ``GRADIENT_FREE = True`` in it where
that is so; ``python -m benchmarks.run --plugin FILE`` runs it beside these.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.isolation import ProcessDied, run_isolated
from benchmarks.rivals.bads import bads
from benchmarks.rivals.basin_hopping import basin_hopping
from benchmarks.rivals.bayesian_optimization import bayesian_optimization
from benchmarks.rivals.bobyqa import bobyqa
from benchmarks.rivals.cma_es import cma_es
from benchmarks.rivals.differential_evolution import differential_evolution
from benchmarks.rivals.direct import direct
from benchmarks.rivals.first_order import adam, gradient_descent, momentum, rmsprop
from benchmarks.rivals.genetic_algorithm import genetic_algorithm
from benchmarks.rivals.gradient_bayesian_optimization import gradient_bayesian_optimization
from benchmarks.rivals.least_squares import least_squares
from benchmarks.rivals.nelder_mead import nelder_mead
from benchmarks.rivals.ngopt import ngopt
from benchmarks.rivals.nlopt_methods import direct_l, mlsl, stogo
from benchmarks.rivals.pop import pop
from benchmarks.rivals.random_search import random_search
from benchmarks.rivals.rover_descent import rover_descent
from benchmarks.rivals.scatter_search import scatter_search
from benchmarks.rivals.tiktak import tiktak
from benchmarks.rivals.tpe import tpe
from pop_optimizer.classical import dual_annealing, lbfgsb, lbfgsb_restarts

Rival = Callable[..., None]

_LOADING = 120.0  # seconds that a plugin's file may take to load

GRADIENT_FREE = frozenset(
    {
        *("random_search", "nelder_mead", "direct", "cma_es", "differential_evolution"),
        *("genetic_algorithm", "tpe", "bayesian_optimization", "ngopt", "rover_descent", "direct_l", "bobyqa", "bads"),
    }
)
"""Rivals that never look at a gradient: the strict comparison gives them twice the values."""

SLOW = frozenset({"bayesian_optimization", "gradient_bayesian_optimization"})
"""Rivals with more than twenty milliseconds a step: they run from fewer starts."""

RIVALS: dict[str, Rival] = {
    "random_search": random_search,
    "gradient_descent": gradient_descent,
    "momentum": momentum,
    "rmsprop": rmsprop,
    "adam": adam,
    "lbfgsb": lbfgsb,
    "lbfgsb_restarts": lbfgsb_restarts,
    "basin_hopping": basin_hopping,
    "dual_annealing": dual_annealing,
    "stogo": stogo,
    "mlsl": mlsl,
    "tiktak": tiktak,
    "scatter_search": scatter_search,
    "nelder_mead": nelder_mead,
    "bobyqa": bobyqa,
    "bads": bads,
    "direct": direct,
    "direct_l": direct_l,
    "cma_es": cma_es,
    "differential_evolution": differential_evolution,
    "genetic_algorithm": genetic_algorithm,
    "tpe": tpe,
    "ngopt": ngopt,
    "bayesian_optimization": bayesian_optimization,
    "gradient_bayesian_optimization": gradient_bayesian_optimization,
    "rover_descent": rover_descent,
    "pop": pop,
}

LEAST_SQUARES: dict[str, Rival] = {"least_squares": least_squares}
"""Rivals that see residuals, which is more than a value with its gradient: they run where they are named."""


@dataclass(frozen=True)
class Plugin:
    """A rival that is loaded from a Python file when it is called, so that it can be sent to other processes."""

    path: Path

    def __call__(self, *args: Any, **settings: Any) -> None:
        """See the module."""
        getattr(_module(self.path), self.path.stem)(*args, **settings)

    def gradient_free(self) -> bool:
        """Whether the file says so.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it cannot be loaded, or holds no function of its own name.
        """
        if not self.path.is_file():
            raise FileNotFoundError(f"--plugin must be a Python file, and there is no {self.path}")
        (found,) = run_isolated(_declared, [self.path], _LOADING)
        if isinstance(found, ProcessDied):
            raise ValueError(f"--plugin must be a Python file that loads, and {self.path} does not: {found}")
        callable_, gradient_free = found
        if not callable_:
            raise ValueError(f"{self.path} must define a function {self.path.stem}(evaluate, x0, budget, rng)")
        return gradient_free


def _declared(path: Path) -> tuple[bool, bool]:
    """Whether a plugin's file has its function, and whether it says that this never looks at a gradient."""
    module = _module(path)
    return callable(getattr(module, path.stem, None)), bool(getattr(module, "GRADIENT_FREE", False))


@lru_cache(maxsize=64)
def _module(path: Path) -> ModuleType:
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"--plugin must be a Python file, got {path}")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def knows_residuals(methods: Iterable[str]) -> str:
    """What is to be said wherever results of these methods are shown: who saw more than the others; may be empty."""
    named = [method for method in methods if method in LEAST_SQUARES]
    return f"{', '.join(named)} sees the residuals and their Jacobian, which no other method does." if named else ""


def method_names() -> tuple[str, ...]:
    """Each rival, which runs with its default settings, and "<rival>-tuned" where tuning found others for it."""
    return tuple(method for name in RIVALS for method in (name, *([f"{name}-tuned"] if tuned(name) else [])))


def tuned(name: str) -> dict[str, Any]:
    """The settings that ``python -m benchmarks.tune`` found for a rival; empty where nothing is tuned."""
    found = json.loads(resources.files("benchmarks").joinpath("tuned.json").read_text("utf-8"))
    settings: dict[str, Any] = found["settings"].get(name, {})
    return settings
