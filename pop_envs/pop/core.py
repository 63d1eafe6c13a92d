"""The batched Markov decision process behind every face of ``POP-v0`` (POP, section 2)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from pop_envs.checks import positive_int
from pop_envs.objectives.base import FunctionBatch, Objective, evaluate, one_per_run, uniform_rows
from pop_envs.objectives.reference import reference_minimum, spread
from pop_envs.pop.task import POPTask


class Core:
    """A batch of optimization runs, each on an objective of its own, stepped together.

    Each run draws its function and its start from its own generator, one row of uniform numbers a
    reset, so that a batch of N equals N batches of one.

    Args:
        num_envs: Number of runs.
        task: What they are about.
        dim: Number of coordinates, 2 by default; taken from ``objective`` where one is given.
        objective: A fixed objective for every run, instead of the prior.
        device: Where the tensors live.

    Attributes:
        search: The runs.
        functions: Their objectives.
        spread: Of each function (num_envs,).
        minimum: Of each function (num_envs,); NaN where it is not known and the reward does not need it.

    Raises:
        ValueError: If an argument is not one of the above.
    """

    functions: Objective
    spread: Tensor
    minimum: Tensor

    def __init__(
        self,
        num_envs: int,
        task: POPTask,
        *,
        dim: int | None = None,
        objective: Objective | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.num_envs = positive_int("num_envs", num_envs)
        self.objective = None if objective is None else one_per_run(objective, num_envs)
        if objective is not None and dim not in (None, objective.dim):
            raise ValueError(f"dim={dim} contradicts the objective's {objective.dim}; leave dim out")
        self.task = task
        self.dim = objective.dim if objective is not None else positive_int("dim", 2 if dim is None else dim)
        self.prior, self.reward = task.make_prior(), task.make_reward()
        self.search = task.make_search()
        self.device = torch.device(device)

    @property
    def done(self) -> Tensor:
        """Which runs (num_envs,) have spent their budget."""
        return self.search.done

    @property
    def tokens_shape(self) -> tuple[int, int]:
        """Of the token of one run: coordinates and features."""
        return self.dim, len(self.search.tokens.features)

    def reset(self, rngs: Sequence[np.random.Generator], index: Tensor | None = None) -> None:
        """Starts the runs at ``index`` (all by default) anew, the i-th with ``rngs[i]``."""
        functions, x, scale, minimum = self._draw(rngs, index)
        search = self.search if index is None else self.task.make_search()
        search.start(x, *evaluate(functions, x))
        if index is None:
            self.functions, self.spread, self.minimum = functions, scale, minimum
            return
        if self.objective is None:
            assert isinstance(self.functions, FunctionBatch)
            assert isinstance(functions, FunctionBatch)
            self.functions.put(index, functions)
        self.search.put(index, search)
        self.spread = self.spread.index_copy(0, index, scale)
        self.minimum = self.minimum.index_copy(0, index, minimum)

    def step(self, action: Tensor) -> Tensor:
        """Makes one step with actions (num_envs, dim) in [-1, 1]; returns rewards (num_envs,), float64."""
        x = self.search.propose(action.to(self.device, torch.float64).clamp(-1, 1))
        self.search.update(*evaluate(self.functions, x))
        return self.reward(self.search.trajectory, self.spread, self.minimum)

    def _draw(
        self, rngs: Sequence[np.random.Generator], index: Tensor | None
    ) -> tuple[Objective, Tensor, Tensor, Tensor]:
        """New functions, starts, spreads and minima, one for each generator."""
        num_uniforms = 0 if self.objective is not None else self.prior.num_uniforms(self.dim)
        uniforms = uniform_rows(rngs, num_uniforms + self.dim).to(self.device)
        x = 2 * uniforms[:, num_uniforms:] - 1
        if self.objective is None:
            functions = self.prior.build(uniforms[:, :num_uniforms], self.dim)
            return functions, x, *self._measure(functions)
        if index is None:
            return self.objective, x, *self._fixed_measures
        scale, minimum = (measure[index] for measure in self._fixed_measures)
        return self.objective.rows(index), x, scale, minimum

    @cached_property
    def _fixed_measures(self) -> tuple[Tensor, Tensor]:
        """Those of the fixed objective, which need not be found again at every reset."""
        assert self.objective is not None
        scale, minimum = self._measure(self.objective)
        return scale.expand(self.num_envs), minimum.expand(self.num_envs)

    def _measure(self, functions: Objective) -> tuple[Tensor, Tensor]:
        """What rewards are measured in: spreads and minima (batch or 1,)."""
        scale = spread(functions, self.device)
        if functions.minimum is not None:
            return scale, torch.full_like(scale, functions.minimum)
        if not self.reward.needs_minimum:
            return scale, torch.full_like(scale, torch.nan)
        return scale, reference_minimum(functions, self.device)
