"""A model of Stable-Baselines3, or of anyone who predicts as it does, as an optimizer."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pop_envs.arrays import Array
from pop_envs.checks import positive_int
from pop_envs.pop.search import Search
from pop_envs.pop.step_rules import StepRule
from pop_envs.pop.tokens import Tokens, TokenSpace
from pop_envs.search.trust_region import TrustRegion
from pop_optimizer.ask_tell import Run

MODEL = "state.zip"
"""The model in the folder of a training by an algorithm of SB3."""


@dataclass(frozen=True)
class ModelPolicy:
    """A model that was trained on ``POP-v0`` by an algorithm of whatever kind.

    All that it needs is ``predict(observation, state, episode_start, deterministic)``, which returns actions
    (batch, dim) and the new state, and the ``observation_space`` of ``POP-v0``, which knows the tokens and the step
    rule. A model of trajectories is bound to their number of coordinates, and to at most their steps; one of tokens
    to the number of coordinates.

    Raises:
        TypeError: If the model has no ``predict`` or no ``observation_space``.
        ValueError: If its observations are not those of ``POP-v0``.
    """

    model: Any

    def __post_init__(self) -> None:
        if not (callable(getattr(self.model, "predict", None)) and hasattr(self.model, "observation_space")):
            raise TypeError(
                f"policy must be a model with predict and observation_space, as SB3's have, or its path, got "
                f"{self.model!r}"
            )
        if not isinstance(self.model.observation_space, TokenSpace):
            raise ValueError(
                f"policy must be a model that was trained on POP-v0, got one whose observations are "
                f"{self.model.observation_space}: a wrapper that replaces the observation space hides what they are"
            )

    @property
    def space(self) -> TokenSpace:
        """Of its observations."""
        space: TokenSpace = self.model.observation_space
        return space

    def start(
        self,
        x: Array,
        y: Array,
        g: Array,
        budget: int,
        deterministic: bool = False,
        generator: torch.Generator | None = None,
        descent: TrustRegion | None = None,
    ) -> Run:
        """See ``Policy``.

        Raises:
            ValueError: If the model is of another number of coordinates, or of trajectories of fewer steps.
        """
        space, dim = self.space, x.shape[1]
        if space.dim != dim:
            raise ValueError(
                f"the model was trained on {space.dim} variables, got {dim}: only POP's own policies run in any number"
            )
        longest = _longest(space)
        if longest is not None and positive_int("budget", budget) > longest:
            raise ValueError(
                f"the model sees trajectories of {longest} steps, got a budget of {budget}: give at most {longest}"
            )
        # A shorter run is the beginning of one that is as long as the model knows them.
        search = (
            Search(space.step_rule, space.tokens, budget)
            if longest is None
            else _Beginning(space.step_rule, space.tokens, longest, budget)
        )
        return Run(search, x, y, g, _ModelActor(self.model, len(x), longest, deterministic, generator), descent)


class _Beginning(Search):
    """The first steps of a search: its tokens count with the whole budget."""

    def __init__(self, step_rule: StepRule, tokens: Tokens, budget: int, steps: int) -> None:
        super().__init__(step_rule, tokens, budget)
        self._steps = steps

    @property
    def done(self) -> Array:
        """See ``Search``."""
        return self.trajectory.t >= self._steps

    def extend(self, steps: int) -> None:
        """See ``Search``.

        Raises:
            ValueError: If the model does not know trajectories so long.
        """
        if self._steps + steps > self.budget:
            raise ValueError(
                f"the model sees trajectories of {self.budget} steps: the budget must not be raised to "
                f"{self._steps + steps}"
            )
        self._steps += steps


class _ModelActor:
    """What a model predicts, with the state that it keeps from step to step."""

    def __init__(
        self, model: Any, batch: int, longest: int | None, deterministic: bool, generator: torch.Generator | None
    ) -> None:
        self._predict, self._shape = model.predict, model.observation_space.shape
        self._deterministic, self._generator = deterministic, generator
        self._state: Any = None
        self._begins = np.ones(batch, dtype=bool)
        self._trajectory = None if longest is None else np.zeros((batch, *self._shape), np.float32)
        self._step = 0

    def act(self, search: Search) -> Array:
        """See ``Actor``."""
        token = search.token
        observation: NDArray[np.float32] = token if isinstance(token, np.ndarray) else token.cpu().numpy()
        if self._trajectory is not None:
            self._trajectory[:, self._step] = observation
            observation = self._trajectory.copy()
        with torch.random.fork_rng(devices=[], enabled=not self._deterministic):
            if not self._deterministic:
                # SB3 draws with the global generator: seeded for this step by the run's own, and given back after it.
                seed = torch.randint(2**62, (), generator=self._generator, device="cpu")
                torch.manual_seed(int(seed))
            actions, self._state = self._predict(
                observation, state=self._state, episode_start=self._begins, deterministic=self._deterministic
            )
        self._begins = np.zeros_like(self._begins)
        self._step += 1
        found = np.asarray(actions, np.float32)
        return found if isinstance(token, np.ndarray) else torch.from_numpy(found).to(token.device)

    def extend(self, steps: int) -> None:
        """See ``Actor``; a trajectory has room for all its steps."""


def load_model(path: Path | str) -> Any:
    """The policy in a zip that an SB3 algorithm saved, or in the folder of its training.

    Such files are pickles, which run code as they are read: read only those whose source you trust.

    Raises:
        FileNotFoundError: If there is none.
        ImportError: If Stable-Baselines3, or the code of the policy, is not installed.
        ValueError: If the file is something else.
    """
    file = Path(path) / MODEL if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"no model at {path}: expected a zip that SB3 saved, or a folder with a {MODEL}")
    if not zipfile.is_zipfile(file):
        raise ValueError(f"{file} is not a zip that SB3 saved")
    try:
        from stable_baselines3.common.save_util import load_from_zip_file
    except ImportError as error:
        raise ImportError(f"{file} takes Stable-Baselines3 to read: pip install stable-baselines3") from error
    data, weights, _ = load_from_zip_file(file, device="cpu")
    if not data or "policy_class" not in data or "policy" not in weights:
        raise ValueError(f"{file} is not a model that SB3 saved: it holds no policy")
    settings = dict(data.get("policy_kwargs") or {})
    if data.get("use_sde"):
        settings["use_sde"] = True
    policy = data["policy_class"](data["observation_space"], data["action_space"], lambda _: 0.0, **settings)
    policy.load_state_dict(weights["policy"])
    policy.set_training_mode(False)
    return policy


def _longest(space: TokenSpace) -> int | None:
    """Steps of the trajectories in a space; None for one of tokens."""
    shape = space.shape
    return shape[0] - 1 if len(shape) == 3 else None
