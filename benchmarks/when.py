"""Measures when POP is the right tool: ``python -m benchmarks.when`` rewrites the tables and figures of docs/when.md.

All functions are validation functions of the priors or plain problems. What was measured before, with the same weights
and settings, is kept, so that a study that was killed goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
import tyro
from rich.console import Console

from agents.training.command_line import command
from benchmarks.analysis import with_measures
from benchmarks.budget import Array, BudgetExhausted, Evaluate, Evaluator, values_only
from benchmarks.jobs import RESUMABLE, demand_same_settings
from benchmarks.problems import Problem, block_problems, mgh_blocks, validation_problems
from benchmarks.rivals import GRADIENT_FREE, RIVALS
from benchmarks.run import method_generator, run_once, start_point
from benchmarks.sweep import Method
from benchmarks.variants import Noise
from pop_envs.checks import require
from pop_envs.measures import solved
from pop_envs.objectives.priors import PRIORS
from pop_envs.rendering import PALETTE, dress
from pop_optimizer import POP, minimize
from pop_optimizer.checkpoint import WEIGHTS, write_atomically
from pop_optimizer.optimizer import DEFAULT_CHECKPOINT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DESCRIPTION = "Measures when POP is the right tool, and writes the tables and figures of a page."
_SLOWEST = 2000  # steps that rivals with less overhead get at most, where time is equal


@dataclass(frozen=True)
class When:
    """What is measured.

    Attributes:
        count: Functions of each prior, one start each.
        seeds: Initializations of each network.
        page: Its tables stand between ``<!-- NAME -->`` and ``<!-- end of NAME -->``; figures go to a folder beside it.
        out: Folder of the results.
        only: Sections of the page to measure; by default all.

    Raises:
        ValueError: If there is no such section.
    """

    count: int = 16
    seeds: int = 5
    page: Path = Path("docs/when.md")
    out: Path = Path("results/when")
    only: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if unknown := [name for name in self.only if name not in SECTIONS]:
            raise ValueError(f"unknown sections: {', '.join(unknown)}; choose from {', '.join(SECTIONS)}")


@dataclass(frozen=True)
class Section:
    """A table and a figure, of rows ``panel, x, method, value`` with one value for each function or seed.

    Attributes:
        rows: Measures.
        x: What the columns are.
        y: What the values are.
        digits: After the point, in the table.
        highest: Whether high values are the good ones.
        log: Whether the figure's horizontal axis is logarithmic; else columns are evenly spaced.
    """

    rows: Callable[[When], Iterable[dict[str, Any]]]
    x: str
    y: str = "log10 regret"
    digits: int = 2
    highest: bool = False
    log: bool = True


def pop_by_differences(evaluate: Evaluate, x0: Array, budget: int, rng: np.random.Generator) -> None:
    """POP without gradients, as its users call it."""
    minimize(values_only(evaluate), x0, bounds=[(-1.0, 1.0)] * len(x0), budget=budget, rng=rng)


def _method(name: str) -> Method:
    rival = {"pop, differences": pop_by_differences}.get(name) or RIVALS[name]
    return Method(name, rival, {}, {}, gradient_free=name in GRADIENT_FREE)


def measured(method: str, problems: Iterable[Problem], budget: int) -> pd.DataFrame:
    """The benchmark's rows of one run on each problem, with their measures.

    Raises:
        RuntimeError: If a run failed.
    """
    rows = with_measures(pd.DataFrame([run_once(_method(method), p, 0, budget, seed=0) for p in problems]))
    if rows["error"].any():
        raise RuntimeError(f"{method} failed: {', '.join(rows['error'][rows['error'] != ''])}")
    return rows


def seconds_a_step(method: str | Method, problem: Problem, budget: int) -> float:
    """Processor time of a run beyond that of its evaluations, per evaluation: a busy machine does not lengthen it."""
    chosen = _method(method) if isinstance(method, str) else method
    x0 = start_point(problem, 0, 0)
    evaluator, own = Evaluator(problem.objective, x0, budget), 0.0

    def timed(x: Array) -> tuple[float, Array]:
        nonlocal own
        began = time.process_time()
        try:
            return evaluator(x)
        finally:
            own += time.process_time() - began

    began = time.process_time()
    with suppress(BudgetExhausted):
        chosen.rival(timed, x0, budget, method_generator(chosen, problem, 0, budget, 0), **chosen.settings)
    return (time.process_time() - began - own) / evaluator.evaluations


def _rows(panel: str, x: float, method: str, values: Iterable[float]) -> Iterator[dict[str, Any]]:
    for value in values:
        yield {"panel": panel, "x": x, "method": method, "value": float(value)}


@cache
def _functions(prior: str, count: int, dim: int) -> tuple[Problem, ...]:
    return validation_problems(PRIORS[prior](), count, dim)


def dimensions(when: When) -> Iterator[dict[str, Any]]:
    """Regret at T = 50."""
    for prior in ("gp", "wide", "plain"):
        for dim in (2, 8, 32):
            problems = _functions(prior, when.count, dim)
            for method in ("pop", "lbfgsb_restarts", "dual_annealing"):
                yield from _rows(prior, dim, method, measured(method, problems, 50)["log10_regret"])


def budgets(when: When) -> Iterator[dict[str, Any]]:
    """Regret in runs of different lengths."""
    for prior, dim in (("gp", 2), ("gp", 8), ("plain", 8)):
        problems = _functions(prior, when.count, dim)
        for budget in (10, 20, 50, 100, 200):
            for method in ("pop", "lbfgsb_restarts", "dual_annealing"):
                panel = f"{prior}, {dim}-D"
                yield from _rows(panel, budget, method, measured(method, problems, budget)["log10_regret"])


def overhead(when: When) -> Iterator[dict[str, Any]]:
    """Milliseconds of processor time that a step takes beyond the evaluation, on the chained Rosenbrock function."""
    for dim in (2, 10, 100, 1000):
        (problem,) = block_problems(f"chained_rosenbrock-{dim}d")
        for method in ("pop", "lbfgsb_restarts", "dual_annealing", "cma_es"):
            seconds_a_step(method, problem, 50)  # what is made once
            times = [1e3 * seconds_a_step(method, problem, 50) for _ in range(when.seeds)]
            yield from _rows("Rosenbrock chain", dim, method, times)


def cost(when: When) -> Iterator[dict[str, Any]]:
    """Regret after the time that POP takes for 50 steps, if an evaluation takes so many milliseconds."""
    for prior, dim in (("gp", 2), ("gp", 8)):
        problems, panel = _functions(prior, when.count, dim), f"{prior}, {dim}-D"
        own = measured("pop", problems, 50)
        step = np.median([seconds_a_step("pop", problem, 50) for problem in problems])
        for milliseconds in (0.001, 0.01, 0.1, 1, 10):
            yield from _rows(panel, milliseconds, "pop", own["log10_regret"])
        for method in ("lbfgsb_restarts", "dual_annealing"):
            rows = measured(method, problems, _SLOWEST)
            theirs = np.median([seconds_a_step(method, problem, 200) for problem in problems])
            for milliseconds in (0.001, 0.01, 0.1, 1, 10):
                price = milliseconds / 1e3
                count = min(int(51 * (price + step) / (price + theirs)), _SLOWEST + 1)
                cut = rows.assign(y_best=[trace[count - 1] for trace in rows["trace"]])
                yield from _rows(panel, milliseconds, method, with_measures(cut)["log10_regret"])


def no_gradient(when: When) -> Iterator[dict[str, Any]]:
    """Regret after 20 (dim + 1) values, of which POP spends dim + 1 on a point."""
    return _by_values(when, {dim: 20 * (dim + 1) for dim in (2, 4, 8, 16)})


def few_values(when: When) -> Iterator[dict[str, Any]]:
    """Regret after 100 values."""
    return _by_values(when, dict.fromkeys((2, 4, 8, 16, 32), 100))


def _by_values(when: When, values: dict[int, int]) -> Iterator[dict[str, Any]]:
    """Regret after so many values in each dimension."""
    for prior in ("gp", "plain"):
        for dim, count in values.items():
            problems = _functions(prior, when.count, dim)
            for method in ("pop, differences", "cma_es", "bobyqa", "nelder_mead"):
                yield from _rows(prior, dim, method, measured(method, problems, count - 1)["log10_regret"])


def noise(when: When) -> Iterator[dict[str, Any]]:
    """Regret at T = 50 under Gaussian noise, relative to median minus minimum, and to the mean size of a slope."""
    for prior, dim in (("gp", 2), ("gp", 8)):
        problems = _functions(prior, when.count, dim)
        for level in (0.0, 1e-4, 1e-3, 1e-2, 1e-1):
            seen = [_noisy(problem, level) for problem in problems]
            for method in ("pop", "lbfgsb_restarts", "dual_annealing", "cma_es", "direct"):
                yield from _rows(f"{prior}, {dim}-D", level, method, measured(method, seen, 50)["log10_regret"])


def _noisy(problem: Problem, level: float) -> Problem:
    """Noise as in the benchmark's suite, of another size."""
    points = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (256, problem.dim)))
    slope = np.mean([np.abs(problem.objective.value_and_grad(x[None])[1].numpy()).mean() for x in points])
    return replace(problem, noise=Noise(level * (problem.f_ref - problem.f_min), level * float(slope)))


