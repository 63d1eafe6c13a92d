"""The step network as the actor of SB3's own algorithms, and cloning it from momentum."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, create_mlp
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from stable_baselines3.sac.policies import LOG_STD_MAX, LOG_STD_MIN, Actor, SACPolicy
from torch import Tensor, nn

from agents.lto.classical import Setting, best_momentum
from pop_envs.lto.task import LTOTask
from pop_envs.objectives.learning_tasks import Losses
from pop_optimizer.networks.steps import StepNetwork


class ScaledFeatures(BaseFeaturesExtractor):
    """Observations times a fixed scale.

    Args:
        observation_space: Of ``LearningToOptimize-v0``.
        scale: What each entry is multiplied by.
    """

    scale: Tensor

    def __init__(self, observation_space: spaces.Box, scale: list[float]) -> None:
        super().__init__(observation_space, len(scale))
        self.register_buffer("scale", torch.tensor(scale))

    def forward(self, observation: Tensor) -> Tensor:
        """See ``BaseFeaturesExtractor``."""
        return observation * self.scale


class StepAndValue(nn.Module):
    """A step network beside a network for values; both see scaled observations."""

    def __init__(self, network: StepNetwork, features: int, dim: int) -> None:
        super().__init__()
        self.latent_dim_pi, self.latent_dim_vf = dim, 64
        self.network = network
        self.value = nn.Sequential(*create_mlp(features, -1, [64, 64], nn.Tanh))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Actions and what values are read from."""
        return self.forward_actor(features), self.forward_critic(features)

    def forward_actor(self, features: Tensor) -> Tensor:
        """Actions."""
        return self.network(features)

    def forward_critic(self, features: Tensor) -> Tensor:
        """What values are read from."""
        return self.value(features)


class StepActorCritic(ActorCriticPolicy):
    """PPO's and TRPO's policy, whose mean is a step network.

    Args:
        args: See ``ActorCriticPolicy``.
        relative: Whether the network sees ratios, see ``StepNetwork``.
        kwargs: See ``ActorCriticPolicy``.
    """

    def __init__(self, *args: Any, relative: bool = False, **kwargs: Any) -> None:
        self._relative = relative
        super().__init__(*args, **kwargs)

    def _build_mlp_extractor(self) -> None:
        (dim,) = self.action_space.shape  # type: ignore[misc]
        history = self.features_dim // (1 + dim)
        network = StepNetwork(history, dim, relative=self._relative)
        self.mlp_extractor = StepAndValue(network, self.features_dim, dim)  # type: ignore[assignment]

    def _build(self, lr_schedule: Schedule) -> None:
        self.ortho_init = False
        super()._build(lr_schedule)
        self.action_net = nn.Identity()
        self.optimizer = torch.optim.Adam(self.parameters(), lr=lr_schedule(1), eps=1e-5)

    @property
    def actor_network(self) -> StepNetwork:
        """The mean's network, on scaled observations."""
        assert isinstance(self.mlp_extractor.network, StepNetwork)
        return self.mlp_extractor.network


class SquashedStepActor(Actor):
    """SAC's actor, whose mean is a step network before tanh; its deviations have a network of their own."""

    def __init__(self, *args: Any, relative: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        (dim,) = self.action_space.shape
        self.network = StepNetwork(self.features_dim // (1 + dim), dim, relative=relative)
        self.mu = nn.Identity()
        assert isinstance(self.log_std, nn.Linear)
        nn.init.constant_(self.log_std.bias, self.log_std_init)

    def get_action_dist_params(self, obs: PyTorchObs) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """See ``Actor``."""
        features = self.extract_features(obs, self.features_extractor)
        log_std = self.log_std(self.latent_pi(features)).clamp(LOG_STD_MIN, LOG_STD_MAX)  # type: ignore[operator]
        return self.network(features), log_std, {}


class SACStepPolicy(SACPolicy):
    """SAC's policy with a ``SquashedStepActor``.

    Args:
        args: See ``SACPolicy``.
        relative: Whether the actor's network sees ratios, see ``StepNetwork``.
        kwargs: See ``SACPolicy``.
    """

    actor: SquashedStepActor

    def __init__(self, *args: Any, relative: bool = False, **kwargs: Any) -> None:
        self._relative = relative
        super().__init__(*args, **kwargs)

    def make_actor(self, features_extractor: BaseFeaturesExtractor | None = None) -> Actor:
        """See ``SACPolicy``."""
        kwargs = self._update_features_extractor(self.actor_kwargs, features_extractor)
        return SquashedStepActor(**kwargs, relative=self._relative).to(self.device)

    @property
    def actor_network(self) -> StepNetwork:
        """The mean's network, on scaled observations, before tanh."""
        return self.actor.network


def exported(policy: StepActorCritic | SACStepPolicy) -> StepNetwork:
    """A step network of its own that acts as the policy's mode does."""
    inner = policy.actor_network
    squash = isinstance(policy, SACStepPolicy)
    shape: dict[str, Any] = inner.shape | {"squash": squash}
    network = StepNetwork(**shape)
    network.load_state_dict(inner.state_dict())
    extractor = policy.actor.features_extractor if isinstance(policy, SACStepPolicy) else policy.features_extractor
    assert isinstance(extractor, ScaledFeatures)
    network.scale.copy_(extractor.scale)
    return network


def momentum_runs(task: LTOTask, functions: Losses, x0: Tensor) -> tuple[Tensor, Tensor, Setting]:
    """What momentum sees and does, with the one setting that is best for the functions on average.

    Returns:
        Observations (runs * budget, features), actions (runs * budget, dim), and the setting.
    """
    settings, path = best_momentum(functions, x0, task.budget, shared=True)
    search, observations = task.make_search(), []
    for t in range(task.budget):
        (search.start if t == 0 else search.update)(path[:, t], *functions.value_and_grad(path[:, t]))
        observations.append(search.observe())
    actions = path.diff(dim=1).transpose(0, 1).flatten(0, 1) / task.max_step
    return torch.cat(observations), actions.float().clamp(-1, 1), settings[0]


def clone(network: StepNetwork, observations: Tensor, actions: Tensor, epochs: int = 150) -> float:
    """Fits a network to actions (count, dim) by least squares; returns the loss of the last pass.

    What a relative network misses is seen relative to the actions' size.
    """
    size = (actions.square().mean(-1, keepdim=True) + 1e-6).sqrt() if network.relative else torch.ones(len(actions), 1)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(epochs):
        losses = []
        for chosen in torch.randperm(len(observations)).split(128):
            loss = ((network(observations[chosen]) - actions[chosen]) / size[chosen]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return sum(losses) / len(losses)
