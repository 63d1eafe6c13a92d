"""Long lists of independent jobs, in parallel, with the time left; whoever runs them keeps each result as it comes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar

from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import ProcessPoolExecutor, TerminatedWorkerError
from rich.console import Console
from rich.progress import MofNCompleteColumn

from agents.training.command_line import progress
from benchmarks.isolation import ProcessDied
from pop_optimizer.checkpoint import write_atomically

Engine = Literal["joblib", "ray"]

RESUMABLE = "Stopped. Everything finished so far is kept: the same command goes on from here."
"""What a command says of its jobs after Ctrl-C."""

Job = TypeVar("Job")
Result = TypeVar("Result")


def run_jobs(
    title: str,
    run: Callable[[Job], Result],
    waiting: Sequence[Job],
    *,
    total: int,
    processes: int,
    console: Console | None,
    engine: Engine = "joblib",
) -> Iterator[tuple[Job, Result | ProcessDied]]:
    """Runs ``run(job)`` for each job that is waiting, in parallel, under a progress bar.

    Args:
        title: Of the bar.
        run: What a process does with a job.
        waiting: Jobs to run.
        total: Number of jobs, those that were run before included.
        processes: As joblib's ``n_jobs``: -1 is one per core, 1 is this process. Ray reads only the 1, as one at a
            time: its cluster has the cores that it has.
        console: Where the bar is drawn; None draws none.
        engine: "joblib" runs processes on this machine, "ray" tasks on the cluster that ``ray.init`` finds.

    Yields:
        Each job with its result, in the order in which they end. A process that died (but for this one)
        costs its own job only, whose result is then ``ProcessDied``.
    """
    results = {"joblib": _on_joblib, "ray": _on_ray}[engine](run, waiting, processes)
    with progress(console, MofNCompleteColumn(), average_over=3600) as bar:
        task = bar.add_task(title, total=total, completed=total - len(waiting))
        for i, result in results:
            yield waiting[i], result
            bar.advance(task)


def _on_joblib(run: Callable[[Any], Any], jobs: Sequence[Any], processes: int) -> Iterator[tuple[int, Any]]:
    """Numbers of jobs and their results."""
    left = dict(enumerate(jobs))
    while left:
        pool = Parallel(n_jobs=processes, batch_size=1, return_as="generator_unordered")
        try:
            for i, result in pool(delayed(_numbered)(run, i, job) for i, job in left.copy().items()):
                del left[i]
                yield i, result
        except TerminatedWorkerError:
            # A dead process takes the pool with it. Jobs are handed out in order, two in advance for each
            # process: one of the first is to blame, and the one that dies alone again is it.
            for i in list(islice(left, 3 * pool.n_jobs if pool.n_jobs > 0 else 64)):
                result = _alone(run, left.pop(i))
                yield i, result
                if isinstance(result, ProcessDied):
                    break


def _numbered(run: Callable[[Any], Any], i: int, job: Any) -> tuple[int, Any]:
    return i, run(job)


def _alone(run: Callable[[Any], Any], job: Any) -> Any:
    with ProcessPoolExecutor(max_workers=1) as process:
        try:
            return process.submit(run, job).result()
        except TerminatedWorkerError:
            return ProcessDied("the process that ran it died")


def _on_ray(run: Callable[[Any], Any], jobs: Sequence[Any], processes: int) -> Iterator[tuple[int, Any]]:
    """As ``_on_joblib``."""
    import ray

    if not ray.is_initialized():
        ray.init(log_to_driver=False, include_dashboard=False)

    def called(job: Any) -> Any:  # Ray takes functions, and neither partial ones nor other callables
        return run(job)

    task = ray.remote(num_cpus=1, max_retries=0)(called)
    cores = int(ray.cluster_resources()["CPU"])  # type: ignore[no-untyped-call]
    ahead = 1 if processes == 1 else 2 * cores  # nobody waits, and memory is bounded
    left = iter(enumerate(jobs))
    running = {task.remote(job): i for i, job in islice(left, ahead)}
    while running:
        (done, *_), _ = ray.wait(list(running))
        i = running.pop(done)
        running |= {task.remote(job): j for j, job in islice(left, 1)}
        try:
            result = ray.get(done)
        except ray.exceptions.WorkerCrashedError:
            result = ProcessDied("the process that ran it died")
        yield i, result


def demand_same_settings(path: Path, settings: dict[str, Any]) -> None:
    """Refuses a folder whose results are of other settings; settings that it did not have join its own.

    Args:
        path: JSON file in the folder that keeps the settings.
        settings: All that the results depend on, by name, as JSON data.

    Raises:
        ValueError: If one of them was another before.
    """
    settings = json.loads(json.dumps(settings))  # so that equal settings compare equal
    try:
        old = json.loads(path.read_text("utf-8")) if path.exists() else {}
    except ValueError as error:
        raise ValueError(
            f"{path} should be JSON and is not ({error}): without it nobody knows of which settings the results are; "
            "choose another folder with --out, or delete this one"
        ) from error
    changed = [key for key in settings if key in old and old[key] != settings[key]]
    if changed:
        details = "; ".join(f"{key} was {old[key]} and is now {settings[key]}" for key in changed)
        raise ValueError(
            f"{path.parent} holds results of other settings ({details}): "
            "choose another folder with --out, set the old settings again, or delete the folder"
        )
    write_atomically(path, json.dumps({**old, **settings}, indent=2).encode() + b"\n")


def forget_settings(path: Path, names: Iterable[str]) -> None:
    """Takes settings out of the file that ``demand_same_settings`` keeps, if there is one."""
    if path.exists():
        kept = {key: value for key, value in json.loads(path.read_text("utf-8")).items() if key not in set(names)}
        write_atomically(path, json.dumps(kept, indent=2).encode() + b"\n")
