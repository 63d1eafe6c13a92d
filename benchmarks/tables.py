"""Every table of results in the README and the documentation, written from the studies' summaries.

In the Markdown a table stands between ``<!-- table: NAME -->`` and ``<!-- end of table -->``. The summaries are in
docs/results, as JSON, small enough to be kept with the text; ``python -m benchmarks.tables results`` takes them from
folders of results, and without that writes the tables alone.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.analysis import SMOOTH, TARGETS, TAUS
from benchmarks.problems import CHAIN, VLSE
from benchmarks.report import in_words, markdown, markdown_table, with_interval
from benchmarks.significance import ALPHA
from benchmarks.verdict import Study, Verdict, row_of
from pop_optimizer.checkpoint import write_atomically

ROOT = Path(__file__).parents[1]
SUMMARIES = ROOT / "docs" / "results"
FIGURES = {"vlse/regret.png": "docs/regret.png", "plain/data_profile.png": "docs/data_profile.png"}
"""Figures of the documentation, by where they are in the folder of results."""

POP, PAPER = "pop", "pop-paper"
SHIFTED = f"{VLSE}, shifted"
BUDGET = 50
NAMES = {POP: "**POP**", PAPER: "POP, as the paper trains it"}

CLAIMS = {
    "first-order, gradient-based (both versions)": r"gradient_descent|momentum|rmsprop|adam|lbfgsb|lbfgsb_restarts",
    "evolutionary and other non-convex (first version only)": r"cma_es|differential_evolution|genetic_algorithm|"
    r"nelder_mead|direct|dual_annealing|basin_hopping|random_search|ngopt|tpe|stogo|mlsl\w*|tiktak|scatter_search|"
    r"direct_l|bobyqa\w*|bads",
    "Bayesian optimization (first version only)": r"\w*bayesian_optimization",
    "VeLO, learned (first version only)": r"velo",
}
"""Whom the paper's versions say that POP beats: what they call them, and our names of them, but for "-tuned"."""

_MARK = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end of table -->)", re.DOTALL)
_WIDTH = 1200  # pixels of a figure
_SOLVERS = ("pop", "lbfgsb_restarts", "lbfgsb", "least_squares")
_OTHERS = ("vlse", "shifted", "plain", "rosenbrock", "bbob", "gkls", "zeroshot", "values", "slow")  # with own tables
_HEADLINE = {
    "the 47": ("vlse", VLSE),
    "the 43 smooth of them": ("vlse", SMOOTH),
    "the 47 shifted": ("shifted", SHIFTED),
}


def studies() -> dict[str, Study]:
    """The summaries that are kept, by name."""
    return {path.stem: Study.from_json(path.read_text("utf-8")) for path in sorted(SUMMARIES.glob("*.json"))}


def update(results: Path) -> None:
    """Takes the summaries and the figures from folders of results.

    Raises:
        FileNotFoundError: If there are none.
    """
    found = sorted(results.glob("*/summary.json"))
    if not found:
        raise FileNotFoundError(f"{results} holds no NAME/summary.json: run the benchmark, or name another folder")
    for path in found:
        write_atomically(SUMMARIES / f"{path.parent.name}.json", path.read_bytes())
    for source, target in FIGURES.items():
        if (results / source).is_file():
            _draw_small(results / source, ROOT / target)


def _draw_small(source: Path, target: Path) -> None:
    """Copies a figure to the width and the number of colours that a page needs."""
    with Image.open(source) as figure:
        height = round(figure.height * min(1, _WIDTH / figure.width))
        small = figure.convert("RGB").resize((min(figure.width, _WIDTH), height), Image.Resampling.LANCZOS)
    small.quantize(64).save(target, optimize=True)


