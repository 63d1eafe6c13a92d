"""The verdict in words: Markdown, what a terminal shows, and the figures and the page beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks import figures, page
from benchmarks.analysis import FOUR_DIGITS, SMOOTH, TARGETS, TAUS, comparisons, counted
from benchmarks.problems import CHAIN, KNOWN_MINIMA, OWN_STARTS, PLAIN
from benchmarks.rivals import knows_residuals
from benchmarks.significance import ALPHA, Significance, p_in_words
from benchmarks.verdict import Study, Verdict
from pop_optimizer.checkpoint import write_atomically

_COLUMNS = {  # of the headline table: measure and digits
    "NI": ("ni", 3),
    "log10 regret": ("log10_regret", 2),
    "rank": ("rank", 2),
    "strict regret": ("strict_log10_regret", 2),
    "strict rank": ("strict_rank", 2),
}


def report(results: pd.DataFrame, out: Path, command: str, console: Console) -> None:
    """Writes ``summary.md``, ``summary.json``, ``report.html`` and the figures as PNG to ``out``; prints the headlines.

    Args:
        results: The results file.
        out: Folder.
        command: That made them.
        console: Where to print.
    """
    chosen = comparisons(results)
    study = Study.of(results, chosen)
    write_atomically(out / "summary.json", study.to_json().encode())
    write_atomically(out / "summary.md", markdown(study).encode())
    look = figures.styles(chosen)
    # What is left out is in the summary; a figure of everything would be yards long.
    shown = [comparison for comparison in chosen if not comparison.shared and comparison.sample != SMOOTH] or chosen
    for name, draw in (
        ("regret", figures.draw_curves),
        ("ranks", figures.draw_ranks),
        ("critical_differences", figures.draw_critical_differences),
    ):
        draw(shown, look).savefig(out / f"{name}.png", dpi=160)
    plain = [comparison for comparison in shown if comparison.sample in PLAIN]
    if plain:
        figures.draw_data_profiles(plain, look).savefig(out / "data_profile.png", dpi=160)
    for verdict in study.verdicts:
        printed = Table(title=verdict.title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False)
        printed.add_column("method", no_wrap=True)
        for name in ("NI", "log10 regret", "rank", "failed"):
            printed.add_column(name, justify="right", no_wrap=True)
        for method, row in verdict.headline.iterrows():
            # All intervals would need more than the 80 columns of a terminal.
            rank = with_interval(row, *_COLUMNS["rank"])
            printed.add_row(str(method), f"{row['ni']:.3f}", f"{row['log10_regret']:.2f}", rank, f"{row['failed']:.0f}")
        console.print(printed, "")
    if note := knows_residuals(results["method"].unique()):
        console.print(f"Not on equal terms: {note}")
    failed = int((results["error"] != "").sum())
    if failed:
        console.print(f"[bold red]{counted(failed, 'run')} failed[/]: summary.md tells which and why.")
    written = page.write(results, out, command, comparisons=chosen)
    console.print(f"Results, summary and figures: {out}\nTo look at: {written}", highlight=False)


def summary(results: pd.DataFrame) -> str:
    """The whole verdict as Markdown."""
    return markdown(Study.of(results))


def markdown(study: Study) -> str:
    """A study as Markdown: every comparison's tables, the row of each VLSE function, the failures."""
    samples = pd.Series([verdict.sample for verdict in study.verdicts])
    methods = list(dict.fromkeys(method for verdict in study.verdicts for method in verdict.methods))
    lines = [
        "# Results",
        "",
        "One evaluation is a value with its gradient; T steps are T + 1 evaluations. All methods have the same starts. "
        "Means over functions of means over starts; in brackets their 95 % bootstrap intervals over functions. NI: "
        "normalized improvement (higher is better); log10 regret, floored at -8, and rank: lower is better. Time per "
        "step: the method's own.",
        "",
        "p: Wilcoxon's signed-rank test on the functions' mean log10 regrets, against the method with the best mean "
        "rank, with Holm's correction for all pairs of methods. Share: of runs that reach a regret. ERT: the "
        "expected running time, all evaluations until then or until the run's end, per run that reaches it.",
    ]
    if not all(verdict.headline["strict_rank"].isna().all() for verdict in study.verdicts):
        lines += ["", "Strict: gradient-free methods have twice the evaluations, 2T + 2, and the others T + 1."]
    if not samples.str.startswith(KNOWN_MINIMA).all():
        lines += ["", "The minimum of a prior's function is the lowest value that its reference or any run found."]
    if samples.isin(PLAIN).any():
        lines += [
            "",
            "Solved to tau (Moré and Wild, 2009): f - f* <= tau (f0 - f*), with f0 the value at the start and f* the "
            f"minimum. Four digits: f - f* <= {FOUR_DIGITS:g} f*, with f* NIST's certified sum of squares; that of "
            "Lanczos1, 1.4e-25, is below what rounding lets any method reach.",
        ]
    if samples.isin(OWN_STARTS).any():
        lines += [
            "",
            "Problems of MGH and NIST have published starts: several runs from one differ in the method's seed alone. "
            "Their regret is relative to the start's value, not to a median over the box.",
        ]
    if note := knows_residuals(methods):
        lines += ["", f"Not on equal terms: {note}"]
    for verdict in study.verdicts:
        lines += _section(verdict)
    return "\n".join([*lines, *_failures(study)]) + "\n"


