"""The benchmark's command line: ``python -m benchmarks.run`` runs a sweep, resumably, and reports on it.

A sweep is a list of independent chunks, one per method, block of problems and budget. Each writes its own
part file in one atomic step, so that a run killed anywhere goes on where it stopped and ends with
the same results file.
"""

from __future__ import annotations

import itertools
import os
import shlex
import signal
import sys
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import tyro
from rich.console import Console

from agents.training.command_line import command
from benchmarks import analysis
from benchmarks.budget import Array, BudgetExhausted, Evaluator
from benchmarks.jobs import RESUMABLE, ProcessDied, demand_same_settings, run_jobs
from benchmarks.problems import Problem, block_problems, is_values_only
from benchmarks.report import report
from benchmarks.sweep import Method, Sweep, blocks, budgets, methods
from pop_envs.objectives.priors import PRIORS

_DESCRIPTION = "Runs every method on every function from the same starts, and judges them by the best value found."

COLUMNS = (
    *("method", "function", "group", "sample", "dim", "budget", "doubled", "start", "seed", "evaluations"),
    *("y0", "y_best", "f_min", "f_ref", "ni", "log10_regret", "seconds", "error", "trace", "path"),
)
"""Of the results file. ``doubled`` tells runs with twice the evaluations; ``trace`` is the best value after each of
them, and ``path`` the points of the unit box, one after the other, of the first start's run in up to 2-D."""


@dataclass(frozen=True)
class Chunk:
    """All runs of one method on one block of problems with one budget."""

    method: Method
    block: str
    budget: int
    doubled: bool
    starts: int
    seed: int
    time_limit: float
    part: Path


def start_point(problem: Problem, start: int, seed: int) -> Array:
    """The start (dim,) in the unit box: the same for every method and budget."""
    if problem.own_starts is not None:
        return problem.own_starts[start % len(problem.own_starts)].copy()
    return _generator(seed, problem.name, start).uniform(-1.0, 1.0, problem.dim)


def method_generator(method: Method, problem: Problem, start: int, budget: int, seed: int) -> np.random.Generator:
    """The generator that a method has for one run."""
    return _generator(seed, method.name, problem.name, start, budget)


def run_once(
    method: Method,
    problem: Problem,
    start: int,
    budget: int,
    seed: int,
    *,
    doubled: bool = False,
    time_limit: float = np.inf,
    error: str = "",
) -> dict[str, Any]:
    """One run as one row of the results, but for the measures; a function of its arguments, apart from the seconds.

    A method that raises or takes too long has failed: the row carries the reason and the value of the start.

    Args:
        method: What runs.
        problem: On what.
        start: Number of its start.
        budget: Number of steps T.
        seed: Of the start and the method.
        doubled: Whether it has twice the evaluations, 2T + 2.
        time_limit: Seconds after which it has failed.
        error: Why it has failed already, without being run.
    """
    problem = problem.instance(start)
    x0 = start_point(problem, start, seed)
    steps = 2 * budget + 1 if doubled else budget
    # The same noise for every method: draw k belongs to evaluation k.
    noise_rng = _generator(seed, "noise", problem.name, start)
    observe = problem.noise.observer(noise_rng) if problem.noise else None
    evaluator = Evaluator(problem.objective, x0, steps, observe, gradients=not method.gradient_free)
    began = time.perf_counter()
    if not error:
        rng = method_generator(method, problem, start, budget, seed)
        error = _call(method, evaluator, x0, evaluator.steps, rng, time_limit)
    seconds = time.perf_counter() - began - evaluator.seconds
    if not error and evaluator.evaluations == 0:
        error = "it evaluated nothing"
    elsewhere = Evaluator(problem.objective, x0, budget, gradients=False)
    y0 = float(evaluator.trace[0]) if evaluator.evaluations else elsewhere(x0)[0]
    trace = np.full(steps + 1, y0) if error else evaluator.trace
    return {
        "method": method.name,
        "function": problem.name,
        "group": problem.group,
        "sample": problem.sample,
        "dim": problem.dim,
        "budget": budget,
        "doubled": doubled,
        "start": start,
        "seed": seed,
        "evaluations": evaluator.evaluations,
        "y0": y0,
        "y_best": trace[-1],
        "f_min": problem.f_min,
        # Published starts are the scale by which Moré and Wild judge; the boxes around them are ours.
        "f_ref": problem.f_ref if problem.own_starts is None else y0,
        "seconds": seconds,
        "error": error,
        "trace": trace,
        "path": np.ravel(evaluator.points) if start == 0 and problem.dim <= 2 and not doubled else np.empty(0),
    }


