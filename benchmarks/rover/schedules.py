"""How step sizes and resolutions go, and recover: ``python -m benchmarks.rover.schedules``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import tyro
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from agents.rover.rollout import TEST, Rollout, held_out_core, rollout
from benchmarks.rover.report import save, table
from benchmarks.rover.rivals import USUAL, rescale
from pop_envs.objectives.landscapes import FAMILIES
from pop_envs.rendering import PALETTE, draw_landscape, draw_path, dress
from pop_envs.rover.painter import draw_grids
from pop_envs.rover.task import RoverTask
from pop_optimizer.rover import load_rover

RECOVERY = 3
"""Spawn key of bowls apart from the test landscapes: those showed that first scales in training were too narrow."""


@dataclass(frozen=True)
class Settings:
    """What is run.

    Attributes:
        steps: Of each run.
        longer: Of the recovering runs that are given more time.
        bowls: Test bowls for the share that recovers.
        factors: By which the first step size is too small and the first grid too coarse; the second one is drawn.
        accuracy: Share of the first gap that is left of a run that has recovered.
    """

    steps: int = 30
    longer: int = 60
    bowls: int = 512
    factors: tuple[float, ...] = (1.0, 100.0, 1000.0)
    accuracy: float = 1e-3


def main() -> None:
    """Runs, draws and prints."""
    settings = tyro.cli(Settings, description=__doc__)
    network = load_rover().network
    schedules, paths = Figure((16, 3.6), layout="constrained"), Figure((16, 4.2), layout="constrained")
    upper, lower = schedules.subplots(1, len(FAMILIES)), paths.subplots(1, len(FAMILIES))
    for family, ax, land in zip(FAMILIES, upper, lower, strict=True):
        core = held_out_core(RoverTask(families=(family,), budget=settings.steps), 64, TEST)
        functions = core.functions
        rescale(core)
        runs = rollout(core, network)
        _draw_scales(ax, runs, range(5))
        ax.set_title(family)
        function = functions.rows(torch.tensor([0], device="cpu"))
        xs = runs.x[0].numpy()
        middle, reach = (xs.min(0) + xs.max(0)) / 2, 0.75 * np.ptp(xs, axis=0).max() + 0.05
        draw_landscape(land, function, np.stack([middle - reach, middle + reach], 1))
        draw_path(land, function, xs, runs.values[0].numpy())
        limits = land.get_xlim(), land.get_ylim()
        draw_grids(land, xs, runs.delta[0].numpy(), core.task.n)
        land.set(xlim=limits[0], ylim=limits[1], title=family)
    upper[0].legend(frameon=False)
    save(schedules, "schedules")
    save(paths, "paths")
    _recovery(settings)


def _recovery(settings: Settings) -> None:
    network, rows = load_rover().network, []
    figure = Figure((5, 3.6), layout="constrained")
    for factor in settings.factors:
        told = [f"{USUAL / factor:g}, {USUAL * factor:g}"]
        for steps in (settings.steps, settings.longer):
            core = held_out_core(RoverTask(families=("quadratic",), budget=steps), settings.bowls, RECOVERY)
            rescale(core, factor)
            runs = rollout(core, network)
            recovered = runs.log10_gap <= np.log10(settings.accuracy)
            told.append(f"{100 * recovered.mean():.1f} ± {100 * (recovered.var() / len(recovered)) ** 0.5:.1f}")
        if factor == settings.factors[1]:
            _draw_scales(figure.subplots(), runs, range(5))
        rows.append(told)
    save(figure, "recovery")
    title = f"Share of {settings.bowls} test bowls on which at most {settings.accuracy:g} of the first gap is left, %"
    table(
        "recovery", title, ("first step size, resolution", f"{settings.steps} steps", f"{settings.longer} steps"), rows
    )


def _draw_scales(ax: Axes, runs: Rollout, which: range) -> None:
    dress(ax)
    for name, scales, style in (("step size", runs.alpha, "-"), ("resolution", runs.delta, "--")):
        lines = ax.semilogy(scales[list(which)].T.numpy(), style, color=PALETTE[style == "--"], lw=1)
        lines[0].set_label(name)
    ax.set(xlabel="step")


if __name__ == "__main__":
    main()
