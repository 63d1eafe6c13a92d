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
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import tyro
from rich.console import Console

from agents.training.command_line import command
from benchmarks import analysis, page
from benchmarks.budget import Array, BudgetExhausted, Evaluator
from benchmarks.isolation import ProcessDied, in_words, run_isolated
from benchmarks.jobs import RESUMABLE, demand_same_settings, forget_settings, run_jobs
from benchmarks.problems import Problem, block_problems, is_values_only
from benchmarks.report import report
from benchmarks.rivals import Plugin
from benchmarks.sweep import Method, Sweep, blocks, budgets, methods
from pop_envs.objectives.priors import PRIORS

_DESCRIPTION = "Runs every method on every function from the same starts, and judges them by the best value found."

COLUMNS = (
    *("method", "function", "group", "sample", "dim", "budget", "doubled", "start", "seed", "evaluations"),
    *("y0", "y_best", "f_min", "f_ref", "ni", "log10_regret", "seconds", "error", "trace", "path"),
)
"""Of the results file. ``doubled`` tells runs with twice the evaluations; ``trace`` is the best value after each of
them, and ``path`` the points of the unit box, one after the other, of the first start's run in up to 2-D."""

_MEASURED = tuple(name for name in COLUMNS if name not in ("ni", "log10_regret"))  # what a run knows by itself
_FORMAT = 1  # of the files in a folder of results


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
        return in_words(failure)
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
    for unfinished in sweep.out.rglob("*.tmp"):  # of a run that was killed
        unfinished.unlink()
    demand_same_settings(sweep.out / "sweep.json", _identity(sweep, chosen))
    order = blocks(sweep)
    chunks = list(_all_chunks(sweep, chosen))
    # Block by block, so that slow methods spread evenly, the time left is foreseeable and problems are reused.
    waiting = sorted((c for c in chunks if not _is_whole(c.part)), key=lambda c: order.index(c.block))
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


def forget(sweep: Sweep, names: Iterable[str]) -> int:
    """Deletes what methods have left in ``sweep.out``, so that they run anew, with other settings too.

    Returns:
        Number of deleted parts.
    """
    gone = [method for method in methods(sweep) if method.name in set(names)]
    parts = [chunk.part for chunk in _all_chunks(sweep, gone) if chunk.part.exists()]
    for part in parts:
        part.unlink()
    forget_settings(sweep.out / "sweep.json", [f"method {method.name}" for method in gone])
    return len(parts)


def _all_chunks(sweep: Sweep, chosen: Iterable[Method]) -> Iterator[Chunk]:
    for method, block in itertools.product(chosen, blocks(sweep)):
        for budget in budgets(sweep, block):
            yield from _chunks(sweep, method, block, budget)


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
    problems = block_problems(chunk.block)
    cells = [(i, start) for i, problem in enumerate(problems) for start in range(problem.num_runs(chunk.starts))]
    if error or not isinstance(chunk.method.rival, Plugin):
        return pd.DataFrame([_run_cell(chunk, error, cell) for cell in cells])
    done = run_isolated(partial(_run_cell, chunk, ""), cells, chunk.time_limit)
    rows = [
        _run_cell(chunk, str(row), cell) if isinstance(row, ProcessDied) else row
        for cell, row in zip(cells, done, strict=True)
    ]
    return pd.DataFrame(rows)


def _run_cell(chunk: Chunk, error: str, cell: tuple[int, int]) -> dict[str, Any]:
    """The row of one problem, by its number in the block, from one start."""
    number, start = cell
    torch.set_num_threads(1)  # in the process of a plugin too
    return run_once(
        chunk.method,
        block_problems(chunk.block)[number],
        start,
        chunk.budget,
        chunk.seed,
        doubled=chunk.doubled,
        time_limit=chunk.time_limit,
        error=error,
    )


