"""PPO on whole episodes: a causal transformer scores all steps of an episode in one pass."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import GymEnv, RolloutBufferSamples
from stable_baselines3.common.vec_env import VecEnv, unwrap_vec_normalize

from agents.pop.policy import TrajectoryPolicy
from agents.training.distributed import average_gradients, standardized, world_size
from pop_envs.pop.tokens import TIME, columns


class EpisodeRolloutBuffer(RolloutBuffer):
    """One whole episode of every environment; minibatches permute environments, not steps."""

    def fit(self, steps: int, num_envs: int, token_shape: tuple[int, int]) -> None:
        """Empties the buffer for episodes of ``steps`` steps of tokens (dim, features)."""
        self.buffer_size, self.n_envs = steps, num_envs
        self.obs_shape, self.action_dim = token_shape, token_shape[0]
        self.reset()

    def get(self, batch_size: int | None = None) -> Generator[RolloutBufferSamples, None, None]:
        """Minibatches of whole episodes.

        Args:
            batch_size: Transitions in a minibatch, a multiple of the episode's length; all by default.

        Yields:
            Observations (episodes, steps, dim, features), actions (episodes, steps, dim), and the scalars
            (episodes * steps,), steps running fastest.
        """
        assert self.full
        episodes = (batch_size or self.buffer_size * self.n_envs) // self.buffer_size
        order = np.random.permutation(self.n_envs)  # noqa: NPY002 (as SB3 does, which seeds it)
        for start in range(0, self.n_envs, episodes):
            chosen = order[start : start + episodes]
            whole = (self.observations, self.actions)
            scalars = (self.values, self.log_probs, self.advantages, self.returns)
            samples = RolloutBufferSamples(
                *(self.to_torch(a[:, chosen].swapaxes(0, 1)) for a in whole),
                *(self.to_torch(a[:, chosen].T.ravel()) for a in scalars),
            )
            # Where several processes share a minibatch; PPO's own would have each standardize its part.
            yield samples if world_size() == 1 else samples._replace(advantages=standardized(samples.advantages))


class EpisodicPPO(PPO):
    """PPO whose rollout is one whole episode of every environment; ``PPO.train`` is inherited.

    The environments must give ``"token"`` observations, end all their episodes after the same number of
    steps (their attribute ``budget``), and restart by themselves, as ``POPVectorEnv`` does.

    Where processes train together (``agents.training.distributed``), their gradients are averaged, and a step of the
    optimizer is that of all their minibatches as one. The environments of all must be equally many.

    Args:
        policy: A ``TrajectoryPolicy`` class.
        env: A vector environment with an attribute ``budget``.
        batch_episodes: Episodes in a minibatch.
        **kwargs: PPO's other arguments; ``n_steps`` and ``batch_size`` follow from the episodes.

    Raises:
        ValueError: If the policy or the environment does not fit.
    """

    policy: TrajectoryPolicy

    def __init__(
        self,
        policy: type[TrajectoryPolicy] | str,
        env: GymEnv | str | None,
        batch_episodes: int = 128,
        **kwargs: Any,
    ) -> None:
        if not (isinstance(policy, type) and issubclass(policy, TrajectoryPolicy)):
            raise ValueError(f"EpisodicPPO needs the class agents.TrajectoryPolicy or one of its kind, got {policy!r}")
        self.batch_episodes = batch_episodes
        super().__init__(policy, env, **{**kwargs, "rollout_buffer_class": EpisodeRolloutBuffer})  # type: ignore[arg-type]

    def _setup_model(self) -> None:
        if self.env is not None:  # else the model was loaded to act only
            self._check_env(self.env)
            self.n_steps = int(self.env.get_attr("budget")[0])
        self.batch_size = self.n_steps * self.batch_episodes
        super()._setup_model()
        average_gradients(self.policy)

    @staticmethod
    def _check_env(env: VecEnv) -> None:
        if not env.has_attr("budget"):
            raise ValueError(
                "EpisodicPPO needs environments with an attribute budget, the steps of an episode, as POP-v0 has it"
            )
        normalize = unwrap_vec_normalize(env)
        if normalize is not None and normalize.norm_obs:
            raise ValueError(
                "VecNormalize changes the actions that tokens propose: make it with norm_obs=False, for tokens are "
                "scaled already"
            )

    def train(self) -> None:
        """See ``PPO``."""
        normalize, self.normalize_advantage = self.normalize_advantage, world_size() == 1
        with torch.device(self.device):  # Adam makes its counters on the default device, whatever that is
            super().train()
        self.normalize_advantage = normalize

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """Plays one episode in every environment; see ``OnPolicyAlgorithm``.

        Raises:
            RuntimeError: If an episode does not last for exactly ``n_rollout_steps`` steps.
        """
        obs = self._last_obs
        assert isinstance(obs, np.ndarray)
        assert isinstance(rollout_buffer, EpisodeRolloutBuffer)
        # Turns of training may differ in their budget, and SB3 asks for a constructor's number of steps.
        budgets = np.array(env.get_attr("budget"))
        n_rollout_steps = int(budgets[0])
        rollout_buffer.fit(n_rollout_steps, env.num_envs, obs.shape[1:])
        self.batch_size = n_rollout_steps * self.batch_episodes * env.num_envs // self.n_envs
        self._last_obs = None  # an episode that is broken off is not gone on with: `learn` resets then
        self.policy.set_training_mode(False)
        callback.on_rollout_start()
        (time,) = columns(env.observation_space, TIME)
        starts = np.ones(env.num_envs, dtype=bool)
        cache = self.policy.network.new_cache(env.num_envs, obs.shape[1], n_rollout_steps)
        for step in range(n_rollout_steps):
            _check_times(obs[..., time], step, budgets)
            with torch.no_grad():
                distribution, values = self.policy.network.step(torch.as_tensor(obs, device=self.device), cache)
                actions = distribution.sample()
                log_probs = distribution.log_prob(actions)
            taken = actions.cpu().numpy()
            next_obs, rewards, dones, infos = env.step(taken.clip(-1, 1))
            self.num_timesteps += len(dones) * world_size()  # the environment may be another one's by now
            callback.update_locals(locals())
            if not callback.on_step():
                return False
            if dones.any() != (step == n_rollout_steps - 1) or dones.any() != dones.all():
                raise RuntimeError(
                    f"EpisodicPPO needs episodes of exactly {n_rollout_steps} steps in every environment, but "
                    f"{dones.sum()} of {len(dones)} ended after {step + 1}; reset all environments together"
                )
            self._update_info_buffer(infos, dones)
            rollout_buffer.add(obs, taken, rewards, starts, values, log_probs)
            assert isinstance(next_obs, np.ndarray)
            obs, starts = next_obs, dones
        self._last_obs = obs
        # The budget's end is a termination: nothing follows that a value would have to stand for.
        rollout_buffer.compute_returns_and_advantage(last_values=torch.zeros_like(values), dones=dones)
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True


def _check_times(times: np.ndarray, step: int, budgets: np.ndarray) -> None:
    """Refuses tokens whose times (num_envs, dim) are not those of this step and of the budgets (num_envs,)."""
    if not np.allclose(times, step / budgets[:, None], rtol=0, atol=1e-2 / budgets.max()):
        raise ValueError(
            f"expected tokens of step {step}, whose time is {step} over the budget, got {np.unique(times)}: a wrapper "
            "that changes observations changes proposed actions too, leave it out"
        )
