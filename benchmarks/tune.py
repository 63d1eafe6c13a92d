"""Tunes rivals on the priors' validation functions: ``python -m benchmarks.tune``.

No function of the benchmark plays a part in it. Each rival has the same number of trials, the first of them
its default settings. What is found stands in ``tuned.json``, with all trials and the command that made them.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import optuna
import pandas as pd
import torch
import tyro
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from rich.console import Console
from rich.table import Table

from agents.training.command_line import command
from benchmarks.analysis import with_measures
from benchmarks.isolation import ProcessDied
from benchmarks.jobs import run_jobs
from benchmarks.problems import Problem, validation_problems
from benchmarks.rivals import RIVALS
from benchmarks.run import run_once
from benchmarks.sweep import Method
from pop_envs.objectives.priors import PRIORS
from pop_optimizer.checkpoint import write_atomically

_log = partial(FloatDistribution, log=True)
_LEARNING_RATE = _log(1e-4, 1.0)

SPACES: dict[str, dict[str, BaseDistribution]] = {
    "gradient_descent": {"learning_rate": _LEARNING_RATE},
    "momentum": {"learning_rate": _LEARNING_RATE, "momentum": FloatDistribution(0.0, 0.99)},
    "rmsprop": {"learning_rate": _LEARNING_RATE, "alpha": FloatDistribution(0.5, 0.999)},
    "adam": {
        "learning_rate": _LEARNING_RATE,
        "beta1": FloatDistribution(0.0, 0.99),
        "beta2": FloatDistribution(0.9, 0.9999),
    },
    "lbfgsb_restarts": {"ftol": _log(1e-12, 1e-2)},
    "basin_hopping": {"step_size": _log(0.05, 2.0), "temperature": _log(1e-4, 1e2)},
    "dual_annealing": {
        "initial_temp": _log(0.02, 5e4),
        "visit": FloatDistribution(1.1, 2.9),
        "local_search": CategoricalDistribution((True, False)),
    },
    "stogo": {"points": FloatDistribution(0.5, 8.0)},
    "mlsl": {"points": IntDistribution(1, 32, log=True), "ftol": _log(1e-12, 1e-2)},
    "tiktak": {"share": FloatDistribution(0.04, 0.6), "kept": FloatDistribution(0.1, 1.0)},
    "scatter_search": {
        "share": FloatDistribution(0.08, 0.6),
        "threshold_factor": FloatDistribution(0.01, 1.0),
        "distance_factor": FloatDistribution(0.01, 1.0),
    },
    "nelder_mead": {"simplex_size": _log(0.02, 1.5)},
    "bobyqa": {"radius": _log(0.02, 0.9)},
    "direct": {"eps": _log(1e-6, 1e-1), "locally_biased": CategoricalDistribution((True, False))},
    "direct_l": {"randomized": CategoricalDistribution((True, False))},
    "cma_es": {"sigma0": _log(0.05, 1.0), "population": _log(0.5, 3.0)},
    "differential_evolution": {
        "share": FloatDistribution(0.1, 0.6),
        "mutation": FloatDistribution(0.3, 1.2),
        "dither": FloatDistribution(0.0, 0.3),
        "recombination": FloatDistribution(0.1, 1.0),
    },
    "genetic_algorithm": {
        "share": FloatDistribution(0.08, 0.6),
        "crossover_eta": _log(1.0, 30.0),
        "mutation_eta": _log(1.0, 30.0),
    },
    "tpe": {"n_startup_trials": IntDistribution(2, 30), "n_ei_candidates": IntDistribution(8, 256, log=True)},
}
"""What is tuned, as keywords of the rival."""


TUNED_ON = ("gp", "wide", "plain")
"""The priors whose validation functions rivals are tuned on: those that POP learns on too."""


@dataclass(frozen=True)
class Tuning:
    """Lowers the mean log10 regret over all priors' validation functions.

    Attributes:
        functions: Number of validation functions of each prior.
        trials: Number of settings tried for each rival, the default ones included.
        methods: Rivals to tune.
        dim: Dimension of the functions.
        budget: Number of steps T.
        seed: Of the starts, the rivals and the search.
        jobs: Number of processes, each with a rival at a time; -1 is one per core.
        out: File that takes what is found; rivals that are not tuned now keep what it has of them.
    """

    functions: int = 128
    trials: int = 32
    methods: tuple[str, ...] = tuple(SPACES)
    dim: int = 2
    budget: int = 50
    seed: int = 0
    jobs: int = -1
    out: Path = Path(__file__).parent / "tuned.json"

    def __post_init__(self) -> None:
        unknown = [name for name in self.methods if name not in SPACES]
        if unknown or not self.methods:
            raise ValueError(f"methods must be some of {', '.join(SPACES)}, got {', '.join(unknown) or 'none'}")
        if min(self.functions, self.trials, self.dim, self.budget) < 1 or self.seed < 0 or self.jobs == 0:
            raise ValueError(
                "functions, trials, dim, budget and jobs must be at least 1 (jobs may be -1) and the seed at least 0, "
                f"got functions={self.functions}, trials={self.trials}, dim={self.dim}, budget={self.budget}, "
                f"jobs={self.jobs}, seed={self.seed}"
            )

    def command(self, name: str) -> str:
        """The command that finds what is found for a rival, whatever it is tuned beside."""
        settings = ("functions", "trials", "dim", "budget", "seed")
        values = " ".join(f"--{key} {getattr(self, key)}" for key in settings)
        return f"python -m benchmarks.tune --methods {name} {values}"


class Trial(NamedTuple):
    """Settings of a rival, and the mean log10 regret that they have."""

    settings: dict[str, Any]
    score: float


def score(name: str, settings: dict[str, Any], problems: Sequence[Problem], budget: int, seed: int) -> float:
    """The mean log10 regret of a rival that runs once on each problem.

    Raises:
        RuntimeError: If a run failed.
    """
    method = Method(name, RIVALS[name], settings, settings)
    runs = with_measures(pd.DataFrame([run_once(method, problem, 0, budget, seed) for problem in problems]))
    failed = runs.loc[runs["error"] != "", "error"]
    if len(failed):
        raise RuntimeError(f"{name} failed with {settings}: {failed.iloc[0]}")
    return round(float(runs["log10_regret"].mean()), 4)


def default_settings(name: str) -> dict[str, Any]:
    """What the keywords of a rival's space are where nobody sets them."""
    parameters = inspect.signature(RIVALS[name]).parameters
    return {keyword: parameters[keyword].default for keyword in SPACES[name]}


