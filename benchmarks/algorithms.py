"""What each algorithm learns in equal time: ``python -m benchmarks.algorithms``.

Every algorithm that ``agents.train`` offers is trained from the same seeds for the same CPU time of its process, which
does not depend on who else computes; validations are not counted. Each training leaves its own result in one
atomic step, so that a comparison killed anywhere goes on where it stopped.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import tyro
from rich.console import Console
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure

from agents.train import new_model, policy_in
from agents.training.algorithms import ALGORITHMS
from agents.training.callbacks import WarmCosine
from agents.training.command_line import command
from agents.training.config import PRESETS, TrainConfig
from agents.training.globals import lent_globals
from agents.training.validation import ValidationSet
from benchmarks import vlse
from benchmarks.budget import Evaluator
from benchmarks.isolation import ProcessDied
from benchmarks.jobs import RESUMABLE, Engine, demand_same_settings, run_jobs
from benchmarks.problems import vlse_problem
from benchmarks.run import start_point
from pop_envs.measures import log10_regret, normalized_improvement
from pop_envs.rendering import PALETTE, dress
from pop_optimizer.ask_tell import Policy
from pop_optimizer.checkpoint import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DESCRIPTION = "Trains every algorithm for the same CPU time, and scores it on validation functions and on VLSE."

ENDLESS = 10**9  # functions: the time ends a training, never these
VALIDATED = ("gp", "wide")
MEASURES = ("ni", "log10_regret")
_LABELS = {"ni": "NI", "log10_regret": "log10 regret"}


@dataclass(frozen=True)
class Comparison:
    """What to train and how to score it.

    Attributes:
        minutes: CPU time of each training, without validations.
        seeds: One training of each algorithm from each of them.
        algorithms: To compare.
        extractor: Whether stock algorithms see whole trajectories, through the transformer.
        size: Validation functions of each prior, in two dimensions.
        points: Validations on the way, the last at the end.
        starts: Runs on each of VLSE's functions that have two coordinates.
        jobs: Number of processes; -1 is one per core.
        engine: Where they run: "joblib" is this machine, "ray" a Ray cluster.
        out: Folder of the results. A comparison that was stopped goes on from what it holds.
    """

    minutes: float = 30.0
    seeds: tuple[int, ...] = (0, 1, 2)
    algorithms: tuple[Literal[*ALGORITHMS], ...] = ALGORITHMS  # type: ignore[valid-type]
    extractor: bool = False
    size: int = 256
    points: int = 10
    starts: int = 4
    jobs: int = -1
    engine: Engine = "joblib"
    out: Path = Path("results/algorithms")

    def __post_init__(self) -> None:
        if not self.minutes > 0 or min(self.size, self.points, self.starts) < 1 or not self.seeds:
            raise ValueError("minutes must be positive, size, points and starts at least 1, seeds at least one")

    def config(self, algorithm: str, seed: int) -> TrainConfig:
        """The training of an algorithm from a seed: the preset quick on one prior."""
        return replace(
            PRESETS["quick"][1],
            algorithm=algorithm,
            extractor=self.extractor and algorithm != ALGORITHMS[0],
            seed=seed,
            functions=ENDLESS,
        )


class Timed(BaseCallback):
    """Validates after equal shares of the CPU time, which it does not count, and ends the training with the last.

    Args:
        comparison: What for.
        schedule: Of the learning rate, where it falls with the time.
        sets: Validation sets by name.
        policy: What is trained.
    """

    def __init__(
        self,
        comparison: Comparison,
        schedule: WarmCosine | None,
        sets: dict[str, ValidationSet],
        policy: Policy,
    ) -> None:
        super().__init__()
        self._limit, self._points = 60 * comparison.minutes, comparison.points
        self._schedule, self._sets, self._policy = schedule, sets, policy
        self._begin = time.process_time()
        self.history: list[dict[str, float]] = []

    def _on_step(self) -> bool:
        seconds = time.process_time() - self._begin
        if self._schedule is not None:
            self._schedule.time_progress = seconds / self._limit
        if seconds >= self._limit * (len(self.history) + 1) / self._points:
            before = time.process_time()
            self.history.append(self._scores(seconds))
            self._begin += time.process_time() - before
        return seconds < self._limit

    def _scores(self, seconds: float) -> dict[str, float]:
        entry = {"seconds": seconds, "steps": float(self.model.num_timesteps)}
        for name, chosen in self._sets.items():
            score = chosen.score(chosen.policy(self._policy, deterministic=True))
            entry |= {f"{name}_{measure}": getattr(score, measure) for measure in MEASURES}
        return entry


def run(comparison: Comparison, console: Console | None = None) -> pd.DataFrame:
    """Trains and scores what ``comparison.out`` does not hold yet.

    Args:
        comparison: What to run.
        console: Where the progress bar is drawn; None draws none.

    Returns:
        One row for each validation of each training; VLSE's scores stand in the last one of each.

    Raises:
        RuntimeError: If a process died.
        ValueError: If ``comparison.out`` holds results of other settings.
    """
    comparison.out.mkdir(parents=True, exist_ok=True)
    settings = {name: getattr(comparison, name) for name in ("minutes", "extractor", "size", "points", "starts")}
    demand_same_settings(comparison.out / "comparison.json", settings)
    jobs = [(algorithm, seed) for seed in comparison.seeds for algorithm in comparison.algorithms]
    waiting = [job for job in jobs if not _part(comparison, job).exists()]
    for job, result in run_jobs(
        "algorithms",
        partial(_train_one, comparison),
        waiting,
        total=len(jobs),
        processes=comparison.jobs,
        console=console,
        engine=comparison.engine,
    ):
        if isinstance(result, ProcessDied):
            raise RuntimeError(f"{job[0]} could not be trained from the seed {job[1]}: {result}")
        write_atomically(_part(comparison, job), json.dumps(result, indent=1).encode() + b"\n")
    rows = []
    for algorithm, seed in jobs:
        part = json.loads(_part(comparison, (algorithm, seed)).read_text("utf-8"))
        rows += [{"algorithm": algorithm, "seed": seed, **entry} for entry in part]
    return pd.DataFrame(rows)


def _part(comparison: Comparison, job: tuple[str, int]) -> Path:
    return comparison.out / f"{job[0]}-{job[1]}.json"


def _train_one(comparison: Comparison, job: tuple[str, int]) -> list[dict[str, float]]:
    config = comparison.config(*job)
    sets = {name: ValidationSet.of(name, config.task.budget, comparison.size) for name in VALIDATED}
    for chosen in sets.values():
        _ = chosen.minimum, chosen.median
    with lent_globals(threads=1):
        model = new_model(config)
        policy, schedule = policy_in(model, config.task), model.learning_rate
        timed = Timed(comparison, schedule if isinstance(schedule, WarmCosine) else None, sets, policy)
        model.set_logger(configure(None, []))
        model.learn(config.functions * config.task.budget, callback=timed)
        timed.history[-1] |= _on_vlse(policy, config.task.budget, comparison.starts)
    return timed.history


def _on_vlse(policy: Policy, budget: int, starts: int) -> dict[str, float]:
    """Means over VLSE's functions of two coordinates, of the same starts for all."""
    found = []
    for problem in map(vlse_problem, vlse.names()):
        if problem.dim != 2:
            continue
        for start in range(starts):
            x0 = start_point(problem, start, seed=0)
            evaluator = Evaluator(problem.objective, x0, budget)
            y, g = evaluator(x0)
            run = policy.start(x0[None], np.array([y]), g[None], budget, deterministic=True)
            for _ in range(budget):
                y, g = evaluator(run.ask()[0])
                run.tell(np.array([y]), g[None])
            trace, f_min = evaluator.trace, problem.f_min
            found.append(
                (
                    float(normalized_improvement(trace[0], trace[-1], f_min)),
                    float(log10_regret(trace[-1], f_min, problem.f_ref)),
                )
            )
    return dict(zip(("vlse_ni", "vlse_log10_regret"), np.mean(found, 0).tolist(), strict=True))


