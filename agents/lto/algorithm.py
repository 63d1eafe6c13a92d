"""What guided policy search and the unrolled yardstick share as algorithms of SB3."""

from __future__ import annotations

from typing import Any, ClassVar

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, Schedule

from agents.lto.policy import StepPolicy
from agents.lto.vec_env import GroupedVecEnv


class GroupedAlgorithm(BaseAlgorithm):
    """An algorithm that fits a ``StepPolicy`` to the runs of a ``GroupedVecEnv``, whole episodes of them.

    Args:
        policy: The class ``StepPolicy``.
        env: A ``GroupedVecEnv``.
        learning_rate: Of Adam.
        **kwargs: ``policy_kwargs``, ``tensorboard_log``, ``verbose``, ``device``, ``seed`` of SB3.

    Raises:
        ValueError: If the environment is another.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"StepPolicy": StepPolicy}
    policy: StepPolicy
    env: GroupedVecEnv | None

    def __init__(
        self, policy: type[StepPolicy] | str, env: GymEnv | None, learning_rate: float | Schedule, **kwargs: Any
    ) -> None:
        if env is not None and not isinstance(env, GroupedVecEnv):
            raise ValueError(
                f"{type(self).__name__} needs an agents.lto.vec_env.GroupedVecEnv, got {type(env).__name__}"
            )
        super().__init__(policy, env, learning_rate, support_multi_env=True, **kwargs)

    def _setup_model(self) -> None:
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        self.policy = self.policy_class(  # type: ignore[assignment]
            self.observation_space, self.action_space, self.lr_schedule, **self.policy_kwargs
        ).to(self.device)

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        return ["policy", "policy.optimizer"], []
