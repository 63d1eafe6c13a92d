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
# Shares of the spread: a descent ends where the way to a wall along the slope promises less than the first and the next
# step less than the second. Of 512 functions of the priors "gp", "wide" and "kernels" in two dimensions and 256 in
# eight no minimum is then higher by more than 1e-14 of the spread than after all iterations, of which two dimensions
# take a quarter.
_FLAT, _NOTHING = 1e-6, 1e-15
_CHECK_EVERY = 4


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
    return _spread(_finite(objective.values_on(_probes(objective.dim, NUM_PROBES).to(device))))


def _spread(values: Tensor) -> Tensor:
    """Mean minus minimum (batch,) of values (batch, n), infinite where there are none; 1 where that is 0."""
    finite = values.isfinite()
    mean = torch.where(finite, values, 0.0).sum(-1) / finite.sum(-1).clamp(min=1)
    width = mean - values.amin(-1)
    return torch.where(width.isfinite() & (width > 0), width, 1.0)


def reference_minimum(objective: Objective, device: torch.device | str = "cpu", num_probes: int = NUM_PROBES) -> Tensor:
    """A value (batch or 1,) near each function's minimum: quasi-Newton descents from the best probes.

    They go on until nothing is left to gain, for at most ``_ITERATIONS`` steps.
    """
    probes = _probes(objective.dim, num_probes).to(device)
    values = _finite(objective.values_on(probes))
    unit = _spread(values).repeat_interleave(_STARTS)
    start_values, starts = values.topk(_STARTS, largest=False)
    functions = objective.rows(torch.arange(len(values), device=values.device).repeat_interleave(_STARTS))
    x = probes[starts.flatten()]
    y, g, _ = _evaluate(functions, x)
    descent, lowest, going = TrustRegion.start(x, y, g, far=False), y, torch.arange(len(y), device=y.device)
    for step in range(_ITERATIONS):
        if step and step % _CHECK_EVERY == 0:  # at the same steps whatever the others of the batch do
            on = ~_converged(descent, unit)
            functions, descent, going, unit = functions.rows(on.nonzero()[:, 0]), descent.rows(on), going[on], unit[on]
            if not len(going):
                break
        y, g, valid = _evaluate(functions, descent.proposal)
        descent.update(descent.proposal, y, g, valid, exact=True)
        lowest = lowest.index_copy(0, going, torch.minimum(lowest[going], y))
    return torch.minimum(lowest.unflatten(0, start_values.shape), start_values).amin(-1)


def _converged(descent: TrustRegion, unit: Tensor) -> Tensor:
    """Where (batch,) a descent promises next to nothing, in units (batch,) of the values."""
    flat = (descent.g.abs() * (1 + descent.x * descent.g.sign())).sum(-1) <= _FLAT * unit
    return flat & (descent.predicted_reduction <= _NOTHING * unit)


def trust_region_values(objective: Objective, x: Tensor, steps: int, far: bool = True) -> Tensor:
    """Values (batch, steps + 1), infinite where there are none, of descents from ``x`` (batch, dim).

    They go wherever the trust region proposes; their first steps are long if ``far``, see ``TrustRegion.start``.
    """
    y, g, _ = _evaluate(objective, x)
    descent, values = TrustRegion.start(x, y, g, far), [y]
    for _ in range(steps):
        y, g, valid = _evaluate(objective, descent.proposal)
        descent.update(descent.proposal, y, g, valid)
        values.append(y)
    return torch.stack(values, 1)


def _evaluate(objective: Objective, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Values, gradients without what is not finite, and where values are."""
    y, g = evaluate(objective, x)
    valid = y.isfinite()
    return torch.where(valid, y, torch.inf), g.nan_to_num(0.0, 0.0, 0.0), valid
