"""The verdict as one HTML page that opens from disk, without a network: tables, charts, and paths to look at."""

from __future__ import annotations

import base64
import io
import itertools
import json
import os
import platform
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from benchmarks import analysis, figures
from benchmarks.analysis import Comparison
from benchmarks.budget import Array
from benchmarks.problems import KNOWN_MINIMA, OWN_STARTS, Problem, block_problems
from benchmarks.rivals import knows_residuals
from benchmarks.significance import ALPHA, Significance, p_in_words
from pop_envs.measures import REGRET_FLOOR, log10_regret
from pop_envs.rendering import draw_landscape
from pop_optimizer.checkpoint import versions, write_atomically

_LIBRARIES = ("numpy", "torch", "scipy", "cma", "pymoo", "optuna", "botorch", "nevergrad", "scikit-posthocs")
_LISTED = 16  # functions of a prior: they are hundreds, and alike
_PRIOR_FUNCTION = re.compile(r"(?P<functions>\w+-\d+d(-\w+)?)-(?P<number>\d+)")
_SIDE, _DPI, _QUALITY = 3.2, 100, 55  # inches and compression of a landscape
_STEPS = 1000  # of a coordinate in a landscape
_HIGHEST = 2.0  # log10 regret where a value is infinite
_LONGEST = 300  # characters of an error
_PLACES = 81  # of a line in a chart
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


@dataclass(frozen=True)
class Chart:
    """A chart, which the page draws itself to the width of the screen.

    Attributes:
        name: Of its element and of its numbers.
        title: Of its section.
        caption: What it shows, in words.
    """

    name: str
    title: str
    caption: str


_CHARTS = (
    Chart(
        "ranks",
        "Which differences are significant",
        "Mean ranks, as in the table, with their 95 % bootstrap intervals over functions. A bar at the right joins "
        "methods that do not differ significantly, by Wilcoxon's signed-rank test on functions' mean log10 regrets "
        "with Holm's correction.",
    ),
    Chart("regret", "Progress: regret", "Mean log10 regret of the best value so far; lower is better."),
    Chart("ni", "Progress: improvement", "Mean normalized improvement of the best value so far; higher is better."),
    Chart(
        "targets",
        "Evaluations to targets",
        "COCO's runtime distribution: the share of all pairs of a run and a target that are reached, over 51 target "
        "regrets from 1 to 1e-8.",
    ),
    Chart(
        "profiles",
        "Performance profiles",
        "The share of runs that reach a regret of 1e-4 within a factor of the evaluations that the fastest method "
        "needs from the same start. At 1: how often a method is the fastest. At the right: how often it gets there.",
    ),
)
_EQUAL_TIME = Chart(
    "equal-time",
    "Equal time",
    "The score of each method after the time that POP's steps take, for objectives whose evaluation costs so many "
    "milliseconds; lower is better. It is about the whole study, whatever functions are chosen above.",
)


@dataclass(frozen=True)
class Cell:
    """A number as it is printed, its interval if it has one, and whether no other of its kind is better."""

    text: str
    interval: str
    best: bool


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
        lead: Who has the best mean rank, and over whom significantly.
        rows: Of the headline table, by method.
        functions: Rows of the table of functions.
    """

    comparison: Comparison
    label: str
    columns: list[Column]
    lead: Markup
    rows: dict[str, list[Cell]]
    functions: list[FunctionRow]


def write(
    results: pd.DataFrame,
    out: Path,
    command: str,
    written: date | None = None,
    comparisons: Sequence[Comparison] | None = None,
) -> Path:
    """Writes ``report.html`` to ``out``, in one atomic step.

    Where ``out`` holds an ``equal_time.json``, {"costs_ms": [...], "methods": {name: [score for each cost]}}, it is
    shown too.

    Args:
        results: One row per run, see ``benchmarks.run.COLUMNS``.
        out: An existing folder.
        command: What made the results, to be printed.
        written: Date to be printed; today by default.
        comparisons: What can be compared in the results, where that is known already.

    Returns:
        The file.
    """
    comparisons = comparisons or analysis.comparisons(results)
    look = figures.styles(comparisons)
    views = [_view(comparison) for comparison in comparisons]
    equal_time = _equal_time(out)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    colors = {method: _color(style["color"]) for method, style in look.items()}
    looks = {
        "colors": colors,
        "dashed": {method for method, style in look.items() if style["linestyle"] != "-"},
        "own": {method for method in look if not figures.is_rival(method)},
    }
    shown = environment.get_template("views.html").make_module(looks)
    runs, landscapes = _runs(results, views)
    packs = []
    for number, (view, place) in enumerate(zip(views, _places_of_runs(views), strict=True)):
        pack: dict[str, Any] = {"charts": _numbers(view.comparison)}
        if place == number:
            of_budget = runs.get(str(view.comparison.budget), {})
            pack["runs"] = {row.name: of_budget[row.name] for row in view.functions if row.name in of_budget}
        if number:
            pack |= {name: str(getattr(shown, name)(view)) for name in ("headline", "functions")}
        packs.append(_packed(pack))
    text = environment.get_template("page.html").render(
        **looks,
        views=views,
        charts=[*_CHARTS, *([_EQUAL_TIME] if equal_time else [])],
        data=_data(views, look, colors, equal_time),
        packs=packs,
        pairs=_packed([_pairs(comparison) for comparison in comparisons]),
        landscapes=landscapes,
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


def _equal_time(out: Path) -> dict[str, Any] | None:
    """What is in ``equal_time.json`` of the folder, or of the first folder in it that has one.

    Raises:
        ValueError: If it does not have a score for each cost.
    """
    found = [path for path in (out / "equal_time.json", *sorted(out.glob("*/equal_time.json"))) if path.is_file()]
    if not found:
        return None
    data: dict[str, Any] = json.loads(found[0].read_text("utf-8"))
    costs, methods = data.get("costs_ms", []), data.get("methods", {})
    if not costs or not methods or any(len(scores) != len(costs) for scores in methods.values()):
        raise ValueError(
            f'{found[0]} must have "costs_ms" and "methods" with a score for each cost, got {sorted(data)}'
        )
    return {"costs_ms": costs, "methods": methods, "score": data.get("score", "mean log10 regret")}


def _packed(data: Any) -> str:
    """JSON, deflated, as base64: most of the page is not looked at, and is unpacked when it is."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def _view(comparison: Comparison) -> View:
    table = analysis.headline(comparison)
    columns = [column for column in _COLUMNS if not table[column.name].isna().all()]
    cells = [_cells(column.unit * _with_ends(table, column.name), column.digits, column.higher) for column in columns]
    label = f"{comparison.sample}, all methods on shared starts" if comparison.shared else comparison.sample
    return View(
        comparison,
        label,
        columns,
        _lead(analysis.significance(comparison)) + _better(comparison),
        {method: list(row) for method, row in zip(table.index, zip(*cells, strict=True), strict=True)},
        list(_function_rows(comparison)),
    )


