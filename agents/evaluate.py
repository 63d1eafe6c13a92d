"""Evaluates policies on functions of the priors that no training sees: ``python -m agents.evaluate runs/full-0``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.table import Column, Table

from agents.training.command_line import command
from agents.training.validation import TAU, Score, ValidationSet
from pop_envs.checks import positive_int
from pop_envs.objectives.priors import PRIORS
from pop_optimizer.ask_tell import Policy
from pop_optimizer.optimizer import policy_of

_DESCRIPTION = "Evaluates policies on validation functions of the priors."


@dataclass(frozen=True)
class Evaluation:
    """What to evaluate, and on what.

    Attributes:
        checkpoints: Checkpoint folders, or models that SB3 saved.
        priors: Names of the priors.
        size: Validation functions of each prior.
        first: How many of them to leave out: a choice is better checked on functions that it was not made on.
        dim: Their coordinates.
        budget: Steps per run.
        yardsticks: Whether methods that learn nothing are scored too; that takes longer than all else.
    """

    checkpoints: Annotated[tuple[Path, ...], tyro.conf.Positional]
    priors: tuple[Literal[*PRIORS], ...] = tuple(PRIORS)  # type: ignore[valid-type]
    size: int = 1024
    first: int = 0
    dim: int = 2
    budget: int = 50
    yardsticks: bool = True

    def __post_init__(self) -> None:
        for name in ("size", "dim", "budget"):
            positive_int(name, getattr(self, name))
        if self.first < 0:
            raise ValueError(f"first must be at least 0, got {self.first}")


def scores_of(name: str, policy: Policy, chosen: ValidationSet) -> dict[str, Score]:
    """A policy's scores, with the modes of its actions and with samples of them."""
    return {
        name: chosen.score(chosen.policy(policy, deterministic=True)),
        f"{name}, sampled": chosen.score(chosen.policy(policy)),
    }


def yardsticks(chosen: ValidationSet) -> dict[str, Score]:
    """Scores of methods that learn nothing."""
    runs = {
        "descent alone": chosen.descent,
        "L-BFGS-B, restarted": chosen.lbfgsb,
        "Adam": chosen.adam,
        "random search": chosen.random_search,
    }
    return {name: chosen.score(values()) for name, values in runs.items()}


def print_scores(scores: dict[str, dict[str, Score]], console: Console) -> None:
    """Prints scores by prior and method."""
    numbers = (Column(name, justify="right") for name in ("NI", "log10 regret", "solved, %"))
    title = f"On validation functions of the priors: mean ± standard error; solved to {TAU:.0e}"
    table = Table("prior", "method", *numbers, title=title)
    for prior, by_method in scores.items():
        for method, score in by_method.items():
            ni = f"{score.ni:.3f} ± {score.ni_error:.3f}"
            regret = f"{score.log10_regret:.2f} ± {score.log10_regret_error:.2f}"
            table.add_row(prior, method, ni, regret, f"{100 * score.solved:.1f} ± {100 * score.solved_error:.1f}")
        table.add_section()
    console.print(table)


def main() -> None:
    """Evaluates what the command line names."""
    console = Console()
    evaluation = tyro.cli(Evaluation, description=_DESCRIPTION)
    with command(console):
        policies = {str(path): policy_of(path) for path in evaluation.checkpoints}
        scores: dict[str, dict[str, Score]] = {}
        for prior in evaluation.priors:
            chosen = ValidationSet.of(prior, evaluation.budget, evaluation.size, evaluation.dim, evaluation.first)
            scores[prior] = yardsticks(chosen) if evaluation.yardsticks else {}
            for name, policy in policies.items():
                scores[prior] |= scores_of(name, policy, chosen)
    print_scores(scores, console)


if __name__ == "__main__":
    main()
