"""The algorithms of Stable-Baselines3 and sb3-contrib by name, with hyper-parameters from files in rl_zoo3's format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml
from sb3_contrib import TQC, TRPO, RecurrentPPO
from stable_baselines3 import A2C, DDPG, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from agents.pop.episodic_ppo import EpisodicPPO
from agents.pop.extractor import TrajectoryExtractor

EPISODIC = "episodic_ppo"
"""POP's own algorithm, which is no stock one."""

STOCK: dict[str, type[BaseAlgorithm]] = {
    "ppo": PPO,
    "a2c": A2C,
    "sac": SAC,
    "td3": TD3,
    "ddpg": DDPG,
    "trpo": TRPO,
    "tqc": TQC,
    "recurrent_ppo": RecurrentPPO,
}
ALGORITHMS = (EPISODIC, *STOCK)
"""By the names that rl_zoo3 knows them by."""

REPLAY = "replay_buffer.pkl"

_FOLDER = Path(__file__).parents[1] / "hyperparameters"
_ID = "POP-v0"
_OF_THE_ZOO = ("env_kwargs", "n_timesteps")  # what a training configuration tells, and rl_zoo3 reads here


def hyperparameters(algorithm: str, file: Path | None = None) -> dict[str, Any]:
    """What a file in rl_zoo3's format says of ``POP-v0``, by default the one that comes with the algorithm.

    Raises:
        ValueError: If the file says nothing of it, or cannot be read.
    """
    file = _FOLDER / f"{algorithm}.yml" if file is None else file
    try:
        told = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"hyperparameters must be a YAML file in rl_zoo3's format, got {file}: {error}") from error
    if not (isinstance(told, dict) and isinstance(told.get(_ID), dict)):
        raise ValueError(
            f"hyperparameters must be a YAML file with an entry {_ID}, as rl_zoo3 has them: {file} has none"
        )
    known = {name: value for name, value in told[_ID].items() if name not in _OF_THE_ZOO}
    if not isinstance(known.get("policy"), str):
        raise ValueError(f'{file} must name a policy of {algorithm}, such as "MlpPolicy", got {known.get("policy")!r}')
    return {"n_envs": 1, **known}


def stock_model(
    algorithm: str, env: VecEnv, settings: dict[str, Any], extractor: dict[str, Any] | None, device: str
) -> BaseAlgorithm:
    """An untrained model.

    Args:
        algorithm: A name in ``STOCK``.
        env: What it learns on.
        settings: Its ``hyperparameters``.
        extractor: Arguments of the transformer that reads trajectories; None where the policy reads observations
            itself.
        device: Where PyTorch computes.

    Raises:
        ValueError: If a setting is not one of the algorithm's.
    """
    settings = {name: value for name, value in settings.items() if name != "n_envs"}
    policy, policy_kwargs = settings.pop("policy"), dict(settings.pop("policy_kwargs", {}))
    if extractor is not None:
        policy_kwargs |= {"features_extractor_class": TrajectoryExtractor, "features_extractor_kwargs": extractor}
        if algorithm in ("sac", "td3", "ddpg", "tqc"):
            policy_kwargs.setdefault("share_features_extractor", False)
    noise, deviation = settings.pop("noise_type", None), settings.pop("noise_std", None)
    if noise is not None:
        if noise != "normal" or deviation is None:
            raise ValueError(f'noise_type must be "normal", with a noise_std, got {noise!r} and {deviation!r}')
        dim = env.action_space.shape[0]  # type: ignore[index]
        settings["action_noise"] = NormalActionNoise(np.zeros(dim), np.full(dim, float(deviation)))
    if isinstance(settings.get("train_freq"), list):
        settings["train_freq"] = tuple(settings["train_freq"])
    try:
        return STOCK[algorithm](policy, env, policy_kwargs=policy_kwargs, device=device, **settings)
    except TypeError as error:
        raise ValueError(f"the hyper-parameters do not fit {algorithm}: {error}") from error


def save_model(folder: Path, model: BaseAlgorithm, state: str) -> None:
    """Writes the model to a file named ``state``, with its replay buffer if it has one, each whole or not at all."""
    if isinstance(model, OffPolicyAlgorithm):
        partial = folder / f".{REPLAY}"
        model.save_replay_buffer(partial)
        partial.replace(folder / REPLAY)
    partial = folder / f".{state}"
    model.save(partial)
    partial.replace(folder / state)


def load_saved(algorithm: str, folder: Path, state: str, env: VecEnv, device: str) -> BaseAlgorithm:
    """The model that ``save_model`` wrote."""
    kind = EpisodicPPO if algorithm == EPISODIC else STOCK[algorithm]
    model = kind.load(folder / state, env=env, device=device)
    if isinstance(model, OffPolicyAlgorithm):
        model.load_replay_buffer(folder / REPLAY)
    return model
