"""How fast it is, on one thread: ``python -m benchmarks.speed``."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track
from rich.table import Table
from stable_baselines3 import PPO

import pop_optimizer
from agents import EpisodicPPO, GymnasiumVecEnv, TrajectoryExtractor, TrajectoryPolicy
from benchmarks import one_run
from pop_envs import GPPrior, POPEnv, POPVectorEnv
from pop_optimizer.ask_tell import run
from pop_optimizer.optimizer import DEFAULT_CHECKPOINT


@dataclass(frozen=True)
class Speed:
    """What is measured.

    Attributes:
        num_envs: Sub-environments of the batched environment.
        sync_envs: Sub-environments of the ``SyncVectorEnv`` that it is held against.
        dim: Number of coordinates.
        budget: Steps of an episode; each measurement takes one whole episode, with its restart.
        num_features: M of eq. 10.
        train_episodes: Functions of an update, where training is measured.
        dims: Numbers of coordinates of ``minimize``.
        long: Budget of a long run.
        large_dims: Numbers of coordinates, against which the time is held.
        figure: Where the time against them is drawn, if anywhere.
        rounds: Measurements, of which the fastest counts: what slows a round down is not ours.
    """

    num_envs: int = 1024
    sync_envs: int = 8
    dim: int = 2
    budget: int = 50
    num_features: int = 96
    train_episodes: int = 32
    dims: tuple[int, ...] = (2, 10)
    long: int = 2000
    large_dims: tuple[int, ...] = (10, 100, 1000, 10_000)
    figure: Path | None = None
    rounds: int = 7


def environment(speed: Speed) -> Table:
    """Steps a second of the environment alone, with its resets, on random actions.

    A value and a gradient cannot do with less than one sine and one cosine for each feature: the limit.
    """
    task: dict[str, Any] = {
        "dim": speed.dim,
        "budget": speed.budget,
        "prior": GPPrior(num_features=speed.num_features),
    }
    sync, limit = f"SyncVectorEnv of {speed.sync_envs}", "sines and cosines alone"
    envs = {
        "POPVectorEnv, trajectory": POPVectorEnv(speed.num_envs, observation="trajectory", **task),
        "POPVectorEnv, token": POPVectorEnv(speed.num_envs, observation="token", **task),
        "POPVectorEnv, full tokens": POPVectorEnv(speed.num_envs, tokens="full", **task),
        sync: SyncVectorEnv([lambda: POPEnv(**task)] * speed.sync_envs, autoreset_mode=AutoresetMode.SAME_STEP),
    }
    jobs = {name: _episode(env, speed.budget) for name, env in envs.items()} | {limit: _waves(speed)}
    sizes = {sync: speed.sync_envs}
    rates = {
        name: sizes.get(name, speed.num_envs) * speed.budget / seconds
        for name, seconds in _fastest(jobs, speed.rounds).items()
    }
    table = Table("", "steps/s", "of the limit", "x SyncVectorEnv", title="environment alone", caption=_task(speed))
    for column in table.columns[1:]:
        column.justify = "right"
    for name, rate in rates.items():
        table.add_row(name, f"{rate:,.0f}", f"{rate / rates[limit]:.1%}", f"{rate / rates[sync]:,.0f}")
    return table


def training(speed: Speed) -> Table:
    """Functions a second of ``EpisodicPPO`` and of stock PPO: the same network, data, minibatches and epochs.

    Stock PPO meets each step as a sample with its whole padded history.
    """
    task: dict[str, Any] = {"dim": speed.dim, "budget": speed.budget, "tokens": "full"}
    shape = {"width": 64, "depth": 3, "heads": 4}
    episodes, batch_episodes, epochs = speed.train_episodes, speed.train_episodes // 4, 2
    episodic = EpisodicPPO(
        TrajectoryPolicy,
        GymnasiumVecEnv(POPVectorEnv(episodes, observation="token", **task)),
        batch_episodes=batch_episodes,
        n_epochs=epochs,
        policy_kwargs={"head": "gaussian", **shape},
        device="cpu",
    )
    stock = PPO(
        "MlpPolicy",
        GymnasiumVecEnv(POPVectorEnv(episodes, observation="trajectory", **task)),
        n_steps=speed.budget,
        batch_size=batch_episodes * speed.budget,
        n_epochs=epochs,
        policy_kwargs={
            "features_extractor_class": TrajectoryExtractor,
            "features_extractor_kwargs": shape,
            "net_arch": [],
        },
        device="cpu",
    )
    one_update = episodes * speed.budget
    jobs: dict[str, Callable[[], object]] = {
        "EpisodicPPO": lambda: episodic.learn(one_update),
        "stock PPO": lambda: stock.learn(one_update),
    }
    rates = {name: episodes / seconds for name, seconds in _fastest(jobs, rounds=2).items()}
    caption = f"{episodes} functions an update, {epochs} epochs, width 64, depth 3, dim {speed.dim}, T = {speed.budget}"
    table = Table("", "functions/s", "x stock PPO", title="training", caption=caption)
    for name, rate in rates.items():
        table.add_row(name, f"{rate:,.1f}", f"{rate / rates['stock PPO']:,.1f}")
    return table


def minimizing(speed: Speed) -> Table:
    """Milliseconds of a step of ``pop_optimizer.minimize`` beyond the objective's own time, and a rival's."""
    caption = f"beyond the objective, T = {speed.budget}, the policy that ships, best of {speed.rounds}"
    table = Table("", "POP, ms a step", "SciPy's dual annealing", "ratio", title="minimize", caption=caption)
    for dim in speed.dims:
        jobs = {job.__name__: partial(job, dim, speed.budget) for job in (one_run.pop, one_run.dual_annealing)}
        seconds = {name: min(job() for _ in range(speed.rounds)) for name, job in jobs.items()}
        own, rival = (1e3 * each / speed.budget for each in seconds.values())
        table.add_row(f"dim {dim}", f"{own:.2f}", f"{rival:.2f}", f"{own / rival:.2f}")
    return table


def long_run(speed: Speed) -> Table:
    """The time of a step of a long run against a short one's, and the memory."""
    short = min(one_run.pop(speed.dim, speed.budget) for _ in range(speed.rounds)) / speed.budget
    found = one_run.footprint(speed.dim, speed.long)
    step = min(one_run.pop(speed.dim, speed.long) for _ in range(2)) / speed.long
    table = Table("ms a step", f"x T = {speed.budget}", "MB above import", title=f"minimize, T = {speed.long:,}")
    table.add_row(f"{1e3 * step:.2f}", f"{step / short:.2f}", f"{found.above_import:.0f}")
    return table


