"""The verdict as data: every number that tables and texts show, small enough to be kept beside them as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import analysis
from benchmarks.analysis import Comparison
from benchmarks.problems import KNOWN_MINIMA, PLAIN, ROSENBROCK, VLSE
from benchmarks.significance import Significance

FORMAT = 2
"""Of the JSON."""

OWN = ("pop", "pop-paper")
"""Policies of which it is asked whether they are better than their rivals."""

_DIGITS = 6  # significant ones that are kept


@dataclass(frozen=True, eq=False)
class Verdict:
    """What is said of one comparison, see ``analysis``.

    Attributes:
        sample: Name of the functions.
        budget: Number of steps T.
        shared: Whether it is about all methods on the starts that they share.
        title: What is compared, in a line.
        note: Who is not in it, in a sentence; may be empty.
        headline: Of ``analysis.headline``, a row per method, the best mean rank first.
        tests: Of ``analysis.significance``, for all pairs.
        better: P-values (method, policy) of ``analysis.holm_over_rivals``, for those of ``OWN`` that ran.
        needed: Of ``analysis.evaluations_needed``.
        solved: Of ``analysis.solved``; None where it is not asked.
        medians: Of ``analysis.medians_by_function``; None where it is not asked.
        functions: Of ``analysis.per_function``; None where they are too many.
    """

    sample: str
    budget: int
    shared: bool
    title: str
    note: str
    headline: pd.DataFrame
    tests: Significance
    better: pd.DataFrame
    needed: pd.DataFrame
    solved: pd.DataFrame | None
    medians: pd.DataFrame | None
    functions: pd.DataFrame | None

    @property
    def methods(self) -> list[str]:
        """The methods, the best mean rank first."""
        return [str(method) for method in self.headline.index]

    def row(self, method: str) -> dict[str, float]:
        """A method's numbers in the headline."""
        return row_of(self.headline, method)

    def p(self, one: str, other: str) -> float:
        """Wilcoxon's p of two methods, after Holm's correction."""
        return row_of(self.tests.p_values, one)[other]

    def p_better(self, policy: str, rival: str) -> float:
        """Wilcoxon's one-sided p that a policy of ``OWN`` is better than a rival, Holm's correction for the rivals."""
        return row_of(self.better, rival)[policy]

    @classmethod
    def of(cls, comparison: Comparison) -> Verdict:
        """Of a comparison, all numbers to six digits."""
        tests = analysis.significance(comparison)
        sample = comparison.sample
        return cls(
            sample,
            comparison.budget,
            comparison.shared,
            comparison.title,
            comparison.note,
            _rounded(analysis.headline(comparison)),
            Significance(
                tests.ranks.map(_round), _round(tests.statistic), _round(tests.p_value), _rounded(tests.p_values)
            ),
            _rounded(_better(comparison)),
            _rounded(analysis.evaluations_needed(comparison)),
            _rounded(analysis.solved(comparison)) if sample in PLAIN else None,
            _rounded(analysis.medians_by_function(comparison)) if sample == ROSENBROCK else None,
            _rounded(analysis.per_function(comparison)) if sample == VLSE and not comparison.shared else None,
        )


