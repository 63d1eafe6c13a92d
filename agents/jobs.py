"""Long lists of independent jobs, each of which leaves a file of its own: they go on where they were stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from agents.checkpoint import write_atomically


def run_jobs(
    title: str,
    run: Callable[[Any], object],
    waiting: Sequence[Any],
    *,
    total: int,
    processes: int,
    console: Console | None,
) -> None:
    """Runs ``run(job)`` for each job that is waiting, in parallel, under a progress bar.

    Args:
        title: Of the bar.
        run: What a process does with a job; it leaves the result in a file.
        waiting: Jobs to run.
        total: Number of jobs, those that were run before included.
        processes: As joblib's ``n_jobs``: -1 is one per core.
        console: Where the bar is drawn; None draws none.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=console is None, speed_estimate_period=3600) as progress:
        task = progress.add_task(title, total=total, completed=total - len(waiting))
        for _ in Parallel(n_jobs=processes, return_as="generator_unordered")(delayed(run)(job) for job in waiting):
            progress.advance(task)


def demand_same_settings(path: Path, settings: dict[str, Any]) -> None:
    """Refuses a folder whose results are of other settings; settings that it did not have join its own.

    Args:
        path: JSON file in the folder that keeps the settings.
        settings: All that the results depend on, by name, as JSON data.

    Raises:
        ValueError: If one of them was another before.
    """
    settings = json.loads(json.dumps(settings))  # so that equal settings compare equal
    old = json.loads(path.read_text("utf-8")) if path.exists() else {}
    changed = [key for key in settings if key in old and old[key] != settings[key]]
    if changed:
        details = "; ".join(f"{key} was {old[key]} and is now {settings[key]}" for key in changed)
        raise ValueError(
            f"{path.parent} holds results of other settings ({details}): "
            "choose another folder with --out, set the old settings again, or delete the folder"
        )
    write_atomically(path, json.dumps({**old, **settings}, indent=2).encode() + b"\n")
