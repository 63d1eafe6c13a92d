"""NGOpt (Liu et al., 2020), Nevergrad's choice among its methods by dimension and budget."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
from cma.options_parameters import cma_default_options

from benchmarks.budget import Array, Evaluate
from benchmarks.rivals.global_generator import lent


def ngopt(evaluate: Evaluate, x0: Array, budget: int, rng: np.random.Generator) -> None:
    """Nevergrad's own choice, which knows the bounds and the budget."""
    with _generators_of_its_own(rng), _metamodel_repaired(), warnings.catch_warnings():
        import nevergrad as ng  # here, because it takes a second and draws random numbers

        # It says when it clips a value, and when a method has converged and random points follow.
        warnings.simplefilter("ignore", ng.errors.NevergradWarning)
        warnings.filterwarnings("ignore", "COBYLA: Invalid")  # it asks SciPy for a tolerance of 0 and few evaluations

        box = ng.p.Array(init=x0, lower=-1.0, upper=1.0)
        box.random_state = np.random.RandomState(rng.integers(2**32, dtype=np.uint32))
        method = ng.optimizers.NGOpt(box, budget=budget + 1)
        y0, _ = evaluate(x0)
        candidate, value = box.spawn_child(new_value=x0), y0
        finite: list[float] = []
        while True:  # ends with BudgetExhausted
            if np.isfinite(value):
                finite.append(value)
            # An infinite value becomes the highest so far; before any, it becomes Nevergrad's limit of 5e20.
            method.tell(candidate, value if np.isfinite(value) else max(finite, default=value))
            candidate = method.ask()
            # COBYLA begins with the start again: its value is known.
            value = y0 if np.array_equal(candidate.value, x0) else evaluate(candidate.value)[0]


@contextmanager
def _generators_of_its_own(rng: np.random.Generator) -> Iterator[None]:
    """Some of its methods draw from NumPy's global generator, and so does its CMA-ES, in a thread, seeded by time."""
    with lent(rng), patch.dict(cma_default_options, seed=np.nan, randn=lambda *shape: rng.standard_normal(shape)):
        yield


@contextmanager
def _metamodel_repaired() -> Iterator[None]:
    """Its quadratic model needs two things to work, and to do the same on a busy machine."""
    from nevergrad.optimization import metamodel

    # Nevergrad 1.0.12 takes the float of an array of one prediction, which NumPy 2.4 forbids (its issue 1612).
    conversion = patch.object(metamodel, "float", lambda prediction: prediction.item(), create=True)
    # It minimizes the model for at most 20 seconds; the number of evaluations is limited, too.
    early_stopping = metamodel.callbacks.EarlyStopping
    no_timer = patch.object(early_stopping, "timer", lambda _: early_stopping(lambda _: False))
    with conversion, no_timer:
        yield