def plain(when: When) -> Iterator[dict[str, Any]]:
    """Share of Moré, Garbow and Hillstrom's problems that are solved, from their standard starts."""
    problems = [problem for block in mgh_blocks() for problem in block_problems(block)]
    for budget in (20, 50, 100, 200):
        for method in ("pop", "lbfgsb", "lbfgsb_restarts"):
            rows = measured(method, problems, budget)
            for tau in (1e-3, 1e-6):
                share = 100.0 * solved(rows["y0"], rows["y_best"], rows["f_min"], tau)
                yield from _rows(f"solved to {tau:.0e}", budget, method, share)


NETWORK_OPTIMIZERS: dict[str, Callable[[Any, int], torch.optim.Optimizer]] = {
    "POP": lambda parameters, budget: POP(parameters, budget=budget - 1),
    "LBFGS": lambda parameters, budget: torch.optim.LBFGS(
        parameters, max_iter=budget, max_eval=budget, line_search_fn="strong_wolfe"
    ),
    "Adam, 0.1": lambda parameters, budget: torch.optim.Adam(parameters, lr=0.1),
    "Adam, 0.01": lambda parameters, budget: torch.optim.Adam(parameters, lr=0.01),
}


def network(when: When) -> Iterator[dict[str, Any]]:
    """Lowest loss of a network with one hidden layer that fits 64 noisy values of a wave, in full batch."""
    generator = torch.Generator().manual_seed(0)
    x = torch.linspace(-1, 1, 64, dtype=torch.float64)[:, None]
    y = torch.sin(9 * x) * torch.exp(-x) + 0.1 * torch.randn(64, 1, dtype=torch.float64, generator=generator)
    for width in (8, 256):
        for name, make in NETWORK_OPTIMIZERS.items():
            for seed in range(when.seeds):
                for budget in (50, 200, 500):
                    loss = _fitted(make, width, seed, x, y, budget)
                    yield from _rows(f"{3 * width + 1} parameters", budget, name, [np.log10(loss)])


