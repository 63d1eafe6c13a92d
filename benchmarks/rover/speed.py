"""How fast the environment is, on one thread: ``python -m benchmarks.rover.speed``."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
import tyro

from benchmarks.rover.report import table
from pop_envs.rover.env import RoverVectorEnv


@dataclass(frozen=True)
class Settings:
    """What is measured.

    Attributes:
        num_envs: Landscapes at once.
        rounds: Episodes, of which the fastest counts: what slows one down is not ours.
    """

    num_envs: int = 1024
    rounds: int = 7


def main() -> None:
    """Measures and prints."""
    settings = tyro.cli(Settings, description=__doc__)
    torch.set_num_threads(1)
    rows = []
    for direction in ("learned", "gradient"):
        env = RoverVectorEnv(settings.num_envs, direction=direction)
        env.reset(seed=0)
        core, action = env.episodes.core, np.zeros((settings.num_envs, 2), np.float32)
        steps, grids = [], []
        for _ in range(settings.rounds):
            began = time.process_time()
            for _ in range(env.budget):
                env.step(action)
            steps.append(time.process_time() - began)
            points = core.search.points
            began = time.process_time()
            for _ in range(env.budget):
                core.functions.values_at(points)
            grids.append(time.process_time() - began)
        rate, alone = (settings.num_envs * env.budget / min(seconds) for seconds in (steps, grids))
        rows.append([direction, f"{rate:,.0f}", f"{rate / alone:.1%}"])
    title = f"Steps a second of {settings.num_envs} landscapes, with their restarts"
    table("speed", title, ("direction", "steps/s", "of what evaluating the grids alone would allow"), rows)


if __name__ == "__main__":
    main()
