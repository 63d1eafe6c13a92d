"""From the results file to the verdict in numbers.

Only methods that ran on the same functions from the same starts are compared: a ``Comparison`` is one table. Every
headline number is a mean over functions of the mean over starts, with a bootstrap interval over functions, for these
are the sample: it tells how far the number would move on other functions of the same kind, not how well it is known on
these. VLSE's functions are one sample, each prior's functions in each dimension are another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import bootstrap

from benchmarks import vlse
from benchmarks.problems import KNOWN_MINIMA, NIST, OWN_STARTS, VLSE
from benchmarks.significance import Significance, better_than_rivals, compare
from pop_envs import measures
from pop_envs.measures import log10_regret, normalized_improvement, ranks

Array = NDArray[np.float64]

SMOOTH = f"{VLSE}, smooth"
"""The sample of those of the 47 functions that are smooth."""
TARGETS = {"1e-2": 1e-2, "1e-4": 1e-4, "1e-8": 1e-8}
"""Regrets that are asked for, by the names that they have in the tables."""
TAUS = {"1e-3": 1e-3, "1e-6": 1e-6, "1e-9": 1e-9}
"""Accuracies at which a problem counts as solved, see ``pop_envs.measures.solved``, by their names in the tables."""
FOUR_DIGITS = 1e-4
"""Relative error of a sum of squares against NIST's certified one."""
MEASURES = (
    *("ni", "log10_regret", "rank"),
    *(f"reached_{name}" for name in TARGETS),
    *("strict_log10_regret", "strict_rank"),
)
"""Of ``headline``."""

_RESAMPLES, _BATCH = 2000, 50
_LADDER = np.linspace(0.0, -8.0, 51)  # log10 of the targets of the runtime distribution
_FACTORS = 201  # of a performance profile


@dataclass(frozen=True, eq=False)
class Comparison:
    """Methods that all ran on the same functions from the same starts, with the same budget.

    Attributes:
        budget: Number of steps T.
        sample: Name of the functions.
        shared: Whether it is about all methods on the starts that they share, because some ran from fewer.
        absent: Methods that are not in it, because they ran from fewer starts.
        results: One row per run, with T + 1 evaluations: the columns of the results file and ``rank``.
        strict: The same where gradient-free methods had twice the evaluations; None where this was not run.
    """

    budget: int
    sample: str
    shared: bool
    absent: tuple[str, ...]
    results: pd.DataFrame
    strict: pd.DataFrame | None

    @cached_property
    def methods(self) -> list[str]:
        """The methods, the best mean rank first."""
        means = self.results.groupby("method")[["rank", "log10_regret"]].mean()
        return [str(method) for method in means.sort_values(["rank", "log10_regret"], kind="stable").index]

    @property
    def functions(self) -> int:
        """Number of functions."""
        return int(self.results["function"].nunique())

    @property
    def starts(self) -> int:
        """Number of starts per function."""
        return int(self.results["start"].nunique())

    @property
    def title(self) -> str:
        """What is compared, in a line."""
        starts = f"all methods on the {self._starts} they share" if self.shared else self._starts
        if self.sample in OWN_STARTS:
            starts = starts.replace("start", "run")  # several may be from one published start
        return f"{self.sample} ({counted(self.functions, 'function')}), T = {self.budget}, {starts}"

    @property
    def note(self) -> str:
        """Who is not in it, in a sentence; empty if all are."""
        if not self.absent:
            return ""
        return (
            f"These methods ran from all {self._starts}. {', '.join(self.absent)} ran from fewer: another table "
            "compares all methods, on the starts that they share."
        )

    @property
    def _starts(self) -> str:
        return counted(self.starts, "start")


def with_lowest_minima(results: pd.DataFrame) -> pd.DataFrame:
    """The results with ``f_min`` lowered to the lowest value that any run found, where it is not known."""
    lowest = results.groupby(["sample", "function"])[["f_min", "y_best"]].transform("min").min(axis=1)
    return results.assign(f_min=results["f_min"].where(results["sample"].str.startswith(KNOWN_MINIMA), lowest))


def with_measures(results: pd.DataFrame) -> pd.DataFrame:
    """The results with columns ``ni`` and ``log10_regret``."""
    y0, y_best, f_min, f_ref = (results[name].to_numpy() for name in ("y0", "y_best", "f_min", "f_ref"))
    return results.assign(ni=normalized_improvement(y0, y_best, f_min), log10_regret=log10_regret(y_best, f_min, f_ref))


