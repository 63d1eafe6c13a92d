"""The priors by name, and the functions of them that no training sees."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from pop_envs.objectives.base import FunctionBatch, Prior
from pop_envs.objectives.gp_prior import GPPrior, WidePrior
from pop_envs.objectives.kernel_prior import KernelPrior
from pop_envs.objectives.plain_prior import PlainPrior

PRIORS: dict[str, type[Prior]] = {"gp": GPPrior, "wide": WidePrior, "plain": PlainPrior, "kernels": KernelPrior}
"""By the names that environments, command lines and checkpoints know them by."""

# Spawn keys: no integer seed, as training uses them, leads to these streams.
_VALIDATION, _TEST = 1, 2


def validation_functions(
    prior: Prior, batch: int = 256, dim: int = 2, device: torch.device | str = "cpu"
) -> FunctionBatch:
    """The prior's functions to choose settings by: always the same, and never met in training."""
    return prior.sample(batch, dim, _held_out(_VALIDATION, 0), device)


def validation_starts(batch: int = 256, dim: int = 2) -> NDArray[np.float64]:
    """Uniform starts (batch, dim) in the unit box that go with ``validation_functions``."""
    return _held_out(_VALIDATION, 1).uniform(-1, 1, (batch, dim))


def final_test_functions(
    prior: Prior, batch: int = 1024, dim: int = 2, device: torch.device | str = "cpu"
) -> FunctionBatch:
    """The prior's functions to report on: as ``validation_functions``, but others."""
    return prior.sample(batch, dim, _held_out(_TEST, 0), device)


def final_test_starts(batch: int = 1024, dim: int = 2) -> NDArray[np.float64]:
    """Uniform starts (batch, dim) in the unit box that go with ``final_test_functions``."""
    return _held_out(_TEST, 1).uniform(-1, 1, (batch, dim))


def _held_out(purpose: int, stream: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(0, spawn_key=(purpose, stream)))
