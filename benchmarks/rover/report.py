"""Where the numbers and the figures of Rover Descent's claims go."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from benchmarks.budget import Array
from benchmarks.rover.rivals import Curves
from pop_envs.rendering import PALETTE, dress

RESULTS, FIGURES = Path("results/rover"), Path("docs/rover")
COLORS = dict(
    zip(("rover", "gradient descent", "Nesterov", "Newton", "CMA-ES", "Nelder-Mead", "Adam"), PALETTE, strict=True)
)


def table(name: str, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table in Markdown, and keeps it as ``results/rover/<name>.md``."""
    lines = [f"| {' | '.join(columns)} |", f"|---|{'---:|' * (len(columns) - 1)}"]
    text = "\n".join([title, "", *lines, *(f"| {' | '.join(row)} |" for row in rows), ""])
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text)
    Console().print(text, highlight=False, markup=False, soft_wrap=True)


def save(figure: Figure, name: str) -> None:
    """Writes a figure of the documentation."""
    FIGURES.mkdir(parents=True, exist_ok=True)
    picture = io.BytesIO()
    figure.savefig(picture, dpi=64)
    # Few colours, for a small file.
    Image.open(picture).convert("RGB").quantize(96).save(FIGURES / f"{name}.png", optimize=True)


def draw_band(ax: Axes, at: Sequence[float] | NDArray[Any], curves: Array, name: str) -> None:
    """A mean and the envelope of ``curves`` (runs, points)."""
    color = COLORS.get(name, "black")
    ax.plot(at, curves.mean(0), color=color, label=name, lw=2 if name == "rover" else 1.2)
    ax.fill_between(at, curves.min(0), curves.max(0), color=color, alpha=0.12, lw=0)


def draw_comparison(
    left: Axes, right: Axes, runs: Mapping[str, Curves], gaps: Callable[[Array], Array], steps: int, limit: int
) -> None:
    """Decades below the start's gap, per iteration and per evaluation.

    Args:
        left: Where iterations go.
        right: Where evaluations go.
        runs: Of each method.
        gaps: Maps best values (runs, points) to decades.
        steps: Iterations that are shown.
        limit: Evaluations that are shown.
    """
    for name, curves in runs.items():
        by_iteration, by_evaluation = gaps(curves.by_iteration), gaps(curves.by_evaluation)
        shown = slice(0, steps + 1)
        draw_band(left, range(by_iteration[:, shown].shape[1]), by_iteration[:, shown], name)
        inside = curves.evaluations <= limit
        draw_band(right, curves.evaluations[inside], by_evaluation[:, inside], name)
    left.set(xlabel="iteration", ylabel="log10 gap / first gap")
    right.set(xlabel="evaluation")
    for ax in (left, right):
        dress(ax)
