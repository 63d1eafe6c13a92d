"""Code of others runs in a process of its own, and whatever it does there costs its own results only.

The process is forked from a server that has loaded the benchmark and nothing else, so it is there at once and begins
in the same state every time. It may exit, crash, hang, fork, print or change what is global: who asked for the results
sees a result or ``ProcessDied`` for each job, and keeps its own state.
"""

from __future__ import annotations

import contextlib
import fcntl
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from types import ModuleType
from typing import Any, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["benchmarks.run"])

_GRACE = 2.0  # seconds: code that can be interrupted has ended by itself by then
_LONGEST = 1000  # characters of a message


class ProcessDied(Exception):  # noqa: N818 - a result, and raised only by those who cannot do without
    """A job ended without a result: what ran it raised, or its process was killed, crashed or had to be ended."""


def run_isolated(
    run: Callable[[Job], Result], jobs: Sequence[Job], seconds: float = float("inf")
) -> Iterator[Result | ProcessDied]:
    """Runs ``run(job)`` one after the other in a process of their own, in a new one after each that died.

    Args:
        run: What is done with a job. It and all jobs and results must pickle.
        jobs: What to run.
        seconds: After which a job that has not ended by itself is ended, its process and all that this one started.

    Yields:
        The result of each job, or why there is none.
    """
    left = list(jobs)
    while left:
        here, there = _PROCESSES.Pipe(duplex=False)
        process = _PROCESSES.Process(target=_serve, args=(there, run, left), daemon=True)
        with _without_main():
            process.start()
        there.close()
        try:
            _receive(here, process.sentinel, None)  # it is there: from now on the time counts
            while left:
                try:
                    result = _receive(here, process.sentinel, seconds)
                except EOFError:
                    process.join()
                    yield ProcessDied(f"the process that ran it died ({_how(process.exitcode)})")
                    del left[0]
                    break
                except TimeoutError:
                    yield ProcessDied(f"it ran for more than {seconds:g} seconds, and nothing but its end stopped it")
                    del left[0]
                    break
                yield result
                del left[0]
        finally:
            # With all that it started; what left its group is no longer its own.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid or 0, signal.SIGKILL)
            process.kill()
            process.join()
            here.close()


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """A process that starts meanwhile does not run the main module again, which may be a script of anybody's."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _receive(connection: Connection, sentinel: int, seconds: float | None) -> Any:
    """What comes next.

    Raises:
        EOFError: If nothing comes any more, or nothing that can be read.
        TimeoutError: If nothing comes for so long.
    """
    patience = None if seconds is None or seconds == float("inf") else seconds + _GRACE
    ready = wait([connection, sentinel], patience)
    if not ready:
        raise TimeoutError
    if not connection.poll():
        raise EOFError  # it ended; others may still hold the connection open
    try:
        return connection.recv()
    except Exception as failure:
        raise EOFError from failure


def _serve(connection: Connection, run: Callable[[Any], Any], jobs: Sequence[Any]) -> None:
    """Runs the jobs, and sends a word that it is there and then each result."""
    os.setsid()  # Ctrl-C is not for it, and its whole group can be ended
    _end_with(multiprocessing.parent_process())
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)
    own = os.getpid()
    connection.send(None)
    for job in jobs:
        try:
            result = run(job)
        except BaseException as failure:
            result = ProcessDied(in_words(failure))
        if os.getpid() != own:
            os._exit(0)  # a copy that the job left behind
        connection.send(result)
    os._exit(0)  # whatever the jobs left to be done at the end


def _end_with(parent: Any) -> None:
    """Has the system end this group of processes, whatever it does then, when the parent has ended."""
    fcntl.fcntl(parent.sentinel, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(parent.sentinel, fcntl.F_SETFL, os.O_ASYNC)  # SIGIO comes with the end of the pipe


def in_words(failure: BaseException) -> str:
    """Such as "ValueError: no idea", not too long, of exceptions of others too."""
    try:
        text = str(failure)
    except Exception:
        text = "its message cannot be read"
    name = type(failure).__name__
    return f"{name}: {text[:_LONGEST]}" if text else name


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"
