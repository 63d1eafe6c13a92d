"""The verdict in pictures: each draws one row of panels for every comparison it is given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.optimize import isotonic_regression

from benchmarks import analysis
from benchmarks.analysis import Comparison
from benchmarks.rivals import LEAST_SQUARES, RIVALS, knows_residuals
from benchmarks.significance import ALPHA
from pop_envs.rendering import PALETTE, dress

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Styles = Mapping[str, Mapping[str, Any]]
"""How each method's line is drawn: keyword arguments of Matplotlib's ``plot``."""

_COLORED = 5  # rivals at least; more where the palette has colours left
_DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)))  # tell rounds through the palette apart
_GREY, _GREY_TEXT = "0.62", "0.4"
_WIDTH = 12.0  # inches
_LINE = 0.15  # inches that a label is high
_FONT = 8.0


def styles(comparisons: Sequence[Comparison]) -> Styles:
    """A line style per method, for all figures of these comparisons.

    Policies and methods of one's own stand out, the strongest rivals have colours, and all others are grey.
    """
    places = pd.concat(
        [c.results.groupby("method")["rank"].mean() / len(c.methods) for c in comparisons], axis="columns"
    )
    order = [str(method) for method in places.mean(axis="columns").sort_values(kind="stable").index]
    own = [method for method in order if not is_rival(method)]
    rivals = [method for method in order if is_rival(method)]
    colored = max(_COLORED, len(PALETTE) - len(own))
    found: dict[str, dict[str, Any]] = {}
    for i, method in enumerate([*own, *rivals[:colored]]):
        dash = _DASHES[i // len(PALETTE) % len(_DASHES)]
        found[method] = {"color": PALETTE[i % len(PALETTE)], "linestyle": dash, "linewidth": 1.6, "zorder": 3}
        if method in own:
            found[method] |= {"linewidth": 2.8, "zorder": 4}
    for method in rivals[colored:]:
        found[method] = {"color": _GREY, "linestyle": "-", "linewidth": 0.8, "zorder": 2}
    return found


def is_rival(method: str) -> bool:
    """Whether a method is one of ``benchmarks.rivals``; policies and plugins are not."""
    return method != "pop" and (method.removesuffix("-tuned") in RIVALS or method in LEAST_SQUARES)


def draw_curves(comparisons: Sequence[Comparison], look: Styles) -> Figure:
    """Mean log10 regret and mean NI against evaluations."""
    figure, panels = _rows(comparisons, 2)
    for (left, right), comparison in zip(panels, comparisons, strict=True):
        curves = analysis.curves(comparison)
        _draw_lines(left, curves["log10_regret"], look)
        _draw_lines(right, curves["ni"], look)
        left.set_title(comparison.title, loc="left")
        left.set(xlabel="evaluations", ylabel="mean log10 regret (lower is better)")
        right.set(xlabel="evaluations", ylabel="mean NI (higher is better)")
    return figure


def draw_runtime_distribution(comparisons: Sequence[Comparison], look: Styles) -> Figure:
    """The share of (function, start, target) that are reached, against evaluations."""
    figure, panels = _rows(comparisons, 1)
    for (panel,), comparison in zip(panels, comparisons, strict=True):
        _draw_lines(panel, analysis.runtime_distribution(comparison), look, log=True)
        panel.set_title(comparison.title, loc="left")
        panel.set(xlabel="evaluations")
        panel.set(ylabel="share of targets from 1 to 1e-8 reached")
    return figure


def draw_profiles(comparisons: Sequence[Comparison], look: Styles, target: float = 1e-4) -> Figure:
    """Performance profiles: the share of runs that reach a regret within a factor of the best's evaluations."""
    figure, panels = _rows(comparisons, 1)
    for (panel,), comparison in zip(panels, comparisons, strict=True):
        _draw_lines(panel, analysis.profiles(comparison, target), look, log=True)
        panel.set_title(comparison.title, loc="left")
        panel.set(xlabel="factor of the best method's evaluations")
        panel.set(ylabel=f"share of runs that reach regret {target:g}")
    return figure