@dataclass(frozen=True, eq=False)
class Study:
    """All that is said of a file of results.

    Attributes:
        verdicts: By budget, and then by sample.
        failures: Method, sample, function (or sample, of a prior's), budget, reason and number of failed runs.
    """

    verdicts: list[Verdict]
    failures: list[tuple[str, ...]]

    @classmethod
    def of(cls, results: pd.DataFrame, comparisons: Sequence[Comparison] | None = None) -> Study:
        """Of a results file, and of what can be compared in it where that is known already."""
        compared = analysis.comparisons(results) if comparisons is None else comparisons
        return cls([Verdict.of(comparison) for comparison in compared], _failures(results))

    def verdict(self, sample: str, budget: int, *, shared: bool = False) -> Verdict | None:
        """The one on these functions with this budget, if there is one."""
        wanted = (sample, budget, shared)
        return next((v for v in self.verdicts if (v.sample, v.budget, v.shared) == wanted), None)

    def to_json(self) -> str:
        """As text, a line for each verdict."""
        verdicts = [
            json.dumps(
                {field.name: _packed(getattr(verdict, field.name)) for field in fields(Verdict)}, allow_nan=False
            )
            for verdict in self.verdicts
        ]
        head = f'{{"format": {FORMAT}, "failures": {json.dumps(self.failures)}, "verdicts": [\n'
        return head + ",\n".join(verdicts) + "\n]}\n"

    @classmethod
    def from_json(cls, text: str) -> Study:
        """What ``to_json`` has written.

        Raises:
            ValueError: If it is of another version.
        """
        data = json.loads(text)
        if data.get("format") != FORMAT:
            raise ValueError(f"a study must have the format {FORMAT}, got {data.get('format')}: write it anew")
        verdicts = [
            Verdict(**{name: _unpacked(value) for name, value in verdict.items()}) for verdict in data["verdicts"]
        ]
        return cls(verdicts, [tuple(row) for row in data["failures"]])


def row_of(table: pd.DataFrame, name: str) -> dict[str, float]:
    """A row of a table, by column."""
    place = [str(found) for found in table.index].index(name)
    return {str(column): float(cell) for column, cell in zip(table, table.to_numpy()[place], strict=True)}


def _better(comparison: Comparison) -> pd.DataFrame:
    methods = comparison.methods
    columns = {
        policy: analysis.holm_over_rivals(comparison, policy)["p_holm"]
        for policy in OWN
        if policy in methods and len(methods) > 1
    }
    return pd.DataFrame(columns, index=pd.Index(methods, name="method"))


def _failures(results: pd.DataFrame) -> list[tuple[str, ...]]:
    failed = results[results["error"] != ""]
    # A prior's functions are too many to list.
    on = failed["function"].where(failed["sample"].str.startswith(KNOWN_MINIMA), failed["sample"])
    budget = failed["budget"].astype(str) + failed["doubled"].map({False: "", True: " (strict)"})
    error = failed["error"].map(lambda text: " ".join(text.split()))
    named = failed.assign(on=on, T=budget, error=error)
    kinds = named.groupby(["method", "sample", "on", "T", "error"], sort=False).size()
    return [tuple(map(str, (*kind, count))) for kind, count in zip(kinds.index, kinds, strict=True)]


def _round(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _rounded(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.map(_round)


def _packed(value: Any) -> Any:
    """As JSON has it: of tables rows, columns and cells; of numbers that are not finite their names."""
    if isinstance(value, Significance):
        return {name: _packed(getattr(value, name)) for name in ("ranks", "statistic", "p_value", "p_values")}
    if isinstance(value, pd.Series):
        return _packed(value.to_frame("ranks"))
    if isinstance(value, pd.DataFrame):
        cells = [[_packed(float(cell)) for cell in row] for row in value.to_numpy()]
        return {"names": list(value.index.names), "rows": list(value.index), "columns": list(value), "cells": cells}
    return value if not isinstance(value, float) or np.isfinite(value) else str(value)


def _unpacked(value: Any) -> Any:
    """What ``_packed`` was given."""
    if not isinstance(value, dict):
        return value
    if "p_values" in value:
        ranks = _unpacked(value["ranks"])["ranks"]
        return Significance(ranks, float(value["statistic"]), float(value["p_value"]), _unpacked(value["p_values"]))
    cells = [[float(cell) for cell in row] for row in value["cells"]]
    names = value["names"]
    rows = pd.Index(value["rows"], name=names[0])
    if len(names) > 1:
        rows = pd.MultiIndex.from_tuples([tuple(row) for row in value["rows"]], names=names)
    columns = [tuple(column) if isinstance(column, list) else column for column in value["columns"]]
    several = bool(columns) and isinstance(columns[0], tuple)
    return pd.DataFrame(cells, rows, pd.MultiIndex.from_tuples(columns) if several else columns)
