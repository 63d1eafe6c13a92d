"""How every command ends, and how every long one shows its progress."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@contextmanager
def command(console: Console, stopped: str = "Stopped.") -> Iterator[None]:
    """Ends a command that cannot do what it was asked, or that Ctrl-C stops, with a word and no traceback.

    Args:
        console: Where the word goes.
        stopped: What is said after Ctrl-C.

    Raises:
        SystemExit: With 2 where something asked for cannot be done, with 130 for Ctrl-C.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        console.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False)
        sys.exit(2)
    except KeyboardInterrupt:
        console.print(f"\n{stopped}", highlight=False)
        sys.exit(130)


def progress(console: Console | None, share: ProgressColumn, average_over: float = 30.0) -> Progress:
    """A bar with what is done, the time it took and the time left; None draws none."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        share,
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, disable=console is None, speed_estimate_period=average_over)
