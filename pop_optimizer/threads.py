"""One thread for small batches, without touching the setting that the user made.

PyTorch's threads wait for each other by spinning: on tensors as small as those of a single run they gain
nothing, and where another process keeps a core busy they make it several times as long.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from threadpoolctl import LibController, ThreadpoolController

SMALL = 64
"""Runs in a batch, up to which a second idle core saves at most a seventh of the time, in 2-D and 10-D; from 256 on
it saves a tenth to a third."""


@cache
def _openmp() -> tuple[LibController, ...]:
    return tuple(ThreadpoolController().select(user_api="openmp").lib_controllers)


@contextmanager
def one_thread(batch: int) -> Iterator[None]:
    """Small batches are computed on the calling thread alone; other threads, and what comes after, keep theirs."""
    if batch > SMALL or torch.get_num_threads() == 1:  # asked first: a thread's first question sets its number
        yield
        return
    # OpenMP's number belongs to the calling thread; PyTorch's own setter would change every thread's.
    before = [library.get_num_threads() for library in _openmp()]
    for library in _openmp():
        library.set_num_threads(1)
    try:
        yield
    finally:
        for library, number in zip(_openmp(), before, strict=True):
            library.set_num_threads(number)