def _lead(tests: Significance) -> Markup:
    """Who has the best mean rank, and whether that is more than chance."""
    best, others = tests.best, list(tests.ranks.index[1:])
    words = Markup("<strong>{}</strong> has the best mean rank, {:.2f} of {}").format(
        best, tests.ranks[best], analysis.counted(len(tests.ranks), "method")
    )
    differ, p = tests.differ[best], tests.p_values[best]
    same = [f"{method} ({tests.ranks[method]:.2f}, {p_in_words(p[method])})" for method in others if not differ[method]]
    if not others:
        return words + "."
    if not same:
        return words + f", and differs significantly from all others (p < {ALPHA:g})."
    if len(same) == len(others):
        return words + ", but no difference from another is significant" + (f": next is {same[0]}." if same else ".")
    return words + Markup(", but its difference from {} is not significant; that from all others is.").format(
        " and ".join(filter(None, [", ".join(same[:-1]), same[-1]]))
    )


def _better(comparison: Comparison, policy: str = "pop") -> Markup:
    """Whether POP is better than its rivals, each asked alone; nothing where it did not run."""
    if policy not in comparison.methods or len(comparison.methods) < 2:
        return Markup("")
    p = analysis.holm_over_rivals(comparison, policy)["p_holm"]
    others = [f"{rival} ({p_in_words(p[rival])})" for rival in p.index[p >= ALPHA]]
    words = Markup(" Asked of each rival alone, <strong>{}</strong> is significantly better than {} of {}").format(
        policy, len(p) - len(others), len(p)
    )
    return words + (f", not than {', '.join(others)}." if others else ".")


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
    text = f"{value:.{digits}f}"
    return text.replace("-", _MINUS if float(text) else "")


def _color(color: str) -> str:
    """Of a line; greys are the page's own, which is seen on dark ground too."""
    code = to_hex(color)
    return "var(--others)" if code[1:3] == code[3:5] == code[5:7] else code


def _numbers(comparison: Comparison) -> dict[str, Any]:
    """What the charts show of a comparison: by their names."""
    curves = analysis.curves(comparison)
    return {
        "ranks": _ranks(comparison),
        "regret": _lines(curves["log10_regret"], 2),
        "ni": _lines(curves["ni"], 3),
        "targets": _lines(analysis.runtime_distribution(comparison), 3, log=True),
        "profiles": _lines(analysis.profiles(comparison), 3, log=True),
    }


def _ranks(comparison: Comparison) -> dict[str, Any]:
    """Mean ranks with the ends of their intervals, the bars that join methods, and Friedman's test in words."""
    table, tests = analysis.headline(comparison), analysis.significance(comparison)
    joined = tests.joined.to_numpy()
    ends = [int(np.flatnonzero(row).max()) for row in joined]
    bars = [(i, end) for i, end in enumerate(ends) if end > i and (i == 0 or end > ends[i - 1])]
    p = tests.p_value
    return {
        "methods": [
            [str(method), *(None if np.isnan(x) else round(float(x), 2) for x in row)]
            for method, row in zip(table.index, table[["rank", "rank_low", "rank_high"]].to_numpy(), strict=True)
        ],
        "bars": bars,
        "friedman": "" if np.isnan(p) else f"Friedman's test over all methods: {p_in_words(p)}.",
    }


