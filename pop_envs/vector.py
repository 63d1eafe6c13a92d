"""What all environments of the suite share: one batch of episodes, and its single and its vector face.

A family writes an ``EpisodeBatch``. Seeding, spaces, autoreset, infos and errors are here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

import gymnasium as gym
import numpy as np
import torch
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from pop_envs.checks import one_of
from pop_envs.objectives.base import BoxObjective, Objective
from pop_envs.rendering import EpisodePainter

Observation = NDArray[np.float32]
Mask = NDArray[np.bool_]

RENDER_MODES = ("rgb_array",)


Batch = TypeVar("Batch", bound="Core")
Painter = TypeVar("Painter", bound=EpisodePainter)


class EpisodeBatch(ABC):
    """Episodes that are stepped together. Every array it hands out is fresh.

    Attributes:
        num_envs: Number of episodes.
        budget: Steps of an episode.
        observation_space: Of one episode.
        action_space: Of one episode.
    """

    num_envs: int
    budget: int
    observation_space: gym.Space[Any]
    action_space: gym.Space[Any]

    @abstractmethod
    def reset(self, rngs: Sequence[np.random.Generator], mask: Mask | None = None) -> None:
        """Starts the episodes in ``mask`` (all by default) anew, each with its generator."""

    @abstractmethod
    def step(self, actions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Makes one step with ``actions`` (num_envs, ...); returns rewards (num_envs,)."""

    @property
    @abstractmethod
    def done(self) -> Mask:
        """Which episodes (num_envs,) have ended."""

    @abstractmethod
    def observe(self) -> Observation:
        """Observations (num_envs, ...)."""

    @abstractmethod
    def facts(self) -> dict[str, NDArray[Any]]:
        """What ``info`` tells, as arrays (num_envs, ...)."""

    @abstractmethod
    def frames(self) -> tuple[NDArray[np.uint8], ...]:
        """A picture (height, width, 3) of each episode."""


class Core(Protocol):
    """A family's batched decision process, as its face needs it."""

    num_envs: int
    device: torch.device
    objective: Objective | None

    @property
    def done(self) -> Tensor:
        """Which episodes (num_envs,) have ended."""

    def reset(self, rngs: Sequence[np.random.Generator], index: Tensor | None = None) -> None:
        """Starts the episodes at ``index`` (all by default) anew, the i-th with ``rngs[i]``."""

    def step(self, action: Tensor) -> Tensor:
        """Makes one step with actions (num_envs, ...); returns rewards (num_envs,), float64."""


class CoreEpisodes(EpisodeBatch, Generic[Batch, Painter]):
    """Episodes that a core computes; a family adds spaces, observations, facts, and what its pictures show.

    Args:
        core: What computes them.
        budget: Steps of an episode.
        painters: One for each episode, or none.
    """

    def __init__(self, core: Batch, budget: int, painters: Sequence[Painter]) -> None:
        self.core, self.num_envs, self.budget, self._painters = core, core.num_envs, budget, painters

    def reset(self, rngs: Sequence[np.random.Generator], mask: Mask | None = None) -> None:
        """See ``EpisodeBatch``."""
        self.core.reset(rngs, None if mask is None else torch.from_numpy(np.flatnonzero(mask)).to(self.core.device))
        for i, painter in enumerate(self._painters):
            if mask is None or mask[i]:
                self._begin_picture(painter, i)
                self._record(painter, i)

    def step(self, actions: NDArray[np.float64]) -> NDArray[np.float64]:
        """See ``EpisodeBatch``."""
        rewards: NDArray[np.float64] = self.core.step(torch.from_numpy(actions)).cpu().numpy()
        for i, painter in enumerate(self._painters):
            self._record(painter, i)
        return rewards

    @property
    def done(self) -> Mask:
        """See ``EpisodeBatch``."""
        return copied(self.core.done)

    def frames(self) -> tuple[NDArray[np.uint8], ...]:
        """See ``EpisodeBatch``."""
        return tuple(painter.frame() for painter in self._painters)

    @abstractmethod
    def _begin_picture(self, painter: Painter, i: int) -> None:
        """Shows the painter the function of episode ``i``, which begins."""

    @abstractmethod
    def _record(self, painter: Painter, i: int) -> None:
        """Shows the painter the newest point of episode ``i``."""

    def _row(self, i: int) -> Tensor:
        """The index (1,) of episode ``i``."""
        return torch.tensor([i], device=self.core.device)

    def _own(self, x: Tensor) -> NDArray[np.float64]:
        """Points (num_envs, dim) in the function's own coordinates, where it has others than the unit box's."""
        objective = self.core.objective
        return objective.from_unit(x.cpu().numpy()) if isinstance(objective, BoxObjective) else copied(x)


