"""The way in for every SB3 algorithm: the transformer as a features extractor."""

from __future__ import annotations

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from agents.transformer import TrajectoryTransformer, last_hidden
from pop_envs.tokens import TIME


class TrajectoryExtractor(BaseFeaturesExtractor):
    """The newest step's hidden states of a padded trajectory, coordinate after coordinate.

    Use it with ``policy_kwargs={"features_extractor_class": TrajectoryExtractor}`` on ``POP-v0`` with the
    ``"trajectory"`` observation. The features belong to one number of coordinates, since the heads that
    SB3 puts on top do.

    Args:
        observation_space: Of trajectories, (budget + 1, dim, features).
        width: Of the transformer; the features are (dim * width).
        depth: Of the transformer.
        heads: Attention heads.

    Raises:
        ValueError: If the observations are not padded trajectories.
    """

    def __init__(self, observation_space: spaces.Box, width: int = 64, depth: int = 3, heads: int = 4) -> None:
        if len(observation_space.shape) != 3:
            raise ValueError(
                f"TrajectoryExtractor needs padded trajectories (budget + 1, dim, features), got observations "
                f'{observation_space.shape}; make the environment with observation="trajectory"'
            )
        length, dim, num_features = observation_space.shape
        super().__init__(observation_space, dim * width)
        self.budget = length - 1
        self.transformer = TrajectoryTransformer(num_features, width, depth, heads)

    def forward(self, observations: Tensor) -> Tensor:
        """Padded trajectories (batch, budget + 1, dim, features) to features (batch, dim * width)."""
        newest = observations[:, :, 0, TIME].amax(1) * self.budget
        with sdpa_kernel(SDPBackend.MATH):  # the only one that can be differentiated twice, as TRPO does
            return last_hidden(self.transformer, observations, newest.round().to(torch.int64) + 1).flatten(1)