def _fitted(
    make: Callable[[Any, int], torch.optim.Optimizer],
    width: int,
    seed: int,
    x: torch.Tensor,
    y: torch.Tensor,
    budget: int,
) -> float:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = torch.nn.Linear(1, width), torch.nn.Tanh(), torch.nn.Linear(width, 1)
    model = torch.nn.Sequential(*layers).double()
    optimizer = make(model.parameters(), budget)
    losses: list[float] = []

    def closure() -> torch.Tensor:
        if len(losses) == budget:
            raise BudgetExhausted
        optimizer.zero_grad()
        loss = (model(x) - y).square().mean()
        loss.backward()
        losses.append(loss.item())
        return loss

    with suppress(BudgetExhausted):
        for _ in range(budget):
            optimizer.step(closure)  # type: ignore[arg-type]  # LBFGS wants a tensor
    return min(losses)


SECTIONS = {
    "dimensions": Section(dimensions, "dimension"),
    "budgets": Section(budgets, "T"),
    "overhead": Section(overhead, "dimension", "ms a step beyond the evaluation"),
    "cost": Section(cost, "ms an evaluation"),
    "no_gradient": Section(no_gradient, "dimension"),
    "few_values": Section(few_values, "dimension"),
    "noise": Section(noise, "noise", log=False),
    "plain": Section(plain, "T", "% solved", digits=0, highest=True),
    "network": Section(network, "evaluations", "log10 loss"),
}


