"""Rover Descent on functions unlike those it learned on: ``python -m benchmarks.rover.functions``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import tyro
from matplotlib.figure import Figure
from torch import Tensor

from agents.rover.rollout import log10_gaps
from benchmarks import vlse
from benchmarks.budget import Array
from benchmarks.rover.report import draw_comparison, save, table
from benchmarks.rover.rivals import USUAL, ZEROTH_ORDER, Curves, all_curves, rover, tuned
from pop_envs.objectives.base import BoxObjective
from pop_envs.rover.core import Core
from pop_envs.rover.task import DirectionLike, RoverTask
from pop_optimizer.rover import load_rover

# Own coordinates, far from the minimum: the paper draws its starts, in figures 11 to 16, and names none.
STARTS = {
    "styblinski_tang": (4.5, 4.5),  # in the basin of the highest of four minima
    "beale": (-3.5, -3.5),
    "rosenbrock": (-1.2, 1.0),  # the classical one
    "mccormick": (3.5, -2.5),
    "ackley": (20.0, -15.0),
    "rastrigin": (3.9, -3.9),
}
ROVERS: dict[str, tuple[float, int, DirectionLike]] = {
    "rover": (USUAL, 1, "learned"),
    "first resolution 0.3": (0.3, 1, "learned"),
    "first resolution 1": (1.0, 1, "learned"),
    "four times the steps": (USUAL, 4, "learned"),
    "the best teacher's directions": (USUAL, 1, "best"),
}
"""First resolutions, times the steps, and directions."""


@dataclass(frozen=True)
class Settings:
    """How much is run.

    Attributes:
        steps: Iterations of the rover.
        starts: Perturbed starts, for the figure.
        perturbation: Their standard deviation, in half widths of the box.
        random_starts: Starts anywhere in the box, for the share that reach the global minimum.
        rival_starts: How many of them rivals run from, which take much longer.
        accuracy: How close a value must come to it.
    """

    steps: int = 30
    starts: int = 20
    perturbation: float = 0.02
    random_starts: int = 200
    rival_starts: int = 200
    accuracy: float = 1e-3


class Values(BoxObjective):
    """A VLSE function whose values come without their gradients, in a fraction of the time.

    Args:
        problem: The function.
    """

    def __init__(self, problem: vlse.Problem) -> None:
        super().__init__(problem.value_and_grad, problem.lower, problem.upper, problem.f_min)
        self.problem = problem

    def values_at(self, x: Tensor) -> Tensor:
        """See ``Objective``."""
        with torch.no_grad():
            own = torch.from_numpy(self.from_unit(x.flatten(0, 1).numpy()))
            return self.problem.formula(own).unflatten(0, x.shape[:2])


def core_at(
    objective: BoxObjective, starts: Array, steps: int, delta: float = USUAL, direction: DirectionLike = "learned"
) -> Core:
    """Rovers at ``starts`` (batch, 2) in the unit box, with the usual first step size."""
    core = Core(len(starts), RoverTask(budget=steps, direction=direction), objective=objective)
    core.reset([np.random.default_rng(0)] * len(starts))
    alpha = torch.full_like(core.search.scales.alpha, USUAL)
    core.place(torch.from_numpy(starts), alpha, torch.full_like(alpha, delta))
    return core


def main() -> None:
    """Runs, draws and prints."""
    settings = tyro.cli(Settings, description=__doc__)
    figure = Figure((18, 7), layout="constrained")
    axes = figure.subplots(2, len(STARTS))
    rows = []
    for column, (name, own) in enumerate(STARTS.items()):
        objective = Values(vlse.problem(name, 2))
        rng = np.random.default_rng([7, column])
        noise = rng.normal(scale=settings.perturbation, size=(settings.starts, 2))
        starts = (objective.to_unit(own) + noise).clip(-1, 1)
        x, minimum = torch.from_numpy(starts), np.full(settings.starts, objective.minimum)
        evaluations = 25 * (settings.steps + 1)
        # As the paper: rivals are tuned for these very starts.
        rivals = tuned(objective, x[:2], minimum[:2], settings.steps, evaluations)
        ours, _ = rover(core_at(objective, starts, settings.steps), load_rover().network, settings.steps)
        runs = {"rover": ours} | all_curves(rivals, objective, x, evaluations // 3, evaluations)
        first = objective.values_at(x[:, None])[:, 0].numpy()

        def gaps(best: Array, minimum: Array = minimum, first: Array = first) -> Array:
            return log10_gaps(best, minimum, first)

        draw_comparison(axes[0, column], axes[1, column], runs, gaps, settings.steps, evaluations)
        axes[0, column].set_title(name)
        rows.append([name, *_shares(objective, rivals, settings, rng)])
    axes[0, 0].legend(frameon=False, fontsize="small")
    save(figure, "functions")
    title = (
        f"Share of {settings.random_starts} random starts (rivals: {settings.rival_starts} of them) that come within "
        f"{settings.accuracy:g} of the global minimum "
        f"in {25 * (settings.steps + 1)} evaluations (with more steps: more), %; rivals as tuned for the starts of the "
        "figure"
    )
    table("functions", title, ("function", *ROVERS, *ZEROTH_ORDER), rows)


def _shares(
    objective: BoxObjective, rivals: dict[str, dict[str, float]], settings: Settings, rng: np.random.Generator
) -> list[str]:
    starts = rng.uniform(-1, 1, (settings.random_starts, 2))
    evaluations = 25 * (settings.steps + 1)
    network, runs = load_rover().network, dict[str, Curves]()
    for name, (delta, longer, direction) in ROVERS.items():
        steps = settings.steps * longer
        runs[name], _ = rover(core_at(objective, starts, steps, delta, direction), network, steps)
    for name, (method, _) in ZEROTH_ORDER.items():
        runs[name] = method(objective, torch.from_numpy(starts[: settings.rival_starts]), evaluations, **rivals[name])
    assert objective.minimum is not None
    near = {name: curves.by_evaluation[:, -1] - objective.minimum <= settings.accuracy for name, curves in runs.items()}
    return [f"{100 * each.mean():.1f} ± {100 * (each.var() / len(each)) ** 0.5:.1f}" for each in near.values()]


if __name__ == "__main__":
    main()