def draw_data_profiles(comparisons: Sequence[Comparison], look: Styles) -> Figure:
    """Moré and Wild's data profiles: the share of runs that solve their problem, against evaluations."""
    figure, panels = _rows(comparisons, len(analysis.TAUS))
    for row, comparison in zip(panels, comparisons, strict=True):
        for panel, (name, tau) in zip(row, analysis.TAUS.items(), strict=True):
            panel.set_ylim(0, 1.02)
            _draw_lines(panel, analysis.data_profile(comparison, tau), look, log=True)
            panel.set(xlabel=f"evaluations until solved to tau = {name}")
        row[0].set_title(comparison.title, loc="left")
        row[0].set(ylabel="share of runs that are solved")
    return figure


def draw_critical_differences(comparisons: Sequence[Comparison], look: Styles) -> Figure:
    """Mean ranks on an axis; methods without a common bar differ significantly (Friedman, Wilcoxon and Holm)."""
    import scikit_posthocs
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained")
    panels = figure.subplots(len(comparisons), 1, squeeze=False)[:, 0]
    for panel, comparison in zip(panels, comparisons, strict=True):
        tests = analysis.significance(comparison)
        scikit_posthocs.critical_difference_diagram(
            tests.ranks,
            tests.joined.astype(float),  # all that the library does with p-values is to compare them with alpha
            alpha=ALPHA,
            ax=panel,
            label_fmt_left="{label} ({rank:.2f})",
            label_fmt_right="({rank:.2f}) {label}",
            label_props={"fontsize": _FONT},
            marker_props={"s": 14},
            elbow_props={"linewidth": 0.9},
            crossbar_props={"linewidth": 2.5, "color": "0.25", "solid_joinstyle": "bevel"},
            color_palette={method: _text_color(look[method]) for method in tests.ranks.index},
            text_h_margin=0.02 * len(tests.ranks),
        )
        panel.set_title(
            f"{comparison.title}\nmean rank (left is better); methods without a common bar differ, by functions' mean "
            "log10 regrets",
            fontsize="medium",
        )
        panel.tick_params(labelsize=_FONT)
    heights = [np.ptp(panel.get_ylim()) * _LINE + 0.9 for panel in panels]
    panels[0].get_gridspec().set_height_ratios(heights)
    figure.set_size_inches(_WIDTH, sum(heights))
    _note_residuals(figure, comparisons)
    return figure


def draw_ranks(comparisons: Sequence[Comparison], look: Styles) -> Figure:
    """Mean rank on each sample and on each of its groups of functions, as dots; a panel per budget."""
    from matplotlib.figure import Figure

    by_budget = {
        budget: [c for c in comparisons if c.budget == budget]
        for budget in dict.fromkeys(c.budget for c in comparisons)
    }
    tables = {budget: _ranks_by_group(members, look) for budget, members in by_budget.items()}
    heights = [0.5 * len(table) + 0.9 for table in tables.values()]
    figure = Figure(figsize=(_WIDTH, sum(heights) + 0.8), layout="constrained")
    panels = figure.subplots(len(tables), 1, squeeze=False, height_ratios=heights)[:, 0]
    for panel, (budget, table) in zip(panels, tables.items(), strict=True):
        for i in range(0, len(table), 2):
            panel.axhspan(i - 0.5, i + 0.5, color="0.96", zorder=0)
        # Methods with equal ranks would hide each other on one line.
        offsets = np.linspace(-0.35, 0.35, len(table.columns))
        greys = [method for method in table.columns if look[method]["color"] == _GREY]
        for method, offset in zip(table.columns, offsets, strict=True):
            style = look[method]
            grey = method in greys
            filled = style["linestyle"] == "-"
            panel.plot(
                table[method],
                np.arange(len(table)) + offset,
                "o",
                label=method if not grey else "others" if method == greys[0] else None,
                color=style["color"],
                markerfacecolor=style["color"] if filled else "white",
                markersize=3 if grey else 5 + style["linewidth"],
                zorder=style["zorder"],
            )
        dress(panel)
        panel.grid(visible=False, axis="y")
        panel.set(title=f"Mean rank, T = {budget}", xlabel="mean rank (lower is better)")
        panel.set(xlim=(0.7, len(table.columns) + 0.3), ylim=(len(table) - 0.5, -0.5))
        panel.set_yticks(range(len(table)), table.index)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False)
    _note_residuals(figure, comparisons)
    return figure


