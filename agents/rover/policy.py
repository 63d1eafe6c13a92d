"""Learns step sizes and resolutions by reinforcement (section 3.2.3)."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import gymnasium as gym
import numpy as np
import torch
import tyro
from rich.console import Console
from rich.progress import TextColumn
from sb3_contrib import RecurrentPPO
from stable_baselines3 import DDPG, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.noise import NormalActionNoise, VectorizedActionNoise
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack
from torch import Tensor, nn

from agents.rover.rollout import held_out_core, rollout
from agents.training.callbacks import HISTORY, STATE, WarmCosine
from agents.training.command_line import progress
from agents.training.folders import claim_folder
from agents.training.globals import lent_globals
from agents.vec_env import GymnasiumVecEnv
from pop_envs.checks import positive, positive_int
from pop_envs.objectives.landscapes import FAMILIES
from pop_envs.rover.env import RoverVectorEnv
from pop_envs.rover.task import RoverTask
from pop_optimizer.checkpoint import versions, write_atomically, write_weights
from pop_optimizer.networks.rover import GridEncoder, RoverNetwork

KIND = "rover"

AlgorithmName = Literal["recurrent_ppo", "ppo", "td3", "ddpg", "sac"]
_TASK = RoverTask()
OFF_POLICY: dict[str, type[BaseAlgorithm]] = {"td3": TD3, "ddpg": DDPG, "sac": SAC}


@dataclass(frozen=True)
class PolicyConfig:
    """Trains a policy for step sizes and resolutions, and validates it on landscapes that it has not seen."""

    name: str = "rover"
    """Of the run's folder, <out>/<name>-<seed>."""
    seed: int = 0
    """What landscapes, weights and actions are drawn by."""
    out: Path = Path("runs")
    """Folder of runs."""
    resume: bool = False
    """Goes on with the run that the folder holds."""
    minutes: float = 20.0
    """CPU minutes after which training ends; the learning rate falls with them."""
    steps: int = 20_000_000
    """Steps of all rovers together after which training ends, if they come before."""
    threads: int = 1
    """PyTorch's threads."""

    task: Annotated[RoverTask, tyro.conf.arg(name="")] = _TASK
    """What is trained on."""
    algorithm: AlgorithmName = "recurrent_ppo"
    """recurrent_ppo has an LSTM; ppo, td3, ddpg and sac see the newest grids."""
    stack: int = 4
    """How many grids those see that have no LSTM."""
    begin: str = ""
    """Folder of a run of the same algorithm and shape, whose weights are the first ones."""
    fixed_resolution: bool = False
    """Leaves the resolution as it is, whatever the policy says."""
    channels: int = 16
    """Outputs of the first convolution."""
    width: int = 64
    """Of all other layers."""

    envs: int = 512
    """Rovers at once, of recurrent_ppo and ppo; each update sees one whole episode of each."""
    batch: int = 3840
    """Steps of a minibatch of these."""
    epochs: int = 4
    """Passes over an update's steps."""
    learning_rate: float = 1e-3
    """Peak of the learning rate: a warm-up, then a cosine to a twentieth."""
    discount: float = 1.0
    """Factor on a reward for each step that it lies ahead; the paper's is 1."""
    gae_lambda: float = 0.95
    """Bias against variance in the generalized advantage estimate."""
    clip: float = 0.2
    """PPO's bound on the change of probabilities."""
    log_std: float = -1.0
    """Logarithm of the first standard deviation of PPO's actions."""
    off_policy_envs: int = 64
    """Rovers at once, of td3, ddpg and sac."""
    off_policy_batch: int = 512
    """Steps of a minibatch of these."""
    buffer: int = 200_000
    """Steps that these remember; a resumed run begins with none."""
    updates: int = 8
    """Minibatches of these after each step of all rovers."""
    action_noise: float = 0.15
    """Deviation of the noise on td3's and ddpg's actions, scaled to [-1, 1]."""
    validate_every: int = 500_000
    """Steps of all rovers between validations and saves."""

    def __post_init__(self) -> None:
        counts = ("steps", "threads", "stack", "channels", "width", "envs", "batch", "epochs", "updates", "buffer")
        for name in (*counts, "validate_every"):
            positive_int(name, getattr(self, name))
        for name in ("minutes", "learning_rate", "clip"):
            positive(name, getattr(self, name))
        if self.task.n < 5:
            raise ValueError(f"the policy's convolutions need a grid of at least 5 x 5, got n={self.task.n}")

    @property
    def folder(self) -> Path:
        """Where the run's files go."""
        return self.out / f"{self.name}-{self.seed}"

    @property
    def shape(self) -> dict[str, Any]:
        """Of the network, as ``RoverNetwork`` takes it."""
        recurrent, off = self.algorithm == "recurrent_ppo", self.algorithm in OFF_POLICY
        return {
            "n": self.task.n,
            "channels": self.channels,
            "width": self.width,
            "memory": "lstm" if recurrent else "stack",
            "stack": 1 if recurrent else self.stack,
            "squash": "tanh" if off else "clip",
        }

    def lasting(self) -> dict[str, Any]:
        """The settings that a run keeps when it is resumed, as plain JSON values."""
        free = {"name", "out", "resume", "minutes", "steps", "threads", "validate_every", "task"}
        kept = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in free}
        lasting: dict[str, Any] = json.loads(json.dumps(kept | {"task": self.task.record()}))
        return lasting | {"begin": Path(self.begin).name}