def written() -> dict[Path, str]:
    """Every page with its tables as the summaries have them."""
    kept = studies()
    pages = {SUMMARIES / f"{name}.md": markdown(study) for name, study in kept.items()}

    @cache
    def made(name: str) -> str:
        return "\n".join(TABLES[name](kept))

    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        if path not in pages and "_build" not in path.parts:
            text = path.read_text("utf-8")
            filled = _MARK.sub(lambda mark: f"{mark[1]}\n{made(mark[2])}\n\n{mark[3]}", text)
            if filled != text or _MARK.search(text):
                pages[path] = filled
    return pages


def write() -> list[Path]:
    """Writes the tables; returns the pages that have changed."""
    pages = written()
    changed = [path for path, text in pages.items() if not path.is_file() or path.read_text("utf-8") != text]
    for path in changed:
        write_atomically(path, pages[path].encode())
    return changed


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _name(method: str) -> str:
    return NAMES.get(method, method)


def _p(verdict: Verdict, method: str) -> str:
    """The p-value that POP is better."""
    return "" if method == POP else f"{verdict.p_better(POP, method):.2g}"


def headline(kept: Mapping[str, Study]) -> list[str]:
    """The first table: the functions as they are, the smooth ones of them, and all of them shifted."""
    found = {title: _need(kept[study], sample) for title, (study, sample) in _HEADLINE.items()}
    first = found["the 47"]
    lines = [
        _row(["method", "regret, 47", "rank", "p", "regret, 43 smooth", "p", "regret, 47 shifted", "rank", "p", "ms"]),
        _row(["---", *["---:"] * 9]),
    ]
    for method in first.methods:
        cells = [_name(method)]
        for verdict in found.values():
            row = verdict.row(method)
            cells += [with_interval(row, "log10_regret", 2)]
            cells += [] if verdict.sample == SMOOTH else [f"{row['rank']:.2f}"]
            cells += [_p(verdict, method)]
        lines.append(_row([*cells, f"{first.row(method)['ms_per_step']:.2f}"]))
    return lines


def headline_in_words(kept: Mapping[str, Study]) -> list[str]:
    """Who is as good as POP, or better, on each of the samples of the first table."""
    lines = []
    for what, (study, sample) in _HEADLINE.items():
        lines.append(f"- On {what}: {_against_pop(_need(kept[study], sample))}")
    return _wrapped(lines)


def headline_in_short(kept: Mapping[str, Study]) -> list[str]:
    """Who has a lower mean regret than POP or a better mean rank, and over how many it is significantly better."""
    lines = []
    for what, (study, sample) in _HEADLINE.items():
        verdict = _need(kept[study], sample)
        pop, rivals = verdict.row(POP), [method for method in verdict.methods if method != POP]
        ahead = [
            ", ".join(method for method in rivals if verdict.row(method)[measure] < pop[measure]) or "nobody"
            for measure in ("log10_regret", "rank")
        ]
        lines.append(
            f"- On {what}: ahead in regret {ahead[0]}; in rank {ahead[1]}; POP is significantly better than "
            f"{len(_beaten_by_pop(verdict))} of {len(rivals)}."
        )
    return _wrapped(lines)


def _against_pop(verdict: Verdict) -> str:
    """Who beats POP in a measure, significantly or not, and who cannot be told from it."""
    pop = verdict.row(POP)
    rivals = {method: verdict.row(method) for method in verdict.methods if method != POP}
    better = []
    for measure, title, digits, sign in (
        ("log10_regret", "regret", 2, 1),
        ("strict_log10_regret", "strict regret", 2, 1),
        ("rank", "rank", 2, 1),
        ("ni", "NI", 3, -1),
        ("reached_1e-2", "share of runs to 1e-2", 2, -1),
    ):
        ahead = {name: row[measure] for name, row in rivals.items() if sign * row[measure] < sign * pop[measure]}
        if measure == "strict_log10_regret":  # who is ahead without more evaluations has been named
            ahead = {name: value for name, value in ahead.items() if value < rivals[name]["log10_regret"]}
        if ahead:
            names = ", ".join(f"{_name(name)} ({value:.{digits}f})" for name, value in ahead.items())
            better.append(f"in {title} ({pop[measure]:.{digits}f}) by {names}")
    worse = [name for name in rivals if _is_worse(verdict, POP, name)]
    p = {name: verdict.p_better(POP, name) for name in rivals}
    same = [f"{name} (p = {p[name]:.2g})" for name in rivals if p[name] >= ALPHA]
    words = f"POP is beaten {'; '.join(better)}. " if better else "POP is first in regret, rank, NI and runs to 1e-2. "
    if worse:
        words += f"It is significantly worse than {', '.join(worse)}. "
    significant = f"It is significantly better than {len(p) - len(same)} of {len(p)} methods"
    return words + significant + (f", not than {', '.join(same)}." if same else ".")


