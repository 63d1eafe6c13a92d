"""Frames of the rover's episodes: contour, path, and the grids where they were sampled, as in the paper's figure 10."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from pop_envs.objectives.base import Objective
from pop_envs.objectives.landscapes import Landscapes
from pop_envs.rendering import Array, EpisodePainter, draw_landscape
from pop_envs.rover.grid import grid_offsets

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARGIN = 1.5


class RoverPainter(EpisodePainter):
    """The frames of one rover.

    Args:
        budget: Steps of an episode.
        n: Points of a side of its grid.
    """

    def __init__(self, budget: int, n: int) -> None:
        super().__init__(budget)
        self.n = n

    def restart(self, objective: Objective, minimum: float) -> None:
        """See ``EpisodePainter``."""
        super().restart(objective, minimum)
        self.deltas: list[float] = []

    def sense(self, x: Tensor, value: Tensor, delta: Tensor) -> None:
        """Adds the newest point (2,), its value and the resolution of the grid around it."""
        self.record(x, value)
        self.deltas.append(delta.item())

    def draw_land(self, ax: Axes) -> None:
        """Draws the function where the run is to be: from the start to the minimum and around; or over its box."""
        if not isinstance(self.objective, Landscapes):
            draw_landscape(ax, self.objective)
            return
        ends = np.stack([self.xs[0], self.objective.minimizer[0].cpu().numpy()])
        middle, reach = ends.mean(0), _MARGIN * np.abs(np.diff(ends, axis=0)).max() / 2
        draw_landscape(ax, self.objective, np.stack([middle - reach, middle + reach], 1))

    def draw_over(self, ax: Axes) -> None:
        """Draws the grids."""
        limits = ax.get_xlim(), ax.get_ylim()
        draw_grids(ax, np.stack(self.xs), np.array(self.deltas), self.n)
        ax.set(xlim=limits[0], ylim=limits[1])


def draw_grids(ax: Axes, xs: Array, deltas: Array, n: int) -> None:
    """Draws the grids that were sampled around points (steps, 2), each a square with the points of its rim.

    Args:
        ax: Where to draw.
        xs: The points.
        deltas: Resolutions (steps,).
        n: Points of a side.
    """
    offsets = grid_offsets(n)
    rim = offsets[(offsets.abs() == offsets.abs().max()).any(1)].numpy()
    for x, delta in zip(xs, deltas, strict=True):
        corner, side = x - delta * (n - 1) / 2, delta * (n - 1)
        ax.plot(
            corner[0] + side * np.array([0, 1, 1, 0, 0]),
            corner[1] + side * np.array([0, 0, 1, 1, 0]),
            color="black",
            lw=0.5,
            alpha=0.35,
            zorder=2,
        )
        points = x + delta * rim
        ax.plot(points[:, 0], points[:, 1], ".", color="black", ms=1.5, alpha=0.35, zorder=2)