def copied(tensor: Tensor) -> NDArray[Any]:
    """A NumPy array that nobody else holds."""
    return np.array(tensor.cpu().numpy())


Episodes = TypeVar("Episodes", bound=EpisodeBatch)


class BatchOfOneEnv(gym.Env[Observation, NDArray[np.float32]], Generic[Episodes]):
    """A batch of one episode, as a Gymnasium environment."""

    metadata: dict[str, Any] = {"render_modes": list(RENDER_MODES), "render_fps": 10}  # noqa: RUF012 - Gymnasium's

    def __init__(self, episodes: Episodes, render_mode: str | None) -> None:
        self.episodes = episodes
        self.budget = episodes.budget
        self.render_mode = _render_mode(render_mode)
        self.observation_space, self.action_space = episodes.observation_space, episodes.action_space
        self._begun = self._running = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draws a function and a start; see ``gymnasium.Env``."""
        super().reset(seed=seed)
        self.episodes.reset([self.np_random])
        self._begun = self._running = True
        return self.episodes.observe()[0], self._info()

    def step(self, action: NDArray[np.float32]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Evaluates one more point; see ``gymnasium.Env``.

        Raises:
            ValueError: If the action is not of the action space's shape or not finite.
            ResetNeeded: If there is no running episode.
        """
        if not self._running:
            raise ResetNeeded("the episode has ended or not begun: call reset() before step()")
        reward = self.episodes.step(_actions(action, self.action_space)[None])
        terminated = bool(self.episodes.done[0])
        self._running = not terminated
        return self.episodes.observe()[0], float(reward[0]), terminated, False, self._info()

    def render(self) -> NDArray[np.uint8] | None:
        """The episode so far as a frame (height, width, 3).

        Raises:
            ResetNeeded: If there is no episode yet.
            DependencyNotInstalled: If matplotlib is missing.
        """
        return self.episodes.frames()[0] if _can_render(self.render_mode, self._begun) else None

    def _info(self) -> dict[str, Any]:
        return {key: fact[0] if fact.ndim > 1 else fact[0].item() for key, fact in self.episodes.facts().items()}


