"""The yardstick: the same network, trained by differentiating through whole runs, which these losses allow."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Self

import torch
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback
from torch import Tensor

from agents.lto.algorithm import GroupedAlgorithm
from agents.lto.gps import cost_weights
from agents.lto.policy import StepPolicy
from pop_envs.lto.task import LTOTask
from pop_envs.objectives.base import Objective
from pop_optimizer.networks.steps import StepNetwork

_HIGH = 3.0  # a few starts' values: what is above counts by its logarithm, so that no run outweighs all others
_LOST = 1e6  # for values that are not finite


def unroll(
    network: StepNetwork,
    task: LTOTask,
    functions: Objective,
    x0: Tensor,
    steps: int,
    flow: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Runs from ``x0`` (batch, dim), differentiable by the network's weights.

    Args:
        network: What chooses the steps.
        task: What the runs are about.
        functions: One for each.
        x0: Their starts.
        steps: How many.
        flow: What a gradient by the points of a step (batch, dim) becomes on its way back.

    Returns:
        Points (batch, steps + 1, dim) and values (batch, steps + 1), the starts' first.
    """
    search = task.make_search()
    search.start(x0, *functions.value_and_grad(x0))
    points, values = [search.x], [search.y]
    for _ in range(steps):
        x = search.propose(network(search.observe()).double())
        if flow is not None and x.requires_grad:
            x.register_hook(flow)
        search.update(x, *functions.value_and_grad(x))
        points.append(search.x)
        values.append(search.y)
    return torch.stack(points, 1), torch.stack(values, 1)


class UnrolledDescent(GroupedAlgorithm):
    """Descends the mean cost of whole runs by its exact gradient, in the form of an SB3 algorithm.

    Args:
        policy: The class ``StepPolicy``.
        env: A ``GroupedVecEnv``, whose episodes' functions and starts are learned on.
        learning_rate: Of Adam.
        gap: See ``GuidedPolicySearch``.
        max_flow: Bound on the norm of the gradient of one run's cost by one of its points. Where steps are too long for
            a function, gradients grow from step to step, and a few runs would drown all others.
        max_grad_norm: Bound on the gradient of an update.
        averaging: Weight that the average of the network over updates, which is what ``predict`` runs, keeps at each.
        **kwargs: ``policy_kwargs``, ``tensorboard_log``, ``verbose``, ``device``, ``seed`` of SB3.
    """

    def __init__(
        self,
        policy: type[StepPolicy] | str,
        env: GymEnv | None,
        learning_rate: Any = 1e-3,
        *,
        gap: float | None = None,
        max_flow: float = 1.0,
        max_grad_norm: float = 0.3,
        averaging: float = 0.98,
        _init_setup_model: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(policy, env, learning_rate, **kwargs)
        self.gap, self.max_flow = gap, max_flow
        self.max_grad_norm, self.averaging = max_grad_norm, averaging
        if _init_setup_model:
            self._setup_model()

    def learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 50,
        tb_log_name: str = "unrolled",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Self:
        """Learns until so many steps were made in all environments together; see ``BaseAlgorithm``."""
        total, told = self._setup_learn(total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar)
        told.on_training_start(locals(), globals())
        env = self.env
        assert env is not None
        task, update = env.core.task, 0
        while self.num_timesteps < total:
            env.reset()
            told.on_rollout_start()
            self._update_current_progress_remaining(self.num_timesteps, total)
            self._update_learning_rate(self.policy.optimizer)
            flow = partial(bounded, most=self.max_flow / env.num_envs)
            _, values = unroll(self.policy.network, task, env.core.functions, env.core.search.x, task.budget, flow)
            values = values[:, 1:].nan_to_num(_LOST, _LOST, _LOST)
            values = torch.where(values > _HIGH, _HIGH * (1 + (values.clamp(min=_HIGH) / _HIGH).log()), values)
            loss = (cost_weights(values.detach(), self.gap) * values).mean()
            self.policy.optimizer.zero_grad()
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(self.policy.network.parameters(), self.max_grad_norm)
            if norm.isfinite():
                self.policy.optimizer.step()
            self.policy.follow(self.averaging)
            self.num_timesteps += env.num_envs * task.budget
            update += 1
            self.logger.record("rollout/cost", float(values.detach().mean()))
            if log_interval and update % log_interval == 0:
                self.logger.dump(self.num_timesteps)
            told.update_locals(locals())
            if not told.on_step():
                break
            told.on_rollout_end()
        told.on_training_end()
        return self


def bounded(gradient: Tensor, most: float) -> Tensor:
    """A gradient (batch, dim) whose rows have norms of at most ``most``; a row that is not finite becomes zero."""
    norm = gradient.norm(dim=1, keepdim=True)
    return gradient.where(norm.isfinite(), 0.0) * (most / norm.clamp(min=1e-30)).nan_to_num(0.0).clamp(max=1)