def results(when: When, name: str) -> pd.DataFrame:
    """The rows of a section, measured unless they are there."""
    path = when.out / f"{name}.csv"
    if not path.exists():
        write_atomically(path, pd.DataFrame(SECTIONS[name].rows(when)).to_csv(index=False).encode())
    return pd.read_csv(path)


def table(section: Section, rows: pd.DataFrame) -> str:
    """Mean ± standard error; in bold the best of a panel and column, and what is within its standard error of it."""
    cells = rows.groupby(["panel", "method", "x"], sort=False)["value"]
    means: dict[Any, float] = cells.mean().to_dict()
    errors: dict[Any, float] = cells.sem().fillna(0.0).to_dict()
    columns = sorted(rows["x"].unique())
    lines = [
        f"| {section.y} | {section.x} = " + " | ".join(f"{x:g}" for x in columns) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    choose = max if section.highest else min
    for panel, method in dict.fromkeys(zip(rows["panel"], rows["method"], strict=True)):
        texts = []
        for x in columns:
            mean, error = means[panel, method, x], errors[panel, method, x]
            best = choose(means[key] for key in means if (key[0], key[2]) == (panel, x))
            text = f"{mean:.{section.digits}f} ± {error:.{section.digits}f}"
            texts.append(f"**{text}**" if abs(mean - best) <= error else text)
        lines.append(f"| {panel}: {method} | " + " | ".join(texts) + " |")
    return "\n".join(lines)


def draw(section: Section, rows: pd.DataFrame) -> Figure:
    """A panel of lines for each panel of the table, with standard errors."""
    from matplotlib.figure import Figure

    panels = list(dict.fromkeys(rows["panel"]))
    figure = Figure(figsize=(3.6 * max(len(panels), 1.5), 3.2), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    ticks = sorted(rows["x"].unique())
    for ax, panel in zip(axes, panels, strict=True):
        chosen = rows[rows["panel"] == panel]
        for method, color in zip(dict.fromkeys(rows["method"]), PALETTE, strict=False):
            values = chosen[chosen["method"] == method].groupby("x")["value"].agg(["mean", "sem"])
            x = values.index if section.log else [ticks.index(tick) for tick in values.index]
            ax.errorbar(x, values["mean"], values["sem"], color=color, marker="o", ms=4, capsize=2, label=method)
        if section.log:
            ax.set_xscale("log")
            ax.minorticks_off()
        ax.set_xticks(ticks if section.log else range(len(ticks)), [f"{tick:g}" for tick in ticks])
        ax.set(title=panel, xlabel=section.x)
        dress(ax)
    axes[0].set_ylabel(section.y)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    return figure


def rewritten(page: str, name: str, block: str) -> str:
    """The page with that block between the section's marks.

    Raises:
        ValueError: If the page has no such marks, or more than one pair.
    """
    marks = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    text, found = marks.subn(lambda match: f"{match[1]}{block}\n{match[2]}", page)
    if found != 1:
        raise ValueError(f"the page must have the marks <!-- {name} --> and <!-- end of {name} --> once")
    return text


def run(when: When, console: Console | None = None) -> None:
    """Measures what is missing, then writes tables and figures."""
    require("benchmark", "pybobyqa")
    torch.set_num_threads(1)
    when.out.mkdir(parents=True, exist_ok=True)
    weights = hashlib.sha256((DEFAULT_CHECKPOINT / WEIGHTS).read_bytes()).hexdigest()
    demand_same_settings(when.out / "when.json", {"weights": weights, "count": when.count, "seeds": when.seeds})
    page = when.page.read_text("utf-8")
    figures = when.page.with_suffix("")
    figures.mkdir(parents=True, exist_ok=True)
    for name in when.only or SECTIONS:
        section, rows = SECTIONS[name], results(when, name)
        page = rewritten(page, name, f"{table(section, rows)}\n\n![{name}]({figures.name}/{name}.png)")
        draw(section, rows).savefig(figures / f"{name}.png", dpi=90)
        if console:
            console.print(f"{name} is measured", highlight=False)
    write_atomically(when.page, page.encode())


def main() -> None:
    """Measures with the settings of the command line."""
    console = Console()
    with command(console, RESUMABLE):
        run(tyro.cli(When, description=_DESCRIPTION), console)


if __name__ == "__main__":
    main()