def _lines(table: pd.DataFrame, digits: int, *, log: bool = False) -> dict[str, Any]:
    """A line for each column, at so many places that more would not be seen."""
    last = len(table) - 1
    places = np.geomspace(1, last + 1, _PLACES) - 1 if log else np.linspace(0, last, _PLACES)
    chosen = table.iloc[np.unique(places.round().astype(int))]
    return {
        "x": [round(float(x), 3) for x in chosen.index],
        "y": {str(name): [round(float(y), digits) for y in chosen[name]] for name in chosen},
        "log": log,
    }


def _pairs(comparison: Comparison) -> dict[str, Any]:
    """For each pair of methods, row by row above the diagonal, p and on how many functions either is better."""
    methods = comparison.methods
    means = comparison.results.pivot_table(index="function", columns="method", values="log10_regret")[methods]
    p = analysis.significance(comparison).p_values.loc[methods, methods].to_numpy()
    values = means.to_numpy()
    above = list(itertools.combinations(range(len(methods)), 2))
    return {
        "regret": [round(float(mean), 3) for mean in values.mean(0)],
        "functions": len(values),
        "p": [float(f"{p[i, j]:.2g}") for i, j in above],
        "first": [int((values[:, i] < values[:, j]).sum()) for i, j in above],
        "second": [int((values[:, i] > values[:, j]).sum()) for i, j in above],
    }


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


def _data(
    views: list[View], look: figures.Styles, colors: dict[str, str], equal_time: dict[str, Any] | None
) -> dict[str, Any]:
    """What the page's script needs at once."""
    return {
        "views": [
            {
                "label": view.label,
                "title": view.comparison.title,
                "budget": view.comparison.budget,
                "methods": view.comparison.methods,
                "functions": [row.name for row in view.functions],
                "runs": place,
            }
            for view, place in zip(views, _places_of_runs(views), strict=True)
        ],
        "methods": list(look),
        "styles": {
            method: [colors[method], style["linewidth"], _dashes(style["linestyle"])] for method, style in look.items()
        },
        "equalTime": equal_time,
    }


def _places_of_runs(views: list[View]) -> list[int]:
    """For each view the number of the first one that holds its runs: some are of a part of another's functions."""
    keys = [(view.comparison.budget, {row.name for row in view.functions}) for view in views]
    return [next(i for i, (b, names) in enumerate(keys) if b == budget and names >= own) for budget, own in keys]


def _dashes(linestyle: Any) -> str:
    """Lengths of an SVG's dashes."""
    return "" if linestyle == "-" else " ".join(f"{2 * length:g}" for length in linestyle[1])


def _runs(results: pd.DataFrame, views: list[View]) -> tuple[dict[str, dict[str, dict[str, Any]]], dict[str, Any]]:
    """First runs of the listed functions, by budget, function and method; and landscapes by function."""
    listed = {row.name for view in views for row in view.functions}
    first = results[(results["start"] == 0) & ~results["doubled"] & results["function"].isin(listed)]
    landscapes: dict[str, Any] = {}
    seen: dict[str, str] = {}
    runs: dict[str, dict[str, dict[str, Any]]] = {}
    for function, of_function in first.groupby("function", sort=False):
        paths = [np.reshape(path, (-1, dim)) for path, dim in zip(of_function["path"], of_function["dim"], strict=True)]
        drawn = [""] * len(paths)
        if any(len(path) for path in paths):
            problem = _problem(str(function))
            landscape, limits = _landscape(str(function))
            # With noise a function looks as it does without.
            same = seen.setdefault(landscape["picture"], str(function))
            landscapes[str(function)] = landscape | ({} if same == function else {"picture": same})
            drawn = [_drawn(problem, path, limits) for path in paths]
        for (_, run), path in zip(of_function.iterrows(), drawn, strict=True):
            by_method = runs.setdefault(str(run["budget"]), {}).setdefault(str(function), {})
            regret = log10_regret(run["trace"], run["f_min"], run["f_ref"])
            curve = _changes(run["trace"], np.nan_to_num(regret, nan=_HIGHEST, posinf=_HIGHEST))
            by_method[str(run["method"])] = {"curve": curve, "path": path, "failed": run["error"] != ""}
    return runs, landscapes


def _problem(function: str) -> Problem:
    """The problem of that name."""
    parsed = _PRIOR_FUNCTION.fullmatch(function)
    block = f"{parsed['functions']}-{parsed['number']}..{parsed['number']}" if parsed else function
    return block_problems(block)[0]


@lru_cache(maxsize=1024)  # a page of all studies shows what theirs have shown
def _landscape(function: str) -> tuple[dict[str, Any], tuple[float, float]]:
    """A function's picture and the ends of its axes, and those of the vertical one as they are."""
    problem = _problem(function)
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
