"""What a method is judged on: one function on the unit box, its minimum and its scale."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch

from benchmarks import vlse
from pop_envs.objective import Objective
from pop_envs.prior import GPPrior, validation_functions
from pop_envs.reference import reference_minimum

_REFERENCE_POINTS = 10_000


@dataclass(frozen=True)
class Problem:
    """One function to minimize.

    Every method sees the box scaled to [-1, 1]^dim, as POP does, so that no setting depends on a
    function's units of length.

    Attributes:
        name: Unique name.
        group: Name of the family it is reported under.
        objective: The function on the unit box, a batch of one.
        f_min: Its global minimum on the box.
    """

    name: str
    group: str
    objective: Objective
    f_min: float

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return self.objective.dim

    @cached_property
    def f_ref(self) -> float:
        """The median over the box, from fixed uniform points."""
        rng = np.random.default_rng(0)
        points = torch.from_numpy(rng.uniform(-1.0, 1.0, (_REFERENCE_POINTS, self.dim)))
        return float(np.median(self.objective.values_on(points).numpy()))


@lru_cache(maxsize=64)
def vlse_problem(name: str) -> Problem:
    """The VLSE function of that name, in its default dimension."""
    record = vlse.problem(name)
    return Problem(record.name, record.group, record.objective(), record.f_min)


def prior_problems(prior: GPPrior, count: int, dim: int) -> Iterator[Problem]:
    """The first ``count`` validation functions of a prior; their minima are multi-start references."""
    functions = validation_functions(prior, count, dim)
    minima = reference_minimum(functions)
    group = type(prior).__name__
    for i, f_min in enumerate(minima.tolist()):
        yield Problem(f"{group}-{i}", group, functions.rows(torch.tensor([i])), f_min)
