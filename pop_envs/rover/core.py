"""The batched decision process behind every face of ``RoverDescent-v0`` (section 3.2.3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pop_envs.checks import positive_int
from pop_envs.objectives.base import Objective, one_per_run, uniform_rows
from pop_envs.objectives.landscapes import NUM_START_UNIFORMS, Landscapes
from pop_envs.objectives.reference import reference_minimum
from pop_envs.rover.rewards import Path
from pop_envs.rover.search import Search
from pop_envs.rover.task import RoverTask

_DIM = 2


class Core:
    """A batch of rovers, each on a function of its own, stepped together.

    Each draws its function, its start, its step size and its resolution from its own generator, one row of uniform
    numbers a reset, and its noise one grid a step, so that a batch of N equals N batches of one.

    Args:
        num_envs: Number of rovers.
        task: What they are about.
        objective: A fixed function of two coordinates for all of them, instead of landscapes; they start anywhere in
            its box.
        device: Where the tensors live.

    Attributes:
        search: The rovers.
        functions: Their functions.
        path: The values that they met.
        best: The lowest of them (num_envs,).

    Raises:
        ValueError: If an argument is not one of the above.
    """

    functions: Objective
    search: Search
    path: Path
    best: Tensor

    def __init__(
        self,
        num_envs: int,
        task: RoverTask,
        *,
        objective: Objective | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.num_envs = positive_int("num_envs", num_envs)
        if objective is not None and (not isinstance(objective, Objective) or objective.dim != _DIM):
            got = f"one of {objective.dim}" if isinstance(objective, Objective) else type(objective).__name__
            raise ValueError(f"objective must be a pop_envs.Objective of 2 coordinates, got {got}")
        self.objective = None if objective is None else one_per_run(objective, num_envs)
        self.task = task
        self.prior, self.reward, self.direction = task.make_prior(), task.make_reward(), task.make_direction()
        self.device = torch.device(device)
        self._rngs: list[np.random.Generator] = []

    def reset(self, rngs: Sequence[np.random.Generator], index: Tensor | None = None) -> None:
        """Starts the rovers at ``index`` (all by default) anew, the i-th with ``rngs[i]``."""
        functions, x, alpha, delta = self._draw(rngs, index)
        search = Search.start(x, alpha, delta, self.task.n)
        search.sense(self._values(functions, search.points, rngs))
        values = torch.full((len(x), self.task.budget + 1), torch.nan, dtype=torch.float64, device=self.device)
        values[:, 0] = search.y
        t = torch.zeros(len(x), dtype=torch.int64, device=self.device)
        path = Path(values, t, self._minima(functions, len(x)))
        if index is None:
            self._rngs = list(rngs)
            self.functions, self.search, self.path, self.best = functions, search, path, search.y
            return
        for i, rng in zip(index.tolist(), rngs, strict=True):
            self._rngs[i] = rng
        if isinstance(self.functions, Landscapes) and isinstance(functions, Landscapes):
            self.functions.put(index, functions)
        self.search.put(index, search)
        self.path = Path(
            self.path.values.index_copy(0, index, path.values),
            self.path.t.index_copy(0, index, path.t),
            self.path.minimum.index_copy(0, index, path.minimum),
        )
        self.best = self.best.index_copy(0, index, search.y)

    def place(self, x: Tensor, alpha: Tensor, delta: Tensor) -> None:
        """Starts all rovers anew on their functions, at ``x`` (num_envs, 2), with step sizes and resolutions given."""
        self.search = Search.start(x, alpha, delta, self.task.n)
        self.search.sense(self._values(self.functions, self.search.points, self._rngs))
        values = torch.full_like(self.path.values, torch.nan)
        values[:, 0] = self.best = self.search.y
        self.path = Path(values, torch.zeros_like(self.path.t), self.path.minimum)

    def step(self, action: Tensor) -> Tensor:
        """Makes one step with actions (num_envs, 2); returns rewards (num_envs,), float64."""
        search, path = self.search, self.path
        direction = self.direction(search.seen, self.functions, search.x)
        search.move(direction, action.to(self.device, torch.float64))
        search.sense(self._values(self.functions, search.points, self._rngs))
        # Those that have ended and wait for a restart stay at their last entry.
        t = (path.t + 1).clamp(max=self.task.budget)
        self.path = Path(path.values.scatter(1, t[:, None], search.y[:, None]), t, path.minimum)
        self.best = torch.fmin(self.best, search.y)
        return self.reward(self.path)

    @property
    def done(self) -> Tensor:
        """Which rovers (num_envs,) have spent their budget."""
        return self.path.t >= self.task.budget

    def _values(self, functions: Objective, points: Tensor, rngs: Sequence[np.random.Generator]) -> Tensor:
        """Values (batch, n * n) on grids, with their noise."""
        values = functions.values_at(points)
        if self.task.noise == 0 or not isinstance(functions, Landscapes):
            return values
        draws = torch.from_numpy(np.stack([rng.standard_normal(points.shape[1]) for rng in rngs])).to(values)
        return values + self.task.noise * functions.deviation(points) * draws

    def _draw(
        self, rngs: Sequence[np.random.Generator], index: Tensor | None
    ) -> tuple[Objective, Tensor, Tensor, Tensor]:
        """New functions, starts, step sizes and resolutions, one for each generator."""
        of_function = self.prior.num_uniforms(_DIM) if self.objective is None else 0
        of_start = NUM_START_UNIFORMS if self.objective is None else _DIM
        uniforms = uniform_rows(rngs, of_function + of_start + 2).to(self.device)
        of_functions, of_starts, of_scales = uniforms.split([of_function, of_start, 2], 1)
        alpha, delta = (
            low * (high / low) ** u
            for (low, high), u in zip((self.task.alpha, self.task.delta), of_scales.unbind(1), strict=True)
        )
        if self.objective is None:
            landscapes = self.prior.build(of_functions, _DIM)
            return landscapes, landscapes.starts(of_starts), alpha, delta
        functions = self.objective if index is None else self.objective.rows(index)
        return functions, 2 * of_starts - 1, alpha, delta

    def _minima(self, functions: Objective, batch: int) -> Tensor:
        if isinstance(functions, Landscapes):
            return functions.minima.clone()
        if functions.minimum is not None:
            return torch.full((batch,), functions.minimum, dtype=torch.float64, device=self.device)
        return reference_minimum(functions, self.device).expand(batch).clone()
