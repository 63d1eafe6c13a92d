"""A policy at work: ask it for the next points, tell it what the objective says there."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from agents.policy import TrajectoryPolicy
from pop_envs.objective import Objective
from pop_envs.step_rule import STEP_RULES
from pop_envs.tokens import TOKENS
from pop_envs.trajectory import Trajectory


@dataclass(frozen=True)
class Optimizer:
    """A policy and how its environment turned actions into steps and trajectories into tokens."""

    policy: TrajectoryPolicy
    step_rule: str
    tokens: str

    def start(self, x: Tensor, y: Tensor, g: Tensor, budget: int, deterministic: bool = False) -> Run:
        """Begins runs of ``budget`` steps at ``x`` (batch, dim), with values (batch,) and gradients there."""
        return Run(self, Trajectory.start(x, y, g), budget, deterministic)


class Run:
    """A batch of optimization runs on the unit box, one step after the other."""

    def __init__(self, optimizer: Optimizer, trajectory: Trajectory, budget: int, deterministic: bool) -> None:
        self.trajectory = trajectory
        self._policy = optimizer.policy
        self._rule = STEP_RULES[optimizer.step_rule]()
        self._tokens = TOKENS[optimizer.tokens](budget, self._rule)
        self._cache = optimizer.policy.new_cache(*trajectory.x.shape, budget)
        self._deterministic = deterministic

    @torch.inference_mode()
    def ask(self) -> Tensor:
        """The next points (batch, dim), in the unit box."""
        distribution, _ = self._policy.step(self._tokens(self.trajectory), self._cache)
        action = distribution.get_actions(self._deterministic)
        self._action = action.to(torch.float64).clamp(-1, 1)
        self._asked = self._rule.move(self.trajectory, self._action)
        return self._asked

    @torch.inference_mode()
    def tell(self, y: Tensor, g: Tensor) -> None:
        """Values (batch,) and gradients (batch, dim) at the points asked for."""
        self.trajectory.observe(self._action, self._asked, y, g)


def run(
    optimizer: Optimizer, objective: Objective, x: Tensor, budget: int, deterministic: bool = False
) -> tuple[Tensor, Tensor]:
    """Optimizes a batch of functions from ``x`` (batch, dim).

    Returns:
        The points (batch, budget + 1, dim) and their values (batch, budget + 1), the start first.
    """
    y, g = objective.value_and_grad(x)
    going = optimizer.start(x, y, g, budget, deterministic)
    points, values = [x], [y]
    for _ in range(budget):
        x = going.ask()
        y, g = objective.value_and_grad(x)
        going.tell(y, g)
        points.append(x)
        values.append(y)
    return torch.stack(points, 1), torch.stack(values, 1)
