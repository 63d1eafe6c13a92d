"""A batched quasi-Newton descent that can be left at any step, and goes on from wherever it is left to."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pop_envs.quasi_newton import QuasiNewton

# Euclidean lengths of first steps, in half-widths of the box: where nothing is known yet a long one leads out of
# poor basins; where there are better points already, a descent had better stay in the basin that it was sent to.
FAR, NEAR = 1.0, 0.3
# Other lengths are largest entries. All are chosen on validation functions, for the lowest value after 12 to 50
# evaluations, where the descent matches the line search of L-BFGS-B (Zhu et al., 1997).
_LONGEST = 1.0
_GROW, _STRETCH, _SHRINK = 5.0, 4.0, 0.5
_WALL = 1e-6


@dataclass
class Descent:
    """A trust region instead of a line search: each evaluation is one step (Nocedal & Wright, chapter 4).

    The descent has an anchor, its best point, and proposes a target. A point near the target that is
    better becomes the anchor; one that is not shrinks the trust region. A point far from it is a
    departure: the descent begins anew there.

    Attributes:
        x: Anchors (batch, dim).
        y: Their values (batch,); infinite where they have none.
        g: Their gradients (batch, dim).
        target: Proposed points (batch, dim).
        gain: Fall in value that the slope at the anchor promises on the way to the target (batch,).
        outcome: Of the newest point: 1 better, 0 not, -1 a departure (batch,).
        radius: Longest step (batch,).
        stretch: Length of the next step where the function curved down along the last, else 0 (batch,).
        pairs: Curvature pairs.
    """

    x: Tensor
    y: Tensor
    g: Tensor
    target: Tensor
    gain: Tensor
    outcome: Tensor
    radius: Tensor
    stretch: Tensor
    pairs: QuasiNewton

    @classmethod
    def start(cls, x: Tensor, y: Tensor, g: Tensor, first_step: float = FAR) -> Descent:
        """Descents from ``x`` (batch, dim) with values (batch,) and gradients (batch, dim)."""
        pairs = QuasiNewton.start(g, first_step)
        nothing = torch.zeros_like(y)
        radius = torch.full_like(y, first_step)
        descent = cls(x, y, g, x, nothing, nothing - 1, radius, nothing.clone(), pairs)
        descent._aim()
        return descent

    def observe(self, x: Tensor, y: Tensor, g: Tensor, valid: Tensor) -> None:
        """Takes note of new points; shapes as in ``start``, and ``valid`` (batch,) where values mean something."""
        reach = _longest_entry(self.target - self.x)
        departed = _longest_entry(x - self.target) > 2 * reach + _WALL
        y = y.masked_fill(~valid, torch.inf)
        better = (y < self.y) | self.y.isinf()  # anything is better than an anchor without a value
        s = x - self.x
        # A point that is no better still teaches the curvature along the way to it.
        curves_up = self.pairs.update(s, (g - self.g).masked_fill((departed | ~valid)[:, None], 0.0))
        length = _longest_entry(s)
        self.radius = torch.where(better, (_GROW * length).clamp(max=_LONGEST), _SHRINK * length)
        self.stretch = (_STRETCH * length).masked_fill(~better | curves_up, 0.0)
        self.outcome = better.to(y.dtype)
        if departed.any():
            self.pairs.forget(departed, g, NEAR)
            self.radius = self.radius.masked_fill(departed, NEAR)
            self.stretch = self.stretch.masked_fill(departed, 0.0)
            self.outcome = self.outcome.masked_fill(departed, -1.0)
        moved = better | departed
        self.y = torch.where(moved, y, self.y)
        self.x = torch.where(moved[:, None], x, self.x)
        self.g = torch.where(moved[:, None], g, self.g)
        self._aim()

    def _aim(self) -> None:
        fixed = (self.x.abs() >= 1 - _WALL) & (self.x * self.g < 0)  # downhill is out of the box
        step = self.pairs.direction(self.g, fixed)
        natural = _longest_entry(step)
        length = torch.minimum(torch.where(self.stretch > 0, self.stretch, natural), self.radius)
        step = step * (length / natural.clamp(min=1e-300))[:, None]
        self.target = torch.where(fixed, self.x.sign(), (self.x + step).clamp(-1, 1))
        self.gain = -torch.linalg.vecdot(self.g, self.target - self.x)


def _longest_entry(v: Tensor) -> Tensor:
    return v.abs().amax(-1)
