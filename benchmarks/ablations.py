"""What each part of the design is worth: ``python -m benchmarks.ablations``.

Every variant is the preset ``full`` with one thing changed, trained from several seeds for the same short
wall time on one thread, and evaluated on validation functions of the priors
in two and eight dimensions. Every training leaves its own result in one atomic step, so that a study killed
anywhere goes on where it stopped.
"""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import tyro
from rich.console import Console
from rich.table import Table

from agents.train import train
from agents.training.callbacks import STATE
from agents.training.command_line import command
from agents.training.config import PRESETS, TrainConfig
from agents.training.validation import ValidationSet
from benchmarks.isolation import ProcessDied
from benchmarks.jobs import RESUMABLE, Engine, demand_same_settings, run_jobs
from pop_envs.objectives.priors import PRIORS
from pop_envs.rendering import PALETTE, dress
from pop_optimizer.checkpoint import load_checkpoint, write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DESCRIPTION = "Trains the preset `full` with one thing changed at a time, and evaluates every variant on all priors."

BASE = PRESETS["full"][1]
RESULT = "result.json"
ENDLESS = 10**9  # functions: the time ends a training, never these
DIMS = (2, 8)  # evaluated in
MEASURES = {
    f"{prior}_{dim}d_{measure}": (prior, dim, measure)
    for dim in DIMS
    for prior in PRIORS
    for measure in ("ni", "log10_regret")
}
"""Columns of the results: the prior, the dimension and the measure of each."""

_LABELS = {"ni": "NI", "log10_regret": "log10 regret"}
_DIGITS = {"ni": 3, "log10_regret": 2}
_SEED_COLOR, _MEAN_COLOR = PALETTE[5], PALETTE[1]


class Variant(NamedTuple):
    """One change to the base, under a unique name that is also its folder's."""

    group: str
    name: str
    changes: dict[str, Any]


VARIANTS = (
    Variant("base", "as-shipped", {}),
    Variant("reward", "improvement", {"reward": "improvement"}),  # eq. 6
    Variant("step rule", "signed", {"step_rule": "signed"}),
    Variant("step rule", "gradient", {"step_rule": "gradient"}),  # eq. 4
    Variant("head", "mixture", {"head": "mixture"}),  # Gaussians around two proposals, without the kept descent
    Variant("head", "unguided_jumps", {"head": "unguided_jumps"}),
    Variant("head", "free", {"head": "free"}),
    Variant("head", "gaussian", {"head": "gaussian"}),
    Variant("tokens", "paper", {"tokens": "paper", "head": "free"}),  # they carry no proposed actions
    Variant("prior", "gp", {"priors": ("gp",)}),  # eq. 8
    Variant("prior", "wide", {"priors": ("wide",)}),
    Variant("prior", "plain", {"priors": ("plain",)}),
    Variant("budgets", "50-only", {"budgets": ()}),
    Variant("mixing", "unmixed", {"mixing": False}),
    Variant("dimensions", "2-only", {"dims": (2,)}),
    Variant("network", "depth-2", {"depth": 2}),
    Variant("network", "width-128", {"width": 128}),
)
"""In reading order, the base first."""


@dataclass(frozen=True)
class Study:
    """What to train and how to evaluate it.

    Attributes:
        minutes: Wall time of each training.
        seeds: One training of each variant from each of them.
        variants: Names of the variants to train.
        size: Validation functions of each prior and dimension.
        jobs: Number of processes; -1 is one per core. More than there are cores would be unequal times.
        engine: Where they run: "joblib" is this machine, "ray" a Ray cluster whose machines all see ``out``.
        out: Folder of the trainings and the results. A study that was stopped goes on from what it holds.
    """

    minutes: float = 2.0
    seeds: tuple[int, ...] = (0, 1, 2)
    variants: tuple[str, ...] = tuple(variant.name for variant in VARIANTS)
    size: int = 1024
    jobs: int = -1
    engine: Engine = "joblib"
    out: Path = Path("runs/ablations")

    def __post_init__(self) -> None:
        known = [variant.name for variant in VARIANTS]
        unknown = [name for name in self.variants if name not in known]
        if unknown:
            raise ValueError(f"unknown variants: {', '.join(unknown)}; choose from {', '.join(known)}")
        for name in ("seeds", "variants"):
            given = getattr(self, name)
            if not given or len(set(given)) < len(given):
                raise ValueError(f"{name} must name at least one, and each only once, got {given}")
        if not self.minutes > 0 or min(self.seeds) < 0 or self.size < 1 or self.jobs == 0:
            raise ValueError(
                "minutes must be positive, seeds at least 0, size and jobs at least 1 (jobs may be -1), "
                f"got minutes={self.minutes}, seeds={self.seeds}, size={self.size}, jobs={self.jobs}"
            )

    def chosen(self) -> list[Variant]:
        """The variants to train, in reading order."""
        return [variant for variant in VARIANTS if variant.name in self.variants]

    def config(self, variant: Variant, seed: int) -> TrainConfig:
        """The training of a variant from a seed."""
        return BASE.changed(
            preset=variant.name,
            seed=seed,
            functions=ENDLESS,
            minutes=self.minutes,
            out=self.out,
            threads=1,
            validate_every=self.minutes,  # at the start and the end: what lies between is for learning
            **variant.changes,
        )


