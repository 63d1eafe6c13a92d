"""For libraries that are not written in Python."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.budget import Array, Evaluate


@contextmanager
def relayed(evaluate: Evaluate) -> Iterator[Evaluate]:
    """``evaluate`` for a library that loses or replaces what a callback raises: the ``with`` block ends with it.

    From then on nothing more is evaluated, however long the library goes on.
    """
    raised: BaseException | None = None

    def relay(x: Array) -> tuple[float, Array]:
        nonlocal raised
        if raised is None:
            try:
                return evaluate(x)
            except BaseException as exception:
                raised = exception
        raise raised

    try:
        yield relay
    except BaseException as exception:
        if raised is None or exception is raised:
            raise
    if raised is not None:
        try:
            raise raised
        finally:
            raised = None  # its traceback holds whatever calls this, in a cycle that no collector sees