class BatchVectorEnv(VectorEnv[Observation, NDArray[np.float32], NDArray[Any]], Generic[Episodes]):
    """A batch of episodes, as a Gymnasium vector environment.

    Sub-environment ``i`` of an environment that was reset with the seed ``s`` does what a single environment
    reset with the seed ``s + i`` does, episode after episode.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - Gymnasium's
        "render_modes": list(RENDER_MODES),
        "render_fps": 10,
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(self, episodes: Episodes, render_mode: str | None, autoreset_mode: AutoresetMode | str) -> None:
        self.episodes = episodes
        self.num_envs, self.budget = episodes.num_envs, episodes.budget
        self.render_mode = _render_mode(render_mode)
        if not isinstance(autoreset_mode, AutoresetMode):
            modes = {mode.value: mode for mode in AutoresetMode}
            autoreset_mode = modes[one_of("autoreset_mode", autoreset_mode, tuple(modes))]
        self.metadata = {**self.metadata, "autoreset_mode": autoreset_mode}
        self._autoreset_mode = autoreset_mode
        self.single_observation_space, self.single_action_space = episodes.observation_space, episodes.action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._rngs, self._seeds = map(list, zip(*(seeding.np_random() for _ in range(self.num_envs)), strict=True))
        self._ended: Mask | None = None  # which sub-environments wait for a restart; None before the first reset

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """The generator of each sub-environment."""
        return tuple(self._rngs)

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """The seed of each sub-environment."""
        return tuple(self._seeds)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observation, dict[str, Any]]:
        """Draws functions and starts.

        Args:
            seed: The first sub-environment's seed, of which the others' count on, or one for each; those
                without one go on with their generators.
            options: ``{"reset_mask": mask}`` restarts only those sub-environments where the array (num_envs,)
                of bools is True.

        Returns:
            Observations (num_envs, ...), also of those that were not restarted, and infos of those that were.

        Raises:
            ValueError: If the number of seeds or the mask does not fit.
            ResetNeeded: If a mask comes before the first reset.
        """
        seeds: Sequence[int | None]
        if seed is None or isinstance(seed, int | np.integer):
            seeds = [None if seed is None else int(seed) + i for i in range(self.num_envs)]
        else:
            seeds = seed
        if len(seeds) != self.num_envs:
            raise ValueError(f"expected one seed for each of the num_envs={self.num_envs}, got {len(seeds)}")
        mask = self._reset_mask(options)
        for i, (own, asked) in enumerate(zip(seeds, mask, strict=True)):
            if asked and own is not None:
                self._rngs[i], self._seeds[i] = seeding.np_random(own)
        self._restart(mask)
        self._ended = ~mask if self._ended is None else self._ended & ~mask
        return self.episodes.observe(), self._infos(mask)

    def step(self, actions: NDArray[np.float32]) -> tuple[Observation, NDArray[np.float64], Mask, Mask, dict[str, Any]]:
        """Evaluates one more point in each sub-environment; see ``gymnasium.vector.VectorEnv``.

        Raises:
            ValueError: If the actions are not of the action space's shape or not finite.
            ResetNeeded: If there was no reset, or a sub-environment that has ended was not restarted while
                autoreset is disabled.
        """
        if self._ended is None:
            raise ResetNeeded("call reset() before step()")
        waiting = self._ended
        if waiting.any() and self._autoreset_mode is AutoresetMode.DISABLED:
            raise ResetNeeded(
                f"{waiting.sum()} sub-environments have ended: with autoreset disabled, restart them by "
                'reset(options={"reset_mask": terminated}) before step()'
            )
        checked = _actions(actions, self.action_space)
        rewards = np.zeros(self.num_envs) if waiting.all() else self.episodes.step(checked)
        if waiting.any():
            self._restart(waiting)
            rewards[waiting] = 0.0
        terminated = self.episodes.done
        everyone = np.ones(self.num_envs, dtype=np.bool_)
        observations, infos = self.episodes.observe(), self._infos(everyone)
        if self._autoreset_mode is AutoresetMode.SAME_STEP and terminated.any():
            final = self._final(terminated, observations)
            self._restart(terminated)
            observations, infos = self.episodes.observe(), {**self._infos(everyone), **final}
        else:
            self._ended = terminated.copy()
        return observations, rewards, terminated, ~everyone, infos

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """The episodes so far, a frame (height, width, 3) for each sub-environment.

        Raises:
            ResetNeeded: If there are no episodes yet.
            DependencyNotInstalled: If matplotlib is missing.
        """
        return self.episodes.frames() if _can_render(self.render_mode, self._ended is not None) else None

    def _restart(self, mask: Mask) -> None:
        self.episodes.reset([self._rngs[i] for i in np.flatnonzero(mask)], None if mask.all() else mask)

    def _reset_mask(self, options: dict[str, Any] | None) -> Mask:
        mask = (options or {}).get("reset_mask")
        if mask is None:
            return np.ones(self.num_envs, dtype=np.bool_)
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (self.num_envs,):
            got = f"{mask.dtype} {mask.shape}" if isinstance(mask, np.ndarray) else type(mask).__name__
            raise ValueError(f'options["reset_mask"] must be a NumPy array ({self.num_envs},) of bools, got {got}')
        if not mask.any():
            raise ValueError('options["reset_mask"] must be True somewhere')
        if self._ended is None and not mask.all():
            raise ResetNeeded("reset all sub-environments once before restarting some of them")
        return mask

    def _infos(self, mask: Mask) -> dict[str, Any]:
        """The facts of those in ``mask``, in Gymnasium's format: batches, and masks that tell where they hold."""
        facts: dict[str, Any] = self.episodes.facts()
        known = mask.copy()
        if not mask.all():
            for fact in facts.values():
                fact[~mask] = 0
        return facts | {f"_{key}": known for key in facts}

    def _final(self, ended: Mask, observations: Observation) -> dict[str, Any]:
        """The last observations and infos of those that ``ended``, in Gymnasium's format."""
        last = np.full(self.num_envs, None, dtype=object)
        for i in np.flatnonzero(ended):
            last[i] = observations[i]
        known = ended.copy()
        return {"final_obs": last, "_final_obs": known, "final_info": self._infos(ended), "_final_info": known}


def _render_mode(name: str | None) -> str | None:
    return None if name is None else one_of("render_mode", name, RENDER_MODES)


def _can_render(render_mode: str | None, begun: bool) -> bool:
    if render_mode is None:
        gym.logger.warn('render() shows nothing without a render mode: make the environment with "rgb_array"')
        return False
    if not begun:
        raise ResetNeeded("there is nothing to show yet: call reset() before render()")
    return True


def _actions(actions: ArrayLike, space: gym.Space[Any]) -> NDArray[np.float64]:
    """A copy of the actions, of the space's shape."""
    checked = np.array(actions, dtype=np.float64)
    if checked.shape != space.shape:
        raise ValueError(f"actions must have the shape {space.shape}, got {checked.shape}")
    if not np.isfinite(checked).all():
        raise ValueError("actions must be finite, got NaN or infinity")
    return checked
