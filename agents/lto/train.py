"""Training from the command line: ``python -m agents.lto.train [logistic | robust | network | logistic_2d]``."""

from __future__ import annotations

import json
import math
import sys
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.progress import TextColumn
from sb3_contrib import TRPO
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from torch import Tensor

from agents.lto.actors import (
    SACStepPolicy,
    ScaledFeatures,
    StepActorCritic,
    clone,
    exported,
    momentum_runs,
)
from agents.lto.config import PRESETS, LTOConfig
from agents.lto.gps import GuidedPolicySearch
from agents.lto.policy import StepPolicy, input_scale
from agents.lto.unrolled import UnrolledDescent, unroll
from agents.lto.vec_env import GroupedVecEnv
from agents.training.callbacks import HISTORY, STATE, WarmCosine
from agents.training.command_line import command, progress
from agents.training.folders import claim_folder
from agents.training.globals import lent_globals
from agents.vec_env import GymnasiumVecEnv
from pop_envs.lto.env import LearningToOptimizeVectorEnv
from pop_envs.lto.task import LTOTask
from pop_envs.objectives.learning_tasks import Losses, TrainingSet, functions_for
from pop_optimizer.lto import LTOCard, load_policy, save_policy
from pop_optimizer.networks.steps import StepNetwork

LONG = 100
"""Steps of a run that policies are judged by; they learn on runs of the task's budget, 40."""

ALGORITHMS: dict[str, type[BaseAlgorithm]] = {
    "gps": GuidedPolicySearch,
    "unrolled": UnrolledDescent,
    "ppo": PPO,
    "trpo": TRPO,
    "sac": SAC,
}

console = Console()


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    config = tyro.extras.overridable_config_cli(PRESETS, args=arguments or sys.argv[1:], description=LTOConfig.__doc__)
    with command(console, "Interrupted. The last validation is saved; the same command with --resume goes on."):
        train(config)


def train(config: LTOConfig) -> dict[str, float]:
    """Trains a policy and leaves its checkpoint in ``config.folder``: the best one by validation.

    Returns:
        Its scores on the validation functions.

    Raises:
        FileExistsError: If the folder holds a run already and ``config.resume`` is not set.
        FileNotFoundError: If there is nothing to resume.
        ValueError: If the run to resume was made with other settings.
    """
    claim_folder(config)
    with lent_globals(config.threads):
        return _train(config)


def score(network: StepNetwork, task: LTOTask, functions: Losses, x0: Tensor) -> dict[str, float]:
    """Mean values of a policy's runs: over the budget, over 100 steps, and at their ends."""
    with torch.no_grad():
        values = unroll(network, task, functions, x0, LONG)[1].nan_to_num(torch.inf)
    short = values[:, 1 : task.budget + 1]
    ends = {"cost": short, "long_cost": values[:, 1:], "value": short[:, -1], "long_value": values[:, -1]}
    return {name: float(each.mean()) for name, each in ends.items()}


class Progress(BaseCallback):
    """Validates and saves every so often, draws a bar, and ends the training when its minutes are used up.

    Args:
        config: Of the training.
        schedule: Of the learning rate, which is told the time.
        before: Seconds that the run computed before it was resumed.
        best: Its best score so far.
    """

    def __init__(self, config: LTOConfig, schedule: WarmCosine, before: float, best: float) -> None:
        super().__init__()
        self.config, self.schedule, self.best = config, schedule, best
        self.validation = functions_for("validation", config.task.make_task())
        self.scores: dict[str, float] = {}
        self._begin = self._due = time.process_time() - before
        self._bar = progress(console, TextColumn("{task.percentage:>3.0f} %"))

    @property
    def seconds(self) -> float:
        """What the training has computed so far: time of the processor, whoever else uses it."""
        return time.process_time() - self._begin

    def _on_training_start(self) -> None:
        self._line = self._bar.add_task(str(self.config.folder.name), total=1.0)
        self._bar.start()

    def _on_rollout_start(self) -> None:
        # Between an update and the next rollout: the saved state is one that training can go on from.
        if time.process_time() >= self._due:
            self._due = time.process_time() + 60 * self.config.validate_every
            self.validate()

    def _on_step(self) -> bool:
        share = self.seconds / (60 * self.config.minutes)
        self.schedule.time_progress = share
        self._bar.update(self._line, completed=min(share, 1.0))
        return share < 1

    def _on_training_end(self) -> None:
        self._bar.stop()

    def validate(self) -> None:
        """Scores the policy, logs its scores and saves it, as the checkpoint if it is the best so far."""
        network = network_of(self.model)
        self.scores = score(network, self.config.task, *self.validation)
        for name, value in self.scores.items():
            self.logger.record(f"validation/{name}", value)
        self.logger.dump(self.num_timesteps)
        entry = self.scores | {"seconds": round(self.seconds, 1), "timesteps": self.num_timesteps}
        with (self.config.folder / HISTORY).open("a") as history:
            history.write(json.dumps(entry) + "\n")
        self._bar.update(self._line, description=f"{self.config.folder.name}: {self.scores['long_cost']:.4f}")
        if self.scores["long_cost"] < self.best:
            self.best = self.scores["long_cost"]
            save_policy(self.config.folder, network, self._card(network))
        partial = self.config.folder / f".{STATE}"
        self.model.save(partial)
        partial.replace(self.config.folder / STATE)

    def _card(self, network: StepNetwork) -> LTOCard:
        return LTOCard(
            algorithm=self.config.algorithm,
            seed=self.config.seed,
            seconds=round(self.seconds, 1),
            timesteps=self.num_timesteps,
            task=self.config.task,
            policy=network.shape,
            settings=self.config.lasting(),
            validation=self.scores,
        )


