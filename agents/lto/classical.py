"""The classical optimizers of the paper's Table 1, batched, and grids over their settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pop_envs.lto.rewards import WORST
from pop_envs.objectives.learning_tasks import Losses

STEP_SIZES = tuple(2.0**k for k in range(-10, 7))
DECAYS = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)


@dataclass(frozen=True)
class Setting:
    """Of a classical optimizer."""

    step_size: float
    decay: float = 0.0


Rule = Callable[[Tensor, Tensor, Tensor, bool, Tensor], Tensor]
"""The next direction (batch, n, dim) from the gradient, the gradient before, the direction before, whether this is the
first step, and decays (n, 1)."""


def gradient_descent(g: Tensor, last_g: Tensor, last: Tensor, first: bool, decay: Tensor) -> Tensor:
    """Minus the gradient."""
    return -g


def momentum(g: Tensor, last_g: Tensor, last: Tensor, first: bool, decay: Tensor) -> Tensor:
    """Minus a sum of gradients with decaying weights."""
    return decay * last - g


def conjugate_gradient(g: Tensor, last_g: Tensor, last: Tensor, first: bool, decay: Tensor) -> Tensor:
    """Fletcher and Reeves's direction, taken with a fixed step size as in Table 1."""
    if first:
        return -g
    ratio = g.square().sum(-1, keepdim=True) / last_g.square().sum(-1, keepdim=True).clamp(min=1e-300)
    return ratio * last - g


RULES: dict[str, Rule] = {
    "gradient_descent": gradient_descent,
    "momentum": momentum,
    "conjugate_gradient": conjugate_gradient,
}


def descend(functions: Losses, x0: Tensor, steps: int, rule: str, settings: Sequence[Setting]) -> tuple[Tensor, Tensor]:
    """Runs with a fixed step size, one evaluation a step.

    Args:
        functions: A batch of functions.
        x0: A start for each (batch, dim).
        steps: Number of steps.
        rule: Name of the optimizer.
        settings: What to run it with.

    Returns:
        Points (batch, settings, steps + 1, dim) and values (batch, settings, steps + 1), the starts' first. What
        diverges has values beyond all bounds, or NaN.
    """
    size, decay = (
        torch.tensor([getattr(s, name) for s in settings], dtype=x0.dtype)[:, None] for name in ("step_size", "decay")
    )
    x = x0[:, None].expand(-1, len(settings), -1)
    direction = last_g = torch.zeros_like(x)
    points, values = [], []
    for step in range(steps + 1):
        y, g = functions.on(x)
        points.append(x)
        values.append(y)
        direction = RULES[rule](g, last_g, direction, step == 0, decay)
        last_g, x = g, x + size * direction
    return torch.stack(points, 2), torch.stack(values, 2)


def grid(rule: str) -> list[Setting]:
    """The settings that an optimizer is tuned over."""
    decays = DECAYS if rule == "momentum" else (0.0,)
    return [Setting(size, decay) for size in STEP_SIZES for decay in decays]


def costs(values: Tensor) -> Tensor:
    """Mean values after the start (...,) of runs (..., steps + 1): what tuning minimizes.

    Values are cut off, as margins of victory have them, so that one function that diverges does not decide alone.
    """
    return values[..., 1:].nan_to_num(WORST).clamp(max=WORST).mean(-1)


def best_momentum(functions: Losses, x0: Tensor, steps: int, *, shared: bool = False) -> tuple[list[Setting], Tensor]:
    """The best setting of momentum for each function, from its start, by a grid (section 5); or one for all.

    Returns:
        The settings, and the points that they lead to (batch, steps + 1, dim).
    """
    settings = grid("momentum")
    points, values = descend(functions, x0, steps, "momentum", settings)
    cost = costs(values)
    best = cost.mean(0).argmin().expand(len(cost)) if shared else cost.argmin(1)
    return [settings[i] for i in best.tolist()], points[torch.arange(len(best)), best]
