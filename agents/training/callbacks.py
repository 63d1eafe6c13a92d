"""What goes on around the updates of a training: progress, validation, figures, saving."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import torch
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import TextColumn
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Figure as LoggedFigure

from agents.pop.episodic_ppo import EpisodicPPO
from agents.training.command_line import progress
from agents.training.config import TrainConfig
from agents.training.validation import Score, ValidationSet
from pop_envs.rendering import draw_landscape, draw_path
from pop_optimizer.ask_tell import POPPolicy, run
from pop_optimizer.checkpoint import Card, save_checkpoint

STATE = "state.zip"
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
        schedule: Of the learning rate.
        before: Seconds that the run took before it was resumed.
    """

    model: EpisodicPPO

    def __init__(self, config: TrainConfig, schedule: WarmCosine, before: float = 0.0) -> None:
        super().__init__()
        self.config, self.schedule = config, schedule
        self._begin = time.monotonic() - before

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
        return self.seconds / (60 * self.config.minutes)

    def _on_step(self) -> bool:
        self.schedule.time_progress = self._time_progress
        return self._time_progress < 1


class ByClock(BaseCallback):
    """What goes on besides, by the clock of the training."""

    model: EpisodicPPO

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def _on_step(self) -> bool:
        return True


class RolloutStatistics(ByClock):
    """Logs what the rollout was like: returns, step sizes, functions per second."""

    def _on_training_start(self) -> None:
        self._last = (self.clock.functions, self.clock.seconds)

    def _on_rollout_end(self) -> None:
        buffer = self.model.rollout_buffer
        actions = torch.from_numpy(buffer.actions).clamp(-1, 1)
        sizes = self.clock.config.task.make_step_rule().size(actions).log10()
        functions, seconds = self.clock.functions, self.clock.seconds
        steps, _, dim = buffer.actions.shape
        usual = (steps, dim) == (self.clock.config.task.budget, self.clock.config.dims[0])
        self.logger.record(
            "rollout/return" + ("" if usual else f"_{dim}d_{steps}"), float(buffer.rewards.sum(0).mean())
        )
        self.logger.record("rollout/log10_step_size_mean", float(sizes.mean()))
        self.logger.record("rollout/log10_step_size_std", float(sizes.std()))
        self.logger.record("rollout/share_of_long_steps", float((sizes > -1).double().mean()))
        self.logger.record("time/functions", functions)
        self.logger.record("time/functions_per_second", (functions - self._last[0]) / (seconds - self._last[1]))
        self._last = (functions, seconds)


class Validation(ByClock):
    """Evaluates and saves the policy every so often: nothing that took longer than that is ever lost.

    Args:
        clock: Of the training.
        policy: The policy in training.
        sets: Validation sets by name.
    """

    def __init__(self, clock: Clock, policy: POPPolicy, sets: dict[str, ValidationSet]) -> None:
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
            policy=self.model.policy.shape,
            validation={name: score._asdict() for name, score in scores.items()},
        )
        save_checkpoint(self.folder, self.model.policy.network, card)
        partial = self.folder / f".{STATE}"
        self.model.save(partial)
        partial.replace(self.folder / STATE)


class ProgressBar(ByClock):
    """A bar with the time left and the newest return."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._bar = progress(Console(), TextColumn("{task.percentage:>3.0f} %"))

    def _on_training_start(self) -> None:
        self._task = self._bar.add_task("training", total=1.0)
        self._bar.start()

    def _on_rollout_end(self) -> None:
        returns = self.model.rollout_buffer.rewards.sum(0).mean()
        text = f"{self.clock.functions:,} functions, return {returns:.2f}"
        self._bar.update(self._task, completed=self.clock.progress, description=text)

    def _on_training_end(self) -> None:
        self._bar.stop()


def draw_paths(policy: POPPolicy, sets: dict[str, ValidationSet]) -> Figure:
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
