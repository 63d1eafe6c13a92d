"""The verdict as one HTML page that opens from disk, without a network: tables, charts, and paths to look at."""

from __future__ import annotations

import base64
import io
import os
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from benchmarks import analysis, figures
from benchmarks.analysis import Comparison
from benchmarks.budget import Array
from benchmarks.problems import KNOWN_MINIMA, OWN_STARTS, Problem, block_problems
from benchmarks.rivals import knows_residuals
from benchmarks.significance import p_in_words
from pop_envs.measures import REGRET_FLOOR, log10_regret
from pop_envs.rendering import draw_landscape
from pop_optimizer.checkpoint import versions, write_atomically

_LIBRARIES = ("numpy", "torch", "scipy", "cma", "pymoo", "optuna", "botorch", "nevergrad", "scikit-posthocs")
_LISTED = 16  # functions of a prior: they are hundreds, and alike
_PRIOR_FUNCTION = re.compile(r"(?P<functions>\w+-\d+d(-\w+)?)-(?P<number>\d+)")
_SIDE, _DPI, _QUALITY = 4.4, 100, 60  # inches and compression of a landscape
_STEPS = 1000  # of a coordinate in a landscape
_HIGHEST = 2.0  # log10 regret where a value is infinite
_LONGEST = 300  # characters of an error
_MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Column:
    """A column of the headline table.

    Attributes:
        name: In the frame of ``analysis.headline``.
        title: On the page, in lines.
        digits: After the decimal point.
        unit: What the numbers are multiplied by.
        higher: Whether higher is better; None where the best is nothing to point out.
    """

    name: str
    title: str
    digits: int
    unit: float = 1.0
    higher: bool | None = False


_COLUMNS = (
    Column("ni", "NI", 3, higher=True),
    Column("log10_regret", "log10\nregret", 2),
    Column("rank", "rank", 2),
    *(Column(f"reached_{name}", f"% to {name}", 0, 100.0, higher=True) for name in analysis.TARGETS),
    Column("strict_log10_regret", "log10 regret,\nstrict", 2),
    Column("strict_rank", "rank,\nstrict", 2),
    Column("ms_per_step", "ms per\nstep", 2, higher=None),
    Column("failed", "failed", 0, higher=None),
)

_CHARTS = (
    (
        figures.draw_critical_differences,
        "Which differences are significant",
        "Mean ranks over functions. A bar joins methods that do not differ significantly, by Wilcoxon's signed-rank "
        "test on functions' mean log10 regrets with Holm's correction.",
    ),
    (
        figures.draw_curves,
        "Progress",
        "Mean log10 regret and mean normalized improvement of the best value so far.",
    ),
    (
        figures.draw_runtime_distribution,
        "Evaluations to targets",
        "COCO's runtime distribution: the share of all pairs of a run and a target that are reached, over 51 target "
        "regrets from 1 to 1e-8.",
    ),
    (
        figures.draw_profiles,
        "Performance profiles",
        "The share of runs that reach a regret of 1e-4 within a factor of the evaluations that the fastest method "
        "needs from the same start. At 1: how often a method is the fastest. At the right: how often it gets there.",
    ),
)
"""Each with its title and what it shows in words."""


@dataclass(frozen=True)
class Cell:
    """A number as it is printed, its interval if it has one, and whether no other of its kind is better."""

    text: str
    interval: str
    best: bool


@dataclass(frozen=True)
class Chart:
    """A figure, with what it shows in words."""

    title: str
    caption: str
    svg: Markup


@dataclass(frozen=True)
class FunctionRow:
    """A function's means over starts.

    Attributes:
        name: Of the function.
        family: That it belongs to.
        cells: For each method its NI, its log10 regret, and how good both are, from 0 to 1.
    """

    name: str
    family: str
    cells: list[tuple[Cell, Cell, tuple[float, float]]]