def comparisons(results: pd.DataFrame) -> list[Comparison]:
    """What can be compared: by budget, and then by sample in the order of the results.

    Where some methods ran from fewer starts than others, there are two for a sample: one of the methods that ran from
    all starts, and one of all methods on the starts that they share.
    """
    found: list[Comparison] = []
    for budget in np.unique(results["budget"]).tolist():
        of_budget = results[results["budget"] == budget]
        for sample in dict.fromkeys(of_budget["sample"]):
            runs = of_budget[of_budget["sample"] == sample]
            found += _compared(budget, sample, runs)
            smooth = runs[runs["function"].isin(vlse.names(smooth=True))]
            if sample == VLSE and 0 < smooth["function"].nunique() < runs["function"].nunique():
                found += _compared(budget, SMOOTH, smooth)
    return found


def _compared(budget: int, sample: str, runs: pd.DataFrame) -> Iterator[Comparison]:
    ordinary, doubled = runs[~runs["doubled"]], runs[runs["doubled"]]
    ran = ordinary.groupby(["function", "start", "method"]).size().unstack("method", fill_value=0) > 0
    everywhere = ran.all()
    if everywhere.any():
        of_all_starts = everywhere.index[everywhere]
        absent = tuple(everywhere.index[~everywhere])
        chosen = [table[table["method"].isin(of_all_starts)] for table in (ordinary, doubled)]
        yield Comparison(budget, sample, False, absent, *_ranked(*chosen))
    shared = ran.index[ran.all(axis=1)]
    if not everywhere.all() and len(shared):
        # Slow methods do not run with twice the evaluations.
        yield Comparison(budget, sample, True, (), with_ranks(ordinary[_cells(ordinary).isin(shared)]), None)


