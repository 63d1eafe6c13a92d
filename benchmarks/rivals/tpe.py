"""Tree-structured Parzen estimator (Bergstra et al., 2011), Optuna's implementation."""

from __future__ import annotations

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution

from benchmarks.budget import Array, Evaluate


def tpe(
    evaluate: Evaluate,
    x0: Array,
    budget: int,
    rng: np.random.Generator,
    *,
    n_startup_trials: int = 10,
    n_ei_candidates: int = 24,
) -> None:
    """Optuna's sampler, its defaults.

    Before the estimator takes over there are ``n_startup_trials`` random trials, the start among them. Then the next
    point is chosen from ``n_ei_candidates``.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it would report every run
    sampler = optuna.samplers.TPESampler(
        n_startup_trials=n_startup_trials, n_ei_candidates=n_ei_candidates, seed=int(rng.integers(2**31))
    )
    study = optuna.create_study(sampler=sampler)
    coordinates = [f"x{i}" for i in range(len(x0))]
    box: dict[str, BaseDistribution] = {name: FloatDistribution(-1.0, 1.0) for name in coordinates}
    study.enqueue_trial(dict(zip(coordinates, x0.tolist(), strict=True)))
    while True:  # ends with BudgetExhausted
        trial = study.ask(box)
        study.tell(trial, evaluate(np.array([trial.params[name] for name in coordinates]))[0])
