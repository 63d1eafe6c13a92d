"""Pictures of functions and of the paths that optimizers take on them. Matplotlib is imported when first needed."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gymnasium.error import DependencyNotInstalled
from numpy.typing import NDArray
from torch import Tensor

from pop_envs.objectives.base import BoxObjective, Objective

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

# Okabe and Ito's: told apart by colour-blind readers too.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

_PIXELS = 121  # of a side of the landscape
_LEVELS = 24
_HEIGHT, _WIDTH, _DPI = 4.48, 5.12, 100  # inches a panel: sides of video frames should be multiples of 16
_GAP_FLOOR = 1e-12  # of the first gap: where the logarithmic axis ends
_LAND, _LAND_RANGE = "bone", (0.42, 1.0)  # pale, for the path to stand out
_TIME, _TIME_RANGE = "plasma", (0.0, 0.8)
_LINE, _BEST = "#3b4252", "#f5c211"


def dress(ax: Axes) -> None:
    """Gives a panel of a chart its plain look: a faint grid, no frame."""
    ax.grid(alpha=0.25, lw=0.6)
    ax.spines[["top", "right"]].set_visible(False)


def draw_landscape(ax: Axes, objective: Objective, window: Array | None = None) -> None:
    """Draws one function over its box, in its own coordinates where it has any: a curve in 1-D, contours in 2-D.

    Levels are quantiles of the values, so that functions of any scale show their shape.

    Args:
        ax: Where to draw.
        objective: A function in one or two dimensions, a batch of one.
        window: Lower and upper bounds (dim, 2) of what is drawn, in the unit box; all of the box by default.

    Raises:
        ValueError: If it has more dimensions.
    """
    if objective.dim > 2:
        raise ValueError(f"a landscape has one or two dimensions, got {objective.dim}")
    ticks = np.linspace(-1, 1, 8 * _PIXELS if objective.dim == 1 else _PIXELS)
    points = np.stack(np.meshgrid(*[ticks] * objective.dim, indexing="ij"), -1).reshape(-1, objective.dim)
    if window is not None:
        points = window.mean(1) + np.diff(window)[:, 0] / 2 * points
    values = objective.values_on(torch.from_numpy(points))[0].cpu().numpy()
    own = _own(objective, points)
    if objective.dim == 1:
        ax.plot(own[:, 0], np.where(np.isfinite(values), values, np.nan), color=_LINE, lw=1.2, zorder=1)
        ax.set(xlim=own[[0, -1], 0], xlabel="$x$", ylabel="$f(x)$")
        return
    x1, x2, height = (a.reshape(_PIXELS, _PIXELS) for a in (own[:, 0], own[:, 1], values))
    height = np.ma.masked_invalid(height)
    finite = height.compressed()
    levels = np.unique(np.quantile(finite, np.linspace(0, 1, _LEVELS))) if len(finite) else finite
    if len(levels) > 1:
        ax.contourf(x1, x2, height, levels, colors=_shades(_LAND, _LAND_RANGE, len(levels) - 1), zorder=0)
        ax.contour(x1, x2, height, levels, colors="white", linewidths=0.5, linestyles="solid", alpha=0.6)
    ax.set_box_aspect(1)
    ax.set(xlim=x1[[0, -1], 0], ylim=x2[0, [0, -1]], xlabel="$x_1$", ylabel="$x_2$")


def draw_path(ax: Axes, objective: Objective, xs: Array, values: Array, budget: int | None = None) -> None:
    """Draws a run on its function's landscape: the path coloured by time, the start and the best point.

    Args:
        ax: Axes on which ``draw_landscape`` drew.
        objective: The function, a batch of one in one or two dimensions.
        xs: Points (n, dim) of the unit box, the start first.
        values: Their values (n,).
        budget: Where the colours end; at the last point by default.
    """
    own = _own(objective, xs)
    points = np.column_stack([own[:, 0], values if objective.dim == 1 else own[:, 1]])
    colors = _time_colors(len(points), budget)
    _draw_segments(ax, points, colors)
    (x_start, y_start), (x_best, y_best) = points[0], points[np.argmin(values)]
    ax.scatter(points[:, 0], points[:, 1], s=14, c=colors, linewidths=0, zorder=4, clip_on=False)
    marker: dict[str, Any] = {"edgecolors": "black", "linewidths": 1.0, "clip_on": False}
    ax.scatter(x_start, y_start, s=70, c="white", zorder=5, **marker)
    ax.scatter(x_best, y_best, s=190, c=_BEST, marker="*", zorder=6, **marker)


def draw_values(ax: Axes, values: Array, minimum: float = np.nan, budget: int | None = None) -> None:
    """Draws the values of a run and the best so far, against the step.

    Args:
        ax: Where to draw.
        values: Values (n,), the start's first.
        minimum: The function's minimum; where it is finite, gaps to it are drawn on a logarithmic axis.
        budget: Where the axis and the colours end; at the last point by default.
    """
    best = np.minimum.accumulate(values)
    steps = np.arange(len(values))
    if np.isfinite(minimum):
        floor = _GAP_FLOOR * max(values[0] - minimum, 1e-300)
        values, best = (np.maximum(v - minimum, floor) for v in (values, best))
        ax.set_yscale("log")
    ax.step(steps, best, where="post", color=_LINE, lw=1.6, label="best so far", zorder=2)
    ax.scatter(steps, values, s=18, c=_time_colors(len(values), budget), linewidths=0, zorder=3, label="value")
    ax.set(xlim=(-0.5, (budget or len(values) - 1) + 0.5), xlabel="step")
    ax.set_ylabel("$f - f_{min}$" if np.isfinite(minimum) else "$f$")
    dress(ax)
    # Above the axes: in them it would cover points, or move from frame to frame.
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0, frameon=False, fontsize="small")


@contextmanager
def restored(axes: Iterable[Axes]) -> Iterator[None]:
    """Removes at its end what was drawn in it: a landscape need not be drawn again for each frame."""
    background = [(ax, set(ax.get_children())) for ax in axes]
    yield
    for ax, kept in background:
        for artist in set(ax.get_children()) - kept:
            artist.remove()


class EpisodePainter:
    """The frames of one episode after the other: landscape and path (up to 2-D), and the values.

    Args:
        budget: Steps of an episode.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget

    def restart(self, objective: Objective, minimum: float) -> None:
        """Begins an episode.

        Args:
            objective: Its function, a batch of one.
            minimum: The function's minimum; NaN where it is not known.
        """
        self.objective = objective
        self.minimum = minimum
        self.xs: list[Array] = []
        self.values: list[float] = []
        self._figure: Figure | None = None  # with the landscape, which is not drawn again for each frame

    def record(self, x: Tensor, value: Tensor) -> None:
        """Adds the newest point (dim,) and its value."""
        self.xs.append(x.cpu().numpy().copy())
        self.values.append(value.item())

    def frame(self) -> NDArray[np.uint8]:
        """The picture (height, width, 3) of the episode so far.

        Raises:
            DependencyNotInstalled: If matplotlib is missing.
        """
        if self._figure is None:
            self._figure = self._new_figure()
        *land, curve = self._figure.axes
        xs, values = np.stack(self.xs), np.asarray(self.values)
        curve.clear()
        draw_values(curve, values, self.minimum, self.budget)
        self._figure.suptitle(f"step {len(values) - 1} of {self.budget}     best {values.min():.6g}", fontsize="medium")
        with restored(land):
            for ax in land:
                draw_path(ax, self.objective, xs, values, self.budget)
                self.draw_over(ax)
            return _pixels(self._figure)

    def draw_land(self, ax: Axes) -> None:
        """Draws what is behind the path."""
        draw_landscape(ax, self.objective)

    def draw_over(self, ax: Axes) -> None:
        """Draws what else there is to show of the path; nothing by default."""

    def _new_figure(self) -> Figure:
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise DependencyNotInstalled('rendering needs matplotlib: pip install "pop-optimizer[render]"') from error
        panels = 2 if self.objective.dim <= 2 else 1
        figure = Figure((_WIDTH * panels, _HEIGHT), dpi=_DPI, layout="constrained")
        axes = figure.subplots(1, panels, squeeze=False)[0]
        for ax in axes[:-1]:
            self.draw_land(ax)
        return figure


