"""Which methods differ by more than chance: Friedman's test, then Wilcoxon's on all pairs with Holm's correction.

Whether one method of interest is better is another question, with a test for each rival alone and no more to correct
for: ``better_than_rivals``.

The functions are the sample, as Demšar (2006), "Statistical comparisons of classifiers over multiple data sets",
has it: one number per function and method, so that many starts do not pass for many functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import friedmanchisquare, wilcoxon

from pop_envs.measures import ranks

ALPHA = 0.05
"""Level of significance."""

_FEW = 13  # functions, up to which scipy permutes


@dataclass(frozen=True, eq=False)
class Significance:
    """What the tests say of methods on the same functions.

    Attributes:
        ranks: Mean rank of each method, the best first.
        statistic: Friedman's chi-squared; NaN for two methods, of which the test says nothing.
        p_value: Its p; 1 where there is nothing to tell apart, NaN for two methods.
        p_values: Wilcoxon's p of each pair (method, method), after Holm's correction; 1 on the diagonal.
    """

    ranks: pd.Series
    statistic: float
    p_value: float
    p_values: pd.DataFrame

    @property
    def best(self) -> str:
        """The method with the best mean rank."""
        return str(self.ranks.index[0])

    @property
    def differ(self) -> pd.DataFrame:
        """Which pairs (method, method) differ; none do where Friedman's test finds no difference at all."""
        return (self.p_values < ALPHA) & (not self.p_value >= ALPHA)

    @property
    def joined(self) -> pd.DataFrame:
        """Which pairs (method, method) have a common bar in a critical-difference diagram: fewer than n bars in all.

        A bar joins two methods that do not differ, with all that rank between them. Bars for exactly the sets without
        any difference would be hundreds for twenty methods.
        """
        alike = np.triu(~self.differ.to_numpy())
        # i and j are joined if some a <= i and b >= j do not differ.
        below = np.logical_or.accumulate(alike, axis=0)
        around = np.triu(np.logical_or.accumulate(below[:, ::-1], axis=1)[:, ::-1])
        return pd.DataFrame(around | around.T, self.ranks.index, self.ranks.index)


def p_in_words(p_value: float) -> str:
    """Such as "p = 0.013"; a p too small for a number is not zero."""
    return f"p = {p_value:.2g}" if p_value > 0 else "p < 1e-300"


def compare(regrets: pd.DataFrame) -> Significance:
    """Tests whether methods differ.

    Args:
        regrets: A number for each function (row) and method (column), lower is better.

    Raises:
        ValueError: If there is nothing in it, or a number is missing.
    """
    if regrets.empty or regrets.isna().to_numpy().any():
        raise ValueError(
            f"every method needs a number on every function, got {int(regrets.isna().to_numpy().sum())} missing "
            f"of {len(regrets)} functions x {len(regrets.columns)} methods; compare them on the functions they share"
        )
    mean_ranks = pd.Series(ranks(regrets.to_numpy(), axis=1).mean(0), regrets.columns).sort_values(kind="stable")
    statistic, p_value = _friedman(regrets)
    return Significance(mean_ranks, statistic, p_value, _wilcoxon_holm(regrets[mean_ranks.index]))


def _friedman(regrets: pd.DataFrame) -> tuple[float, float]:
    values = regrets.to_numpy()
    if (values == values[:, :1]).all():
        return 0.0, 1.0  # where scipy would divide by zero
    if values.shape[1] < 3:
        return np.nan, np.nan
    statistic, p_value = friedmanchisquare(*values.T)
    return float(statistic), float(p_value)


def _wilcoxon_holm(regrets: pd.DataFrame) -> pd.DataFrame:
    """P-values (method, method)."""
    methods = list(regrets.columns)
    if len(methods) < 2:
        return pd.DataFrame(1.0, methods, methods)
    import scikit_posthocs  # slow to import

    # Zero differences, of functions that both solve, count half for either side: Demšar's way. With few functions
    # and ties scipy's "auto" would permute for minutes; "exact" errs on the safe side there.
    method = "exact" if len(regrets) <= _FEW else "auto"
    long = regrets.melt(var_name="method", value_name="regret")
    return scikit_posthocs.posthoc_wilcoxon(
        long, "regret", "method", method=method, zero_method="zsplit", p_adjust="holm"
    )


def better_than_rivals(regrets: pd.DataFrame, method: str) -> pd.DataFrame:
    """Whether one method is better than each of the others: Wilcoxon's one-sided test, with Holm's correction.

    Args:
        regrets: A number for each function (row) and method (column), lower is better.
        method: The one of interest.

    Returns:
        One row per rival, in the order of the columns: ``wins``, ``ties`` and ``losses`` of the method over functions,
        ``difference``, its mean less the rival's, ``p`` of the test and ``p_holm`` after the correction.

    Raises:
        ValueError: If the method or a number is missing, or there is no rival.
    """
    rivals = [name for name in regrets.columns if name != method]
    if method not in regrets.columns or not rivals or regrets.empty or regrets.isna().to_numpy().any():
        raise ValueError(
            f"{method} and its rivals need a number on every function, got {len(regrets)} functions of "
            f"{', '.join(map(str, regrets.columns)) or 'no method'}, {int(regrets.isna().to_numpy().sum())} missing"
        )
    from statsmodels.stats.multitest import multipletests  # type: ignore[import-untyped]  # slow to import

    differences = regrets[rivals].rsub(regrets[method], axis=0)
    p = [_p_of_less(differences[rival].to_numpy()) for rival in rivals]
    return pd.DataFrame(
        {
            "wins": (differences < 0).sum(),
            "ties": (differences == 0).sum(),
            "losses": (differences > 0).sum(),
            "difference": differences.mean(),
            "p": p,
            "p_holm": multipletests(p, method="holm")[1],
        },
        index=pd.Index(rivals, name="method"),
    )


def _p_of_less(differences: NDArray[np.float64]) -> float:
    """Wilcoxon's p of differences below zero; the same care as in ``_wilcoxon_holm``."""
    if not differences.any():
        return 1.0
    method: Literal["exact", "auto"] = "exact" if len(differences) <= _FEW else "auto"
    return float(wilcoxon(differences, alternative="less", zero_method="zsplit", method=method).pvalue)
