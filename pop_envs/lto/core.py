"""The batched Markov decision process behind every face of ``LearningToOptimize-v0`` (Li and Malik, section 4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pop_envs.checks import positive_int
from pop_envs.lto.task import LTOTask
from pop_envs.objectives.base import FunctionBatch, Objective, Uniforms, evaluate, one_per_run, uniform_rows


class Core:
    """A batch of optimization runs, each on an objective of its own, stepped together.

    Each run draws its function and its start from its own generator, one row of uniform numbers a
    reset, so that a batch of N equals N batches of one.

    Args:
        num_envs: Number of runs.
        task: What they are about.
        objective: Fixed objectives on R^dim, one for all runs or one for each, instead of the task's.
        device: Where the tensors live.

    Attributes:
        search: The runs.
        functions: Their objectives.
        start_y: Values at the starts (num_envs,).
        best_x: Best points (num_envs, dim).
        best_y: Their values (num_envs,).

    Raises:
        ValueError: If an argument is not one of the above.
    """

    functions: Objective
    start_y: Tensor
    best_x: Tensor
    best_y: Tensor

    def __init__(
        self,
        num_envs: int,
        task: LTOTask,
        *,
        objective: Objective | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.num_envs = positive_int("num_envs", num_envs)
        self.objective = None if objective is None else one_per_run(objective, num_envs)
        self.task = task
        self.losses, self.reward = task.make_task(), task.make_reward()
        self.dim = self.losses.dim if objective is None else objective.dim
        self.search = task.make_search()
        self.device = torch.device(device)

    @property
    def done(self) -> Tensor:
        """Which runs (num_envs,) have spent their budget."""
        return self.search.t >= self.task.budget

    def reset(self, rngs: Sequence[np.random.Generator], index: Tensor | None = None) -> None:
        """Starts the runs at ``index`` (all by default) anew, the i-th with ``rngs[i]``."""
        functions, x = self._draw(rngs, index)
        y, g = evaluate(functions, x)
        search = self.search if index is None else self.task.make_search()
        search.start(x, y, g)
        if index is None:
            self.functions, self.start_y, self.best_x, self.best_y = functions, y, x, y
            return
        if self.objective is None:
            assert isinstance(self.functions, FunctionBatch)
            assert isinstance(functions, FunctionBatch)
            self.functions.put(index, functions)
        self.search.put(index, search)
        self.start_y, self.best_y = (old.index_copy(0, index, y) for old in (self.start_y, self.best_y))
        self.best_x = self.best_x.index_copy(0, index, x)

    def step(self, action: Tensor) -> Tensor:
        """Makes one step with actions (num_envs, dim) in [-1, 1]; returns rewards (num_envs,), float64."""
        x = self.search.propose(action.to(self.device, torch.float64))
        y, g = evaluate(self.functions, x)
        self.search.update(x, y, g)
        better = y < self.best_y
        self.best_x, self.best_y = x.where(better[:, None], self.best_x), y.where(better, self.best_y)
        return self.reward(y, self.start_y)

    def _draw(self, rngs: Sequence[np.random.Generator], index: Tensor | None) -> tuple[Objective, Tensor]:
        """New functions and starts, one for each generator."""
        num_uniforms = 0 if self.objective is not None else self.losses.num_uniforms(self.dim)
        uniforms = uniform_rows(rngs, num_uniforms + self.dim).to(self.device)
        x = Uniforms(uniforms[:, num_uniforms:]).normal(self.dim)
        if self.objective is None:
            return self.losses.build(uniforms[:, :num_uniforms], self.dim), x
        return self.objective if index is None else self.objective.rows(index), x
