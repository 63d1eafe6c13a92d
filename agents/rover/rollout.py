"""Runs of policies on landscapes, with all that there is to tell of them; and the landscapes to choose by."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pop_envs.objectives.base import Objective
from pop_envs.rover.core import Core
from pop_envs.rover.task import RoverTask
from pop_optimizer.networks.rover import RoverNetwork

VALIDATION, TEST = 1, 2  # spawn keys: no integer seed, as training uses them, leads to these streams
NUM_VALIDATION = 512
FLOOR = 1e-8
"""Of relative gaps: what is closer counts as there."""


class Rollout(NamedTuple):
    """What happened, the start first.

    Attributes:
        x: Points (batch, steps + 1, 2).
        values: Their values (batch, steps + 1).
        alpha: Step sizes (batch, steps + 1).
        delta: Resolutions (batch, steps + 1).
        lowest: The lowest values on the grids (batch, steps + 1).
        minimum: Of each function (batch,).
        rewards: Of all steps together (batch,).
    """

    x: Tensor
    values: Tensor
    alpha: Tensor
    delta: Tensor
    lowest: Tensor
    minimum: Tensor
    rewards: Tensor

    @property
    def log10_gap(self) -> NDArray[np.float64]:
        """Decades (batch,) that the best iterate's gap to the minimum lies above the start's, at least -8."""
        return log10_gaps(self.values.numpy(), self.minimum.numpy())[:, -1]


def log10_gaps(
    values: NDArray[np.float64], minimum: NDArray[np.float64], first: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Decades that the best gap so far lies above the start's, at least -8: (batch, steps) like ``values``.

    Args:
        values: Values (batch, steps).
        minimum: Of each function (batch,).
        first: Values at the starts (batch,); the first ones by default.
    """
    gaps = np.minimum.accumulate(values, 1) - minimum[:, None]
    start = gaps[:, 0] if first is None else first - minimum
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.nan_to_num(gaps / start[:, None], nan=0.0, posinf=1.0)
    return np.log10(np.maximum(share, FLOOR))


def held_out_core(task: RoverTask, batch: int = NUM_VALIDATION, purpose: int = VALIDATION) -> Core:
    """Rovers at the start of runs on landscapes that no training sees; always the same."""
    core = Core(batch, task)
    seeds = np.random.SeedSequence(0, spawn_key=(purpose,)).spawn(batch)
    core.reset([np.random.default_rng(seed) for seed in seeds])
    return core


def rollout(core: Core, network: RoverNetwork, steps: int | None = None) -> Rollout:
    """Runs a policy, with the modes of its actions, on rovers that stand at their starts.

    Args:
        core: The rovers.
        network: The policy.
        steps: How many; at most, and by default, the task's budget.
    """
    told: list[tuple[Tensor, ...]] = []
    rewards = torch.zeros(core.num_envs, dtype=torch.float64)
    state = network.new_state(core.num_envs)

    def tell() -> None:
        search = core.search
        lowest = torch.where(search.values.isnan(), torch.inf, search.values).amin(-1)
        told.append((search.x, search.y, search.scales.alpha, search.scales.delta, lowest))

    tell()
    with torch.no_grad():
        for _ in range(core.task.budget if steps is None else steps):
            action, state = network(core.search.seen, state)
            rewards += core.step(action)
            tell()
    x, y, alpha, delta, lowest = (torch.stack(each, 1) for each in zip(*told, strict=True))
    return Rollout(x, y, alpha, delta, lowest, core.path.minimum, rewards)


def on_objective(
    network: RoverNetwork, objective: Objective, x: Tensor, alpha: Tensor, delta: Tensor, task: RoverTask
) -> Rollout:
    """Runs on a function of one's own from starts ``x`` (batch, 2), with first step sizes and resolutions (batch,)."""
    core = Core(len(x), task, objective=objective)
    core.reset([np.random.default_rng(0)] * len(x))
    core.place(x, alpha, delta)
    return rollout(core, network)
