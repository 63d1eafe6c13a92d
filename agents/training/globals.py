"""What is the whole process's, and so the caller's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def lent_globals(threads: int) -> Iterator[None]:
    """PyTorch's threads (0 for one a core) and the global generators, which SB3 draws from; given back at the end."""
    before, torch_state, numpy_state = torch.get_num_threads(), torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    torch.set_num_threads(threads or os.cpu_count() or 1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        torch.set_rng_state(torch_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
