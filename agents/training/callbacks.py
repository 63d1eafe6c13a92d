"""What goes on around the updates of a training: progress, validation, figures, saving."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import TextColumn
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Figure as LoggedFigure
from stable_baselines3.common.policies import BasePolicy

from agents.pop.policy import TrajectoryPolicy
from agents.training.algorithms import EPISODIC, hyperparameters, save_model
from agents.training.command_line import progress
from agents.training.config import TrainConfig
from agents.training.distributed import first_says, world_size
from agents.training.validation import Score, ValidationSet
from pop_envs.rendering import draw_landscape, draw_path
from pop_optimizer.ask_tell import Policy, run
from pop_optimizer.checkpoint import Card, save_checkpoint, write_card
from pop_optimizer.model import MODEL

STATE = MODEL
HISTORY = "validation.jsonl"


class WarmCosine:
    """A learning rate that warms up and falls on a cosine to a twentieth, by functions or by time.

    Args:
        peak: Highest learning rate.
    """

    WARM_UP = 0.03

    def __init__(self, peak: float) -> None:
        self.peak = peak
        self.time_progress = 0.0

    def __call__(self, progress_remaining: float) -> float:
        """The learning rate when this share of the training is left."""
        progress = max(1 - progress_remaining, self.time_progress)
        cosine = (1 + math.cos(math.pi * min(progress, 1.0))) / 2
        return self.peak * min(1.0, progress / self.WARM_UP + 0.05) * (0.05 + 0.95 * cosine)


class Clock(BaseCallback):
    """Ends the training when its minutes are used up, and tells the schedule how far they are.

    Args:
        config: Of the training.
        schedule: Of the learning rate, where the minutes decide on it too.
        before: Seconds that the run took before it was resumed.
    """

    model: BaseAlgorithm

    def __init__(self, config: TrainConfig, schedule: WarmCosine | None, before: float = 0.0) -> None:
        super().__init__()
        self.config, self.schedule = config, schedule
        self._begin = time.monotonic() - before
        self._agreed: float | None = None

    @property
    def seconds(self) -> float:
        """Wall time of the training so far."""
        return time.monotonic() - self._begin

    @property
    def functions(self) -> int:
        """Functions seen so far; a run counts by its steps, as so many of the task's budget."""
        return self.model.num_timesteps // self.config.task.budget

    @property
    def progress(self) -> float:
        """From 0 to 1, by functions or by time, whichever is further."""
        return min(1.0, max(self.functions / self.config.functions, self._time_progress))

    @property
    def _time_progress(self) -> float:
        return (self.seconds if self._agreed is None else self._agreed) / (60 * self.config.minutes)

    def _on_rollout_start(self) -> None:
        if world_size() > 1:  # whose clocks differ, and who must end, and learn, alike
            self._agreed = first_says(self.seconds)

    def _on_step(self) -> bool:
        if self.schedule is not None:
            self.schedule.time_progress = self._time_progress
        return self._time_progress < 1


class ByClock(BaseCallback):
    """What goes on besides, by the clock of the training."""

    model: BaseAlgorithm

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def _on_step(self) -> bool:
        return True


class RolloutStatistics(ByClock):
    """Logs what rollouts were like: returns, step sizes, functions per second.

    Attributes:
        newest: Mean return of the episodes that ended last; NaN before any has.
    """

    newest = math.nan

    def _on_training_start(self) -> None:
        self._last = (self.clock.functions, self.clock.seconds)
        self._running: Any = 0.0  # returns so far (num_envs,)
        self._ended: list[float] = []
        self._actions: list[Any] = []

    def _on_step(self) -> bool:
        dones = self.locals["dones"]
        self._running = self._running + self.locals["rewards"]
        self._ended += self._running[dones].tolist()
        # The next episodes' environments may be more, or fewer.
        self._running = 0.0 if dones.all() else np.where(dones, 0.0, self._running)
        self._actions.append(self.locals["actions"])
        return True

    def _on_rollout_end(self) -> None:
        if not self._ended:  # rollouts of some algorithms are single steps
            return
        config = self.clock.config
        actions = torch.stack([torch.as_tensor(each) for each in self._actions]).clamp(-1, 1)
        sizes = config.task.make_step_rule().size(actions).log10()
        functions, seconds = self.clock.functions, self.clock.seconds
        steps, _, dim = actions.shape
        usual = config.algorithm != EPISODIC or (steps, dim) == (config.task.budget, config.dims[0])
        self.newest = float(np.mean(self._ended))
        self.logger.record("rollout/return" + ("" if usual else f"_{dim}d_{steps}"), self.newest)
        self.logger.record("rollout/log10_step_size_mean", float(sizes.mean()))
        self.logger.record("rollout/log10_step_size_std", float(sizes.std()))
        self.logger.record("rollout/share_of_long_steps", float((sizes > -1).double().mean()))
        self.logger.record("time/functions", functions)
        self.logger.record("time/functions_per_second", (functions - self._last[0]) / (seconds - self._last[1]))
        self._last = (functions, seconds)
        self._ended, self._actions = [], []


