"""The POP policy: a trajectory transformer with actor and critic heads per coordinate."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import Tensor, nn

from agents.distributions import DISTRIBUTIONS, PerCoordinateDistribution
from agents.transformer import Cache, TrajectoryTransformer, last_hidden


class TrajectoryPolicy(ActorCriticPolicy):
    """Actor and critic on whole episodes of ``"token"`` observations.

    One set of weights runs in any dimension: coordinates share the network, and the value is the mean
    of the coordinates' values. The last two token features must be the actions that lead to the scout's
    target and make the quasi-Newton step, where the head has read-outs.

    Args:
        observation_space: Of one token, (dim, features).
        action_space: Of one action, (dim,).
        lr_schedule: Learning rate against the remaining progress.
        head: A name in ``agents.distributions.DISTRIBUTIONS``.
        width: Of the transformer.
        depth: Of the transformer.
        heads: Attention heads.
        mixing: Whether coordinates see each other.
        weight_decay: Of AdamW.

    Raises:
        ValueError: If the observations are not tokens.
    """

    action_dist: PerCoordinateDistribution

    def __init__(
        self,
        observation_space: spaces.Box,
        action_space: spaces.Box,
        lr_schedule: Schedule,
        head: str = "mixture",
        width: int = 64,
        depth: int = 3,
        heads: int = 4,
        mixing: bool = False,
        weight_decay: float = 0.01,
        **kwargs: Any,
    ) -> None:
        if len(observation_space.shape) != 2 or observation_space.shape[0] != action_space.shape[0]:
            raise ValueError(
                f"TrajectoryPolicy needs tokens (dim, features), got observations {observation_space.shape} for "
                f'actions {action_space.shape}; make the environment with observation="token"'
            )
        if head not in DISTRIBUTIONS:
            raise ValueError(f"head must be one of {', '.join(map(repr, DISTRIBUTIONS))}, got {head!r}")
        self.shape: dict[str, Any] = {"head": head, "width": width, "depth": depth, "heads": heads, "mixing": mixing}
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            optimizer_class=torch.optim.AdamW,
            optimizer_kwargs={"weight_decay": weight_decay},
            **kwargs,
        )

    def _build(self, lr_schedule: Schedule) -> None:
        num_features = self.observation_space.shape[1]  # type: ignore[index]
        shape = dict(self.shape)
        self.action_dist = DISTRIBUTIONS[shape.pop("head")]()
        self.transformer = TrajectoryTransformer(num_features, **shape)
        width = self.transformer.width
        self.action_net = self.action_dist.proba_distribution_net(width)
        self.value_net = nn.Linear(width, 1)
        self.optimizer = self.optimizer_class(
            self.parameters(),
            lr=lr_schedule(1),  # type: ignore[call-arg]
            **self.optimizer_kwargs,
        )

    def new_cache(self, batch: int, dim: int, length: int) -> Cache:
        """An empty cache for ``batch`` runs in ``dim`` dimensions, of at most ``length`` steps."""
        return Cache(self.transformer, batch, dim, length)

    def act(self, token: Tensor, cache: Cache) -> PerCoordinateDistribution:
        """Action distribution after the newest ``token`` (batch, dim, features)."""
        return self._distribution(self.transformer.step(token, cache), token)

    def step(self, token: Tensor, cache: Cache) -> tuple[PerCoordinateDistribution, Tensor]:
        """Action distribution and values (batch,) after the newest ``token`` (batch, dim, features)."""
        h = self.transformer.step(token, cache)
        return self._distribution(h, token), self._values(h)

    def evaluate_actions(self, obs: PyTorchObs, actions: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Scores whole episodes in one causal pass.

        Args:
            obs: Tokens (batch, steps, dim, features).
            actions: (batch, steps, dim).

        Returns:
            Values, log-probabilities and entropies, each (batch * steps,), steps running fastest.
        """
        assert isinstance(obs, Tensor)
        h = self.transformer(obs.transpose(1, 2)).transpose(1, 2)  # (batch, steps, dim, width)
        distribution = self._distribution(h.flatten(0, 1), obs.flatten(0, 1))
        return self._values(h).flatten(), distribution.log_prob(actions.flatten(0, 1)), distribution.entropy()

    def predict(
        self,
        observation: np.ndarray | dict[str, np.ndarray],
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """Actions for the newest tokens; the memory travels in ``state``, as with SB3's recurrent policies.

        Args:
            observation: Newest tokens (batch, dim, features) or one of them (dim, features).
            state: What the last call returned: the tokens so far and their number; None at first.
            episode_start: Where (batch,) a new episode begins.
            deterministic: The mode of the distribution instead of a sample.

        Returns:
            Actions, shaped as the observation without its features, and the new state.
        """
        assert isinstance(observation, np.ndarray)
        single = observation.ndim == 2
        token = observation[None] if single else observation
        if state is None:
            state = (np.zeros((len(token), 0, *token.shape[1:]), token.dtype), np.zeros(len(token), np.int64))
        tokens, length = state[0], state[1].copy()
        if episode_start is not None:
            length[np.asarray(episode_start, dtype=bool)] = 0
        room = int(length.max() == tokens.shape[1])
        tokens = np.pad(tokens, ((0, 0), (0, room), (0, 0), (0, 0)))  # a copy: the caller may keep the old state
        tokens[np.arange(len(token)), length] = token
        length += 1
        with torch.no_grad():
            padded = torch.as_tensor(tokens, device=self.device)
            h = last_hidden(self.transformer, padded, torch.as_tensor(length, device=self.device))
            distribution = self._distribution(h, torch.as_tensor(token, device=self.device))
            actions = distribution.get_actions(deterministic).clamp(-1, 1).cpu().numpy()
        return (actions[0] if single else actions), (tokens, length)

    def _distribution(self, h: Tensor, token: Tensor) -> PerCoordinateDistribution:
        return self.action_dist.proba_distribution(self.action_net(h), token[..., -2:])

    def _values(self, h: Tensor) -> Tensor:
        return self.value_net(h).squeeze(-1).mean(-1)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {
            "observation_space": self.observation_space,
            "action_space": self.action_space,
            "lr_schedule": self._dummy_schedule,
            **self.shape,
            "weight_decay": self.optimizer_kwargs["weight_decay"],
        }
