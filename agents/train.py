"""Training from the command line: ``python -m agents.train [quick | paper | full]``.

In several processes: ``torchrun --nproc-per-node 2 -m agents.train``.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
import tyro
from gymnasium.vector import AutoresetMode
from rich.console import Console
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import CallbackList
from stable_baselines3.common.logger import configure

from agents.evaluate import print_scores, scores_of, yardsticks
from agents.pop.episodic_ppo import EpisodicPPO
from agents.pop.policy import TrajectoryPolicy
from agents.training.algorithms import EPISODIC, hyperparameters, load_saved, stock_model
from agents.training.callbacks import STATE, Clock, ProgressBar, RolloutStatistics, Validation, WarmCosine
from agents.training.command_line import command
from agents.training.config import PRESETS, TrainConfig
from agents.training.distributed import WorkerLost, ends_in_peace, own_device, rank, together, world_size
from agents.training.distributed import share as shared
from agents.training.folders import claim_folder
from agents.training.globals import lent_globals
from agents.training.validation import Score, ValidationSet
from agents.vec_env import DrawnVecEnv
from pop_envs.objectives.priors import PRIORS
from pop_envs.pop.env import POPVectorEnv
from pop_envs.pop.task import POPTask
from pop_optimizer.ask_tell import Policy, POPPolicy
from pop_optimizer.checkpoint import CARD
from pop_optimizer.model import ModelPolicy

Choice = TypeVar("Choice")

console = Console()


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("--help", "-h")):
        arguments = ["quick", *arguments]
    config = tyro.extras.overridable_config_cli(PRESETS, args=arguments, description=TrainConfig.__doc__)
    with command(console):
        train(config)


def train(config: TrainConfig) -> dict[str, dict[str, Score]]:
    """Trains a policy, leaves a checkpoint in ``config.folder``, and evaluates it.

    Returns:
        Scores by validation set and method; none in other processes than the first.

    Raises:
        WorkerLost: If another process of a training in several ends before it.
        FileExistsError: If the folder holds a run already and ``config.resume`` is not set.
        FileNotFoundError: If there is nothing to resume.
        ValueError: If the run to resume was made with other settings or by an earlier version, or the device or
            the folder cannot be used.
    """
    config = replace(config, device=own_device(config.device))
    _check_device(config.device)
    with together(config.device), lent_globals(config.threads):
        if world_size() > 1 and config.algorithm != EPISODIC:
            raise ValueError(f"several processes train episodic_ppo together, not {config.algorithm}")
        if rank() == 0:
            claim_folder(config)
        return _train(config)


def _train(config: TrainConfig) -> dict[str, dict[str, Score]]:
    model, seconds = _resume(config) if config.resume else (new_model(config), 0.0)
    schedule = model.learning_rate
    clock = Clock(config, schedule if isinstance(schedule, WarmCosine) else None, before=seconds)
    policy = policy_in(model, config.task)
    if isinstance(model, EpisodicPPO):
        sets = {name: ValidationSet.of(name, config.task.budget) for name in PRIORS}
        # Patience shows in more coordinates and longer runs.
        sets["plain"] = ValidationSet.of("plain", 4 * config.task.budget, size=128, dim=8)
    else:
        sets = {name: ValidationSet.of(name, config.task.budget, dim=config.dims[0]) for name in PRIORS}
    model.set_logger(configure(str(config.folder / "log") if rank() == 0 else None, ["tensorboard"][: rank() == 0]))
    steps = config.functions * config.task.budget - model.num_timesteps
    if rank() > 0:
        model.learn(steps, callback=clock, reset_num_timesteps=not config.resume)
        return {}
    validation, statistics = Validation(clock, policy, sets), RolloutStatistics(clock)
    bar = ProgressBar(clock, statistics)
    console.print(f"Training in {config.folder}; watch it with: tensorboard --logdir {config.out}")
    try:
        model.learn(
            steps,
            callback=CallbackList([clock, statistics, validation, bar]),
            reset_num_timesteps=not config.resume,
        )
    except (KeyboardInterrupt, WorkerLost, RuntimeError) as stop:
        if not isinstance(stop, KeyboardInterrupt | WorkerLost) and world_size() == 1:
            raise
        ends_in_peace()
        bar.on_training_end()  # leaves the terminal as it was
        validation.save({})
        why = "Interrupted" if isinstance(stop, KeyboardInterrupt) else "Another process has ended: stopped"
        console.print(f"{why}, and saved. Go on with: {_command(config)} --resume")
        raise
    validation.validate()
    scores = {
        name: {
            **scores_of(_name(config), policy, chosen),
            **(yardsticks(chosen) if config.yardsticks else {"Adam": validation.adam[name]}),
        }
        for name, chosen in sets.items()
    }
    print_scores(scores, console)
    console.print(f"{clock.functions:,} functions in {clock.seconds / 60:.1f} minutes; checkpoint in {config.folder}")
    return scores


def _name(config: TrainConfig) -> str:
    return "POP" if config.algorithm == EPISODIC else config.algorithm


def _check_device(name: str) -> None:
    try:
        torch.zeros(1, device=name).item()  # which the meta device has no answer to
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"--device must be one that PyTorch can use here, got {name!r} ({reason})") from error


def _command(config: TrainConfig) -> str:
    """The command line that stands for ``config``, but for its ``resume``."""
    usual = PRESETS.get(config.preset, PRESETS["quick"])[1].settings()
    several = ["torchrun", "--nproc-per-node", str(world_size())] if world_size() > 1 else ["python"]
    words = [*several, "-m", "agents.train", config.preset]
    for name, value in config.settings().items():
        if name == "resume" or value == usual[name]:
            continue
        option = name.replace("_", "-")
        if isinstance(value, bool):
            words.append("--" + option if value else "--no-" + option)
        else:
            words += ["--" + option, *map(str, value if isinstance(value, tuple) else (value,))]
    return shlex.join(words)


def _environment(config: TrainConfig) -> DrawnVecEnv:
    def draw(rng: np.random.Generator) -> POPVectorEnv:
        priors, dims, budgets = config.choices()
        task = replace(config.task, prior=_drawn(priors, rng), budget=_drawn(budgets, rng))
        return _vector_env(config, task, _drawn(dims, rng))

    return DrawnVecEnv(_vector_env(config, config.task, config.dims[0]), draw, part=rank())


def _drawn(choices: Sequence[Choice], rng: np.random.Generator) -> Choice:
    return choices[int(rng.integers(len(choices)))]


def _vector_env(config: TrainConfig, task: POPTask, dim: int) -> POPVectorEnv:
    if config.algorithm == EPISODIC:
        # Fewer functions of more coordinates and longer runs, so that every update takes the same time and memory.
        share = config.batch_episodes * config.dims[0] * config.task.budget // (dim * task.budget)
        num_envs = shared(
            max(world_size(), share) * (config.episodes // config.batch_episodes), "functions of an update"
        )
    else:
        num_envs = hyperparameters(config.algorithm, config.hyperparameters)["n_envs"]
    return POPVectorEnv(
        num_envs,
        dim=dim,
        **vars(task),
        observation="trajectory" if config.extractor else "token",
        autoreset_mode=AutoresetMode.DISABLED,
        device=config.device,
    )


def _seed_all(config: TrainConfig, env: DrawnVecEnv, functions: int) -> None:
    """Seeds a part of a training: the functions after a resumption are others than those before."""
    env_seed, torch_seed, numpy_seed = np.random.SeedSequence([config.seed, functions]).generate_state(3)
    env.seed(int(env_seed))
    torch.manual_seed(int(torch_seed) + rank())
    np.random.seed((int(numpy_seed) + rank()) % 2**32)  # noqa: NPY002 (SB3 permutes with the global generator)


def new_model(config: TrainConfig) -> BaseAlgorithm:
    """An untrained model, with its environment, both seeded."""
    env = _environment(config)
    _seed_all(config, env, 0)
    network = {name: getattr(config, name) for name in ("width", "depth", "heads", "mixing", "window")}
    if config.algorithm != EPISODIC:
        settings = hyperparameters(config.algorithm, config.hyperparameters)
        model = stock_model(config.algorithm, env, settings, network if config.extractor else None, config.device)
        model.action_space.seed(config.seed)
        return model
    return EpisodicPPO(
        TrajectoryPolicy,
        env,
        batch_episodes=shared(config.batch_episodes, "batch_episodes"),
        n_epochs=config.epochs,
        learning_rate=WarmCosine(config.learning_rate),
        gamma=config.discount,
        gae_lambda=config.gae_lambda,
        clip_range=config.clip,
        ent_coef=config.entropy,
        policy_kwargs={"head": config.head, **network},
        device=config.device,
    )


def policy_in(model: BaseAlgorithm, task: POPTask) -> Policy:
    """What optimizes with a model as it is now, and as it learns on."""
    if isinstance(model, EpisodicPPO):
        return POPPolicy(model.policy.network, task)
    return ModelPolicy(model.policy)


def _resume(config: TrainConfig) -> tuple[BaseAlgorithm, float]:
    """The model as it was saved, and the seconds that it had been trained for."""
    env = _environment(config)
    model = load_saved(config.algorithm, config.folder, STATE, env, config.device)
    card = json.loads((config.folder / CARD).read_text("utf-8"))
    _seed_all(config, env, card["functions"])
    return model, card["seconds"]


if __name__ == "__main__":
    main()
