"""A policy at work: ask it for the next points, tell it what the objective says there."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from agents.policy import TrajectoryPolicy
from pop_envs.objective import Objective
from pop_envs.step_rule import STEP_RULES
from pop_envs.tokens import TOKENS, Tokens
from pop_envs.trajectory import Trajectory


@dataclass(frozen=True)
class Optimizer:
    """A policy and how its environment turned actions into steps and trajectories into tokens."""

    policy: TrajectoryPolicy
    step_rule: str
    tokens: str

    def start(
        self,
        x: Tensor,
        y: Tensor,
        g: Tensor,
        budget: int,
        deterministic: bool = False,
        generator: torch.Generator | None = None,
    ) -> Run:
        """Begins runs of ``budget`` steps at ``x`` (batch, dim), with values (batch,) and gradients there.

        Actions are drawn with ``generator``, or the modes taken if ``deterministic``.
        """
        tokens = TOKENS[self.tokens](budget, STEP_RULES[self.step_rule]())
        return Run(self.policy, tokens, tokens.start(x, y, g), deterministic, generator)


class Run:
    """A batch of optimization runs on the unit box, one step after the other."""

    def __init__(
        self,
        policy: TrajectoryPolicy,
        tokens: Tokens,
        trajectory: Trajectory,
        deterministic: bool,
        generator: torch.Generator | None,
    ) -> None:
        self.trajectory = trajectory
        self._policy = policy
        self._tokens = tokens
        batch, dim = trajectory.x.shape
        self._cache = policy.new_cache(batch, dim, tokens.budget)
        self._deterministic = deterministic
        self._generator = generator

    @torch.inference_mode()
    def ask(self) -> Tensor:
        """The next points (batch, dim), in the unit box."""
        distribution = self._policy.act(self._tokens(self.trajectory), self._cache)
        action = distribution.mode() if self._deterministic else distribution.sample(self._generator)
        self._action = action.to(torch.float64).clamp(-1, 1)
        self._asked = self._tokens.step_rule.move(self.trajectory, self._action)
        return self._asked

    @torch.inference_mode()
    def tell(self, y: Tensor, g: Tensor) -> None:
        """Values (batch,) and gradients (batch, dim) at the points asked for."""
        self.trajectory.observe(self._action, self._asked, y, g)


def run(
    optimizer: Optimizer,
    objective: Objective,
    x: Tensor,
    budget: int,
    deterministic: bool = False,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Optimizes a batch of functions from ``x`` (batch, dim); arguments as for ``Optimizer.start``.

    Returns:
        The points (batch, budget + 1, dim) and their values (batch, budget + 1), the start first.
    """
    y, g = objective.value_and_grad(x)
    going = optimizer.start(x, y, g, budget, deterministic, generator)
    points, values = [x], [y]
    for _ in range(budget):
        x = going.ask()
        y, g = objective.value_and_grad(x)
        going.tell(y, g)
        points.append(x)
        values.append(y)
    return torch.stack(points, 1), torch.stack(values, 1)