def run(study: Study, console: Console | None = None) -> pd.DataFrame:
    """Trains and evaluates what ``study.out`` does not hold yet and merges all of it into ``ablations.csv``.

    Args:
        study: What to run.
        console: Where the progress bar is drawn; None draws none.

    Returns:
        The results, one row per variant and seed, in reading order.

    Raises:
        ValueError: If ``study.out`` holds results of other settings.
    """
    study.out.mkdir(parents=True, exist_ok=True)
    demand_same_settings(study.out / "study.json", _identity(study))
    chosen = study.chosen()
    # Seed by seed: a time in which the machine is busy with other things does not meet one variant only.
    configs = [study.config(variant, seed) for seed in study.seeds for variant in chosen]
    waiting = [config for config in configs if not (config.folder / RESULT).exists()]
    evaluate = partial(_run_one, sets=_validation_sets(study) if waiting else {})
    for config, result in run_jobs(
        "ablations",
        evaluate,
        waiting,
        total=len(configs),
        processes=study.jobs,
        console=console,
        engine=study.engine,
    ):
        if isinstance(result, ProcessDied):
            raise RuntimeError(f"{config.folder} could not be trained: {result}")
    rows = []
    for variant in chosen:
        for seed in study.seeds:
            result = json.loads((study.config(variant, seed).folder / RESULT).read_text("utf-8"))
            rows.append({"group": variant.group, "variant": variant.name, "seed": seed, **result})
    results = pd.DataFrame(rows)
    write_atomically(study.out / "ablations.csv", results.to_csv(index=False).encode())
    return results


def _identity(study: Study) -> dict[str, Any]:
    """What the results depend on; further variants and seeds may join the old ones."""
    base = {name: value for name, value in BASE.lasting().items() if name not in ("preset", "seed")}
    identity: dict[str, Any] = {"minutes": study.minutes, "size": study.size, "evaluated in": DIMS, **base}
    identity |= {f"prior {name}": prior().record() for name, prior in PRIORS.items()}
    return identity | {f"variant {variant.name}": variant.changes for variant in study.chosen()}


def _validation_sets(study: Study) -> dict[tuple[str, int], ValidationSet]:
    """The functions to evaluate on, by prior and dimension."""
    sets = {
        (prior, dim): ValidationSet.of(prior, BASE.task.budget, study.size, dim) for prior in PRIORS for dim in DIMS
    }
    for functions in sets.values():
        _ = functions.minimum, functions.median  # they take long: here once, and not again in every process
    return sets


def _run_one(config: TrainConfig, sets: dict[tuple[str, int], ValidationSet]) -> None:
    """Trains, or goes on with a training that was killed, and leaves its result."""
    config.folder.mkdir(parents=True, exist_ok=True)
    # What a training prints would run into the study's progress bar.
    with (config.folder / "train.log").open("a") as log, redirect_stdout(log):
        train(replace(config, resume=(config.folder / STATE).exists()))
    policy, card = load_checkpoint(config.folder)
    scores = {key: chosen.score(chosen.policy(policy, deterministic=True)) for key, chosen in sets.items()}
    result = {"functions": card.functions}
    result |= {column: getattr(scores[prior, dim], measure) for column, (prior, dim, measure) in MEASURES.items()}
    write_atomically(config.folder / RESULT, json.dumps(result, indent=2).encode() + b"\n")