class Validation(ByClock):
    """Evaluates and saves the policy every so often: nothing that took longer than that is ever lost.

    Args:
        clock: Of the training.
        policy: The policy in training.
        sets: Validation sets by name.
    """

    def __init__(self, clock: Clock, policy: Policy, sets: dict[str, ValidationSet]) -> None:
        super().__init__(clock)
        self.policy, self.sets = policy, sets
        self.folder = clock.config.folder
        self.adam = {name: chosen.score(chosen.adam()) for name, chosen in sets.items()}
        self._due = clock.seconds

    def _on_rollout_start(self) -> None:
        # Between an update and the next rollout: the saved state is one that training can go on from.
        if self.clock.seconds >= self._due:
            self._due = self.clock.seconds + 60 * self.clock.config.validate_every
            self.validate()

    def validate(self) -> None:
        """Scores the policy, logs the scores beside Adam's, draws the figure and saves everything."""
        scores = {
            name: chosen.score(chosen.policy(self.policy, deterministic=True)) for name, chosen in self.sets.items()
        }
        for name, score in scores.items():
            for measure in ("ni", "log10_regret", "solved"):
                self.logger.record(f"validation/{name}_{measure}", getattr(score, measure))
                self.logger.record(f"validation/{name}_{measure}_adam", getattr(self.adam[name], measure))
        figure = draw_paths(self.policy, self.sets)
        figure.savefig(self.folder / "paths.png", dpi=80)
        self.logger.record("paths", LoggedFigure(figure, close=True), exclude=("stdout", "log", "json", "csv"))
        self.logger.dump(self.model.num_timesteps)
        entry: dict[str, Any] = {name: score._asdict() for name, score in scores.items()}
        entry |= {"functions": self.clock.functions, "seconds": round(self.clock.seconds, 1)}
        with (self.folder / HISTORY).open("a") as history:
            history.write(json.dumps(entry) + "\n")
        self.save(scores)

    def save(self, scores: dict[str, Score]) -> None:
        """Writes the checkpoint, and the state to resume from, each whole or not at all."""
        config = self.clock.config
        policy: BasePolicy = self.model.policy
        episodic = policy if isinstance(policy, TrajectoryPolicy) else None
        card = Card(
            preset=config.preset,
            seed=config.seed,
            functions=self.clock.functions,
            seconds=round(self.clock.seconds, 1),
            task=config.task,
            prior=config.task.make_prior().record(),
            dims=config.dims,
            priors=tuple(config.settings()["priors"]),
            budgets=config.budgets,
            policy=episodic.shape if episodic else hyperparameters(config.algorithm, config.hyperparameters),
            validation={name: score._asdict() for name, score in scores.items()},
            algorithm=config.algorithm,
        )
        if episodic:
            save_checkpoint(self.folder, episodic.network, card)
        else:
            write_card(self.folder, card)
        save_model(self.folder, self.model, STATE)


class ProgressBar(ByClock):
    """A bar with the time left and the newest return."""

    def __init__(self, clock: Clock, statistics: RolloutStatistics) -> None:
        super().__init__(clock)
        self._statistics = statistics
        self._bar = progress(Console(), TextColumn("{task.percentage:>3.0f} %"))

    def _on_training_start(self) -> None:
        self._task = self._bar.add_task("training", total=1.0)
        self._bar.start()

    def _on_rollout_end(self) -> None:
        text = f"{self.clock.functions:,} functions, return {self._statistics.newest:.2f}"
        self._bar.update(self._task, completed=self.clock.progress, description=text)

    def _on_training_end(self) -> None:
        self._bar.stop()


def draw_paths(policy: Policy, sets: dict[str, ValidationSet]) -> Figure:
    """The policy's paths on six fixed 2-D functions, as many of each set that has such."""
    figure = Figure(figsize=(12, 8), layout="constrained")
    axes = iter(figure.subplots(2, 3).flat)
    flat = {name: chosen for name, chosen in sets.items() if chosen.functions.dim == 2}
    for name, chosen in flat.items():
        index = torch.arange(6 // len(flat), device="cpu")
        functions = chosen.functions.rows(index)
        points, values = run(policy, functions, chosen.starts[index], chosen.budget, deterministic=True)
        for i, ax in zip(index, axes, strict=False):
            function = functions.rows(i[None])
            draw_landscape(ax, function)
            draw_path(ax, function, points[i].numpy(), values[i].numpy())
            ax.set_title(f"{name} {int(i)}")
    return figure