def _ranked(ordinary: pd.DataFrame, doubled: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Ordinary runs with ranks among them, and the same where doubled ones take the place of their methods'."""
    if doubled.empty:
        return with_ranks(ordinary), None
    with_gradients = ordinary[~ordinary["method"].isin(doubled["method"].unique())]
    return with_ranks(ordinary), with_ranks(pd.concat([with_gradients, doubled]))


def _cells(runs: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(runs[["function", "start"]])


def with_ranks(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs of one budget and sample with a column ``rank``: among the methods, per function and start.

    A failed run ranks last. Where a method was not run, nobody is ranked.
    """
    cells = ["function", "start"]
    judged = runs.assign(rank=runs["log10_regret"].where(runs["error"] == "", np.inf))
    table = judged.pivot(index=cells, columns="method", values="rank")
    table[:] = ranks(table.to_numpy(), axis=1)
    long = table.reset_index().melt(id_vars=cells, value_name="rank")
    return runs.merge(long, on=[*cells, "method"])


@lru_cache(maxsize=256)
def headline(comparison: Comparison) -> pd.DataFrame:
    """One row per method, the best mean rank first.

    Returns:
        For each of ``MEASURES`` its mean over functions of means over starts, and ``_low`` and ``_high``, the ends of
        its 95 % bootstrap interval over functions (NaN for a single function). ``reached_1e-2`` is the share of runs
        that reach this regret. In the strict columns gradient-free methods have twice the evaluations; NaN where this
        was not run. Then ``ms_per_step``, a method's own time without the function's, and ``failed``, a number of runs.
    """
    means = _means_by_function(comparison)
    low, high = _interval(means)
    table = pd.DataFrame(index=pd.Index(comparison.methods, name="method"))
    for measure in MEASURES:
        for suffix, values in (("", means.mean()), ("_low", low), ("_high", high)):
            table[f"{measure}{suffix}"] = values.get(measure, np.nan)
    runs = comparison.results.assign(failed=comparison.results["error"] != "").groupby("method")
    table["ms_per_step"] = 1e3 * runs["seconds"].sum() / runs["evaluations"].sum().clip(lower=1)
    table["failed"] = runs["failed"].sum()
    return table


def _means_by_function(comparison: Comparison) -> pd.DataFrame:
    """Means over starts: rows are functions, columns (measure, method)."""
    runs = comparison.results
    done = runs["error"] == ""
    regret = runs["log10_regret"]
    reached = {f"reached_{name}": done & (regret <= np.log10(target)) for name, target in TARGETS.items()}
    table = runs.assign(**reached).pivot_table(index="function", columns="method", values=list(MEASURES[:-2]))
    if comparison.strict is None:
        return table
    strict = comparison.strict.rename(columns={"log10_regret": "strict_log10_regret", "rank": "strict_rank"})
    return table.join(strict.pivot_table(index="function", columns="method", values=list(MEASURES[-2:])))


def _interval(means: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Both ends of the bootstrap interval of each column's mean; NaN for a single row."""
    if len(means) < 2:
        nothing = pd.Series(np.nan, means.columns)
        return nothing, nothing
    # BCa intervals do not exist where all functions have the same value, as converged methods do.
    found = bootstrap(
        (means.to_numpy(),),
        np.mean,
        axis=0,
        n_resamples=_RESAMPLES,
        batch=_BATCH,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    low, high = found.confidence_interval
    return pd.Series(low, means.columns), pd.Series(high, means.columns)


def per_function(comparison: Comparison) -> pd.DataFrame:
    """Means over starts: rows (group, function), columns (measure, method), both in order."""
    groups = list(dict.fromkeys(comparison.results["group"]))
    table = comparison.results.pivot_table(
        index=["group", "function"], columns="method", values=["ni", "log10_regret", "rank"], aggfunc="mean"
    )
    table = table.reindex(columns=comparison.methods, level="method")
    return table.sort_index(key=lambda level: level.map(groups.index) if level.name == "group" else level)


@lru_cache(maxsize=256)
def significance(comparison: Comparison) -> Significance:
    """Which methods differ, by functions' mean log10 regrets; the ranks are those of ``headline``."""
    tests = compare(comparison.results.pivot_table(index="function", columns="method", values="log10_regret"))
    mean_ranks = headline(comparison)["rank"]
    order = list(mean_ranks.index)
    return replace(tests, ranks=mean_ranks, p_values=tests.p_values.loc[order, order])


def holm_over_rivals(comparison: Comparison, method: str = "pop") -> pd.DataFrame:
    """Whether one method is better than each rival, by functions' mean log10 regrets; see ``better_than_rivals``."""
    regrets = comparison.results.pivot_table(index="function", columns="method", values="log10_regret")
    return better_than_rivals(regrets[comparison.methods], method)


def curves(comparison: Comparison) -> dict[str, pd.DataFrame]:
    """The means of ``log10_regret`` and ``ni`` of the best value so far: rows are evaluations, columns methods."""
    regret, ni = {}, {}
    for method, runs, trace in _traces(comparison):
        y0, f_min, f_ref = (runs[name].to_numpy()[:, None] for name in ("y0", "f_min", "f_ref"))
        regret[method] = log10_regret(trace, f_min, f_ref).mean(0)
        ni[method] = normalized_improvement(y0, trace, f_min).mean(0)
    evaluations = _evaluations(comparison)
    return {"log10_regret": pd.DataFrame(regret, evaluations), "ni": pd.DataFrame(ni, evaluations)}


def runtime_distribution(comparison: Comparison) -> pd.DataFrame:
    """COCO's empirical distribution of runtimes: rows are evaluations, columns methods.

    Each number is the share of all (function, start, target) that are reached after so many evaluations; the targets
    are 51 regrets, evenly spaced on a log scale from 1 to 1e-8. A failed run reaches nothing.
    """
    columns = {}
    for method, runs, trace in _traces(comparison):
        reached = np.searchsorted(-_LADDER, -_regret_so_far(runs, trace), side="right")  # (runs, T + 1)
        columns[method] = reached.mean(0) / len(_LADDER)
    return pd.DataFrame(columns, _evaluations(comparison))


def profiles(comparison: Comparison, target: float = 1e-4) -> pd.DataFrame:
    """Dolan and Moré's performance profiles: rows are factors tau of at least 1, columns methods.

    Each number is the share of runs that reach the target regret within tau times the evaluations that the best method
    needs from this start of this function.
    """
    needed = _evaluations_to(comparison, target)
    best = needed.min(axis=1)
    solved = np.isfinite(best)  # the others are nobody's success
    factors = needed[solved].div(best[solved], axis=0).to_numpy()
    tau = np.geomspace(1.0, comparison.budget + 1.0, _FACTORS)
    shares = (factors <= tau[:, None, None]).sum(1) / len(needed)
    return pd.DataFrame(shares, index=pd.Index(tau, name="tau"), columns=needed.columns)


def solved(comparison: Comparison) -> pd.DataFrame:
    """How often and how fast problems are solved: one row per method, the best mean rank first.

    What a run solves to one of ``TAUS`` says ``pop_envs.measures.solved``.

    Returns:
        For each of ``TAUS`` the share of runs ``tau_<name>``, for NIST's fits ``four_digits``, the share that comes
        within a ten-thousandth of the certified sum of squares, each a mean over functions of means over starts, and
        ``_low`` and ``_high``, the ends of its 95 % bootstrap interval over functions. Then ``median``, the
        evaluations to 1e-6 over runs, infinite if half do not solve it.
    """
    needed = {f"tau_{name}": _evaluations_to_tau(comparison, tau) for name, tau in TAUS.items()}
    if comparison.sample == NIST:
        needed["four_digits"] = _evaluations_to_digits(comparison)
    table = pd.DataFrame(index=pd.Index(comparison.methods, name="method"))
    for name, evaluations in needed.items():
        means = (evaluations < np.inf).groupby("function").mean()
        low, high = _interval(means)
        table[name], table[f"{name}_low"], table[f"{name}_high"] = means.mean(), low, high
    return table.assign(median=needed["tau_1e-6"].median())


def medians_by_function(comparison: Comparison) -> pd.DataFrame:
    """The median evaluations to 1e-6, see ``solved``: rows are methods, columns functions in the order of the runs."""
    needed = _evaluations_to_tau(comparison, TAUS["1e-6"])
    return needed.groupby("function", sort=False).median().T.loc[comparison.methods]


def data_profile(comparison: Comparison, tau: float) -> pd.DataFrame:
    """Moré and Wild's data profile: rows are evaluations, columns methods.

    Each number is the share of runs that solve their problem to tau, see ``solved``, within so many evaluations; one
    is a value with its gradient.
    """
    needed = _evaluations_to_tau(comparison, tau)[comparison.methods].to_numpy()
    evaluations = _evaluations(comparison)
    return pd.DataFrame((needed <= evaluations.to_numpy()[:, None, None]).mean(1), evaluations, comparison.methods)


def evaluations_needed(comparison: Comparison) -> pd.DataFrame:
    """What it takes to reach a target regret: rows are methods, columns (target, what), for all ``TARGETS``.

    Returns:
        ``median`` of the evaluations to it over runs, infinite if half do not reach it; ``ert``, COCO's expected
        running time: the evaluations of all runs, up to the target where they reach it, per run that does. A failed
        run has spent its whole budget.
    """
    runs = comparison.results
    spent = runs["evaluations"].where(runs["error"] == "", comparison.budget + 1)
    total = runs.assign(spent=spent).pivot(index=["function", "start"], columns="method", values="spent")
    columns = {}
    for name, target in TARGETS.items():
        needed = _evaluations_to(comparison, target)
        reached = np.isfinite(needed)
        columns[name, "median"] = needed.median()
        columns[name, "ert"] = needed.where(reached, total).sum() / reached.sum()  # infinite without any success
    return pd.DataFrame(columns).loc[comparison.methods]


def _evaluations_to(comparison: Comparison, target: float) -> pd.DataFrame:
    """The evaluations to a target regret, see ``_first``."""
    return _first(comparison, lambda runs, trace: _regret_so_far(runs, trace) <= np.log10(target))


def _evaluations_to_tau(comparison: Comparison, tau: float) -> pd.DataFrame:
    """The evaluations to the accuracy tau, see ``solved`` and ``_first``."""

    def reached(runs: pd.DataFrame, trace: Array) -> NDArray[np.bool_]:
        y0, f_min = (runs[name].to_numpy()[:, None] for name in ("y0", "f_min"))
        return _done(runs) & measures.solved(y0, trace, f_min, tau)

    return _first(comparison, reached)


def _evaluations_to_digits(comparison: Comparison) -> pd.DataFrame:
    """The evaluations to ``FOUR_DIGITS`` of the minimum, see ``_first``."""

    def reached(runs: pd.DataFrame, trace: Array) -> NDArray[np.bool_]:
        f_min = runs["f_min"].to_numpy()[:, None]
        return _done(runs) & (trace - f_min <= FOUR_DIGITS * f_min)

    return _first(comparison, reached)


def _first(comparison: Comparison, reach: Callable[[pd.DataFrame, Array], NDArray[np.bool_]]) -> pd.DataFrame:
    """The evaluations until runs reach something, infinite where they do not: rows (function, start), columns methods.

    Args:
        comparison: Of these runs.
        reach: Whether a method's runs have reached it after each evaluation (runs, T + 1), from their best values.
    """
    columns = {}
    for method, runs, trace in _traces(comparison):
        reached = reach(runs, trace)
        first = np.where(reached.any(1), reached.argmax(1) + 1.0, np.inf)
        columns[method] = pd.Series(first, _cells(runs))
    return pd.DataFrame(columns)


def _traces(comparison: Comparison) -> Iterator[tuple[str, pd.DataFrame, Array]]:
    """Each method with its runs and their best values so far (runs, T + 1)."""
    by_method = comparison.results.groupby("method")
    for method in comparison.methods:
        runs = by_method.get_group(method)
        yield method, runs, np.stack(list(runs["trace"]))


def _regret_so_far(runs: pd.DataFrame, trace: Array) -> Array:
    """The log10 regret after each evaluation (runs, T + 1); infinite in failed runs, which reach no target."""
    f_min, f_ref = (runs[name].to_numpy()[:, None] for name in ("f_min", "f_ref"))
    return np.where(_done(runs), log10_regret(trace, f_min, f_ref), np.inf)


def _done(runs: pd.DataFrame) -> NDArray[np.bool_]:
    """Which runs did not fail (runs, 1)."""
    return (runs["error"] == "").to_numpy()[:, None]


def _evaluations(comparison: Comparison) -> pd.Index:
    return pd.Index(np.arange(1, comparison.budget + 2), name="evaluations")


def counted(count: int, noun: str) -> str:
    """Such as "1 start" and "2 starts"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