def search(tuning: Tuning, name: str) -> list[Trial]:
    """All trials of a rival, the default settings first."""
    torch.set_num_threads(1)  # one thread a process: more would fight over the cores, and could round differently
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    problems = [
        problem for name in TUNED_ON for problem in validation_problems(PRIORS[name](), tuning.functions, tuning.dim)
    ]
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=tuning.seed))
    default = default_settings(name)
    trials = [Trial(default, score(name, default, problems, tuning.budget, tuning.seed))]
    with suppress(ValueError):  # a default that lies outside of the space has nothing to tell about it
        first = optuna.create_trial(params=default, distributions=SPACES[name], value=trials[0].score)
        study.add_trial(first)
    while len(trials) < tuning.trials:
        asked = study.ask(SPACES[name])
        settings = {keyword: _short(value) for keyword, value in asked.params.items()}
        # Few settings repeat, and their runs would be the same.
        known = [trial.score for trial in trials if trial.settings == settings]
        trials.append(Trial(settings, *(known[:1] or [score(name, settings, problems, tuning.budget, tuning.seed)])))
        study.tell(asked, trials[-1].score)
    return trials


def _short(value: Any) -> Any:
    """Three digits of a number: no setting needs more."""
    return float(f"{value:.3g}") if isinstance(value, float) else value


def best(trials: Sequence[Trial]) -> Trial:
    """The lowest score; among equals the earliest, so that the default gives way to nothing but an improvement."""
    return min(trials, key=lambda trial: trial.score)


def tune(tuning: Tuning, console: Console | None = None) -> dict[str, list[Trial]]:
    """Searches for each rival's settings and keeps each in ``tuning.out`` as it is found.

    Args:
        tuning: What to tune.
        console: Where the progress bar is drawn; None draws none.

    Returns:
        The trials of each rival.

    Raises:
        RuntimeError: If a rival failed, or the process that tuned it died.
    """
    names = tuple(dict.fromkeys(tuning.methods))
    found: dict[str, list[Trial]] = {}
    run = partial(search, tuning)
    for name, trials in run_jobs("tuning", run, names, total=len(names), processes=tuning.jobs, console=console):
        if isinstance(trials, ProcessDied):
            raise RuntimeError(f"{name} could not be tuned: {trials}")
        found[name] = trials
        _keep(tuning, name, trials)
    return {name: found[name] for name in names}


def _keep(tuning: Tuning, name: str, trials: Sequence[Trial]) -> None:
    """Replaces what ``tuning.out`` has of a rival."""
    record = json.loads(tuning.out.read_text("utf-8")) if tuning.out.exists() else {"settings": {}, "searches": {}}
    record["settings"][name] = best(trials).settings
    record["searches"][name] = {
        "command": tuning.command(name),
        "default_score": trials[0].score,
        "score": best(trials).score,
        "trials": [trial._asdict() for trial in trials],
    }
    # In the order of the spaces, whichever ended first.
    ordered = {part: {key: entries[key] for key in SPACES if key in entries} for part, entries in record.items()}
    write_atomically(tuning.out, json.dumps(ordered, indent=2).encode() + b"\n")


def main() -> None:
    """Tunes with the settings of the command line, and prints what it is worth."""
    console = Console()
    with command(console):
        tuning = tyro.cli(Tuning, description="Tunes rivals on the validation functions of all priors.")
        found = tune(tuning, console)
    table = Table("method", "default", "tuned", "settings", title="mean log10 regret")
    for name, trials in found.items():
        chosen = best(trials)
        settings = ", ".join(f"{keyword}={value}" for keyword, value in chosen.settings.items())
        table.add_row(name, f"{trials[0].score:.3f}", f"{chosen.score:.3f}", settings)
    console.print(table)


if __name__ == "__main__":
    main()
