"""Tunes the first-order rivals' learning rates on the priors' validation functions: ``python -m benchmarks.tune``.

The 47 functions play no part in it. What it finds stands in ``tuned.json``, with the settings that found it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.analysis import with_measures
from benchmarks.problems import Problem, validation_problems
from benchmarks.rivals import RIVALS
from benchmarks.run import run_once
from benchmarks.sweep import Method
from pop_envs.prior import PRIORS

TUNED_METHODS = ("gradient_descent", "adam")


@dataclass(frozen=True)
class Tuning:
    """A log-spaced grid of learning rates, judged by the mean NI over both priors' validation functions.

    Attributes:
        functions: Number of validation functions of each prior.
        dim: Their dimension.
        budget: Number of steps T.
        lowest: Lowest learning rate, in half widths of the box.
        highest: Highest learning rate.
        points: Number of learning rates, log-spaced.
        seed: Seed of the starts.
        out: Where the tuned values are written.
    """

    functions: int = 128
    dim: int = 2
    budget: int = 50
    lowest: float = 1e-3
    highest: float = 1.0
    points: int = 13
    seed: int = 0
    out: Path = Path(__file__).parent / "tuned.json"

    def __post_init__(self) -> None:
        if not (0 < self.lowest <= self.highest and self.points >= 1 and self.functions >= 1):
            raise ValueError(
                "expected 0 < lowest <= highest, points >= 1 and functions >= 1, got "
                f"lowest={self.lowest}, highest={self.highest}, points={self.points}, functions={self.functions}"
            )


class Score(NamedTuple):
    """How a learning rate did, as means over the validation functions."""

    learning_rate: float
    ni: float
    log10_regret: float


def score(name: str, learning_rate: float, problems: Sequence[Problem], budget: int, seed: int) -> Score:
    """Runs a rival once on each problem."""
    method = Method(name, RIVALS[name], {"learning_rate": learning_rate}, {})
    runs = with_measures(pd.DataFrame([run_once(method, problem, 0, budget, seed) for problem in problems]))
    failed = runs.loc[runs["error"] != "", "error"]
    if len(failed):
        raise RuntimeError(f"{name} failed with learning rate {learning_rate}: {failed.iloc[0]}")
    return Score(learning_rate, round(float(runs["ni"].mean()), 4), round(float(runs["log10_regret"].mean()), 3))


def best(scores: Sequence[Score]) -> Score:
    """The highest NI; among equals (to the digits kept) the lowest regret."""
    return max(scores, key=lambda s: (s.ni, -s.log10_regret))


def tune(tuning: Tuning) -> dict[str, list[Score]]:
    """The scores of the whole grid, by method."""
    problems = [
        problem for prior in PRIORS.values() for problem in validation_problems(prior(), tuning.functions, tuning.dim)
    ]
    grid = [float(f"{rate:.3g}") for rate in np.geomspace(tuning.lowest, tuning.highest, tuning.points)]
    jobs = track([(name, rate) for name in TUNED_METHODS for rate in grid], "tuning")
    found: dict[str, list[Score]] = {name: [] for name in TUNED_METHODS}
    for name, rate in jobs:
        found[name].append(score(name, rate, problems, tuning.budget, tuning.seed))
    return found


def main() -> None:
    """Tunes with the settings of the command line and writes the tuned values."""
    tuning = tyro.cli(Tuning, description="Tunes learning rates on the validation functions of both priors.")
    found = tune(tuning)
    record = {
        "command": "python -m benchmarks.tune",
        "tuning": {key: value for key, value in asdict(tuning).items() if key != "out"},
        "settings": {name: {"learning_rate": best(scores).learning_rate} for name, scores in found.items()},
        "scores": {name: [s._asdict() for s in scores] for name, scores in found.items()},
    }
    tuning.out.write_text(json.dumps(record, indent=2) + "\n", "utf-8")

    for name, scores in found.items():
        table = Table("learning rate", "NI", "log10 regret", title=name)
        for s in scores:
            style = "bold" if s == best(scores) else None
            table.add_row(f"{s.learning_rate:g}", f"{s.ni:.4f}", f"{s.log10_regret:.3f}", style=style)
        Console().print(table)


if __name__ == "__main__":
    main()
