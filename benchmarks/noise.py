"""What it is worth to trust slopes where values contradict them: ``python -m benchmarks.noise``.

The shipped policy on validation functions of each prior, with Gaussian noise on values and gradients as the benchmark's
noisy suite has it, runs three times: as it is, with steps of any length that may contradict, and with values alone. Runs
are judged by the true values of the points that they evaluate. Writes docs/results/noise.json, which
``python -m benchmarks.tables`` makes a table of.
"""

from __future__ import annotations

import json
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
from pop_envs.measures import log10_regret
from pop_envs.objectives.base import evaluate
from pop_envs.objectives.priors import PRIORS
from pop_envs.search import trust_region
from pop_optimizer.checkpoint import load_checkpoint, write_atomically

FILE = Path(__file__).parents[1] / "docs" / "results" / "noise.json"
SHIPPED = Path(__file__).parents[1] / "pop_optimizer" / "weights" / "pop"
LEVELS = (0.0, 1e-3, 1e-2, 1e-1)
RULES = ("short steps", "steps of any length", "values alone")
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
    out: Path = FILE
    """Where the figures go."""


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


def measured(study: NoiseStudy) -> list[dict[str, object]]:
    """A row for each prior, number of coordinates and level: means by rule, and the spread of their differences."""
    rows: list[dict[str, object]] = []
    for prior in PRIORS:
        for dim in study.dims:
            functions = ValidationSet.of(prior, study.budget, study.functions, dim)
            for level in LEVELS:
                each = {}
                for rule in RULES:
                    with trusting(rule):
                        each[rule] = regret(functions, level)
                shipped = each[RULES[0]]
                spread = {rule: (shipped - r).std() / len(shipped) ** 0.5 for rule, r in each.items() if rule != RULES[0]}
                rows.append(
                    {
                        "prior": prior,
                        "dim": dim,
                        "noise": level,
                        "log10 regret": {rule: round(float(r.mean()), 3) for rule, r in each.items()},
                        "standard error of the difference": {k: round(float(v), 3) for k, v in spread.items()},
                    }
                )
                print(json.dumps(rows[-1]), flush=True)
    return rows


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    study = tyro.cli(NoiseStudy, args=arguments, description=__doc__)
    rows = measured(study)
    record = {"functions": study.functions, "budget": study.budget, "rows": rows}
    study.out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(study.out, json.dumps(record, indent=1).encode() + b"\n")


if __name__ == "__main__":
    main()