def _own(objective: Objective, points: Array) -> Array:
    return objective.from_unit(points) if isinstance(objective, BoxObjective) else points


def _shades(name: str, part: tuple[float, float], count: int) -> Array:
    """``count`` colours (count, 4), evenly spaced over a part of a colour map."""
    from matplotlib import colormaps

    return np.asarray(colormaps[name](np.linspace(*part, count)))


def _time_colors(count: int, budget: int | None) -> Array:
    """A colour (count, 4) for each point, from the start to the budget's end."""
    return _shades(_TIME, _TIME_RANGE, (count - 1 if budget is None else budget) + 1)[:count]


def _draw_segments(ax: Axes, points: Array, colors: Array) -> None:
    from matplotlib.collections import LineCollection

    segments = list(np.stack([points[:-1], points[1:]], 1))  # (n - 1, 2, 2)
    ax.add_collection(LineCollection(segments, colors="white", linewidths=3.2, alpha=0.6, zorder=2))
    ax.add_collection(LineCollection(segments, colors=list(colors[1:]), linewidths=1.3, zorder=3))


def _pixels(figure: Figure) -> NDArray[np.uint8]:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="rgba", dpi=_DPI)
    height, width = round(figure.get_figheight() * _DPI), round(figure.get_figwidth() * _DPI)
    return np.frombuffer(buffer.getbuffer(), np.uint8).reshape(height, width, 4)[..., :3].copy()
