"""From the results file to the verdict: tables, and figures for the README.

Every headline number is a mean over functions of the mean over starts. Its standard error is that of
the mean over functions, for these are the sample: it tells how far the number would move on other
functions of the same kind, not how well it is known on these. VLSE's functions are one sample, each
prior's functions in each dimension are another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks import vlse
from pop_envs.measures import log10_regret, normalized_improvement, ranks
from pop_envs.rendering import PALETTE, dress

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEASURES = ("ni", "log10_regret", "rank")
_VLSE = "VLSE"
_HEADER = ("method", "NI", "log10 regret", "rank", "ms per step", "failed")
_DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)))  # tell rounds through the palette apart


def with_lowest_minima(results: pd.DataFrame) -> pd.DataFrame:
    """The results with ``f_min`` lowered to the lowest value that any run found, apart from VLSE's known minima."""
    lowest = results.groupby("function")[["f_min", "y_best"]].transform("min").min(axis=1)
    return results.assign(f_min=results["f_min"].where(_of_vlse(results), lowest))


def with_measures(results: pd.DataFrame) -> pd.DataFrame:
    """The results with columns ``ni`` and ``log10_regret``."""
    y0, y_best, f_min, f_ref = (results[name].to_numpy() for name in ("y0", "y_best", "f_min", "f_ref"))
    return results.assign(ni=normalized_improvement(y0, y_best, f_min), log10_regret=log10_regret(y_best, f_min, f_ref))


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
    """One row per budget, sample of functions and method, the best rank first.

    Returns:
        Columns ``ni, ni_se, log10_regret, log10_regret_se, rank, rank_se, ms_per_step, failed, functions``,
        indexed by budget, sample and method. The time per step is a method's own, without the function's.
    """
    results = with_ranks(_with_samples(results))
    cells = ["budget", "sample", "method"]
    by_function = results.groupby([*cells, "function"], observed=True)[list(MEASURES)].mean()
    grouped = by_function.groupby(cells, observed=True)
    table = grouped.mean().join(grouped.sem(ddof=1).add_suffix("_se"))
    runs = results.assign(failed=results["error"] != "").groupby(cells, observed=True)
    table["ms_per_step"] = 1e3 * runs["seconds"].sum() / runs["evaluations"].sum().clip(lower=1)
    table["failed"] = runs["failed"].sum()
    table["functions"] = runs["function"].nunique()
    columns = [name for measure in MEASURES for name in (measure, f"{measure}_se")]
    columns += ["ms_per_step", "failed", "functions"]
    return table[columns].sort_values(["budget", "sample", "rank", "log10_regret"])


def per_function(results: pd.DataFrame) -> pd.DataFrame:
    """Mean NI and mean log10 regret: rows (budget, group, function), columns (measure, method), over starts."""
    groups = list(dict.fromkeys(results["group"]))
    table = results.pivot_table(
        index=["budget", "group", "function"], columns="method", values=["ni", "log10_regret"], aggfunc="mean"
    )
    return table.sort_index(key=lambda level: level.map(groups.index) if level.name == "group" else level)


def summary(results: pd.DataFrame) -> str:
    """The whole verdict as Markdown: every sample's table, and each VLSE function's and failure's own row."""
    of_vlse = _of_vlse(results)
    lines = [
        "# Results",
        "",
        f"Functions: {results['function'].nunique()}. Starts of each: {results['start'].nunique()}, the same for all "
        "methods. One evaluation is a value with its gradient; T steps are T + 1 evaluations. Means over functions "
        "of means over starts, ± the standard error over functions. NI: normalized improvement (higher is better); "
        "log10 regret, floored at -8, and rank: lower is better. Time per step: the method's own.",
    ]
    if not of_vlse.all():
        lines += ["", "The minimum of a prior's function is the lowest value that its reference or any run found."]
    for budget, sample, table in _tables(headline(results)):
        lines += ["", f"## {_title(budget, sample, table)}", "", *_markdown(_HEADER, _headline_cells(table))]
        if sample == _VLSE:
            rows: list[list[str]] = []
            functions = per_function(results[of_vlse]).loc[budget]
            for i, (group, function) in enumerate(functions.index):
                row = functions.iloc[i]
                pairs = (f"{row['ni', m]:.2f} / {row['log10_regret', m]:.1f}" for m in table.index)
                rows.append([function, group, *pairs])
            lines += ["", f"### Each function, T = {budget}: NI / log10 regret", ""]
            lines += _markdown(("function", "group", *table.index), rows)
    failed = results["error"] != ""
    if failed.any():
        lines += ["", "## Failed runs", "", "They count as no improvement and rank last.", ""]
        # A prior's functions are too many to list.
        failures = results.assign(on=results["function"].where(of_vlse, results["group"]))[failed]
        kinds = failures.groupby(["method", "on", "budget", "error"]).size().reset_index(name="runs")
        cells = [[" ".join(str(cell).split()).replace("|", r"\|") for cell in row] for row in kinds.to_numpy()]
        lines += _markdown(tuple(kinds.columns), cells)
    return "\n".join(lines) + "\n"


