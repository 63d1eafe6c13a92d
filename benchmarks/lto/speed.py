"""Steps a second of ``LearningToOptimize-v0``: ``python -m benchmarks.lto.speed``."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import tyro
from rich.console import Console
from rich.table import Table

from pop_envs.lto.env import LearningToOptimizeVectorEnv
from pop_envs.objectives.learning_tasks import TASKS


@dataclass(frozen=True)
class Speed:
    """Measures the vector environment beside values and gradients alone, on one thread.

    Attributes:
        num_envs: Number of functions.
        rounds: The best of so many counts.
    """

    num_envs: int = 1024
    rounds: int = 5


def measure(speed: Speed, task: str) -> tuple[float, float]:
    """Steps a second of whole episodes, resets included, and evaluations a second."""
    envs = LearningToOptimizeVectorEnv(speed.num_envs, task)
    envs.reset(seed=0)
    envs.action_space.seed(0)
    action = 0.01 * envs.action_space.sample()
    core = envs.episodes.core
    x = core.search.x

    def play() -> None:
        for _ in range(envs.budget):
            envs.step(action)

    def evaluate() -> None:
        for _ in range(envs.budget):
            core.functions.value_and_grad(x)

    steps = speed.num_envs * envs.budget
    return steps / _fastest(play, speed.rounds), steps / _fastest(evaluate, speed.rounds)


def _fastest(job: Callable[[], None], rounds: int) -> float:
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        job()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main() -> None:
    """Measures with the settings of the command line and prints a table."""
    speed = tyro.cli(Speed, description=Speed.__doc__)
    torch.set_num_threads(1)
    table = Table("task", "steps/s", "evaluations/s", "share", title=f"{speed.num_envs} functions, one thread")
    for task in TASKS:
        steps, evaluations = measure(speed, task)
        table.add_row(task, f"{steps:,.0f}", f"{evaluations:,.0f}", f"{steps / evaluations:.0%}")
    Console().print(table)


if __name__ == "__main__":
    main()