def _ranks_by_group(comparisons: Sequence[Comparison], order: Iterable[str]) -> pd.DataFrame:
    """Mean ranks: rows are the samples, each followed by its groups if it has several; columns are methods."""
    rows = {}
    for comparison in comparisons:
        table = analysis.per_function(comparison)["rank"]
        rows[f"{comparison.sample} ({len(table)})"] = table.mean()
        groups = table.groupby("group", sort=False)
        if len(groups) > 1:
            rows |= {f"{group} ({len(members)})": members.mean() for group, members in groups}
    found = pd.DataFrame(rows).T
    return found[[method for method in order if method in found]]


def _rows(comparisons: Sequence[Comparison], columns: int) -> tuple[Figure, Any]:
    """A figure and its panels (comparisons, columns), high enough for a label per method."""
    from matplotlib.figure import Figure

    heights = [max(3.4, _LINE * len(c.methods) + 0.9) for c in comparisons]
    figure = Figure(figsize=(_WIDTH, sum(heights)), layout="constrained")
    _note_residuals(figure, comparisons)
    return figure, figure.subplots(len(comparisons), columns, squeeze=False, height_ratios=heights)


def _note_residuals(figure: Figure, comparisons: Sequence[Comparison]) -> None:
    """Says over a figure which of its methods saw more than the others."""
    if note := knows_residuals({method: None for comparison in comparisons for method in comparison.methods}):
        figure.suptitle(note, fontsize=_FONT)


def _text_color(style: Mapping[str, Any]) -> str:
    """A darker grey than the lines', for letters are thin."""
    return _GREY_TEXT if style["color"] == _GREY else style["color"]


def _draw_lines(panel: Axes, table: pd.DataFrame, look: Styles, *, log: bool = False) -> None:
    """A line for each column, with its name at its end; ``log``: on a logarithmic horizontal axis."""
    from matplotlib.ticker import LogLocator, NullLocator

    for method in table.columns:
        panel.plot(table.index, table[method], label=method, **look[method])
    dress(panel)
    panel.set_xlim(table.index[0], table.index[-1])
    if log:
        panel.set_xscale("log")
        panel.xaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), minor_locator=NullLocator())
        panel.xaxis.set_major_formatter("{x:g}")
    low, high = panel.get_ylim()
    ends = (table.iloc[-1].sort_values() - low) / (high - low)  # as shares of the panel's height
    gap = min(_LINE / 2.5, 1 / len(ends))
    # The least shifts that leave a gap between labels.
    steps = gap * np.arange(len(ends))
    places = isotonic_regression(ends - steps).x.clip(0, 1 - steps[-1]) + steps
    for method, end, place in zip(ends.index.astype(str), ends, places, strict=True):
        color = look[method]["color"]
        panel.annotate(
            method,
            (1, end),
            (1.06, place),
            xycoords="axes fraction",
            textcoords="axes fraction",
            arrowprops={"arrowstyle": "-", "color": color, "linewidth": 0.5, "relpos": (0, 0.5), "shrinkB": 0},
            color=_text_color(look[method]),
            fontsize=_FONT,
            verticalalignment="center",
            annotation_clip=False,
        )
