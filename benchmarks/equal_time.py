"""Who is best after equal time: ``python -m benchmarks.equal_time`` rewrites the table and figure of a page.

All have the time that POP takes for 50 steps, if an evaluation takes so many milliseconds. A method's own time is
measured, in processor time, so that other processes do not count; how many evaluations fit follows from it, and with
so many the method is run. What was measured before is kept.
"""

from __future__ import annotations

import hashlib
import json
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import tyro
from rich.console import Console

from agents.training.command_line import command
from benchmarks import vlse
from benchmarks.analysis import with_measures
from benchmarks.jobs import RESUMABLE, demand_same_settings
from benchmarks.problems import Problem, variant_problem, vlse_problem
from benchmarks.run import run_once
from benchmarks.sweep import Method, Sweep, methods
from benchmarks.when import Section, draw, rewritten, seconds_a_step, table
from pop_optimizer.checkpoint import WEIGHTS, write_atomically
from pop_optimizer.optimizer import DEFAULT_CHECKPOINT

COSTS = (0.0, 0.1, 1.0, 10.0, 100.0)
"""Milliseconds that an evaluation takes."""

STEPS = 50
"""Of POP."""

_TIMED = ("branin", "ackley", "hartmann_3d", "levy", "shekel")  # functions, on which a method's own time is measured
_SECTION = Section(lambda _: (), "ms an evaluation", log=False)


@dataclass(frozen=True)
class EqualTime:
    """What is measured.

    Attributes:
        rivals: Methods beside POP, as ``benchmarks.run`` names them; not the slow ones.
        starts: For each function.
        most: Steps that a method gets at most.
        page: Its table stands between ``<!-- equal_time -->`` and ``<!-- end of equal_time -->``; the figure is beside
            it, and called as the page is.
        out: Folder of the results.
    """

    rivals: tuple[str, ...] = (
        *("lbfgsb_restarts", "dual_annealing-tuned", "mlsl-tuned", "tiktak-tuned", "stogo", "scatter_search-tuned"),
        *("direct", "cma_es-tuned"),
    )
    starts: int = 1
    most: int = 1000
    page: Path = Path("docs/equal_time.md")
    out: Path = Path("results/equal_time")


def chosen(study: EqualTime) -> list[Method]:
    """POP and its rivals."""
    sweep = Sweep(methods=("pop", *study.rivals), checkpoint=(f"pop={DEFAULT_CHECKPOINT}",))
    return methods(sweep)


def own_time(method: Method) -> float:
    """Milliseconds of processor time that a method takes for a step beyond the evaluation: the median of functions."""
    problems = [vlse_problem(name) for name in _TIMED]
    seconds_a_step(method, problems[0], STEPS)  # what is made once
    return 1e3 * float(np.median([seconds_a_step(method, problem, STEPS) for problem in problems]))


def steps_in_time(cost: float, own: float, pop: float, most: int) -> int:
    """The steps of a method in the time of POP's 51 evaluations, at least 1, from own times and the cost in ms."""
    return max(1, min(int((STEPS + 1) * (cost + pop) / (cost + own) + 1e-9) - 1, most))


def times(study: EqualTime, console: Console | None = None) -> pd.Series:
    """Each method's own time, see ``own_time``."""
    path = study.out / "times.csv"
    if not path.exists():
        found = {}
        for method in chosen(study):
            found[method.name] = own_time(method)
            if console:
                console.print(f"{method.name}: {found[method.name]:.3f} ms a step", highlight=False)
        write_atomically(path, pd.Series(found, name="ms").rename_axis("method").to_csv().encode())
    return pd.read_csv(path, index_col="method")["ms"]


def problems() -> dict[str, list[Problem]]:
    """The 47 functions, plain and shifted."""
    return {
        "VLSE": [vlse_problem(name) for name in vlse.names()],
        "VLSE, shifted": [variant_problem(name, "shifted") for name in vlse.names()],
    }


def measured(study: EqualTime, method: Method, cost: float, steps: int) -> pd.DataFrame:
    """Rows ``panel, x, method, value``: for each function the mean log10 regret over starts, in order of samples."""
    path = study.out / f"{method.name}-{cost:g}.csv"
    if not path.exists():
        rows = pd.DataFrame(
            [
                run_once(method, problem, start, steps, seed=0)
                for of_sample in problems().values()
                for problem in of_sample
                for start in range(study.starts)
            ]
        )
        means = with_measures(rows).groupby(["sample", "function"], sort=False)["log10_regret"].mean().reset_index()
        kept = means.rename(columns={"sample": "panel", "log10_regret": "value"})
        write_atomically(path, kept.assign(x=cost, method=method.name).to_csv(index=False).encode())
    return pd.read_csv(path)


