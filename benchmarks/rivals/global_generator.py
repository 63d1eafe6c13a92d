"""For libraries that draw from NumPy's global generator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def lent(rng: np.random.Generator) -> Iterator[None]:
    """Seeds NumPy's global generator from ``rng``; afterwards it is as it was."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(rng.integers(2**32, dtype=np.uint32))  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
