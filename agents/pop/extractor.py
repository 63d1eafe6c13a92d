"""The way in for every SB3 algorithm: the transformer as a features extractor."""

from __future__ import annotations

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from pop_envs.pop.tokens import TIME, columns
from pop_optimizer.networks.transformer import TrajectoryTransformer, last_hidden


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
        mixing: Whether coordinates see each other.
        window: Steps that the transformer looks back; to the start if None.

    Raises:
        ValueError: If the observations are not padded trajectories, or a wrapper has changed them.
    """

    def __init__(
        self,
        observation_space: spaces.Box,
        width: int = 64,
        depth: int = 1,
        heads: int = 4,
        mixing: bool = False,
        window: int | None = None,
    ) -> None:
        if len(observation_space.shape) != 3:
            raise ValueError(
                f"TrajectoryExtractor needs padded trajectories (budget + 1, dim, features), got observations "
                f'{observation_space.shape}; make the environment with observation="trajectory"'
            )
        length, dim, num_features = observation_space.shape
        super().__init__(observation_space, dim * width)
        (self.time,) = columns(observation_space, TIME)
        self.budget = length - 1
        self.transformer = TrajectoryTransformer(num_features, width, depth, heads, mixing, window)

    def forward(self, observations: Tensor) -> Tensor:
        """Padded trajectories (batch, budget + 1, dim, features) to features (batch, dim * width)."""
        newest = self._newest(observations[:, :, 0, self.time])
        with sdpa_kernel(SDPBackend.MATH):  # the only one that can be differentiated twice, as TRPO does
            hidden = last_hidden(self.transformer, observations.float(), newest + 1).flatten(1)
        return hidden.to(torch.get_default_dtype())  # that of the layers which SB3 puts on top

    def _newest(self, time: Tensor) -> Tensor:
        """The steps (batch,) that trajectories are at, by their times (batch, budget + 1)."""
        steps = time * self.budget
        newest = steps.amax(1).round().to(torch.int64).clamp(0, self.budget)
        every = torch.arange(self.budget + 1, device=time.device)
        if ((steps - every * (every <= newest[:, None])).abs() > 0.1).any():
            raise ValueError(
                "the observations are not trajectories of POP-v0: their times are not 0, 1/T, 2/T and so on; a wrapper "
                "that scales observations (VecNormalize, NormalizeObservation) does that: leave it out, or set "
                "norm_obs=False, for tokens are scaled already"
            )
        return newest
