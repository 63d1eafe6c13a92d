"""The landscapes, and Rover Descent on those it has not seen: ``python -m benchmarks.rover.landscapes``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import tyro
from matplotlib.figure import Figure
from numpy.typing import NDArray

from agents.rover.rollout import TEST, VALIDATION, held_out_core, log10_gaps
from benchmarks.budget import Array
from benchmarks.rover.report import draw_comparison, save, table
from benchmarks.rover.rivals import Curves, all_curves, rescale, rover, tuned
from pop_envs.objectives.landscapes import FAMILIES, Family, LandscapePrior
from pop_envs.rendering import draw_landscape
from pop_envs.rover.core import Core
from pop_envs.rover.task import RoverTask
from pop_optimizer.rover import load_rover


@dataclass(frozen=True)
class Settings:
    """How much is run.

    Attributes:
        steps: Iterations of the rover and of methods with gradients.
        tuning: Validation landscapes of each family that rivals are tuned on.
        functions: Test landscapes of each family.
        starts: Perturbed starts on one of them, for the figure.
        perturbation: Their standard deviation, in half widths of the box.
    """

    steps: int = 30
    tuning: int = 6
    functions: int = 32
    starts: int = 20
    perturbation: float = 0.02


def perturbed(core: Core, function: int, starts: int, deviation: float) -> Core:
    """Rovers at perturbed starts on one function of a core, with its step size and resolution."""
    row = torch.full((starts,), function, device="cpu")
    moved = Core(starts, core.task, objective=core.functions.rows(row))
    moved.reset([np.random.default_rng(i) for i in range(starts)])
    noise = torch.from_numpy(np.random.default_rng(0).normal(scale=deviation, size=(starts, 2)))
    scales = core.search.scales
    moved.place(core.search.x[row] + noise, scales.alpha[row], scales.delta[row])
    return moved


def compare(core: Core, rivals: dict[str, dict[str, float]], steps: int) -> dict[str, Curves]:
    """The rover and its rivals from where it stands."""
    start, functions = core.search.x, core.functions
    ours, _ = rover(core, load_rover().network, steps)
    evaluations = int(ours.evaluations[-1])
    longer = evaluations // 3  # so that the curves by evaluations reach as far
    return {"rover": ours} | all_curves(rivals, functions, start, longer, evaluations)


def draw_families() -> None:
    """Two of each family, over the box: as the paper's figure 3."""
    figure = Figure((12, 6), layout="constrained")
    for row, family in zip(figure.subplots(2, 4).T, FAMILIES, strict=True):
        prior = LandscapePrior((family,))
        functions = prior.build(torch.from_numpy(np.random.default_rng(1).random((2, prior.num_uniforms(2)))))
        for i, ax in enumerate(row):
            draw_landscape(ax, functions.rows(torch.tensor([i], device="cpu")))
            ax.plot(*functions.minimizer[i].tolist(), "*", color="#f5c211", ms=12, mec="black")
            ax.set_title(family)
    save(figure, "families")


def main() -> None:
    """Tunes, runs, draws and prints."""
    settings = tyro.cli(Settings, description=__doc__)
    draw_families()
    figure = Figure((16, 7.5), layout="constrained")
    axes = figure.subplots(2, 4)
    rows: list[list[str]] = []
    for column, family in enumerate(FAMILIES):
        rows += _family(family, settings, axes[:, column])
    axes[0, 0].legend(frameon=False, fontsize="small")
    save(figure, "landscapes")
    columns = (
        "family",
        "method",
        "settings",
        f"{settings.steps} iterations",
        f"{25 * (settings.steps + 1)} evaluations",
    )
    title = (
        f"Mean decades below the start's gap, ± standard error, on {settings.functions} test landscapes of each family"
    )
    table("landscapes", title, columns, rows)


def _family(family: Family, settings: Settings, axes: NDArray[Any]) -> list[list[str]]:
    task = RoverTask(families=(family,), budget=settings.steps)
    chosen = held_out_core(task, settings.tuning, VALIDATION)
    evaluations = task.n**2 * (settings.steps + 1)
    rivals = tuned(chosen.functions, chosen.search.x, chosen.path.minimum.numpy(), settings.steps, evaluations)
    core = held_out_core(task, settings.functions, TEST)
    rescale(core)
    minimum = core.path.minimum.numpy()
    one = perturbed(core, 0, settings.starts, settings.perturbation)
    lowest = one.path.minimum.numpy() * 0 + minimum[0]
    at_start = one.search.y.numpy()
    first = compare(one, rivals, settings.steps)
    draw_comparison(
        axes[0], axes[1], first, lambda best: log10_gaps(best, lowest, at_start), settings.steps, evaluations
    )
    axes[0].set_title(family)
    at_starts, rows = core.search.y.numpy(), []
    for name, curves in compare(core, rivals, settings.steps).items():
        by_iteration = log10_gaps(curves.by_iteration, minimum)[
            :, min(settings.steps, curves.by_iteration.shape[1] - 1)
        ]
        by_evaluation = log10_gaps(curves.by_evaluation, minimum, at_starts)
        at = int(np.searchsorted(curves.evaluations, evaluations, side="right")) - 1
        told = [_mean(by_iteration), _mean(by_evaluation[:, at])]
        rows.append([family, name, ", ".join(f"{k}={v:.3g}" for k, v in rivals.get(name, {}).items()), *told])
    return rows


def _mean(gaps: Array) -> str:
    return f"{gaps.mean():.2f} ± {gaps.std() / len(gaps) ** 0.5:.2f}"


if __name__ == "__main__":
    main()