def _is_worse(verdict: Verdict, policy: str, rival: str) -> bool:
    """Whether a rival is significantly better than a policy, in the matrix of all pairs."""
    ahead = verdict.row(rival)["log10_regret"] < verdict.row(policy)["log10_regret"]
    return ahead and verdict.p(policy, rival) < ALPHA


def more(kept: Mapping[str, Study]) -> list[str]:
    """What the first table leaves out of the 47 functions: NI, the strict ranks, and how many runs get there."""
    verdict = _need(kept["vlse"], VLSE)
    cells: dict[str, list[str]] = {}
    rows = [verdict.row(method) for method in verdict.methods]
    cells["NI"] = [with_interval(row, "ni", 3) for row in rows]
    cells["log10 regret"] = [with_interval(row, "log10_regret", 2) for row in rows]
    cells["rank"] = [with_interval(row, "rank", 2) for row in rows]
    cells["strict rank"] = [with_interval(row, "strict_rank", 2) for row in rows]
    cells[f"runs to {', '.join(TARGETS)}, %"] = [
        ", ".join(f"{100 * row[f'reached_{name}']:.0f}" for name in TARGETS) for row in rows
    ]
    return markdown_table("method", map(_name, verdict.methods), cells)


def claims(kept: Mapping[str, Study]) -> list[str]:
    """Whom both versions of the paper say that POP beats, and how many of them it does, significantly."""
    lines = [_row(["the paper says that POP beats", "policy", *_HEADLINE]), _row(["---"] * (2 + len(_HEADLINE)))]
    for claim, pattern in CLAIMS.items():
        for policy in (PAPER, POP):
            cells = [
                _beaten(kept[study], sample, policy, re.compile(rf"({pattern})(-tuned)?"))
                for study, sample in _HEADLINE.values()
            ]
            lines.append(_row([claim if policy == PAPER else "", _name(policy), *cells]))
    return lines


def _beaten(study: Study, sample: str, policy: str, pattern: re.Pattern[str]) -> str:
    """How many of these methods a policy beats significantly, and who the others are; slow ones on shared starts."""
    verdicts = [v for shared in (False, True) if (v := study.verdict(sample, BUDGET, shared=shared))]
    rivals = dict.fromkeys(m for v in verdicts for m in v.methods if pattern.fullmatch(m))
    if not rivals:
        return "not run"
    better, same = [], []
    for rival in rivals:
        verdict = next(v for v in verdicts if {rival, policy} <= set(v.methods))
        if _is_worse(verdict, policy, rival):
            better.append(rival)
        elif (p := verdict.p_better(policy, rival)) >= ALPHA:
            same.append(f"{rival} (p = {p:.2g})")
    words = [f"{len(rivals) - len(better) - len(same)} of {len(rivals)}"]
    words += [f"better than it: {', '.join(better)}"] if better else []
    words += [f"not shown for {', '.join(same)}"] if same else []
    return "; ".join(words)