def _call(
    method: Method, evaluate: Evaluator, x0: Array, steps: int, rng: np.random.Generator, time_limit: float
) -> str:
    """Runs a method to its end; the reason if it fails, whatever it does."""
    try:
        with deadline(time_limit):
            # A function, for methods are to see values and gradients, and neither the trace nor the budget's count.
            see = evaluate.residuals if method.residuals else evaluate
            method.rival(lambda x: see(x), x0, steps, rng, **method.settings)
    except BudgetExhausted:
        return ""
    except (Exception, TimeLimitExceeded) as failure:
        return f"{type(failure).__name__}: {failure}"
    return ""


class TimeLimitExceeded(BaseException):
    """A run took too long; no ``except Exception`` of a method catches it."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Interrupts what runs in it; only a main thread can be interrupted.

    Raises:
        TimeLimitExceeded: After so many seconds, and again every second while the caller does not listen.
    """
    if not np.isfinite(seconds):
        yield
        return

    def ring(*_: object) -> None:
        raise TimeLimitExceeded(f"it ran for more than {seconds:g} seconds")

    previous = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, previous)


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
        chunk
        for method, block in itertools.product(chosen, order)
        for budget in budgets(sweep, block)
        for chunk in _chunks(sweep, method, block, budget)
    ]
    # Block by block, so that slow methods spread evenly, the time left is foreseeable and problems are reused.
    waiting = sorted((c for c in chunks if not c.part.exists()), key=lambda c: order.index(c.block))
    for chunk, rows in run_jobs(
        "benchmark",
        run_chunk,
        waiting,
        total=len(chunks),
        processes=sweep.jobs,
        console=console,
        engine=sweep.engine,
    ):
        # Written here, for the processes of a cluster may not see this folder.
        frame = run_chunk(chunk, error=str(rows)) if isinstance(rows, ProcessDied) else rows
        _write_atomically(frame, chunk.part)
    results = pd.concat([pd.read_parquet(chunk.part) for chunk in chunks], ignore_index=True)
    results = analysis.with_measures(analysis.with_lowest_minima(results))[list(COLUMNS)]
    _write_atomically(results, sweep.out / "results.parquet")
    return results


def _chunks(sweep: Sweep, method: Method, block: str, budget: int) -> Iterator[Chunk]:
    starts = min(sweep.starts, sweep.slow_starts) if method.slow else sweep.starts
    # Where nobody knows gradients, who looks at them pays for them: that is strict already.
    twice = sweep.strict and method.gradient_free and not method.slow and not is_values_only(block)
    for doubled in (False, True) if twice else (False,):
        name = f"{method.name}-{block}-{budget}{'-doubled' if doubled else ''}.parquet"
        part = sweep.out / "parts" / name
        yield Chunk(method, block, budget, doubled, starts, sweep.seed, sweep.time_limit, part)


def run_chunk(chunk: Chunk, error: str = "") -> pd.DataFrame:
    """The rows of a chunk; all failed if there is an error already."""
    # One thread a process: more would fight over the cores, and could round differently.
    torch.set_num_threads(1)
    rows = [
        run_once(
            chunk.method,
            problem,
            start,
            chunk.budget,
            chunk.seed,
            doubled=chunk.doubled,
            time_limit=chunk.time_limit,
            error=error,
        )
        for problem in block_problems(chunk.block)
        for start in range(problem.num_runs(chunk.starts))
    ]
    return pd.DataFrame(rows)


def _write_atomically(frame: pd.DataFrame, path: Path) -> None:
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    frame.to_parquet(unfinished, index=False)
    unfinished.replace(path)


def _identity(sweep: Sweep, chosen: Iterable[Method]) -> dict[str, Any]:
    """What the results depend on; further methods, problems and budgets may join the old ones."""
    identity = {
        "starts": sweep.starts,
        "slow starts": sweep.slow_starts,
        "seed": sweep.seed,
        **{f"method {m.name}": m.identity for m in chosen},
    }
    return identity | {f"prior {name}": prior().record() for name, prior in PRIORS.items() if name in sweep.suite}


def _generator(seed: int, *key: str | int) -> np.random.Generator:
    """A generator of its own for every key, the same in every process and on every machine."""
    return np.random.default_rng([seed, *(zlib.crc32(k.encode()) if isinstance(k, str) else k for k in key)])


def main() -> None:
    """Runs the sweep of the command line, then writes and prints the report."""
    console = Console()
    with command(console, RESUMABLE):
        sweep = tyro.cli(Sweep, description=_DESCRIPTION)
        results = run(sweep, console)
    report(results, sweep.out, shlex.join(["python", "-m", "benchmarks.run", *sys.argv[1:]]), console)


if __name__ == "__main__":
    main()
