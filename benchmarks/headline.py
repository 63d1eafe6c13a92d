"""Writes what was measured into the benchmark's page: ``python -m benchmarks.headline``, after its runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tyro

from benchmarks.analysis import comparisons, headline, holm_over_rivals, side_by_side, smooth43
from benchmarks.problems import BBOB, GKLS, VLSE
from benchmarks.significance import ALPHA
from benchmarks.when import rewritten
from pop_optimizer.checkpoint import write_atomically


@dataclass(frozen=True)
class Headline:
    """What is read and written.

    Attributes:
        results: Folder of results: ``vlse``, ``robust``, ``bbob`` and ``gkls`` in it are read, where they are there.
        page: Its tables stand between ``<!-- measured -->`` and ``<!-- end of measured -->``.
    """

    results: Path = Path("results")
    page: Path = Path("docs/benchmark.md")


def beside(results: pd.DataFrame, samples: Sequence[str], method: str = "pop") -> list[str]:
    """Markdown lines of ``side_by_side``, and a sentence on who is before the method."""
    table = side_by_side(results, 50, samples, method)
    lines = [
        "| method | " + " | ".join(f"{sample}: log10 regret | rank | p" for sample in samples) + " |",
        "|---|" + "---:|" * (3 * len(samples)),
    ]
    for name, row in table.iterrows():
        cells = []
        for sample in samples:
            regret, low, high = (row[sample, f"log10_regret{end}"] for end in ("", "_low", "_high"))
            p = row[sample, "p_holm"]
            cells += [f"{regret:.2f} [{low:.1f}, {high:.1f}]", f"{row[sample, 'rank']:.2f}"]
            cells.append("" if np.isnan(p) else f"{p:.2g}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    said = []
    for sample in samples:
        p = table[sample]["p_holm"]
        of = table[sample]
        lower = of.index[of["log10_regret"] < of.loc[method, "log10_regret"]]
        ahead = of.index[of["rank"] < of.loc[method, "rank"]]
        not_beaten = p.index[p >= ALPHA]
        said.append(
            f"{sample}: lower mean regret than {method}: {', '.join(lower) or 'none'}; better mean rank: "
            f"{', '.join(ahead) or 'none'}; {method} is not significantly better than "
            f"{', '.join(not_beaten) or 'none'}."
        )
    return [*lines, "", *said]


def others(results: pd.DataFrame, method: str = "pop") -> list[str]:
    """Markdown lines of mean regrets by sample and budget, the lowest in bold, and of whom the method beats."""
    methods = sorted(results["method"].unique(), key=lambda name: (name != method, name))
    lines = ["| functions | T | " + " | ".join(methods) + f" | {method} is better than |"]
    lines.append("|---|---:|" + "---:|" * len(methods) + "---|")
    for comparison in comparisons(results):
        regrets = headline(comparison)["log10_regret"]
        p = holm_over_rivals(comparison, method)["p_holm"]
        cells = [
            f"**{regrets[name]:.2f}**" if regrets[name] == regrets.min() else f"{regrets[name]:.2f}" for name in methods
        ]
        better = ", ".join(p.index[p < ALPHA])
        lines.append(f"| {comparison.sample} | {comparison.budget} | " + " | ".join(cells) + f" | {better or 'none'} |")
    return lines


def block(results: Path) -> str:
    """All tables that there are results for."""

    def read(name: str) -> pd.DataFrame | None:
        path = results / name / "results.parquet"
        return pd.read_parquet(path) if path.exists() else None

    lines: list[str] = []
    plain, varied = read("vlse"), read("robust")
    if plain is not None and varied is not None:
        both = pd.concat([plain, varied])
        whole = (VLSE, f"{VLSE}, shifted")
        lines += ["The 47 functions, T = 50, plain and shifted, on the starts that all have:", ""]
        lines += [*beside(both, whole), "", "The 43 that are smooth:", ""]
        lines += [*beside(smooth43(both), tuple(f"{sample}, smooth" for sample in whole)), ""]
    for name, title in (("bbob", BBOB), ("gkls", GKLS)):
        found = read(name)
        if found is not None:
            failed = int((found["error"] != "").sum())
            lines += [f"{title}, mean log10 regret ({failed} of {len(found)} runs failed):", "", *others(found), ""]
    return "\n".join(lines).rstrip()


def main() -> None:
    """Writes the page that the command line names."""
    chosen = tyro.cli(Headline, description=(__doc__ or "").split("\n\n")[0])
    page = rewritten(chosen.page.read_text("utf-8"), "measured", block(chosen.results))
    write_atomically(chosen.page, page.encode())


if __name__ == "__main__":
    main()
