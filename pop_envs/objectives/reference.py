"""What the reward may know and the policy may not: a function's spread and a reference minimum."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from pop_envs.objectives.base import Objective, evaluate
from pop_envs.search.trust_region import TrustRegion

NUM_PROBES = 64
_STARTS = 6
_ITERATIONS = 40


@lru_cache(maxsize=64)
def _probes(dim: int, count: int) -> Tensor:
    """Fixed low-discrepancy points (count, dim) of the unit box."""
    with torch.device("cpu"):  # the engine makes tensors of its own
        engine = torch.quasirandom.SobolEngine(dim, scramble=True, seed=0)
        first = engine.quasi.to(torch.float32) / 2**engine.MAXBIT
        points = engine.draw(count, dtype=torch.float64)
    points[0] = first  # of the default precision, whatever that is, in the engine's words
    return 2 * points - 1


def _finite(values: Tensor) -> Tensor:
    return torch.where(values.isfinite(), values, torch.inf)


def spread(objective: Objective, device: torch.device | str = "cpu") -> Tensor:
    """Mean minus minimum of each function on NUM_PROBES points, (batch or 1,); 1 where that is 0.

    It makes rewards of functions of any scale comparable.
    """
    values = _finite(objective.values_on(_probes(objective.dim, NUM_PROBES).to(device)))
    finite = values.isfinite()
    mean = torch.where(finite, values, 0.0).sum(-1) / finite.sum(-1).clamp(min=1)
    width = mean - values.amin(-1)
    return torch.where(width.isfinite() & (width > 0), width, 1.0)


def reference_minimum(objective: Objective, device: torch.device | str = "cpu", num_probes: int = NUM_PROBES) -> Tensor:
    """A value (batch or 1,) near each function's minimum: quasi-Newton descents from the best probes."""
    probes = _probes(objective.dim, num_probes).to(device)
    values = _finite(objective.values_on(probes))
    batch = len(values)
    start_values, starts = values.topk(_STARTS, largest=False)
    functions = objective.rows(torch.arange(batch, device=values.device).repeat_interleave(_STARTS))
    found = trust_region_values(functions, probes[starts.flatten()], _ITERATIONS, far=False).amin(1)
    return torch.minimum(found.unflatten(0, (batch, _STARTS)), start_values).amin(-1)


def trust_region_values(objective: Objective, x: Tensor, steps: int, far: bool = True) -> Tensor:
    """Values (batch, steps + 1), infinite where there are none, of descents from ``x`` (batch, dim).

    They go wherever the trust region proposes; their first steps are long if ``far``, see ``TrustRegion.start``.
    """
    y, g, _ = _evaluate(objective, x)
    descent, values = TrustRegion.start(x, y, g, far), [y]
    for _ in range(steps):
        y, g, valid = _evaluate(objective, descent.proposal)
        descent.update(descent.proposal, y, g, valid, exact=True)
        values.append(y)
    return torch.stack(values, 1)


def _evaluate(objective: Objective, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Values, gradients without what is not finite, and where values are."""
    y, g = evaluate(objective, x)
    valid = y.isfinite()
    return torch.where(valid, y, torch.inf), g.nan_to_num(0.0, 0.0, 0.0), valid