def claims_in_words(kept: Mapping[str, Study]) -> list[str]:
    """What of both versions is reproduced: the second's claim on its 43 functions, the first's on the 47."""
    first_order, *rest = CLAIMS
    lines = []
    for policy in (PAPER, POP):
        claimed = {"second": ("the 43 smooth of them", [first_order]), "first": ("the 47", [first_order, *rest])}
        for version, (where, kinds) in claimed.items():
            words = [f"{what}: {_beaten_all(kept, what, policy, kinds)}" for what in (where, "the 47 shifted")]
            lines.append(f"- {_name(policy)}, the {version} version's claim, on {'; on '.join(words)}.")
    return _wrapped(lines)


def _beaten_all(kept: Mapping[str, Study], where: str, policy: str, kinds: list[str]) -> str:
    """Whether a policy beats all rivals of these kinds that were run, and which kinds were not."""
    study, sample = _HEADLINE[where]
    cells = {kind: _beaten(kept[study], sample, policy, re.compile(rf"({CLAIMS[kind]})(-tuned)?")) for kind in kinds}
    run = {kind: cell for kind, cell in cells.items() if cell != "not run"}
    missed = [kind.split(" (")[0] for kind, cell in run.items() if ";" in cell]
    absent = [kind.split(" (")[0] for kind in cells if kind not in run]
    words = f"not reproduced against methods that are {' or '.join(missed)}" if missed else "reproduced"
    return words + (f" (not run here: {', '.join(absent)})" if absent else "")