def over_seeds(results: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over seeds: rows (group, variant), columns (measure or functions, statistic)."""
    return results.groupby(["group", "variant"], sort=False)[[*MEASURES, "functions"]].agg(["mean", "std"])


def summary(results: pd.DataFrame, study: Study) -> str:
    """The results as Markdown."""
    lines = [
        "# Ablations",
        "",
        f"Each variant is the preset `full` with one thing changed, trained for {study.minutes:g} minutes on one "
        f"thread, at a peak learning rate of {BASE.learning_rate:g}, and evaluated on {study.size:,} validation "
        "functions of each prior in two and in eight dimensions, with the mode of its actions. "
        f"Mean ± standard deviation over seeds ({', '.join(map(str, study.seeds))}). NI: normalized improvement "
        "(higher is better); log10 regret, floored at -8: lower is better. Functions: trained on in that time. "
        "The paper's tokens have no proposed actions: compare `tokens: paper` with `head: free`.",
    ]
    for dim in DIMS:
        header, *rows = _cells(results, dim)
        lines += ["", f"## {dim}-D", ""]
        lines += [f"| {' | '.join(row)} |" for row in (header, ["---", *["---:"] * (len(header) - 1)], *rows)]
    return "\n".join(lines) + "\n"


def _cells(results: pd.DataFrame, dim: int) -> list[list[str]]:
    """The header, and one row of text per variant, of the scores in one dimension."""
    statistics = over_seeds(results)
    chosen = {column: (prior, measure) for column, (prior, of, measure) in MEASURES.items() if of == dim}
    header = ["variant", *(f"{prior} {_LABELS[measure]}" for prior, measure in chosen.values()), "functions"]
    digits = {column: _DIGITS[measure] for column, (_, measure) in chosen.items()} | {"functions": 0}
    return [header] + [
        [
            _label(group, name),
            *(_with_deviation(statistics[column].iloc[i], count) for column, count in digits.items()),
        ]
        for i, (group, name) in enumerate(statistics.index)
    ]


def _label(group: str, name: str) -> str:
    return name if group == VARIANTS[0].group else f"{group}: {name}"


def _with_deviation(statistics: pd.Series, digits: int) -> str:
    """A mean with its standard deviation, which a single seed does not have."""
    mean, deviation = statistics["mean"], statistics["std"]
    return f"{mean:,.{digits}f}" + ("" if np.isnan(deviation) else f" ± {deviation:,.{digits}f}")


def draw(results: pd.DataFrame) -> Figure:
    """A panel per measure, a line of panels per dimension: in each a row per variant, with seeds and their mean."""
    from matplotlib.figure import Figure

    means = over_seeds(results).xs("mean", axis=1, level=1)
    figure = Figure(figsize=(13, len(DIMS) * (0.3 * len(means) + 1) + 0.5), layout="constrained")
    panels = figure.subplots(len(DIMS), len(MEASURES) // len(DIMS), sharey=True).flat
    for panel, (column, (prior, dim, measure)) in zip(panels, MEASURES.items(), strict=True):
        _draw_panel(panel, results, means[column])
        better = "higher" if measure == "ni" else "lower"
        panel.set(title=f"{prior}, {dim}-D: {_LABELS[measure]}", xlabel=f"{better} is better")
    labels = [_label(group, name) for group, name in means.index]
    panels[0].set_yticks(range(len(means)), labels)
    panels[0].set_ylim(len(means) - 0.5, -0.5)
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=3, frameon=False)
    return figure


def _draw_panel(panel: Axes, results: pd.DataFrame, means: pd.Series) -> None:
    rows = {name: i for i, (_, name) in enumerate(means.index)}
    groups = pd.factorize(means.index.get_level_values("group"))[0]
    for i in np.flatnonzero(groups % 2 == 0):
        panel.axhspan(i - 0.5, i + 0.5, color="0.95", linewidth=0, zorder=0)
    base = VARIANTS[0].name
    if base in rows:
        panel.axvline(
            means.iloc[rows[base]], color="0.4", linestyle=(0, (4, 2)), linewidth=1.2, label=f"mean of {base}"
        )
    x, y = results[means.name].to_numpy(), results["variant"].map(rows).to_numpy()
    panel.plot(x, y, "o", label="one seed", color=_SEED_COLOR, markersize=6)
    y = np.arange(len(means))
    panel.plot(means.to_numpy(), y, "|", label="mean", color=_MEAN_COLOR, markersize=13, markeredgewidth=2.5)
    dress(panel)
    panel.grid(visible=False, axis="y")
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)


def report(results: pd.DataFrame, study: Study, console: Console) -> None:
    """Writes ``ablations.md`` and ``ablations.png`` to ``study.out`` and prints the means."""
    write_atomically(study.out / "ablations.md", summary(results, study).encode())
    draw(results).savefig(study.out / "ablations.png", dpi=160)
    for dim in DIMS:
        header, *rows = _cells(results, dim)
        seeds = ", ".join(map(str, study.seeds))
        printed = Table(title=f"{dim}-D, {study.minutes:g} minutes each: means over seeds ({seeds})")
        for i, name in enumerate(header):
            printed.add_column(name, justify="right" if i else "left", no_wrap=i == 0)
        for cells in rows:
            # Without the deviations the table fits a terminal; ablations.md has them.
            printed.add_row(*(cell.split(" ±")[0] for cell in cells))
        console.print(printed)
    console.print(f"Results, table with standard deviations, and figure: {study.out}", highlight=False)


def main() -> None:
    """Runs the study of the command line, then writes and prints the report."""
    # Bound to the terminal now: a training in this process (--jobs 1) redirects what is printed meanwhile.
    console = Console(file=sys.stdout)
    with command(console, RESUMABLE):
        study = tyro.cli(Study, description=_DESCRIPTION)
        results = run(study, console)
    report(results, study, console)


if __name__ == "__main__":
    main()
