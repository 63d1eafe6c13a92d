"""From the results file to the verdict: tables, and figures for the README.

Every headline number is a mean over functions of the mean over starts. Its standard error is that of
the mean over functions, for these are the sample: it tells how far the number would move on other
functions of the same kind, not how well it is known on these.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from pop_envs.measures import log10_regret, normalized_improvement, ranks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEASURES = ("ni", "log10_regret", "rank")
_HEADER = ("method", "NI", "log10 regret", "rank", "ms per step", "failed")
# Okabe and Ito's palette: told apart by colour-blind readers too. Dashes tell the second round apart.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)))


def with_ranks(results: pd.DataFrame) -> pd.DataFrame:
    """The results with a column ``rank``: among the methods, per function, budget and start.

    A failed run ranks last. Where a method was not run, nobody is ranked.
    """
    runs = ["function", "budget", "start"]
    results = results.assign(rank=results["log10_regret"].where(results["error"] == "", np.inf))
    table = results.pivot(index=runs, columns="method", values="rank")
    table[:] = ranks(table.to_numpy(), axis=1)
    long = table.reset_index().melt(id_vars=runs, value_name="rank")
    return results.drop(columns="rank").merge(long, on=[*runs, "method"])


def headline(results: pd.DataFrame) -> pd.DataFrame:
    """One row per budget and method, the best rank first.

    Returns:
        Columns ``ni, ni_se, log10_regret, log10_regret_se, rank, rank_se, ms_per_step, failed``,
        indexed by budget and method. The time per step is a method's own, without the function's.
    """
    by_function = with_ranks(results).groupby(["budget", "method", "function"])[list(MEASURES)].mean()
    grouped = by_function.groupby(["budget", "method"])
    table = grouped.mean().join(grouped.sem(ddof=1).add_suffix("_se"))
    runs = results.groupby(["budget", "method"])
    table["ms_per_step"] = 1e3 * runs["seconds"].sum() / runs["evaluations"].sum().clip(lower=1)
    table["failed"] = (results["error"] != "").groupby([results["budget"], results["method"]]).sum()
    columns = [name for measure in MEASURES for name in (measure, f"{measure}_se")]
    return table[[*columns, "ms_per_step", "failed"]].sort_values(["budget", "rank", "log10_regret"])


def per_function(results: pd.DataFrame) -> pd.DataFrame:
    """Mean NI and mean log10 regret: rows (budget, group, function), columns (measure, method), over starts."""
    groups = list(dict.fromkeys(results["group"]))
    table = results.pivot_table(
        index=["budget", "group", "function"], columns="method", values=["ni", "log10_regret"], aggfunc="mean"
    )
    return table.sort_index(key=lambda level: level.map(groups.index) if level.name == "group" else level)


def summary(results: pd.DataFrame) -> str:
    """The whole verdict as Markdown."""
    overview = headline(results)
    functions = per_function(results)
    lines = [
        "# Results",
        "",
        f"{results['function'].nunique()} functions, {results['start'].nunique()} starts each, the same for all "
        "methods. One evaluation is a value with its gradient; T steps are T + 1 evaluations. Means over functions "
        "of means over starts, ± the standard error over functions. NI: normalized improvement (higher is better); "
        "log10 regret, floored at -8, and rank: lower is better. Time per step: the method's own.",
    ]
    for budget in results["budget"].unique():
        lines += ["", f"## T = {budget}", "", *_markdown(_HEADER, _headline_cells(overview.loc[budget]))]
        order = list(overview.loc[budget].index)
        rows: list[list[str]] = []
        for (group, function), row in functions.loc[budget].iterrows():
            rows.append([function, group, *(f"{row['ni', m]:.2f} / {row['log10_regret', m]:.1f}" for m in order)])
        lines += ["", f"### Each function, T = {budget}: NI / log10 regret", ""]
        lines += _markdown(("function", "group", *order), rows)
    failures = results[results["error"] != ""]
    if len(failures):
        lines += ["", "## Failed runs", "", "They count as no improvement and rank last.", ""]
        kinds = failures.groupby(["method", "function", "budget", "error"]).size().reset_index(name="runs")
        cells = [[" ".join(str(cell).split()).replace("|", r"\|") for cell in row] for row in kinds.to_numpy()]
        lines += _markdown(tuple(kinds.columns), cells)
    return "\n".join(lines) + "\n"


def draw_regret(results: pd.DataFrame) -> Figure:
    """Mean log10 regret and mean NI against evaluations; one row of panels per budget."""
    from matplotlib.figure import Figure

    overview = headline(results)
    budgets = list(results["budget"].unique())
    figure = Figure(figsize=(11, 4.2 * len(budgets) + 0.6), layout="constrained")
    panels = figure.subplots(len(budgets), 2, squeeze=False)
    styles = _styles(overview)
    for (left, right), budget in zip(panels, budgets, strict=True):
        for method in overview.loc[budget].index:
            runs = results[(results["budget"] == budget) & (results["method"] == method)]
            trace = np.stack(list(runs["trace"]))  # (runs, budget + 1)
            y0, f_min, f_ref = (runs[name].to_numpy()[:, None] for name in ("y0", "f_min", "f_ref"))
            evaluations = np.arange(1, trace.shape[1] + 1)
            left.plot(evaluations, log10_regret(trace, f_min, f_ref).mean(0), label=method, **styles[method])
            right.plot(evaluations, normalized_improvement(y0, trace, f_min).mean(0), **styles[method])
        left.set(title=f"Regret, T = {budget}", ylabel="mean log10 regret (lower is better)")
        right.set(title=f"Normalized improvement, T = {budget}", ylabel="mean NI (higher is better)")
        for panel in (left, right):
            _dress(panel)
            panel.set(xlabel="evaluations", xlim=(1, budget + 1))
    _legend(figure)
    return figure


def draw_ranks(results: pd.DataFrame) -> Figure:
    """Mean rank per group of functions, as dots; one row of panels per budget."""
    from matplotlib.figure import Figure

    overview = headline(results)
    ranked = with_ranks(results)
    budgets = list(results["budget"].unique())
    groups = list(dict.fromkeys(results["group"]))
    sizes = results.groupby("group")["function"].nunique()
    labels = ["all", *groups]
    methods = overview.index.get_level_values("method").nunique()
    height = (0.5 * len(labels) + 1.2) * len(budgets) + 0.8
    figure = Figure(figsize=(11, height), layout="constrained")
    styles = _styles(overview)
    for panel, budget in zip(figure.subplots(len(budgets), 1, squeeze=False)[:, 0], budgets, strict=True):
        now = ranked[ranked["budget"] == budget]
        means = now.groupby(["method", "group", "function"])["rank"].mean().groupby(["method", "group"]).mean()
        for i in range(0, len(labels), 2):
            panel.axhspan(i - 0.5, i + 0.5, color="0.96", zorder=0)
        # Methods with equal ranks would hide each other on one line.
        offsets = dict(zip(overview.loc[budget].index, np.linspace(-0.3, 0.3, methods), strict=False))
        for method, offset in offsets.items():
            values = [overview.loc[(budget, method), "rank"], *(means[method].get(group, np.nan) for group in groups)]
            color = styles[method]["color"]
            filled = styles[method]["linestyle"] == "-"
            panel.plot(
                values,
                np.arange(len(labels)) + offset,
                "o",
                label=method,
                markersize=9,
                markeredgecolor=color,
                markerfacecolor=color if filled else "white",
                markeredgewidth=2,
                alpha=0.9,
            )
        _dress(panel)
        panel.grid(visible=False, axis="y")
        panel.set(title=f"Mean rank per group of functions, T = {budget}", xlabel="mean rank (lower is better)")
        panel.set(xlim=(0.7, methods + 0.3), ylim=(len(labels) - 0.5, -0.5))
        panel.set_yticks(range(len(labels)), [f"all ({sizes.sum()})", *(f"{g} ({sizes[g]})" for g in groups)])
    _legend(figure)
    return figure


def report(results: pd.DataFrame, out: Path, console: Console) -> None:
    """Writes ``summary.md``, ``regret.png`` and ``ranks.png`` to ``out`` and prints the headline table."""
    (out / "summary.md").write_text(summary(results), "utf-8")
    draw_regret(results).savefig(out / "regret.png", dpi=160)
    draw_ranks(results).savefig(out / "ranks.png", dpi=160)
    overview = headline(results)
    for budget in results["budget"].unique():
        table = Table(title=f"T = {budget}")
        for i, name in enumerate(_HEADER):
            table.add_column(name, justify="right" if i else "left", no_wrap=True)
        for cells in _headline_cells(overview.loc[budget]):
            # Without the errors the table fits a terminal; summary.md has them.
            table.add_row(*(cell.split(" ±")[0] for cell in cells))
        console.print(table)
    console.print(f"Results, summary with standard errors, and figures: {out}", highlight=False)


def _headline_cells(overview: pd.DataFrame) -> list[list[str]]:
    """One row of text per method of the headline table of one budget."""
    return [
        [
            str(method),
            _with_error(row, "ni", 3),
            _with_error(row, "log10_regret", 2),
            _with_error(row, "rank", 2),
            f"{row['ms_per_step']:.2f}",
            f"{row['failed']:.0f}",
        ]
        for method, row in overview.iterrows()
    ]


def _with_error(row: pd.Series, measure: str, digits: int) -> str:
    """A mean with its standard error, which a single function does not have."""
    mean, error = row[measure], row[f"{measure}_se"]
    return f"{mean:.{digits}f}" + ("" if np.isnan(error) else f" ± {error:.{digits}f}")


def _markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table, numbers to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _styles(overview: pd.DataFrame) -> dict[str, dict[str, object]]:
    """A line style per method, the same in all figures."""
    methods = list(dict.fromkeys(overview.index.get_level_values("method")))
    count = len(_COLORS)
    return {
        method: {"color": _COLORS[i % count], "linestyle": _DASHES[i // count % len(_DASHES)], "linewidth": 2.0}
        for i, method in enumerate(methods)
    }


def _legend(figure: Figure) -> None:
    """One legend below all panels, from the first of them."""
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)


def _dress(panel: Axes) -> None:
    panel.grid(alpha=0.25)
    panel.spines[["top", "right"]].set_visible(False)