class GridExtractor(BaseFeaturesExtractor):
    """The two convolutions, as SB3's policies take them; grids that are stacked come one below the other.

    Args:
        observation_space: Of grids (stack * n, n).
        channels: Outputs of the first convolution.
        width: Outputs of the second.
    """

    def __init__(self, observation_space: gym.spaces.Box, channels: int, width: int) -> None:
        rows, self.n = observation_space.shape
        super().__init__(observation_space, ((self.n - 4) ** 2) * width)
        self.encoder = GridEncoder(self.n, rows // self.n, channels, width)

    def forward(self, observations: Tensor) -> Tensor:
        """Features (batch, features_dim)."""
        features: Tensor = self.encoder(observations.unflatten(1, (-1, self.n)))
        return features


class FixedResolution(gym.vector.VectorActionWrapper):
    """Rovers whose resolution stays as it is: an ablation."""

    def actions(self, actions: Any) -> Any:
        """The actions without their second part."""
        return actions * np.array([1, 0], dtype=np.float32)


def train_policy(config: PolicyConfig, console: Console | None = None) -> float:
    """Trains a policy, and leaves the best of those that were validated, with its card, in ``config.folder``.

    Returns:
        Its score on validation landscapes, see ``Rollout.log10_gap``.

    Raises:
        FileExistsError: If the folder holds a run already and ``config.resume`` is not set.
        FileNotFoundError: If there is nothing to resume.
        ValueError: If the run to resume was made with other settings.
    """
    claim_folder(config)
    with lent_globals(config.threads):
        model = _model(config)
        model.set_logger(configure(str(config.folder / "log"), ["tensorboard"]))
        keeper = Keeper(config, console, _history(config, model.num_timesteps))
        left = max(config.steps - model.num_timesteps, 0)
        model.learn(left, callback=keeper, reset_num_timesteps=not config.resume)
        keeper.validate()
        return keeper.best


def network_of(model: BaseAlgorithm, shape: dict[str, Any]) -> RoverNetwork:
    """The policy of an algorithm as a network by itself, with weights of its own."""
    policy: Any = model.policy
    network = RoverNetwork(**shape)
    actor = policy.actor if shape["squash"] == "tanh" else policy
    network.encoder.load_state_dict(actor.features_extractor.encoder.state_dict())
    if network.lstm is not None:
        network.lstm.load_state_dict(policy.lstm_actor.state_dict())
    if shape["squash"] == "clip":
        layers = [*policy.mlp_extractor.policy_net, policy.action_net]
    else:
        layers = [*actor.latent_pi, actor.mu] if hasattr(actor, "latent_pi") else [*actor.mu]
    theirs = [layer for layer in layers if isinstance(layer, nn.Linear)]
    ours = [layer for layer in network.dense if isinstance(layer, nn.Linear)]
    for mine, other in zip(ours, theirs, strict=True):
        mine.load_state_dict(other.state_dict())
    return network.requires_grad_(False).eval()


class Keeper(BaseCallback):
    """Ends the training in time; validates and saves every so often; tells how far it is.

    After a save all that is random begins anew, by the seed and the steps so far: so a run of PPO, with an LSTM or
    without, that was cut off and goes on is the run that it would have been.

    Args:
        config: Of the training.
        console: Where the bar is drawn; None draws none.
        history: What the run's earlier validations told.
    """

    def __init__(self, config: PolicyConfig, console: Console | None, history: list[dict[str, Any]]) -> None:
        super().__init__()
        self.config = config
        self.best = min((entry["log10_gap"] for entry in history), default=np.inf)
        self._begin = time.process_time() - (history[-1]["seconds"] if history else 0.0)
        self._due = history[-1]["steps"] + config.validate_every if history else 0
        self._bar = progress(console, TextColumn("{task.percentage:>3.0f} %"))

    @property
    def seconds(self) -> float:
        """CPU time of the training so far."""
        return time.process_time() - self._begin

    def validate(self) -> None:
        """Runs the policy on validation landscapes, and saves it where it is the best so far."""
        network = network_of(self.model, self.config.shape)
        core = held_out_core(replace(self.config.task, reward="from_recent"))
        runs = rollout(core, _blind_to_resolution(network) if self.config.fixed_resolution else network)
        gaps, family = runs.log10_gap, core.functions.family.numpy()  # type: ignore[attr-defined]
        entry: dict[str, Any] = {
            "log10_gap": round(float(gaps.mean()), 4),
            "steps": self.model.num_timesteps,
            "seconds": round(self.seconds, 1),
            "return": round(float(runs.rewards.mean()), 4),
        }
        entry |= {name: round(float(gaps[family == i].mean()), 3) for i, name in enumerate(FAMILIES) if i in family}
        for name, value in entry.items():
            self.logger.record(f"validation/{name}", value)
        self.logger.dump(self.model.num_timesteps)
        if entry["log10_gap"] <= self.best:
            self.best = entry["log10_gap"]
            card = {
                "network": self.config.shape,
                "training": self.config.lasting(),
                "validation": entry,
                "versions": versions("pop-optimizer", "torch", "numpy", "gymnasium", "stable-baselines3"),
            }
            write_weights(self.config.folder, network.state_dict(), card, kind=KIND, written_in=1)
        with (self.config.folder / HISTORY).open("a") as history:
            history.write(json.dumps(entry) + "\n")
        partial = self.config.folder / f".{STATE}"
        self.model.save(partial)
        partial.replace(self.config.folder / STATE)

    def _on_training_start(self) -> None:
        self._task = self._bar.add_task("training", total=1.0)
        self._bar.start()
        self._reseed()

    def _on_step(self) -> bool:
        share = self.seconds / (60 * self.config.minutes)
        schedule = self.model.learning_rate
        if isinstance(schedule, WarmCosine):
            schedule.time_progress = share
        self._bar.update(
            self._task, completed=share, description=f"{self.model.num_timesteps:,} steps, best {self.best:.2f}"
        )
        return share < 1

    def _on_rollout_start(self) -> None:
        # Between an update and the next rollout: the saved state is one that training can go on from.
        if self.model.num_timesteps >= self._due:
            self._due = self.model.num_timesteps + self.config.validate_every
            self.validate()
            self._reseed()

    def _on_training_end(self) -> None:
        self._bar.stop()

    def _reseed(self) -> None:
        """Begins anew, on landscapes that no part of the run saw before."""
        seeds = np.random.SeedSequence([self.config.seed, self.model.num_timesteps]).generate_state(3)
        env_seed, torch_seed, numpy_seed = (int(seed) for seed in seeds)
        self.training_env.seed(env_seed)
        torch.manual_seed(torch_seed)
        np.random.seed(numpy_seed)  # noqa: NPY002 (SB3 permutes with the global generator)
        self.model._last_obs = self.training_env.reset()  # type: ignore[assignment]
        self.model._last_episode_starts = np.ones(self.training_env.num_envs, dtype=bool)


def _blind_to_resolution(network: RoverNetwork) -> Any:
    class Fixed(nn.Module):
        new_state = staticmethod(network.new_state)

        def forward(self, seen: Tensor, state: tuple[Tensor, ...]) -> Any:
            action, after = network(seen, state)
            return action * torch.tensor([1.0, 0.0]), after

    return Fixed()


def _history(config: PolicyConfig, steps: int) -> list[dict[str, Any]]:
    """What a run's validations told up to its saved state; of a new one nothing."""
    history = config.folder / HISTORY
    if not config.resume:
        history.unlink(missing_ok=True)
        return []
    entries = [json.loads(line) for line in history.read_text("utf-8").splitlines()]
    kept = [entry for entry in entries if entry["steps"] <= steps]  # the last save may have been cut off
    write_atomically(history, "".join(json.dumps(entry) + "\n" for entry in kept).encode())
    return kept


def _environment(config: PolicyConfig, num_envs: int) -> VecEnv:
    env: Any = RoverVectorEnv(num_envs, **vars(config.task))
    if config.fixed_resolution:
        env = FixedResolution(env)
    stacked: VecEnv = GymnasiumVecEnv(env)
    return stacked if config.algorithm == "recurrent_ppo" else VecFrameStack(stacked, config.stack, "first")


def _model(config: PolicyConfig) -> BaseAlgorithm:
    """A new model, or the one that was saved."""
    off = config.algorithm in OFF_POLICY
    env = _environment(config, config.off_policy_envs if off else config.envs)
    torch.manual_seed(config.seed)
    kind: Any = {"recurrent_ppo": RecurrentPPO, "ppo": PPO, **OFF_POLICY}[config.algorithm]
    if config.resume:
        model: BaseAlgorithm = kind.load(config.folder / STATE, env=env)
    else:
        settings = _off_policy(config) if off else _on_policy(config)
        settings["policy_kwargs"] |= {
            "features_extractor_class": GridExtractor,
            "features_extractor_kwargs": {"channels": config.channels, "width": config.width},
            "activation_fn": nn.ReLU,
            "net_arch": [config.width, config.width],
        }
        rate = WarmCosine(config.learning_rate)
        model = kind(env=env, gamma=config.discount, learning_rate=rate, **settings)
        if config.begin:
            model.set_parameters(str(Path(config.begin) / STATE))
    return model


def _on_policy(config: PolicyConfig) -> dict[str, Any]:
    recurrent = config.algorithm == "recurrent_ppo"
    size = {"lstm_hidden_size": config.width} if recurrent else {}
    return {
        "policy": "MlpLstmPolicy" if recurrent else "MlpPolicy",
        "n_steps": config.task.budget,
        "batch_size": config.batch,
        "n_epochs": config.epochs,
        "gae_lambda": config.gae_lambda,
        "clip_range": config.clip,
        "policy_kwargs": {"log_std_init": config.log_std, **size},
    }


def _off_policy(config: PolicyConfig) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "policy": "MlpPolicy",
        "buffer_size": config.buffer,
        "batch_size": config.off_policy_batch,
        "learning_starts": 20 * config.off_policy_envs,
        "train_freq": 1,
        "gradient_steps": config.updates,
        "policy_kwargs": {},
    }
    if config.algorithm != "sac":
        noise = NormalActionNoise(np.zeros(2), np.full(2, config.action_noise))
        settings["action_noise"] = VectorizedActionNoise(noise, config.off_policy_envs)
    return settings