def draw_regret(results: pd.DataFrame) -> Figure:
    """Mean log10 regret and mean NI against evaluations; one row of panels per budget and sample."""
    from matplotlib.figure import Figure

    overview = headline(results)
    results = _with_samples(results)
    tables = list(_tables(overview))
    figure = Figure(figsize=(11, 4.2 * len(tables) + 0.6), layout="constrained")
    panels = figure.subplots(len(tables), 2, squeeze=False)
    styles = _styles(overview)
    for (left, right), (budget, sample, table) in zip(panels, tables, strict=True):
        shown = results[(results["budget"] == budget) & (results["sample"] == sample)]
        for method in table.index:
            runs = shown[shown["method"] == method]
            trace = np.stack(list(runs["trace"]))  # (runs, budget + 1)
            y0, f_min, f_ref = (runs[name].to_numpy()[:, None] for name in ("y0", "f_min", "f_ref"))
            evaluations = np.arange(1, trace.shape[1] + 1)
            left.plot(evaluations, log10_regret(trace, f_min, f_ref).mean(0), label=method, **styles[method])
            right.plot(evaluations, normalized_improvement(y0, trace, f_min).mean(0), **styles[method])
        title = _title(budget, sample, table)
        left.set(title=f"Regret: {title}", ylabel="mean log10 regret (lower is better)")
        right.set(title=f"Normalized improvement: {title}", ylabel="mean NI (higher is better)")
        for panel in (left, right):
            dress(panel)
            panel.set(xlabel="evaluations", xlim=(1, budget + 1))
    _legend(figure)
    return figure


def draw_ranks(results: pd.DataFrame) -> Figure:
    """Mean rank per sample and per group of VLSE's functions, as dots; one panel per budget."""
    from matplotlib.figure import Figure

    overview = headline(results)
    ranked = with_ranks(_with_samples(results))
    budgets = list(results["budget"].unique())
    # A prior's sample is a group, and named once.
    labels = list(dict.fromkeys(ranked[["sample", "group"]].to_numpy().ravel()))
    members = {label: (ranked["sample"] == label) | (ranked["group"] == label) for label in labels}
    sizes = {label: ranked.loc[members[label], "function"].nunique() for label in labels}
    methods = overview.index.get_level_values("method").nunique()
    height = (0.5 * len(labels) + 1.2) * len(budgets) + 0.8
    figure = Figure(figsize=(11, height), layout="constrained")
    styles = _styles(overview)
    for panel, budget in zip(figure.subplots(len(budgets), 1, squeeze=False)[:, 0], budgets, strict=True):
        now = ranked["budget"] == budget
        means = {
            label: ranked[now & member].groupby(["method", "function"])["rank"].mean().groupby("method").mean()
            for label, member in members.items()
        }
        for i in range(0, len(labels), 2):
            panel.axhspan(i - 0.5, i + 0.5, color="0.96", zorder=0)
        # Methods with equal ranks would hide each other on one line.
        order = dict.fromkeys(overview.loc[budget].index.get_level_values("method"))
        offsets = dict(zip(order, np.linspace(-0.3, 0.3, methods), strict=False))
        for method, offset in offsets.items():
            values = [means[label].get(method, np.nan) for label in labels]
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
        dress(panel)
        panel.grid(visible=False, axis="y")
        panel.set(title=f"Mean rank per group of functions, T = {budget}", xlabel="mean rank (lower is better)")
        panel.set(xlim=(0.7, methods + 0.3), ylim=(len(labels) - 0.5, -0.5))
        panel.set_yticks(range(len(labels)), [f"{label} ({size})" for label, size in sizes.items()])
    _legend(figure)
    return figure


def report(results: pd.DataFrame, out: Path, console: Console) -> None:
    """Writes ``summary.md``, ``regret.png`` and ``ranks.png`` to ``out`` and prints the headline tables."""
    (out / "summary.md").write_text(summary(results), "utf-8")
    draw_regret(results).savefig(out / "regret.png", dpi=160)
    draw_ranks(results).savefig(out / "ranks.png", dpi=160)
    for budget, sample, table in _tables(headline(results)):
        printed = Table(title=_title(budget, sample, table))
        for i, name in enumerate(_HEADER):
            printed.add_column(name, justify="right" if i else "left", no_wrap=True)
        for cells in _headline_cells(table):
            # Without the errors the table fits a terminal; summary.md has them.
            printed.add_row(*(cell.split(" ±")[0] for cell in cells))
        console.print(printed)
    console.print(f"Results, summary with standard errors, and figures: {out}", highlight=False)


def _of_vlse(results: pd.DataFrame) -> pd.Series:
    """Which runs are on VLSE's functions; all others are on a prior's."""
    return results["function"].isin(vlse.names())


def _with_samples(results: pd.DataFrame) -> pd.DataFrame:
    """The results with a column ``sample``: VLSE's functions are one, each group of a prior's another."""
    sample = results["group"].mask(_of_vlse(results), _VLSE)
    # Categories sort in the order of the results: dimension 16 after 8.
    return results.assign(sample=pd.Categorical(sample, sample.unique()))


def _tables(overview: pd.DataFrame) -> Iterator[tuple[int, str, pd.DataFrame]]:
    """Budget, sample and headline table, indexed by method, of each budget and sample."""
    for budget, sample in dict.fromkeys((budget, sample) for budget, sample, _ in overview.index):
        yield budget, sample, overview.loc[(budget, sample)]


def _title(budget: int, sample: str, table: pd.DataFrame) -> str:
    return f"{sample} ({table['functions'].iloc[0]} functions), T = {budget}"


def _headline_cells(table: pd.DataFrame) -> list[list[str]]:
    """One row of text per method of a headline table."""
    return [
        [
            str(method),
            _with_error(row, "ni", 3),
            _with_error(row, "log10_regret", 2),
            _with_error(row, "rank", 2),
            f"{row['ms_per_step']:.2f}",
            f"{row['failed']:.0f}",
        ]
        for method, row in table.iterrows()
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
    count = len(PALETTE)
    return {
        method: {"color": PALETTE[i % count], "linestyle": _DASHES[i // count % len(_DASHES)], "linewidth": 2.0}
        for i, method in enumerate(methods)
    }


def _legend(figure: Figure) -> None:
    """One legend below all panels, from the first of them."""
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
