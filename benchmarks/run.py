"""The benchmark's command line: ``python -m benchmarks.run`` runs a sweep, resumably, and reports on it.

A sweep is a list of independent chunks, one per method, block of problems and budget. Each writes its own
part file in one atomic step, so that a run killed anywhere goes on where it stopped and ends with
the same results file.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import tyro
from rich.console import Console

from agents.jobs import demand_same_settings, run_jobs
from benchmarks import analysis
from benchmarks.budget import Array, BudgetExhausted, Evaluator
from benchmarks.problems import Problem, block_problems
from benchmarks.sweep import Method, Sweep, blocks, methods
from pop_envs.prior import PRIORS

_DESCRIPTION = "Runs every method on every function from the same starts, and judges them by the best value found."

COLUMNS = (
    *("method", "function", "group", "dim", "budget", "start", "seed", "evaluations"),
    *("y0", "y_best", "f_min", "f_ref", "ni", "log10_regret", "seconds", "error", "trace"),
)
"""Of the results file."""


@dataclass(frozen=True)
class Chunk:
    """All runs of one method on one block of problems with one budget."""

    method: Method
    block: str
    budget: int
    starts: int
    seed: int
    part: Path


def start_point(problem: Problem, start: int, seed: int) -> Array:
    """The start (dim,) in the unit box: the same for every method and budget."""
    return _generator(seed, problem.name, start).uniform(-1.0, 1.0, problem.dim)


def method_generator(method: Method, problem: Problem, start: int, budget: int, seed: int) -> np.random.Generator:
    """The generator that a method has for one run."""
    return _generator(seed, method.name, problem.name, start, budget)


def run_once(method: Method, problem: Problem, start: int, budget: int, seed: int) -> dict[str, Any]:
    """One run as one row of the results, but for the measures; a function of its arguments, apart from the seconds.

    A method that raises has failed: the row carries its message and the value of the start.
    """
    x0 = start_point(problem, start, seed)
    y0 = Evaluator(problem.objective, x0, budget)(x0)[0]
    evaluator = Evaluator(problem.objective, x0, budget)
    rng = method_generator(method, problem, start, budget, seed)
    error = ""
    began = time.perf_counter()
    try:
        method.rival(evaluator, x0, budget, rng, **method.settings)
    except BudgetExhausted:
        pass
    except Exception as failure:  # whatever a method does, the other runs go on
        error = f"{type(failure).__name__}: {failure}"
    seconds = time.perf_counter() - began - evaluator.seconds
    if not error and evaluator.evaluations == 0:
        error = "it evaluated nothing"
    trace = np.full(budget + 1, y0) if error else evaluator.trace
    return {
        "method": method.name,
        "function": problem.name,
        "group": problem.group,
        "dim": problem.dim,
        "budget": budget,
        "start": start,
        "seed": seed,
        "evaluations": evaluator.evaluations,
        "y0": y0,
        "y_best": trace[-1],
        "f_min": problem.f_min,
        "f_ref": problem.f_ref,
        "seconds": seconds,
        "error": error,
        "trace": trace,
    }


def run(sweep: Sweep, console: Console | None = None) -> pd.DataFrame:
    """Runs what ``sweep.out`` does not hold yet and merges all of it into ``results.parquet``.

    Args:
        sweep: What to run.
        console: Where the progress bar is drawn; None draws none.

    Returns:
        The results, one row per run, ordered by method, block, budget, function and start.

    Raises:
        ValueError: If ``sweep.out`` holds results of other settings.
    """
    chosen = methods(sweep)
    parts = sweep.out / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    demand_same_settings(sweep.out / "sweep.json", _identity(sweep, chosen))
    order = blocks(sweep)
    chunks = [
        Chunk(method, block, budget, sweep.starts, sweep.seed, parts / f"{method.name}-{block}-{budget}.parquet")
        for method, block, budget in itertools.product(chosen, order, sweep.budgets)
    ]
    # Block by block, so that slow methods spread evenly, the time left is foreseeable and problems are reused.
    waiting = sorted((c for c in chunks if not c.part.exists()), key=lambda c: order.index(c.block))
    run_jobs("benchmark", _run_chunk, waiting, total=len(chunks), processes=sweep.jobs, console=console)
    results = pd.concat([pd.read_parquet(chunk.part) for chunk in chunks], ignore_index=True)
    results = analysis.with_measures(analysis.with_lowest_minima(results))[list(COLUMNS)]
    _write_atomically(results, sweep.out / "results.parquet")
    return results


def _run_chunk(chunk: Chunk) -> None:
    # One thread a process: more would fight over the cores, and could round differently.
    torch.set_num_threads(1)
    rows = [
        run_once(chunk.method, problem, start, chunk.budget, chunk.seed)
        for problem, start in itertools.product(block_problems(chunk.block), range(chunk.starts))
    ]
    _write_atomically(pd.DataFrame(rows), chunk.part)


def _write_atomically(frame: pd.DataFrame, path: Path) -> None:
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    frame.to_parquet(unfinished, index=False)
    unfinished.replace(path)


def _identity(sweep: Sweep, chosen: Iterable[Method]) -> dict[str, Any]:
    """What the results depend on; further methods, problems and budgets may join the old ones."""
    identity = {"starts": sweep.starts, "seed": sweep.seed, **{f"method {m.name}": m.identity for m in chosen}}
    return identity | {f"prior {name}": asdict(prior()) for name, prior in PRIORS.items() if name in sweep.suite}


def _generator(seed: int, *key: str | int) -> np.random.Generator:
    """A generator of its own for every key, the same in every process and on every machine."""
    return np.random.default_rng([seed, *(zlib.crc32(k.encode()) if isinstance(k, str) else k for k in key)])


def main() -> None:
    """Runs the sweep of the command line, then writes and prints the report."""
    console = Console()
    try:
        sweep = tyro.cli(Sweep, description=_DESCRIPTION)
        results = run(sweep, console)
    except (ValueError, FileNotFoundError) as error:
        console.print(f"[bold red]error:[/] {error}", highlight=False)
        sys.exit(2)
    except KeyboardInterrupt:
        console.print("\nStopped. Everything finished so far is kept: the same command goes on from here.")
        sys.exit(130)
    analysis.report(results, sweep.out, console)


if __name__ == "__main__":
    main()