@dataclass(frozen=True)
class View:
    """What the page shows of one comparison.

    Attributes:
        comparison: Of these methods.
        label: Its sample, and whether on shared starts only.
        columns: Of the headline table.
        rows: Of the headline table, by method.
        charts: By section.
        functions: Rows of the table of functions.
    """

    comparison: Comparison
    label: str
    columns: list[Column]
    rows: dict[str, list[Cell]]
    charts: list[Chart]
    functions: list[FunctionRow]


def write(results: pd.DataFrame, out: Path, command: str, written: date | None = None) -> Path:
    """Writes ``report.html`` to ``out``, in one atomic step.

    Args:
        results: One row per run, see ``benchmarks.run.COLUMNS``.
        out: An existing folder.
        command: What made the results, to be printed.
        written: Date to be printed; today by default.

    Returns:
        The file.
    """
    comparisons = analysis.comparisons(results)
    look = figures.styles(comparisons)
    views = [_view(comparison, look, number) for number, comparison in enumerate(comparisons)]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    text = environment.get_template("page.html").render(
        views=views,
        colors={method: _on_any_ground(to_hex(style["color"])) for method, style in look.items()},
        dashed={method for method, style in look.items() if style["linestyle"] != "-"},
        own={method for method in look if not figures.is_rival(method)},
        data=_data(results, views),
        facts=_facts(results, command, written or date.today()),
        versions={"python": platform.python_version()} | versions(*_LIBRARIES),
        failures=_failures(results),
        strict=bool(results["doubled"].any()),
        shared=any(view.comparison.shared for view in views),
        priors=not results["sample"].str.startswith(KNOWN_MINIMA).all(),
        own_starts=bool(results["sample"].isin(OWN_STARTS).any()),
        knows_residuals=knows_residuals(results["method"].unique()),
    )
    page = out / "report.html"
    write_atomically(page, text.encode())
    return page


def _view(comparison: Comparison, look: figures.Styles, number: int) -> View:
    table = analysis.headline(comparison)
    columns = [column for column in _COLUMNS if not table[column.name].isna().all()]
    cells = [_cells(column.unit * _with_ends(table, column.name), column.digits, column.higher) for column in columns]
    label = f"{comparison.sample}, all methods on shared starts" if comparison.shared else comparison.sample
    return View(
        comparison,
        label,
        columns,
        {method: list(row) for method, row in zip(table.index, zip(*cells, strict=True), strict=True)},
        list(_charts(comparison, look, number)),
        list(_function_rows(comparison)),
    )


def _with_ends(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """A column and, where they are known, the ends of its interval."""
    return table[[column for column in (name, f"{name}_low", f"{name}_high") if column in table]]


def _cells(table: pd.DataFrame, digits: int, higher: bool | None) -> list[Cell]:
    """The cells of a column, which the ends of its interval may follow."""
    values, *ends = (column for _, column in table.items())
    printed = values.round(digits)
    best = pd.Series(False, values.index) if higher is None else printed == (printed.max() if higher else printed.min())
    texts = [_number(value, digits) for value in values]
    intervals = [""] * len(texts)
    if ends and ends[0].notna().all():
        fewer = max(digits - 1, 0)
        intervals = [f"{_number(low, fewer)} to {_number(high, fewer)}" for low, high in zip(*ends, strict=True)]
    return [Cell(*cell) for cell in zip(texts, intervals, best, strict=True)]


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", _MINUS)


def _charts(comparison: Comparison, look: figures.Styles, number: int) -> Iterator[Chart]:
    p = analysis.significance(comparison).p_value
    friedman = "" if np.isnan(p) else f" Friedman's test over all methods: {p_in_words(p)}."
    for i, (draw, title, caption) in enumerate(_CHARTS):
        svg = _svg(draw([comparison], look), f"{number}-{i}", f"{title}: {comparison.title}")
        yield Chart(title, caption if i else caption + friedman, svg)


def _svg(figure: Figure, salt: str, label: str) -> Markup:
    """The figure as an element of the page: in the page's font and colours, with references that are unique on it."""
    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        figure.savefig(buffer, format="svg", transparent=True)
    svg = buffer.getvalue()
    # What is before the first group is about the file, but for a style that would apply to the whole page.
    inside = re.sub(r"\n\s*", "\n", re.sub(r"<[^>]+>", _plain_tag, svg[svg.index("<g ") :]))
    width, height = 72 * figure.get_size_inches()
    opening = Markup('<svg role="img" aria-label="{}" viewBox="0 0 {:g} {:g}">').format(label, width, height)
    return opening + Markup(inside)  # Matplotlib has escaped its texts


def _plain_tag(tag: re.Match[str]) -> str:
    """A tag of an SVG without what only Matplotlib needs, and with colours that work on dark ground too."""
    text = re.sub(r'^<g id="[^"]*"', "<g", tag[0])
    text = re.sub(r"xlink:href", "href", text)
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)
    text = re.sub(r"(\.\d\d)\d+", r"\1", text)
    if text.startswith("<text"):
        return re.sub(r"fill: (#\w{6})", r"fill: color-mix(in srgb, \1 60%, currentColor)", text)
    return _on_any_ground(text)