def network_of(model: BaseAlgorithm) -> StepNetwork:
    """The step network that acts as the model's policy does."""
    policy = model.policy
    if isinstance(policy, StepPolicy):
        return policy.average
    assert isinstance(policy, StepActorCritic | SACStepPolicy)
    return exported(policy)


def _train(config: LTOConfig) -> dict[str, float]:
    seconds, best, done = _history(config) if config.resume else (0.0, math.inf, 0)
    torch.manual_seed(config.seed)
    schedule = WarmCosine(config.learning_rate)
    if config.resume:
        model = ALGORITHMS[config.algorithm].load(config.folder / STATE, env=_environment(config, 1 + done))
        assert isinstance(model.learning_rate, WarmCosine)
        schedule = model.learning_rate
    else:
        model = _new(config, schedule)
    model.set_logger(configure(str(config.folder / "log"), ["tensorboard"]))
    console.print(f"Training in {config.folder}; watch it with: tensorboard --logdir {config.out}")
    told = Progress(config, schedule, seconds, best)
    model.learn(10**12, callback=told, reset_num_timesteps=not config.resume)
    told.validate()
    network, card = load_policy(config.folder)
    scores = score(network, config.task, *told.validation)
    console.print(f"{scores}; checkpoint of {card.seconds / 60:.1f} minutes in {config.folder}")
    return scores


def _new(config: LTOConfig, schedule: WarmCosine) -> BaseAlgorithm:
    env = _environment(config, 0)
    common: dict[str, Any] = {"learning_rate": schedule, "seed": config.seed, "device": "cpu"}
    if config.algorithm == "gps":
        return GuidedPolicySearch(
            StepPolicy,
            env,
            reference=config.reference,
            gap=config.gap,
            memory=config.memory,
            discount=config.discount,
            divergence=config.divergence,
            momentum=config.momentum,
            multiplier=config.multiplier,
            noise=config.noise,
            noise_floor=config.noise_floor,
            first_epochs=config.first_epochs,
            epochs=config.epochs,
            batch_size=config.batch,
            models=config.models,
            components=config.components,
            prior_strength=config.prior_strength,
            averaging=config.averaging,
            policy_kwargs={"hidden": config.hidden, "relative": config.relative},
            **common,
        )
    observations, actions, _ = momentum_runs(config.task, *functions_for("training", config.task.make_task()))
    scale = input_scale(observations, config.task.history)
    if config.algorithm == "unrolled":
        model: BaseAlgorithm = UnrolledDescent(
            StepPolicy,
            env,
            gap=config.gap,
            policy_kwargs={"hidden": config.hidden, "relative": config.relative},
            **common,
        )
        assert isinstance(model.policy, StepPolicy)
        network = model.policy.network
        network.scale.copy_(scale)
    else:
        common["policy_kwargs"] = {
            "features_extractor_class": ScaledFeatures,
            "features_extractor_kwargs": {"scale": scale.tolist()},
            "log_std_init": config.log_std,
            "relative": config.relative,
        }
        budget, runs = config.task.budget, env.num_envs
        if config.algorithm == "ppo":
            model = PPO(StepActorCritic, env, n_steps=budget, batch_size=budget * runs // 4, **common)
        elif config.algorithm == "trpo":
            model = TRPO(StepActorCritic, env, n_steps=budget, batch_size=budget * runs // 4, **common)
        else:
            model = SAC(SACStepPolicy, env, train_freq=1, gradient_steps=4, learning_starts=10 * runs, **common)
        policy = model.policy
        assert isinstance(policy, StepActorCritic | SACStepPolicy)
        network, observations = policy.actor_network, observations * scale
    if not config.scratch:
        if config.algorithm == "sac":  # the mean is taken before tanh
            actions = actions.clamp(-0.99, 0.99).atanh()
        clone(network, observations, actions)
        if isinstance(model.policy, StepPolicy):
            model.policy.follow(0.0)
    return model


def _environment(config: LTOConfig, part: int) -> GymnasiumVecEnv:
    """The functions to train on, as an environment; other starts in each ``part`` of a training."""
    losses = config.task.make_task()
    functions, _ = functions_for("training", losses)
    task = replace(config.task, task=TrainingSet(functions, losses.features, config.turn))
    seed = int(np.random.SeedSequence([config.seed, part]).generate_state(1)[0])
    env: GymnasiumVecEnv
    if config.algorithm == "gps":
        env = GroupedVecEnv(task, config.functions, config.trajectories, fixed=config.reference == "target")
    elif config.algorithm == "unrolled":
        env = GroupedVecEnv(task, len(functions), 1)
    else:
        task = replace(task, reward="relative")
        runs = 16 if config.algorithm == "sac" else len(functions)
        env = GymnasiumVecEnv(LearningToOptimizeVectorEnv(runs, **vars(task)))
    env.seed(seed)
    return env


def _history(config: LTOConfig) -> tuple[float, float, int]:
    """Seconds and best score of a run so far, and the number of its validations."""
    lines = [json.loads(line) for line in (config.folder / HISTORY).read_text("utf-8").splitlines()]
    return lines[-1]["seconds"], min(line["long_cost"] for line in lines), len(lines)


if __name__ == "__main__":
    main()
