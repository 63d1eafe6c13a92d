"""Many runs of each function from one start, for algorithms that fit models to them."""

from __future__ import annotations

from typing import cast

import torch
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs
from torch import Tensor

from agents.vec_env import GymnasiumVecEnv
from pop_envs.lto.core import Core
from pop_envs.lto.env import LearningToOptimizeVectorEnv
from pop_envs.lto.task import LTOTask
from pop_envs.objectives.learning_tasks import Losses


class GroupedVecEnv(GymnasiumVecEnv):
    """Runs in groups: those of a group are on one function, from one start.

    Nothing restarts by itself, so that last states can be read: call ``reset`` after each episode.

    Args:
        task: What the runs are about.
        groups: Number of groups.
        group: Number of runs in each.
        fixed: Whether each group keeps its function and its start; else each episode has new ones.
    """

    def __init__(self, task: LTOTask, groups: int, group: int, fixed: bool = False) -> None:
        self.group, self.fixed, self._first = group, fixed, 0
        self.env = LearningToOptimizeVectorEnv(groups * group, **vars(task), autoreset_mode=AutoresetMode.DISABLED)
        VecEnv.__init__(self, self.env.num_envs, self.env.single_observation_space, self.env.single_action_space)
        self.seed(0)

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Seeds the next reset; runs of a group are seeded alike."""
        self._first = 0 if seed is None else seed
        self._seeds = [self._first + i // self.group for i in range(self.num_envs)]
        return list(self._seeds)

    def reset(self) -> VecEnvObs:
        """See ``VecEnv``."""
        if self.fixed:
            self.seed(self._first)
        return super().reset()

    @property
    def core(self) -> Core:
        """The runs."""
        return cast(LearningToOptimizeVectorEnv, self.env).episodes.core

    @property
    def functions(self) -> Losses:
        """The function of each group."""
        functions = self.core.functions
        assert isinstance(functions, Losses)
        return functions.rows(torch.arange(0, self.num_envs, self.group))

    @property
    def newest(self) -> tuple[Tensor, Tensor, Tensor]:
        """Points (num_envs, dim), values (num_envs,) and gradients (num_envs, dim) of now."""
        search = self.core.search
        return search.x, search.y, search.gradients[:, 0]