def _on_any_ground(text: str) -> str:
    """With ink, thinned with paper, for greys, so that they can be seen on dark ground too."""

    def ink(grey: re.Match[str]) -> str:
        share = round(100 * (1 - int(grey[1], 16) / 255))
        return f"color-mix(in srgb, currentColor {share}%, var(--paper))" if share < 100 else "currentColor"

    return re.sub(r"#(\w\w)\1\1\b", ink, text)


def _function_rows(comparison: Comparison) -> Iterator[FunctionRow]:
    table = analysis.per_function(comparison)
    listed = _listed(comparison)
    for family, function in table.index:
        if function in listed:
            row = table.loc[(family, function)]
            ni, regret = (row[measure][comparison.methods] for measure in ("ni", "log10_regret"))
            shares = zip(ni.round(2), (regret / np.log10(REGRET_FLOOR)).clip(0, 1).round(2), strict=True)
            cells = zip(_cells(ni.to_frame(), 2, True), _cells(regret.to_frame(), 1, False), shares, strict=True)
            yield FunctionRow(function, family, list(cells))


def _listed(comparison: Comparison) -> list[str]:
    """Functions that have a row: all whose minima are known, and a few of a prior's."""
    names = [str(name) for name in dict.fromkeys(comparison.results["function"])]
    return names if comparison.sample.startswith(KNOWN_MINIMA) else names[:_LISTED]


def _data(results: pd.DataFrame, views: list[View]) -> dict[str, Any]:
    """What the page's script needs: the views, and landscapes and first runs of the listed functions."""
    listed = {row.name for view in views for row in view.functions}
    first = results[(results["start"] == 0) & ~results["doubled"] & results["function"].isin(listed)]
    landscapes: dict[str, Any] = {}
    runs: dict[str, dict[str, dict[str, Any]]] = {}
    for function, of_function in first.groupby("function", sort=False):
        paths = [np.reshape(path, (-1, dim)) for path, dim in zip(of_function["path"], of_function["dim"], strict=True)]
        drawn = [""] * len(paths)
        if any(len(path) for path in paths):
            problem = _problem(str(function))
            landscapes[str(function)], limits = _landscape(problem)
            drawn = [_drawn(problem, path, limits) for path in paths]
        for (_, run), path in zip(of_function.iterrows(), drawn, strict=True):
            by_method = runs.setdefault(str(run["budget"]), {}).setdefault(str(function), {})
            regret = log10_regret(run["trace"], run["f_min"], run["f_ref"])
            curve = _changes(run["trace"], np.nan_to_num(regret, nan=_HIGHEST, posinf=_HIGHEST))
            by_method[str(run["method"])] = {"curve": curve, "path": path, "failed": run["error"] != ""}
    return {
        "views": [
            {
                "label": view.label,
                "budget": view.comparison.budget,
                "methods": view.comparison.methods,
                "functions": [row.name for row in view.functions],
            }
            for view in views
        ],
        "landscapes": landscapes,
        "runs": runs,
    }


