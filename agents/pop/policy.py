"""POP's network as an actor-critic policy of SB3."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import Tensor

from pop_envs.checks import one_of
from pop_envs.pop.tokens import columns
from pop_optimizer.networks.distributions import DISTRIBUTIONS
from pop_optimizer.networks.pop import POPNetwork


class TrajectoryPolicy(ActorCriticPolicy):
    """Actor and critic on whole episodes of ``"token"`` observations.

    Where the head follows proposed actions, it finds them among the features that the observation space names.

    Args:
        observation_space: Of one token, (dim, features).
        action_space: Of one action, (dim,).
        lr_schedule: Learning rate against the remaining progress.
        head: A name in ``DISTRIBUTIONS``.
        width: Of the transformer.
        depth: Of the transformer.
        heads: Attention heads.
        mixing: Whether coordinates see each other.
        weight_decay: Of AdamW.

    Raises:
        ValueError: If the observations are not tokens, or lack the actions that the head follows.
    """

    network: POPNetwork

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
        follows = DISTRIBUTIONS[one_of("head", head, DISTRIBUTIONS)].follows
        self.proposed = columns(observation_space, *follows) if follows else []
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
        self.network = POPNetwork(num_features, self.proposed, **self.shape)
        self.optimizer = self.optimizer_class(
            self.parameters(),
            lr=lr_schedule(1),  # type: ignore[call-arg]
            **self.optimizer_kwargs,
        )

    def forward(self, obs: Tensor, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Is not to be had: a token alone tells nothing of the steps before it.

        Raises:
            TypeError: Always.
        """
        raise TypeError("TrajectoryPolicy acts on whole episodes: train it with EpisodicPPO")

    def evaluate_actions(self, obs: PyTorchObs, actions: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Scores whole episodes in one causal pass.

        Args:
            obs: Tokens (batch, steps, dim, features).
            actions: (batch, steps, dim).

        Returns:
            Values, log-probabilities and entropies, each (batch * steps,), steps running fastest.
        """
        assert isinstance(obs, Tensor)
        distribution, values = self.network.evaluate(obs)
        return values, distribution.log_prob(actions.flatten(0, 1)), distribution.entropy()

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
            distribution = self.network.newest(padded, torch.as_tensor(length, device=self.device))
            actions = distribution.get_actions(deterministic).clamp(-1, 1).cpu().numpy()
        return (actions[0] if single else actions), (tokens, length)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {
            "observation_space": self.observation_space,
            "action_space": self.action_space,
            "lr_schedule": self._dummy_schedule,
            **self.shape,
            "weight_decay": self.optimizer_kwargs["weight_decay"],
        }
