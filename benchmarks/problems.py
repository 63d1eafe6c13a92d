"""What a method is judged on: one function on the unit box, its minimum and its scale."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch

from benchmarks import vlse
from pop_envs.objective import Objective
from pop_envs.prior import PRIORS, GPPrior, PriorFunctions, final_test_functions, validation_functions
from pop_envs.reference import reference_minimum

_REFERENCE_POINTS = 10_000
_BLOCK_SIZE = 64
_BLOCK = re.compile(r"(?P<prior>\w+)-(?P<dim>\d+)d-(?P<first>\d+)\.\.(?P<last>\d+)")
_PROBES = 4096  # far more than rewards need: a poor reference would flatter whoever stops early


@dataclass(frozen=True)
class Problem:
    """One function to minimize.

    Every method sees the box scaled to [-1, 1]^dim, as POP does, so that no setting depends on a
    function's units of length.

    Attributes:
        name: Unique name.
        group: Name of the family it is reported under.
        objective: The function on the unit box, a batch of one.
        f_min: Its global minimum on the box; of a prior's function only a reference, which methods can undercut.
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


def validation_problems(prior: GPPrior, count: int, dim: int) -> tuple[Problem, ...]:
    """The first ``count`` functions of a prior to choose settings by, with the minima that rewards know."""
    functions = validation_functions(prior, count, dim)
    name = type(prior).__name__
    return _prior_problems(functions, reference_minimum(functions), name, range(count), name)


def prior_blocks(prior: str, dim: int, count: int) -> tuple[str, ...]:
    """Names of the blocks that the first ``count`` unseen functions of a prior are run in, "gp-8d-0..63" the first."""
    firsts = range(0, count, _BLOCK_SIZE)
    return tuple(f"{prior}-{dim}d-{first}..{min(first + _BLOCK_SIZE, count) - 1}" for first in firsts)


@lru_cache(maxsize=8)
def block_problems(block: str) -> tuple[Problem, ...]:
    """The problems of a block: the VLSE function of that name, or unseen functions of a prior.

    Raises:
        ValueError: If there is no such block.
    """
    if block in vlse.names():
        return (vlse_problem(block),)
    parsed = _BLOCK.fullmatch(block)
    if parsed is None or parsed["prior"] not in PRIORS:
        raise ValueError(f"a block must be a VLSE function or like {prior_blocks('gp', 8, 64)[0]!r}, got {block!r}")
    prior, dim, first, last = parsed["prior"], *(int(parsed[name]) for name in ("dim", "first", "last"))
    rows = range(first, last + 1)
    functions = final_test_functions(PRIORS[prior](), last + 1, dim).rows(torch.tensor(rows))
    minima = reference_minimum(functions, num_probes=_PROBES)
    return _prior_problems(functions, minima, f"{prior}-{dim}d", rows, f"{prior}, {dim}-D")


def _prior_problems(
    functions: PriorFunctions, minima: torch.Tensor, name: str, numbers: Sequence[int], group: str
) -> tuple[Problem, ...]:
    """Each function by itself, called by the name and its number."""
    return tuple(
        Problem(f"{name}-{number}", group, functions.rows(torch.tensor([i])), f_min)
        for i, (number, f_min) in enumerate(zip(numbers, minima.tolist(), strict=True))
    )