def right_from(rows: pd.DataFrame) -> float:
    """The least cost from which on POP has the lowest mean in every panel; infinite if it has not at the highest."""
    means = rows.groupby(["x", "panel", "method"])["value"].mean().unstack("method")
    first = means["pop"] <= means.drop(columns="pop").min(axis=1)
    holds = first.groupby("x").all().sort_index(ascending=False).cummin()
    return float(min(holds.index[holds], default=np.inf))


def run(study: EqualTime, console: Console | None = None) -> None:
    """Measures what is missing, then writes table and figure."""
    torch.set_num_threads(1)
    study.out.mkdir(parents=True, exist_ok=True)
    weights = hashlib.sha256((DEFAULT_CHECKPOINT / WEIGHTS).read_bytes()).hexdigest()
    settings = {method.name: method.settings for method in chosen(study) if method.name != "pop"}
    demand_same_settings(
        study.out / "settings.json", {"weights": weights, "starts": study.starts, "most": study.most, **settings}
    )
    own = times(study, console)
    steps, frames = {}, []
    for method in chosen(study):
        for cost in COSTS:
            steps[method.name, cost] = steps_in_time(cost, own[method.name], own["pop"], study.most)
            # POP does the same whatever an evaluation costs.
            rows = measured(study, method, COSTS[0] if method.name == "pop" else cost, steps[method.name, cost])
            frames.append(rows.assign(x=cost))
        if console:
            console.print(f"{method.name} is measured", highlight=False)
    rows = pd.concat(frames)
    figure = study.page.with_suffix(".png")
    draw(_SECTION, rows).savefig(figure, dpi=90)
    block = [_evaluations(own, steps), table(_SECTION, rows), f"![Regret after equal time]({figure.name})", _said(rows)]
    write_atomically(study.out / "equal_time.json", _scores(rows).encode())
    page = rewritten(study.page.read_text("utf-8"), "equal_time", "\n\n".join(block))
    write_atomically(study.page, page.encode())


def _scores(rows: pd.DataFrame) -> str:
    """The means over all functions, for the page of all results."""
    means = rows.groupby(["method", "x"], sort=False)["value"].mean().unstack("x")[list(COSTS)]
    methods = {str(method): [float(f"{mean:.4g}") for mean in row] for method, row in means.T.items()}
    score = "mean log10 regret of the 47 functions, plain and shifted"
    return json.dumps({"costs_ms": list(COSTS), "methods": methods, "score": score}, indent=2) + "\n"


def _evaluations(own: pd.Series, steps: dict[tuple[str, float], int]) -> str:
    """A table of own times and evaluations."""
    lines = [
        "| evaluations | own ms a step | ms an evaluation = " + " | ".join(f"{cost:g}" for cost in COSTS) + " |",
        "|---|---:|" + "---:|" * len(COSTS),
    ]
    for method, ms in own.items():
        counts = " | ".join(f"{steps[str(method), cost] + 1}" for cost in COSTS)
        lines.append(f"| {method} | {ms:.3f} | {counts} |")
    return "\n".join(lines)


def _said(rows: pd.DataFrame) -> str:
    """Who is best, in words."""
    on_each, on_all = (_from(right_from(found)) for found in (rows, rows.assign(panel="both")))
    lines = [
        f"**POP has the lowest mean on both sets {on_each}**, and over the two together",
        f"{on_all}. Who is ahead of it:",
        "",
    ]
    for panel in dict.fromkeys(rows["panel"]):
        means = rows[rows["panel"] == panel].groupby(["x", "method"])["value"].mean().unstack("method")
        for cost, row in means.iterrows():
            ahead = row[row < row["pop"]].sort_values()
            found = ", ".join(f"{method} {mean:.2f}" for method, mean in ahead.items()) or "nobody"
            text = f"- {panel}, {cost:g} ms, POP {row['pop']:.2f}: {found}"
            lines += textwrap.wrap(text, 120, subsequent_indent="  ", break_on_hyphens=False)
    return "\n".join(lines)


def _from(cost: float) -> str:
    return f"from {cost:g} ms an evaluation on" if np.isfinite(cost) else "at none of these costs"


def main() -> None:
    """Measures with the settings of the command line."""
    console = Console()
    with command(console, RESUMABLE):
        run(tyro.cli(EqualTime, description=(__doc__ or "").split("\n\n")[0]), console)


if __name__ == "__main__":
    main()