def table(results: pd.DataFrame) -> str:
    """The last scores as Markdown: means over seeds, with their standard deviation where there are several."""
    last = results.groupby(["algorithm", "seed"], sort=False).tail(1)
    columns = [f"{name}_{measure}" for name in (*VALIDATED, "vlse") for measure in MEASURES]
    header = ["algorithm", *(f"{c.split('_')[0]} {_LABELS[c.split('_', 1)[1]]}" for c in columns), "steps"]
    rows = [header, ["---", *["---:"] * (len(columns) + 1)]]
    for name, group in last.groupby("algorithm", sort=False):
        cells = []
        for column in columns:
            digits = 3 if column.endswith("_ni") else 2
            spread = f" ± {group[column].std():.{digits}f}" if len(group) > 1 else ""
            cells.append(f"{group[column].mean():.{digits}f}{spread}")
        rows.append([f"`{name}`", *cells, f"{group['steps'].mean():,.0f}"])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def draw(results: pd.DataFrame) -> Figure:
    """Log10 regret on the validation functions of each prior against CPU time: a line for each training."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    panels = figure.subplots(1, len(VALIDATED), squeeze=False)[0]
    for panel, prior in zip(panels, VALIDATED, strict=True):
        for i, (name, group) in enumerate(results.groupby("algorithm", sort=False)):
            style: dict[str, Any] = {"color": PALETTE[i % len(PALETTE)], "linestyle": "-" if i < len(PALETTE) else "--"}
            for j, (_, curve) in enumerate(group.groupby("seed")):
                panel.plot(curve["seconds"], curve[f"{prior}_log10_regret"], label=None if j else name, **style)
        panel.set(title=f"validation functions of the prior {prior}", xlabel="seconds of CPU time")
        panel.set_ylabel("log10 regret (lower is better)")
        dress(panel)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    return figure


def main() -> None:
    """Runs what the command line asks for, and writes and prints the table and the curves."""
    console = Console()
    with command(console, RESUMABLE):
        comparison = tyro.cli(Comparison, description=_DESCRIPTION)
        results = run(comparison, console)
    write_atomically(comparison.out / "results.csv", results.to_csv(index=False).encode())
    write_atomically(comparison.out / "table.md", table(results).encode())
    draw(results).savefig(comparison.out / "curves.png", dpi=110)
    print(table(results))
    console.print(f"Results, table and curves: {comparison.out}", highlight=False)


if __name__ == "__main__":
    main()
