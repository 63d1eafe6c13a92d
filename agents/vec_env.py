"""Gymnasium's vector environments as Stable-Baselines3's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn


class GymnasiumVecEnv(VecEnv):
    """A natively batched Gymnasium environment, for SB3's algorithms.

    One object stands behind all sub-environments, so they share their attributes. To cost next to nothing a
    step, infos are empty but for the episodes that have just ended: these tell the environment's own
    ``final_info`` and what SB3 looks for, ``terminal_observation`` and ``TimeLimit.truncated``.

    Args:
        env: The vector environment, which must restart a sub-environment in the step that ends it.

    Raises:
        ValueError: If it restarts in another way.
    """

    actions: NDArray[Any]

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        _demand_same_step(env)
        self.env = env  # before super(), which asks for the render mode
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self) -> VecEnvObs:
        """Restarts all sub-environments, with the seeds and options set before; see ``VecEnv``.

        Raises:
            ValueError: If the sub-environments were given different options.
        """
        seeds = None if all(seed is None for seed in self._seeds) else list(self._seeds)
        observations, _ = self.env.reset(seed=seeds, options=self._shared_options())  # type: ignore[arg-type]
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: NDArray[Any]) -> None:
        """See ``VecEnv``."""
        self.actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """See ``VecEnv``."""
        observations, rewards, terminated, truncated, batch = self.env.step(self.actions)
        dones = terminated | truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        # Where nothing restarts by itself the last observations and infos are these.
        last, facts = batch.get("final_obs", observations), batch.get("final_info", batch)
        for i in np.flatnonzero(dones).tolist():
            infos[i] = {
                **_row(facts, i),
                "terminal_observation": last[i],
                "TimeLimit.truncated": bool(truncated[i] and not terminated[i]),
            }
        return observations, rewards.astype(np.float32), dones, infos

    def close(self) -> None:
        """See ``VecEnv``."""
        self.env.close()

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """See ``VecEnv``."""
        return self.env.render() or [None] * self.num_envs  # type: ignore[return-value]

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The vector environment's attribute, once for each sub-environment asked for."""
        holder = self.env if hasattr(self.env, attr_name) else self.env.unwrapped
        return [getattr(holder, attr_name)] * len(self._chosen(indices))

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Sets the vector environment's attribute.

        Raises:
            ValueError: If it is asked for a part of the sub-environments, which share their attributes.
        """
        self._demand_all(indices)
        setattr(self.env.unwrapped, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Calls the vector environment's method once; its result stands for every sub-environment.

        Raises:
            ValueError: If it is asked for a part of the sub-environments.
        """
        self._demand_all(indices)
        method = self.get_attr(method_name)[0]
        return [method(*method_args, **method_kwargs)] * self.num_envs

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """See ``VecEnv``: a batched environment has no wrappers of single ones."""
        return [False] * len(self._chosen(indices))

    def _shared_options(self) -> dict[str, Any]:
        if any(options != self._options[0] for options in self._options):
            raise ValueError("a batched environment takes the same options for all sub-environments")
        return self._options[0]

    def _chosen(self, indices: VecEnvIndices) -> list[int]:
        chosen: Iterable[int] = self._get_indices(indices)
        return list(chosen)

    def _demand_all(self, indices: VecEnvIndices) -> None:
        if sorted(self._chosen(indices)) != list(range(self.num_envs)):
            raise ValueError("the sub-environments of a batched environment share their state: leave indices out")


class DrawnVecEnv(GymnasiumVecEnv):
    """An environment drawn anew for each episode; they may differ in size, dimension and budget.

    Its spaces and its number of sub-environments are those of the present one.

    Args:
        first: The environment whose spaces and size it has before the first reset.
        draw: Makes the environment of the next episode with the generator given; all its episodes must end together,
            and with autoreset disabled no function is drawn in vain.
        part: Which of several equal parts of a larger environment this is: with the same seed, each plays the episodes
            of its part.
    """

    def __init__(
        self,
        first: VectorEnv[Any, Any, Any],
        draw: Callable[[np.random.Generator], VectorEnv[Any, Any, Any]],
        part: int = 0,
    ) -> None:
        self.env, self._draw, self._rng, self._part = first, draw, np.random.default_rng(), part
        VecEnv.__init__(self, first.num_envs, first.single_observation_space, first.single_action_space)

    def reset(self) -> VecEnvObs:
        """Draws the first environment and restarts it, with the seed and options set before; see ``VecEnv``."""
        if self._seeds[0] is not None:
            self._rng = np.random.default_rng(self._seeds[0])
        observations = self._next(self._shared_options())
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_wait(self) -> VecEnvStepReturn:
        """See ``VecEnv``; after an episode's end the observations are those of the next environment."""
        observations, rewards, dones, infos = super().step_wait()
        return self._next() if dones.all() else observations, rewards, dones, infos

    def _next(self, options: dict[str, Any] | None = None) -> VecEnvObs:
        self.env.close()
        self.env = self._draw(self._rng)
        self.num_envs = self.env.num_envs
        self.observation_space, self.action_space = self.env.single_observation_space, self.env.single_action_space
        seed = int(self._rng.integers(2**31)) + self._part * self.num_envs
        return self.env.reset(seed=seed, options=options)[0]


def _demand_same_step(env: VectorEnv[Any, Any, Any]) -> None:
    mode = env.metadata.get("autoreset_mode")
    if mode is not AutoresetMode.SAME_STEP:
        raise ValueError(f"expected a vector environment with autoreset_mode SAME_STEP, got {mode}")


def _row(batch: dict[str, Any], i: int) -> dict[str, Any]:
    """The info of sub-environment ``i``, out of Gymnasium's batched format."""
    return {
        key: _row(value, i) if isinstance(value, dict) else value[i]
        for key, value in batch.items()
        if not key.startswith("_") and batch[f"_{key}"][i]
    }
