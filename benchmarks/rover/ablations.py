"""What each part of Rover Descent is worth: ``python -m benchmarks.rover.ablations``. Resumable, one training each.

All trainings take the same CPU time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console

from agents.rover.policy import PolicyConfig, train_policy
from agents.training.callbacks import HISTORY, STATE
from agents.training.folders import CONFIG
from benchmarks.rover.report import table
from pop_envs.objectives.landscapes import FAMILIES
from pop_envs.rover.task import RoverTask

VARIANTS: dict[str, dict[str, Any]] = {
    "LSTM (RecurrentPPO)": {},
    "no memory (PPO)": {"algorithm": "ppo", "stack": 1},
    "4 grids (PPO)": {"algorithm": "ppo"},
    "4 grids (TD3)": {"algorithm": "td3"},
    "4 grids (DDPG)": {"algorithm": "ddpg"},
    "4 grids (SAC)": {"algorithm": "sac"},
    "4 grids (PPO), reward eq. 5": {"algorithm": "ppo", "task": RoverTask(reward="value")},
    "4 grids (PPO), reward eq. 6": {"algorithm": "ppo", "task": RoverTask(reward="from_start")},
    "4 grids (PPO), direction: gradient": {"algorithm": "ppo", "task": RoverTask(direction="gradient")},
    "4 grids (PPO), direction: Newton": {"algorithm": "ppo", "task": RoverTask(direction="newton")},
    "4 grids (PPO), direction: the best teacher": {"algorithm": "ppo", "task": RoverTask(direction="best")},
    "4 grids (PPO), resolution fixed": {"algorithm": "ppo", "fixed_resolution": True},
}
"""Algorithms and memories; then, with what learns most in the same time, rewards, directions and resolutions."""


@dataclass(frozen=True)
class Settings:
    """What is trained.

    Attributes:
        minutes: CPU minutes of each training.
        seeds: Trainings of each variant.
        variants: Names of the variants.
        out: Folder of the runs.
    """

    minutes: float = 4.0
    seeds: int = 1
    variants: tuple[str, ...] = tuple(VARIANTS)
    out: Path = Path("runs/rover-ablations")


def main() -> None:
    """Trains what has not been trained, and prints."""
    settings = tyro.cli(Settings, description=__doc__)
    rows = []
    for name in settings.variants:
        ends = [_last(name, seed, settings) for seed in range(settings.seeds)]
        scores = ", ".join(f"{end['log10_gap']:.2f}" for end in ends)
        families = [f"{sum(end[family] for end in ends) / len(ends):.2f}" for family in FAMILIES]
        rows.append([name, scores, *families, f"{ends[0]['steps']:,}"])
    title = (
        f"Mean decades below the start's gap, 512 validation landscapes, {settings.minutes:g} CPU minutes of training"
    )
    table("ablations", title, ("variant", "all, by seed", *FAMILIES, "steps seen"), rows)


def _last(name: str, seed: int, settings: Settings) -> dict[str, Any]:
    """What the last validation of a variant's training told; trains it first where that is not done."""
    folder = "".join(c if c.isalnum() else "-" for c in name)
    config = PolicyConfig(name=folder, seed=seed, out=settings.out, minutes=settings.minutes, **VARIANTS[name])
    done = config.folder / "done.json"
    if not done.exists():
        resume = (config.folder / STATE).exists() and (config.folder / CONFIG).exists()
        train_policy(replace(config, resume=resume), Console())
        done.write_text((config.folder / HISTORY).read_text("utf-8").splitlines()[-1])
    told: dict[str, Any] = json.loads(done.read_text("utf-8"))
    return told


if __name__ == "__main__":
    main()
