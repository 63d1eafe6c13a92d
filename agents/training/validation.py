"""How good a policy is on functions of the priors that no training sees."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.training.descent import descend
from pop_envs.measures import log10_regret, normalized_improvement, solved
from pop_envs.objectives.base import FunctionBatch, evaluate
from pop_envs.objectives.priors import PRIORS, validation_functions, validation_starts
from pop_envs.objectives.reference import reference_minimum, trust_region_values
from pop_optimizer.ask_tell import Policy, run
from pop_optimizer.classical import lbfgsb_descent

NUM_FUNCTIONS = 256
TAU = 1e-6
"""Accuracy at which a function counts as solved."""
_BOX_POINTS = 4096
_SEED = 20_250_215
ADAM = {"learning_rate": 0.245, "beta1": 0.661, "beta2": 0.988}
"""What ``python -m benchmarks.tune`` finds on validation functions: ``benchmarks/tuned.json``."""


class Score(NamedTuple):
    """Means over functions, with their standard errors."""

    ni: float
    ni_error: float
    log10_regret: float
    log10_regret_error: float
    solved: float
    solved_error: float


@dataclass(frozen=True)
class ValidationSet:
    """Fixed functions of one prior with fixed starts, and methods' scores on them.

    Attributes:
        functions: A batch of functions.
        starts: One start for each (batch, dim).
        budget: Steps per run.
    """

    functions: FunctionBatch
    starts: Tensor
    budget: int

    @classmethod
    def of(cls, prior: str, budget: int, size: int = NUM_FUNCTIONS, dim: int = 2, first: int = 0) -> ValidationSet:
        """The ``size`` validation functions of the prior named ``prior`` that follow the ``first`` ones."""
        rows = slice(first, first + size)
        functions = validation_functions(PRIORS[prior](), rows.stop, dim).rows(
            torch.arange(rows.start, rows.stop, device="cpu")
        )
        return cls(functions, torch.from_numpy(validation_starts(rows.stop, dim)[rows]), budget)

    @cached_property
    def minimum(self) -> NDArray[np.float64]:
        """Minima (batch,): the known one, or else the lowest of descents from the best of many points."""
        if self.functions.minimum is not None:
            return np.full(len(self.functions), self.functions.minimum)
        return reference_minimum(self.functions, num_probes=_BOX_POINTS).numpy()

    @cached_property
    def median(self) -> NDArray[np.float64]:
        """Medians over the box (batch,)."""
        generator = torch.Generator("cpu").manual_seed(_SEED)
        points = torch.rand(_BOX_POINTS, self.functions.dim, dtype=torch.float64, generator=generator, device="cpu")
        return self.functions.values_on(2 * points - 1).median(-1).values.numpy()

    def score(self, values: Tensor) -> Score:
        """Score of runs whose values (batch, budget + 1) are given, the start first."""
        y = values.numpy()
        best = y.min(1)
        by_function = (
            normalized_improvement(y[:, 0], best, self.minimum),
            log10_regret(best, self.minimum, self.median),
            solved(y[:, 0], best, self.minimum, TAU).astype(np.float64),
        )
        return Score(*(float(n) for each in by_function for n in (each.mean(), each.std() * len(y) ** -0.5)))

    def policy(self, policy: Policy, deterministic: bool = False) -> Tensor:
        """Values (batch, budget + 1) of a policy's runs."""
        generator = torch.Generator("cpu").manual_seed(_SEED + 2)
        return run(policy, self.functions, self.starts, self.budget, deterministic, generator)[1]

    def adam(self) -> Tensor:
        """Values (batch, budget + 1) of Adam's runs, clipped to the box."""
        optimizer = partial(torch.optim.Adam, lr=ADAM["learning_rate"], betas=(ADAM["beta1"], ADAM["beta2"]))
        return descend(self.functions.value_and_grad, self.starts, self.budget, optimizer)

    def descent(self) -> Tensor:
        """Values (batch, budget + 1) of the policy's own descent, which goes on to the end."""
        return trust_region_values(self.functions, self.starts, self.budget)

    def lbfgsb(self) -> Tensor:
        """Values (batch, budget + 1) of SciPy's L-BFGS-B, restarted at random points when it stops early."""
        rng = np.random.default_rng(_SEED + 4)
        return torch.stack([self._lbfgsb(i, x, rng) for i, x in enumerate(self.starts.numpy())])

    def _lbfgsb(self, index: int, x: NDArray[np.float64], rng: np.random.Generator) -> Tensor:
        function, values = self.functions.rows(torch.tensor([index], device="cpu")), []

        def value_and_grad(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            y, g = evaluate(function, torch.from_numpy(x.clip(-1, 1))[None])
            values.append(y[0])
            return y.item(), g[0].numpy()

        while len(values) <= self.budget:
            lbfgsb_descent(value_and_grad, x, self.budget + 1 - len(values))
            x = rng.uniform(-1, 1, len(x))
        return torch.stack(values[: self.budget + 1])

    def random_search(self) -> Tensor:
        """Values (batch, budget + 1) at uniformly random points of the box, after the start."""
        generator = torch.Generator("cpu").manual_seed(_SEED + 3)
        shape, dtype = (self.budget, *self.starts.shape), self.starts.dtype
        points = 2 * torch.rand(shape, dtype=dtype, generator=generator, device="cpu") - 1
        return torch.stack([self.functions.value_and_grad(x)[0] for x in (self.starts, *points)], 1)
