"""How fast it is, on one thread: ``python -m benchmarks.speed``."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import tyro
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from rich.console import Console
from rich.progress import track
from rich.table import Table

from pop_envs import GPPrior, POPEnv, POPVectorEnv


@dataclass(frozen=True)
class Speed:
    """What is measured.

    Attributes:
        num_envs: Sub-environments of the batched environment.
        sync_envs: Sub-environments of the ``SyncVectorEnv`` that it is held against.
        dim: Number of coordinates.
        budget: Steps of an episode; each measurement takes one whole episode, with its restart.
        num_features: M of eq. 10.
        rounds: Measurements, of which the fastest counts: what slows a round down is not ours.
    """

    num_envs: int = 1024
    sync_envs: int = 8
    dim: int = 2
    budget: int = 50
    num_features: int = 96
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
    trajectory = POPVectorEnv(speed.num_envs, observation="trajectory", **task)
    sync = SyncVectorEnv([lambda: POPEnv(**task)] * speed.sync_envs, autoreset_mode=AutoresetMode.SAME_STEP)
    measured = _fastest(
        {
            "limit": _waves(speed),
            "trajectory": _episode(trajectory, speed.budget),
            "token": _episode(POPVectorEnv(speed.num_envs, observation="token", **task), speed.budget),
            "full": _episode(POPVectorEnv(speed.num_envs, tokens="full", **task), speed.budget),
            "sync": _episode(sync, speed.budget),
        },
        speed.rounds,
    )
    steps = speed.num_envs * speed.budget
    rates = {name: steps / seconds for name, seconds in measured.items()}
    rates["sync"] = speed.sync_envs * speed.budget / measured["sync"]

    table = Table("", "steps/s", "of the limit", "x SyncVectorEnv", title="environment alone", caption=_task(speed))
    for column in table.columns[1:]:
        column.justify = "right"
    for name, label in (
        ("trajectory", "POPVectorEnv, trajectory"),
        ("token", "POPVectorEnv, token"),
        ("full", "POPVectorEnv, full tokens"),
        ("sync", f"SyncVectorEnv of {speed.sync_envs}"),
        ("limit", "sines and cosines alone"),
    ):
        share, factor = rates[name] / rates["limit"], rates[name] / rates["sync"]
        table.add_row(label, f"{rates[name]:,.0f}", f"{share:.1%}", f"{factor:,.0f}")
    return table


# Each makes one table.
SECTIONS: tuple[Callable[[Speed], Table], ...] = (environment,)


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


def _fastest(jobs: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
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
