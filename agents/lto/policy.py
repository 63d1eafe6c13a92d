"""The step network as an SB3 policy."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import Tensor

from pop_optimizer.networks.steps import StepNetwork


class StepPolicy(BasePolicy):
    """A deterministic policy, whose network is what ``pop_optimizer.predicted_step_descent`` runs.

    Args:
        observation_space: Of ``LearningToOptimize-v0``.
        action_space: Of it, too.
        lr_schedule: Learning rate of Adam.
        hidden: Hidden units.
        relative: Whether the network sees ratios, see ``StepNetwork``.

    Attributes:
        network: What is learned.
        average: Of it over the training's last updates: what acts.
    """

    def __init__(
        self,
        observation_space: spaces.Box,
        action_space: spaces.Box,
        lr_schedule: Schedule,
        hidden: int = 50,
        relative: bool = False,
    ) -> None:
        super().__init__(observation_space, action_space)
        (features,), (dim,) = observation_space.shape, action_space.shape
        self.network = StepNetwork(features // (1 + dim), dim, hidden, relative=relative)
        self.average = deepcopy(self.network).requires_grad_(False)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=lr_schedule(1))

    def follow(self, keep: float) -> None:
        """Moves the average towards the network; ``keep`` is the weight that it keeps."""
        new = self.network.state_dict()
        for name, value in self.average.state_dict().items():
            value.lerp_(new[name], 1 - keep)

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> Tensor:
        assert isinstance(observation, Tensor)
        return self.average(observation)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return super()._get_constructor_parameters() | {
            "lr_schedule": lambda _: 0.0,
            "hidden": self.network.shape["hidden"],
            "relative": self.network.relative,
        }


def input_scale(observations: Tensor, history: int) -> Tensor:
    """One over the root mean square of observations (count, features): one number for changes, one for gradients.

    Any finer scale would favour some of the history over the rest.
    """
    groups = (slice(0, history), slice(history, None))
    scale = torch.empty_like(observations[0])
    for group in groups:
        scale[group] = 1 / observations[:, group].square().mean().sqrt().clamp(min=1e-6)
    return scale
