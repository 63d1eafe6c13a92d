"""All studies of the documentation, by one command: ``python -m benchmarks.studies`` runs them and writes the tables.

What is in the results folder already is not run again, so that the command goes on where it was stopped.
"""

from __future__ import annotations

import shlex
import textwrap
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console

from agents.training.command_line import command
from benchmarks import tables, vlse
from benchmarks.jobs import RESUMABLE
from benchmarks.report import report
from benchmarks.run import forget, report_again, run
from benchmarks.sweep import Sweep

_DESCRIPTION = "Runs what is missing of all studies, reports on them, and writes the documentation's tables."

_FEW = "pop lbfgsb_restarts dual_annealing-tuned basin_hopping-tuned direct differential_evolution-tuned"
_BEST = "stogo mlsl-tuned tiktak-tuned scatter_search-tuned"
_GLOBAL = f"{_BEST} mlsl tiktak scatter_search direct_l-tuned"
_MANY = f"{_FEW} lbfgsb dual_annealing cma_es-tuned adam-tuned random_search {_GLOBAL}"
_OTHERS = f"pop lbfgsb_restarts cma_es dual_annealing-tuned mlsl {_BEST}"
_SHIPPED = "--checkpoint pop=pop_optimizer/weights/pop"
_POP = f"--no-strict {_SHIPPED}"

STUDIES = {
    "vlse": f"--methods {_MANY}",
    "shifted": f"--suite shifted --starts 8 --methods {_MANY}",
    "plain": "--suite mgh nist --methods pop lbfgsb lbfgsb_restarts least_squares --budgets 50 200 500 --starts 5 "
    f"{_POP}",
    "rosenbrock": f"--suite rosenbrock --methods pop lbfgsb lbfgsb_restarts --budgets 500 --starts 20 {_POP}",
    "h1": f"--suite gp wide --count 1024 --starts 1 --methods {_FEW} {_POP}",
    "h2": f"--suite gp wide --dims 8 16 32 --count 256 --starts 1 --methods {_FEW} {_POP}",
    "kernels": f"--suite kernels --dims 2 8 16 --count 256 --starts 1 --methods {_FEW} {_POP}",
    "budgets": f"--budgets 100 200 --starts 8 --methods {_FEW} {_BEST} {_POP}",
    "robust": f"--suite rotated noisy --starts 8 --methods {_FEW} {_GLOBAL} {_POP}",
    "scaled": f"--suite scaled --dims 5 10 --starts 8 --methods {_FEW} {_GLOBAL} {_POP}",
    "bbob": f"--suite bbob --dims 2 3 5 10 --starts 1 --budgets 10 50 100 --per-dim --methods {_OTHERS} {_SHIPPED}",
    "gkls": "--suite gkls --dims 2 3 4 5 --count 8 --starts 1 --budgets 10 50 100 --per-dim --methods "
    f"{_OTHERS} {_POP}",
    "zeroshot": f"--suite zeroshot --dims 2 3 4 6 8 10 --starts 4 --budgets 19 29 39 49 --methods {_OTHERS} {_SHIPPED}",
    "values": "--suite vlse shifted --starts 1 --methods pop lbfgsb_restarts direct cma_es-tuned bobyqa bads "
    f"{_SHIPPED}",
    "slow": f"--functions {' '.join(vlse.names()[::4])} --starts 1 --slow-starts 1 --budgets 20 --methods pop "
    f"lbfgsb_restarts scatter_search-tuned bobyqa bads bayesian_optimization gradient_bayesian_optimization {_POP}",
}
"""What each runs, as the command line of ``benchmarks.run``; its results are in results/NAME."""


def sweep(name: str, out: Path) -> Sweep:
    """A study as it is run."""
    return tyro.cli(Sweep, args=[*shlex.split(STUDIES[name]), "--out", str(out / name)])


def shown(name: str) -> list[str]:
    """The command of a study, as lines for a shell."""
    line = f'make benchmark ARGS="{STUDIES[name]} --out results/{name}"'
    return " \\\n".join(textwrap.wrap(line, 116, subsequent_indent="  ", break_on_hyphens=False)).split("\n")


@dataclass(frozen=True)
class Studies:
    """Which to run, and where.

    Attributes:
        only: Names of studies; by default all.
        out: Folder of the results, one for each study.
        anew: Methods whose runs are deleted first and made again, such as pop where its checkpoint is another.
        report_only: Runs nothing, and reports on what is there.
        write: Whether the documentation's tables are written too.
    """

    only: tuple[str, ...] = tuple(STUDIES)
    out: Path = Path("results")
    anew: tuple[str, ...] = ()
    report_only: bool = False
    write: bool = True

    def __post_init__(self) -> None:
        if unknown := [name for name in self.only if name not in STUDIES]:
            raise ValueError(f"unknown studies: {', '.join(unknown)}; choose from {', '.join(STUDIES)}")


def main() -> None:
    """Runs the studies of the command line."""
    console = Console()
    with command(console, RESUMABLE):
        studies = tyro.cli(Studies, description=_DESCRIPTION)
        if not studies.report_only:
            for name in studies.only:
                console.rule(name)
                chosen = sweep(name, studies.out)
                forget(chosen, studies.anew)
                report(run(chosen, console), chosen.out, "\n".join(shown(name)), console)
        report_again(studies.out, "python -m benchmarks.studies", console)
        if studies.write:
            tables.update(studies.out)
            for path in tables.write():
                console.print(f"Written: {path}", highlight=False)


if __name__ == "__main__":
    main()
