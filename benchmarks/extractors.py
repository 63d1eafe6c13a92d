"""What PPO learns, and how fast, with the whole history before it: ``python -m benchmarks.extractors``.

Each way of looking at a run is trained for the same number of the environment's steps, from the same seeds, with SB3's
default settings on the paper's ``POP-v0``. CPU time of the process is counted, which does not depend on who else
computes; validations are not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import tyro
from rich.console import Console
from stable_baselines3 import PPO
from torch import Tensor

from agents import GymnasiumVecEnv, TrajectoryExtractor
from agents.training.command_line import command
from agents.training.globals import lent_globals
from agents.training.validation import ValidationSet
from benchmarks.isolation import ProcessDied
from benchmarks.jobs import RESUMABLE, Engine, demand_same_settings, run_jobs
from pop_envs import POPVectorEnv
from pop_optimizer.checkpoint import write_atomically
from pop_optimizer.model import ModelPolicy


class EveryStep(TrajectoryExtractor):
    """The same features by the outputs of all steps, of which the newest is then picked."""

    def forward(self, observations: Tensor) -> Tensor:
        """Padded trajectories (batch, budget + 1, dim, features) to features (batch, dim * width)."""
        newest = self._newest(observations[:, :, 0, self.time])
        hidden = self.transformer(observations[:, : int(newest.max()) + 1].transpose(1, 2))
        return hidden[torch.arange(len(hidden), device=newest.device), :, newest].flatten(1)


def _transformer(extractor: type[TrajectoryExtractor], depth: int) -> dict[str, Any]:
    return {"features_extractor_class": extractor, "features_extractor_kwargs": {"depth": depth}}


WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "depth 3, all outputs": ("trajectory", _transformer(EveryStep, 3)),
    "depth 1": ("trajectory", _transformer(TrajectoryExtractor, 1)),
    "newest token": ("token", {}),
}
"""Of looking at a run: the observation, and the policy's arguments."""

PPO_SETTINGS: dict[str, Any] = {"n_steps": 64}
"""Where they are not SB3's defaults."""


@dataclass(frozen=True)
class Extractors:
    """What to train.

    Attributes:
        steps: Of the environment, in each training.
        seeds: One training of each way from each of them.
        num_envs: Sub-environments.
        size: Validation functions of the prior "gp", in two dimensions.
        jobs: Number of processes; -1 is one per core.
        engine: Where they run: "joblib" is this machine, "ray" a Ray cluster.
        out: Folder of the results. What was stopped goes on from what it holds.
    """

    steps: int = 3072
    seeds: tuple[int, ...] = (0, 1, 2)
    num_envs: int = 4
    size: int = 256
    jobs: int = -1
    engine: Engine = "joblib"
    out: Path = Path("results/extractors")


def run(settings: Extractors, console: Console | None = None) -> pd.DataFrame:
    """Trains and scores what ``settings.out`` does not hold yet.

    Returns:
        One row for each training: way, seed, steps a second of CPU time, and scores.

    Raises:
        RuntimeError: If a process died.
        ValueError: If ``settings.out`` holds results of other settings.
    """
    settings.out.mkdir(parents=True, exist_ok=True)
    lasting = {name: getattr(settings, name) for name in ("steps", "num_envs", "size")}
    demand_same_settings(settings.out / "extractors.json", lasting)
    jobs = [(way, seed) for seed in settings.seeds for way in WAYS]
    waiting = [job for job in jobs if not _part(settings, job).exists()]
    for job, result in run_jobs(
        "extractors",
        partial(_train_one, settings),
        waiting,
        total=len(jobs),
        processes=settings.jobs,
        console=console,
        engine=settings.engine,
    ):
        if isinstance(result, ProcessDied):
            raise RuntimeError(f"{job[0]} could not be trained from the seed {job[1]}: {result}")
        write_atomically(_part(settings, job), json.dumps(result).encode() + b"\n")
    return pd.DataFrame(
        {"way": way, "seed": seed, **json.loads(_part(settings, (way, seed)).read_text("utf-8"))} for way, seed in jobs
    )


def _part(settings: Extractors, job: tuple[str, int]) -> Path:
    return settings.out / f"{job[0].replace(', ', '-').replace(' ', '_')}-{job[1]}.json"


def _train_one(settings: Extractors, job: tuple[str, int]) -> dict[str, float]:
    way, seed = job
    observation, policy = WAYS[way]
    chosen = ValidationSet.of("gp", 50, settings.size)
    with lent_globals(threads=1):
        env = GymnasiumVecEnv(POPVectorEnv(settings.num_envs, observation=observation))  # type: ignore[arg-type]
        model = PPO("MlpPolicy", env, seed=seed, policy_kwargs=policy, device="cpu", **PPO_SETTINGS)
        before = _score(model, chosen)
        begin = time.process_time()
        model.learn(settings.steps)
        rate = model.num_timesteps / (time.process_time() - begin)
        return {"rate": rate, "untrained": before, "log10_regret": _score(model, chosen)}


def _score(model: PPO, chosen: ValidationSet) -> float:
    return chosen.score(chosen.policy(ModelPolicy(model.policy), deterministic=True)).log10_regret


def table(results: pd.DataFrame) -> str:
    """Means over seeds, with their standard deviation where there are several, as Markdown."""
    slowest: float = results.groupby("way")["rate"].mean()[next(iter(WAYS))]
    shown: dict[str, Callable[[pd.DataFrame], str]] = {
        "steps/s of CPU time": lambda group: _spread(group["rate"], 0),
        "times as fast": lambda group: f"{group['rate'].mean() / slowest:.1f}",
        "log10 regret, untrained": lambda group: _spread(group["untrained"], 2),
        "log10 regret": lambda group: _spread(group["log10_regret"], 2),
    }
    rows = [["", *shown], ["---", *["---:"] * len(shown)]]
    for way, group in results.groupby("way", sort=False):
        rows.append([str(way), *(cell(group) for cell in shown.values())])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _spread(values: pd.Series[float], digits: int) -> str:
    spread = f" ± {np.std(values, ddof=1):,.{digits}f}" if len(values) > 1 else ""
    return f"{values.mean():,.{digits}f}{spread}"


def main() -> None:
    """Runs what the command line asks for, and writes and prints the table."""
    console = Console()
    with command(console, RESUMABLE):
        settings = tyro.cli(Extractors, description=Extractors.__doc__)
        results = run(settings, console)
    write_atomically(settings.out / "table.md", table(results).encode())
    print(table(results))


if __name__ == "__main__":
    main()