def _is_whole(part: Path) -> bool:
    """Whether a part file is there and can be read; one that a crash of the machine cut off is run again.

    Raises:
        ValueError: If it is of another version of the benchmark.
    """
    if not part.exists():
        return False
    try:
        columns = pq.read_schema(part).names
    except (pa.ArrowInvalid, OSError):
        return False
    if set(columns) != set(_MEASURED):
        raise ValueError(
            f"{part.parent.parent} holds results of another version of the benchmark ({part.name} has the columns "
            f"{', '.join(columns)}; here they are {', '.join(_MEASURED)}): choose another folder with --out, or "
            "delete this one"
        )
    return True


def _write_atomically(frame: pd.DataFrame, path: Path) -> None:
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        frame.to_parquet(unfinished, index=False)
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise OSError(
            f"{path} could not be written ({error}). Everything that was finished before is kept: when there is room, "
            "the same command goes on from there"
        ) from error


def _identity(sweep: Sweep, chosen: Iterable[Method]) -> dict[str, Any]:
    """What the results depend on; further methods, problems and budgets may join the old ones."""
    identity = {
        "format of the results": _FORMAT,
        "starts": sweep.starts,
        "slow starts": sweep.slow_starts,
        "seed": sweep.seed,
        **{f"method {m.name}": m.identity for m in chosen},
    }
    return identity | {f"prior {name}": prior().record() for name, prior in PRIORS.items() if name in sweep.suite}


def _generator(seed: int, *key: str | int) -> np.random.Generator:
    """A generator of its own for every key, the same in every process and on every machine."""
    return np.random.default_rng([seed, *(zlib.crc32(k.encode()) if isinstance(k, str) else k for k in key)])


def saved(out: Path) -> dict[Path, pd.DataFrame]:
    """The results that are in a folder, or else in each of the folders in it.

    Raises:
        ValueError: If there are none, or they are of another version of the benchmark.
    """
    folders = sorted(
        (p.parent for p in out.glob("*/results.parquet")), key=lambda folder: (folder.name != "vlse", folder)
    )
    if (out / "results.parquet").is_file():
        folders = [out]
    if not folders:
        raise ValueError(f"--report-only needs results, and {out} holds none: name their folder in --out, or run some")
    found = {}
    for folder in folders:
        try:
            results = pd.read_parquet(folder / "results.parquet")
        except (pa.ArrowInvalid, OSError) as error:
            raise ValueError(f"{folder}/results.parquet cannot be read ({error}): run the benchmark again") from error
        if missing := set(COLUMNS) - set(results):
            raise ValueError(
                f"{folder}/results.parquet is of another version of the benchmark, for it has no "
                f"{', '.join(sorted(missing))}: delete that folder and run the benchmark again"
            )
        found[folder] = results
    return found


def report_again(out: Path, command_line: str, console: Console) -> None:
    """Writes the reports of all ``saved`` results anew; of several also one page, ``report.html``, of them all."""
    found = saved(out)
    for folder, results in found.items():
        report(results, folder, command_line, console)
    if list(found) != [out]:
        console.print(
            f"All of it on one page: {page.write(merged(found.values()), out, command_line)}", highlight=False
        )


def merged(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """One file of several; of functions that are in more than one with the same budget, those with most runs."""
    together = pd.concat([table.assign(file=number) for number, table in enumerate(tables)], ignore_index=True)
    runs = together.groupby(["sample", "budget", "file"]).size()
    kept = set(runs.groupby(["sample", "budget"]).idxmax())
    chosen = [key in kept for key in zip(together["sample"], together["budget"], together["file"], strict=True)]
    return together[chosen].drop(columns="file").reset_index(drop=True)


def main() -> None:
    """Runs the sweep of the command line, then writes and prints the report."""
    console = Console()
    command_line = shlex.join(["python", "-m", "benchmarks.run", *sys.argv[1:]])
    with command(console, RESUMABLE):
        sweep = tyro.cli(Sweep, description=_DESCRIPTION)
        if sweep.report_only:
            report_again(sweep.out, command_line, console)
        else:
            report(run(sweep, console), sweep.out, command_line, console)


if __name__ == "__main__":
    import benchmarks.run  # other processes know what is in it by this name

    benchmarks.run.main()