def large_problems(speed: Speed) -> Table:
    """Seconds of a run beyond the objective's own, and the memory of its process, against the dimension."""
    table = Table("dim", "seconds", "peak MB", title=f"minimize, T = {speed.budget}, by dimension")
    found = {dim: one_run.footprint(dim, speed.budget) for dim in speed.large_dims}
    for dim, each in found.items():
        table.add_row(f"{dim:,}", f"{each.seconds:.2f}", f"{each.peak:.0f}")
    if speed.figure is not None:
        draw_by_dimension({dim: each.seconds for dim, each in found.items()}, speed.figure)
    return table


def draw_by_dimension(seconds: Mapping[int, float], file: Path) -> None:
    """Draws seconds against the dimension, beside a line of what is linear in it."""
    dims = np.array(list(seconds))
    figure = Figure((5, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.loglog(dims, list(seconds.values()), "o-", label="beyond the objective")
    axes.loglog(dims, max(seconds.values()) * dims / dims.max(), "--", color="0.6", label="linear in the dimension")
    axes.set(xlabel="dimension", ylabel="seconds a run")
    axes.legend()
    figure.savefig(file, dpi=150)


def batch(speed: Speed) -> Table:
    """Seconds for a batch of problems by ask and tell, the objectives' time included."""
    policy, _ = pop_optimizer.load_checkpoint(DEFAULT_CHECKPOINT)
    functions = GPPrior(num_features=speed.num_features).sample(speed.num_envs, speed.dim, np.random.default_rng(0))
    x = 2 * torch.rand(speed.num_envs, speed.dim, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 1
    jobs = {
        "functions alone": lambda: [functions.value_and_grad(x) for _ in range(speed.budget + 1)],
        "ask and tell": lambda: run(policy, functions, x, speed.budget, deterministic=True),
    }
    table = Table("", "seconds", title="a batch", caption=_task(speed))
    for name, seconds in _fastest(jobs, rounds=3).items():
        table.add_row(name, f"{seconds:.2f}")
    return table


# Each makes one table.
SECTIONS: tuple[Callable[[Speed], Table], ...] = (environment, training, minimizing, long_run, large_problems, batch)


def main() -> None:
    """Measures with the settings of the command line and prints the tables."""
    speed = tyro.cli(Speed, description=Speed.__doc__)
    torch.set_num_threads(1)
    for section in SECTIONS:
        Console().print(section(speed))


def _task(speed: Speed) -> str:
    return (
        f"{speed.num_envs} environments, dim {speed.dim}, M = {speed.num_features}, T = {speed.budget}, "
        f"{torch.get_num_threads()} thread, best of {speed.rounds}"
    )


def _episode(envs: VectorEnv[Any, Any, Any], budget: int) -> Callable[[], None]:
    """Plays one episode, with the restart at its end; the same random actions each time."""
    envs.reset(seed=0)
    envs.action_space.seed(0)
    actions = [envs.action_space.sample() for _ in range(budget)]

    def play() -> None:
        for action in actions:
            envs.step(action)

    return play


def _waves(speed: Speed) -> Callable[[], None]:
    """The sines and cosines of one episode."""
    angles = 10 * torch.rand(speed.num_envs, speed.num_features, dtype=torch.float64)
    out = torch.empty_like(angles)

    def evaluate() -> None:
        for _ in range(speed.budget):
            torch.cos(angles, out=out)
            torch.sin(angles, out=out)

    return evaluate


def _fastest(jobs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The least seconds of each job; they take turns, so that all meet the same machine."""
    seconds = dict.fromkeys(jobs, float("inf"))
    for _ in track(range(rounds), "measuring", transient=True):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            seconds[name] = min(seconds[name], time.perf_counter() - start)
    return seconds


if __name__ == "__main__":
    main()