def _section(verdict: Verdict) -> list[str]:
    """The tables of a comparison as lines of Markdown."""
    table, tests = verdict.headline, verdict.tests
    p = tests.p_values[tests.best]
    cells = {name: [with_interval(row, *column) for _, row in table.iterrows()] for name, column in _COLUMNS.items()}
    if table["strict_rank"].isna().all():
        cells = {name: column for name, column in cells.items() if not name.startswith("strict")}
    cells["p"] = ["" if method == tests.best else f"{p[method]:.2g}" for method in table.index]
    cells["ms per step"] = [f"{value:.2f}" for value in table["ms_per_step"]]
    cells["failed"] = [f"{value:.0f}" for value in table["failed"]]
    lines = ["", f"## {verdict.title}", "", *([verdict.note, ""] if verdict.note else [])]
    lines += [*markdown_table("method", table.index, cells), "", in_words(tests)]

    cells = {}
    for name in TARGETS:
        column = f"reached_{name}", 0, 100.0
        cells[f"share to {name}, %"] = [with_interval(row, *column) for _, row in table.iterrows()]
        for what in ("median", "ERT"):
            cells[f"{what} to {name}"] = [_number(value) for value in verdict.needed[name, what.lower()]]
    lines += ["", f"### Evaluations needed: {verdict.title}", "", *markdown_table("method", table.index, cells)]

    if verdict.solved is not None:
        lines += _solved(verdict, verdict.solved)

    if verdict.functions is not None:
        functions = verdict.functions
        cells = {"group": list(functions.index.get_level_values("group"))}
        for method in table.index:
            ni, regret, rank = (functions[measure, method] for measure in ("ni", "log10_regret", "rank"))
            triples = zip(ni, regret, rank, strict=True)
            cells[method] = [f"{a:.2f} / {b:.1f} / {c:.1f}" for a, b, c in triples]
        lines += ["", f"### Each function, T = {verdict.budget}: NI / log10 regret / rank", ""]
        lines += markdown_table("function", functions.index.get_level_values("function"), cells)
    return lines


def _solved(verdict: Verdict, table: pd.DataFrame) -> list[str]:
    """How often and how fast problems are solved, as lines of Markdown."""
    columns = {f"tau = {name}, %": f"tau_{name}" for name in TAUS}
    if "four_digits" in table:
        columns["four digits, %"] = "four_digits"
    cells = {
        title: [with_interval(row, name, 0, 100.0) for _, row in table.iterrows()] for title, name in columns.items()
    }
    medians = {"median to 1e-6": table["median"]}
    if verdict.medians is not None:
        by_function = verdict.medians
        medians = {f"median to 1e-6, {str(name).removeprefix(CHAIN)[1:]}": by_function[name] for name in by_function}
    for title, column in medians.items():
        cells[title] = [_number(value) for value in column]
    return ["", f"### Solved: {verdict.title}", "", *markdown_table("method", table.index, cells)]


def in_words(tests: Significance) -> str:
    """What the tests say, in a few sentences."""
    differ = tests.differ[tests.best]
    same = [method for method in differ.index[~differ] if method != tests.best]
    words = ""
    if np.isfinite(tests.p_value):
        words = f"Friedman's test: chi-squared {tests.statistic:.1f}, {p_in_words(tests.p_value)}. "
    if not differ.any():
        return words + f"No method differs significantly from {tests.best}, the one with the best mean rank."
    others = f"all others but {', '.join(same)}" if same else "all others"
    return words + f"{tests.best} has the best mean rank and differs significantly (p < {ALPHA}) from {others}."


def _failures(study: Study) -> list[str]:
    """How many runs failed and why, as lines of Markdown."""
    if not study.failures:
        return []
    method, *columns = zip(*study.failures, strict=True)
    rows = dict(zip(("sample", "on", "T", "error", "runs"), columns, strict=True))
    rows["error"] = tuple(text.replace("|", r"\|") for text in rows["error"])
    lines = ["", "## Failed runs", "", "They count as no improvement, reach no target and rank last.", ""]
    return lines + markdown_table("method", method, rows)


def _number(value: float) -> str:
    return f"{value:.0f}" if np.isfinite(value) else "-"


def with_interval(row: Mapping[str, float] | pd.Series, measure: str, digits: int, unit: float = 1.0) -> str:
    """A mean with its interval, which a single function does not have."""
    mean, low, high = (unit * row[f"{measure}{suffix}"] for suffix in ("", "_low", "_high"))
    fewer = max(digits - 1, 0)
    return f"{mean:.{digits}f}" + ("" if np.isnan(low) else f" [{low:.{fewer}f}, {high:.{fewer}f}]")


def markdown_table(corner: str, index: Iterable[str], cells: Mapping[str, Sequence[str]]) -> list[str]:
    """The lines of a Markdown table of columns of text, to the right."""
    lines = [[corner, *cells], ["---", *["---:"] * len(cells)]]
    lines += [list(line) for line in zip(index, *cells.values(), strict=True)]
    return [f"| {' | '.join(line)} |" for line in lines]