def _problem(function: str) -> Problem:
    """The problem of that name."""
    parsed = _PRIOR_FUNCTION.fullmatch(function)
    block = f"{parsed['functions']}-{parsed['number']}..{parsed['number']}" if parsed else function
    return block_problems(block)[0]


def _landscape(problem: Problem) -> tuple[dict[str, Any], tuple[float, float]]:
    """The picture and the ends of its axes, and those of the vertical one as they are."""
    figure = Figure(figsize=(_SIDE, _SIDE))
    ax = figure.add_axes((0, 0, 1, 1))
    draw_landscape(ax, problem.objective)
    ax.set_axis_off()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="webp", dpi=_DPI, pil_kwargs={"quality": _QUALITY})
    picture = f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    ends = [[f"{end:.4g}".replace("-", _MINUS) for end in limits] for limits in (ax.get_xlim(), ax.get_ylim())]
    return {"picture": picture, "ends": ends, "dim": problem.dim}, ax.get_ylim()


def _drawn(problem: Problem, path: Array, vertical: tuple[float, float]) -> str:
    """A path's points on the picture, from the left and from the top: two digits of base 36 for each coordinate."""
    if not len(path):
        return ""
    across = (path[:, 0] + 1) / 2
    if problem.dim == 1:
        low, high = vertical
        up = (problem.objective.values_on(torch.tensor(path))[0].numpy() - low) / (high - low)
    else:
        up = (path[:, 1] + 1) / 2
    points = np.nan_to_num(np.column_stack([across, 1 - up]), nan=0.0)
    return "".join(np.base_repr(round(value), 36).zfill(2) for value in (_STEPS * points.clip(0, 1)).ravel())


def _changes(trace: Array, regret: Array) -> list[float]:
    """Where a run found a better value and the regret from there on, one after the other."""
    where = [0, *(1 + np.flatnonzero(trace[1:] < trace[:-1])).tolist()]
    return [number for i in where for number in (i, round(float(regret[i]), 2))]


def _facts(results: pd.DataFrame, command: str, written: date) -> dict[str, str]:
    """How it was run, by name."""

    def numbers(name: str) -> str:
        return ", ".join(str(value) for value in sorted(results[name].unique()))

    return {
        "Command": command,
        "Written": written.isoformat(),
        "Runs": f"{len(results):,}, of them failed: {(results['error'] != '').sum():,}",
        "Methods": f"{results['method'].nunique()}",
        "Functions": f"{results['function'].nunique():,}",
        "Budgets T": numbers("budget"),
        "Starts of a function": f"{results['start'].nunique()}",
        "Seed": numbers("seed"),
        "Methods' own time": f"{timedelta(seconds=round(results['seconds'].sum()))} (h:mm:ss) in all runs",
        "Machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}",
    }


def _failures(results: pd.DataFrame) -> list[tuple[str, ...]]:
    """Method, sample, budget, error, number of functions and of runs, of each kind of failure."""
    failed = results[results["error"] != ""]
    budget = failed["budget"].astype(str) + failed["doubled"].map({False: "", True: ", strict"})
    failed = failed.assign(budget=budget, error=failed["error"].str.slice(0, _LONGEST))
    kinds = failed.groupby(["method", "sample", "budget", "error"], sort=False)["function"].agg(["nunique", "size"])
    return [
        tuple(str(cell) for cell in (*kind, *counts))
        for kind, counts in zip(kinds.index, kinds.to_numpy(), strict=True)
    ]