def _wrapped(lines: Iterable[str]) -> list[str]:
    """Items of a list, broken into lines of the documentation's length."""
    return [
        part
        for line in lines
        for part in textwrap.wrap(line, 120, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    ]


def share_solved(kept: Mapping[str, Study]) -> list[str]:
    """The share of plain problems that are solved."""
    budgets = sorted({verdict.budget for verdict in kept["plain"].verdicts})
    titles = [f"T = {budget}" for budget in budgets]
    lines = [_row([f"share solved to {' / '.join(TAUS)}, %", *titles]), _row(["---", *["---:"] * len(titles)])]
    for sample in ("MGH", "NIST"):
        for method in _SOLVERS:
            tables = [row_of(_solved(_need(kept["plain"], sample, budget)), method) for budget in budgets]
            note = ", which sees residuals" if method == "least_squares" else ""
            cells = [" / ".join(f"{100 * row[f'tau_{name}']:.0f}" for name in TAUS) for row in tables]
            lines.append(_row([f"{sample.lower()}: {_name(method)}{note}", *cells]))
    return lines


def four_digits(kept: Mapping[str, Study]) -> list[str]:
    """NIST's fits to four digits."""
    budgets = sorted({verdict.budget for verdict in kept["plain"].verdicts})
    lines = [
        _row(["NIST, four digits of the certified sum of squares, %", *(f"T = {budget}" for budget in budgets)]),
        _row(["---", *["---:"] * len(budgets)]),
    ]
    for method in _SOLVERS:
        rows = [row_of(_solved(_need(kept["plain"], "NIST", budget)), method) for budget in budgets]
        lines.append(_row([_name(method), *(with_interval(row, "four_digits", 0, 100.0) for row in rows)]))
    return lines


def chain(kept: Mapping[str, Study]) -> list[str]:
    """How many evaluations the Rosenbrock chain takes."""
    (verdict,) = kept["rosenbrock"].verdicts
    medians = verdict.medians
    assert medians is not None
    titles = [str(name).removeprefix(CHAIN)[1:] for name in medians]
    lines = [
        _row(["the Rosenbrock chain: median evaluations to 1e-6", *titles]),
        _row(["---", *["---:"] * len(titles)]),
    ]
    for method in _SOLVERS:
        if method in medians.index:
            cells = [f"{value:.0f}" if np.isfinite(value) else "-" for value in row_of(medians, method).values()]
            lines.append(_row([_name(method), *cells]))
    return lines


def others(kept: Mapping[str, Study]) -> list[str]:
    """All other studies: the two methods with the best mean ranks, and POP."""
    lines = [
        _row(["functions", "method", "NI", "log10 regret", "mean rank", "p against POP"]),
        _row(["---", "---", *["---:"] * 4]),
    ]
    for name in [*_ORDER, *(name for name in kept if name not in (*_ORDER, *_OTHERS))]:
        for verdict in kept[name].verdicts if name in kept else ():
            if verdict.shared or verdict.sample == SMOOTH or POP not in verdict.methods:
                continue
            title = verdict.sample if verdict.budget == BUDGET else f"{verdict.sample}, T = {verdict.budget}"
            for place, method in enumerate(verdict.methods):
                if place < 2 or method == POP:
                    row = verdict.row(method)
                    cells = [with_interval(row, *of) for of in (("ni", 3), ("log10_regret", 2), ("rank", 2))]
                    lines.append(_row([title, _name(method), *cells, _p(verdict, method)]))
                    title = ""
    return lines


_ORDER = ("h1", "h2", "kernels", "budgets", "robust", "scaled")


def others_in_words(kept: Mapping[str, Study]) -> list[str]:
    """Where a rival beats POP in the other studies."""
    lines = []
    for name in [*_ORDER, *(name for name in kept if name not in (*_ORDER, *_OTHERS))]:
        for verdict in kept[name].verdicts if name in kept else ():
            if verdict.shared or verdict.sample == SMOOTH or POP not in verdict.methods:
                continue
            regrets = {method: verdict.row(method)["log10_regret"] for method in verdict.methods}
            ahead = [method for method in regrets if regrets[method] < regrets[POP]]
            ahead += [method for method in verdict.methods[: verdict.methods.index(POP)] if method not in ahead]
            if ahead:
                names = ", ".join(f"{m}{' (significantly)' if _is_worse(verdict, POP, m) else ''}" for m in ahead)
                lines.append(f"- {verdict.sample}, T = {verdict.budget}: {names}")
    return _wrapped(lines) or ["Nowhere."]


def other_people(kept: Mapping[str, Study]) -> list[str]:
    """Mean regrets on other people's problems, the lowest in bold, and whom POP is better than."""
    verdicts = _other_people(kept)
    methods = list(dict.fromkeys(method for verdict in verdicts for method in sorted(verdict.methods, key=POP.__ne__)))
    lines = [
        _row(["functions", "T", *map(_name, methods), "POP is better than"]),
        _row(["---", *["---:"] * (1 + len(methods)), "---"]),
    ]
    for verdict in verdicts:
        regrets = {method: verdict.row(method)["log10_regret"] for method in verdict.methods}
        cells = [f"{regrets[method]:.2f}" if method in regrets else "" for method in methods]
        lowest = f"{min(regrets.values()):.2f}"
        cells = [f"**{cell}**" if cell == lowest else cell for cell in cells]
        lines.append(_row([verdict.sample, str(verdict.budget), *cells, ", ".join(_beaten_by_pop(verdict)) or "none"]))
    return lines


def other_people_in_words(kept: Mapping[str, Study]) -> list[str]:
    """How often a rival is ahead of POP on other people's problems, and whether significantly."""
    lines = []
    for name in ("bbob", "gkls", "zeroshot"):
        verdicts = [verdict for verdict in _other_people(kept) if verdict in kept[name].verdicts]
        ahead: dict[str, int] = {}
        worse: list[str] = []
        for verdict in verdicts:
            pop = verdict.row(POP)["log10_regret"]
            for method in verdict.methods:
                if verdict.row(method)["log10_regret"] < pop:
                    ahead[method] = ahead.get(method, 0) + 1
                    if _is_worse(verdict, POP, method):
                        worse.append(f"{method} on {verdict.sample}, T = {verdict.budget}")
        better: dict[str, int] = {}
        for verdict in verdicts:
            for method in _beaten_by_pop(verdict):
                better[method] = better.get(method, 0) + 1
        first = sum(all(v.row(POP)["log10_regret"] <= v.row(m)["log10_regret"] for m in v.methods) for v in verdicts)
        words = f"- {name}: of {len(verdicts)} rows, POP has the lowest mean regret in {first}. "
        words += f"A rival is ahead of it: {_counted(ahead)}; significantly: {', '.join(worse) or 'none'}. "
        lines.append(words + f"POP is significantly better: than {_counted(better)}.")
    return _wrapped(lines)


def _other_people(kept: Mapping[str, Study]) -> list[Verdict]:
    return [v for name in ("bbob", "gkls", "zeroshot") for v in kept[name].verdicts if not v.shared]


def _beaten_by_pop(verdict: Verdict) -> list[str]:
    return [m for m in verdict.methods if m != POP and verdict.p_better(POP, m) < ALPHA]


def _counted(rows: Mapping[str, int]) -> str:
    """Methods with the numbers of rows, the most first."""
    return ", ".join(f"{m} in {n}" for m, n in sorted(rows.items(), key=lambda item: -item[1])) or "none"


def few_starts(kept: Mapping[str, Study]) -> list[str]:
    """The rivals that are slow, from few starts."""
    lines = [
        _row(["functions", "method", "log10 regret", "strict regret", "rank", "p", "ms"]),
        _row(["---", "---", *["---:"] * 5]),
    ]
    for verdict in _few_starts(kept):
        title = verdict.title
        for method in verdict.methods:
            row = verdict.row(method)
            strict = "" if np.isnan(row["strict_log10_regret"]) else f"{row['strict_log10_regret']:.2f}"
            cells = [with_interval(row, "log10_regret", 2), strict, f"{row['rank']:.2f}", _p(verdict, method)]
            lines.append(_row([title, _name(method), *cells, f"{row['ms_per_step']:.1f}"]))
            title = ""
    return lines


def few_starts_in_words(kept: Mapping[str, Study]) -> list[str]:
    """Who of them is as good as POP, or better."""
    return _wrapped(f"- {verdict.title}: {_against_pop(verdict)}" for verdict in _few_starts(kept))


def _few_starts(kept: Mapping[str, Study]) -> list[Verdict]:
    return [v for name in ("values", "slow") for v in kept[name].verdicts if v.sample != SMOOTH]


def commands(kept: Mapping[str, Study]) -> list[str]:
    """The commands of all studies."""
    from benchmarks.studies import STUDIES, shown

    return ["```bash", *(line for name in STUDIES for line in shown(name)), "```"]


def tests(kept: Mapping[str, Study]) -> list[str]:
    """Friedman's test on the first table's samples."""
    verdicts = [_need(kept[study], sample) for study, sample in _HEADLINE.values()]
    return _wrapped(f"- {verdict.title}: {in_words(verdict.tests)}" for verdict in verdicts)


def _need(study: Study, sample: str, budget: int = BUDGET) -> Verdict:
    verdict = study.verdict(sample, budget)
    if verdict is None:
        raise ValueError(f"the tables need a verdict on {sample} with T = {budget}, and the study has none")
    return verdict


def _solved(verdict: Verdict) -> pd.DataFrame:
    assert verdict.solved is not None
    return verdict.solved


TABLES: dict[str, Callable[[Mapping[str, Any]], list[str]]] = {
    "headline": headline,
    "headline-in-words": headline_in_words,
    "headline-in-short": headline_in_short,
    "more": more,
    "claims": claims,
    "claims-in-words": claims_in_words,
    "tests": tests,
    "share-solved": share_solved,
    "four-digits": four_digits,
    "chain": chain,
    "other-people": other_people,
    "other-people-in-words": other_people_in_words,
    "few-starts": few_starts,
    "few-starts-in-words": few_starts_in_words,
    "others": others,
    "others-in-words": others_in_words,
    "commands": commands,
}
"""By the name in the Markdown: the lines of each, from the studies by their names."""


def main() -> None:
    """Writes the tables; from the folder of results that the command line has, if it has one."""
    if len(sys.argv) > 1:
        update(Path(sys.argv[1]))
    for path in write():
        print(f"written: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
