"""What it is worth to trust slopes where values contradict them: ``python -m benchmarks.noise``.

The shipped policy on validation functions of each prior, with Gaussian noise on values and gradients as in the noisy
suite of the benchmark, runs three times: as it is, with steps of any length that may contradict, and with values alone.
Runs are judged by the true values of the points that they evaluate. The table goes into docs/policy.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partialmethod
from pathlib import Path
from unittest import mock

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from torch import Tensor

from agents.training.validation import ValidationSet
from benchmarks.when import rewritten
from pop_envs.measures import log10_regret
from pop_envs.objectives.base import evaluate
from pop_envs.objectives.priors import PRIORS
from pop_envs.search import trust_region
from pop_optimizer.checkpoint import load_checkpoint, write_atomically

PAGE = Path(__file__).parents[1] / "docs" / "policy.md"
SHIPPED = Path(__file__).parents[1] / "pop_optimizer" / "weights" / "pop"
LEVELS = (0.0, 1e-3, 1e-2, 1e-1)
RULES = ("as it is", "steps of any length contradict", "values alone decide")
NAME = "contradictions"
_SEED, _POINTS = 20_250_217, 64


@dataclass(frozen=True)
class NoiseStudy:
    """What is measured."""

    functions: int = 256
    """Validation functions of each prior."""
    dims: tuple[int, ...] = (2, 8)
    """Numbers of coordinates."""
    budget: int = 50
    """Steps of a run."""
    page: Path = PAGE
    """Where the table goes, between ``<!-- contradictions -->`` and ``<!-- end of contradictions -->``."""


@contextmanager
def trusting(rule: str) -> Iterator[None]:
    """Within, the descent trusts slopes by one of ``RULES``."""
    exact = partialmethod(trust_region.TrustRegion.update, exact=True)
    with (
        mock.patch.object(trust_region, "_SHORT", trust_region._SHORT if rule == RULES[0] else np.inf),
        mock.patch.object(
            trust_region.TrustRegion, "update", exact if rule == RULES[2] else trust_region.TrustRegion.update
        ),
    ):
        yield


def noisy(functions: ValidationSet, level: float) -> tuple[Callable[[Tensor], tuple[Tensor, Tensor]], list[Tensor]]:
    """Values and gradients as they are seen, and a list that collects the true values (batch,) of each call.

    Noise is relative to median minus minimum of a function, and to the mean size of its slopes.
    """
    generator = torch.Generator("cpu").manual_seed(_SEED)
    batch, dim = functions.starts.shape
    points = 2 * torch.rand(_POINTS, dim, generator=generator, dtype=torch.float64) - 1
    slopes = [functions.functions.value_and_grad(x.expand(batch, -1))[1].abs().mean(1) for x in points]
    slope = torch.stack(slopes).mean(0)[:, None]
    height = torch.from_numpy(functions.median - functions.minimum)
    true: list[Tensor] = []

    def observe(x: Tensor) -> tuple[Tensor, Tensor]:
        y, g = evaluate(functions.functions, x)
        true.append(y)
        shaken = (torch.randn(part.shape, generator=generator, dtype=torch.float64) for part in (y, g))
        return y + level * height * next(shaken), g + level * slope * next(shaken)

    return observe, true


def regret(functions: ValidationSet, level: float) -> NDArray[np.float64]:
    """The shipped policy's log10 regret (batch,) under noise."""
    policy, _ = load_checkpoint(SHIPPED)
    observe, true = noisy(functions, level)
    with torch.no_grad():
        run = policy.start(functions.starts, *observe(functions.starts), functions.budget, deterministic=True)
        while not run.search.done.all():
            run.tell(*observe(run.ask()))
    best = torch.stack(true, 1).numpy().min(1)
    return np.asarray(log10_regret(best, functions.minimum, functions.median))


def table(study: NoiseStudy) -> Iterator[str]:
    """The table's lines: means by the shipped rule, and what the others lose to it with the standard error of that."""
    yield (
        "| log10 regret | "
        + " | ".join(f"noise = {LEVELS[0]:g}" if not level else f"{level:g}" for level in LEVELS)
        + " |"
    )
    yield "|---|" + "---:|" * len(LEVELS)
    for prior in PRIORS:
        for dim in study.dims:
            functions = ValidationSet.of(prior, study.budget, study.functions, dim)
            regrets = {}
            for rule in RULES:
                with trusting(rule):
                    regrets[rule] = [regret(functions, level) for level in LEVELS]
            shipped = regrets[RULES[0]]
            yield f"| {prior}, {dim}-D | " + " | ".join(f"{each.mean():.2f}" for each in shipped) + " |"
            for rule in RULES[1:]:
                losses = (other - own for own, other in zip(shipped, regrets[rule], strict=True))
                cells = (f"{loss.mean():+.2f} ± {loss.std() / len(loss) ** 0.5:.2f}" for loss in losses)
                yield f"| {prior}, {dim}-D: {rule} | " + " | ".join(cells) + " |"


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    study = tyro.cli(NoiseStudy, args=arguments, description=__doc__)
    lines = []
    for line in table(study):
        print(line, flush=True)
        lines.append(line)
    page = rewritten(study.page.read_text("utf-8"), NAME, "\n".join(lines))
    write_atomically(study.page, page.encode())


if __name__ == "__main__":
    main()
