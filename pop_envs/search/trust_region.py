"""A batched quasi-Newton descent that can be left at any step, and goes on from wherever it is left to."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pop_envs.search.quasi_newton import QuasiNewton

# Euclidean lengths of first steps, in half-widths of the box: where nothing is known yet a long one leads out of
# poor basins; where there are better points already, a descent had better stay in the basin that it was sent to.
FAR, NEAR = 1.0, 0.3
# Other lengths are largest entries. All are chosen on validation functions, for the lowest value after 12 to 50
# evaluations, where the descent matches the line search of L-BFGS-B (Zhu et al., 1997).
_LONGEST = 1.0
_GROW, _EXTRAPOLATE, _SHRINK = 5.0, 4.0, 0.5
_WALL = 1e-6


@dataclass
class TrustRegion:
    """A quasi-Newton descent in a trust region: each evaluation is one step (Nocedal & Wright, chapter 4).

    The descent has an iterate and makes a proposal. A point near the proposal is accepted, as the next
    iterate, if its value is lower, and else rejected: the region shrinks. From a point far from the
    proposal the descent is restarted.

    Attributes:
        x: Iterates (batch, dim).
        y: Their values (batch,); infinite where they have none.
        g: Their gradients (batch, dim).
        proposal: Proposed points (batch, dim).
        predicted_reduction: Fall in value that the slope at the iterate predicts for the proposal (batch,).
        outcome: Of the newest point: 1 accepted, 0 rejected, -1 restarted (batch,).
        radius: Longest step (batch,).
        extrapolation: Length of the next step where the function curved down along the last, else 0 (batch,).
        curvature: The inverse Hessian's estimate.
    """

    x: Tensor
    y: Tensor
    g: Tensor
    proposal: Tensor
    predicted_reduction: Tensor
    outcome: Tensor
    radius: Tensor
    extrapolation: Tensor
    curvature: QuasiNewton

    @classmethod
    def start(cls, x: Tensor, y: Tensor, g: Tensor, first_step: float = FAR) -> TrustRegion:
        """Descents from ``x`` (batch, dim) with values (batch,) and gradients (batch, dim)."""
        zero = torch.zeros_like(y)
        radius = torch.full_like(y, first_step)
        region = cls(x, y, g, x, zero, zero - 1, radius, zero, QuasiNewton.start(g, first_step))
        region._propose()
        return region

    def update(self, x: Tensor, y: Tensor, g: Tensor, valid: Tensor) -> None:
        """Takes note of new points; shapes as in ``start``, and ``valid`` (batch,) where values mean something."""
        reach = _longest_entry(self.proposal - self.x)
        restarted = _longest_entry(x - self.proposal) > 2 * reach + _WALL
        y = y.masked_fill(~valid, torch.inf)
        accepted = (y < self.y) | self.y.isinf()  # anything is better than an iterate without a value
        s = x - self.x
        # A point that is rejected still teaches the curvature along the way to it.
        curves_up = self.curvature.update(s, (g - self.g).masked_fill((restarted | ~valid)[:, None], 0.0))
        length = _longest_entry(s)
        self.radius = torch.where(accepted, (_GROW * length).clamp(max=_LONGEST), _SHRINK * length)
        self.extrapolation = (_EXTRAPOLATE * length).masked_fill(~accepted | curves_up, 0.0)
        self.outcome = accepted.to(y.dtype)
        if restarted.any():
            self.curvature.restart(restarted, g, NEAR)
            self.radius = self.radius.masked_fill(restarted, NEAR)
            self.extrapolation = self.extrapolation.masked_fill(restarted, 0.0)
            self.outcome = self.outcome.masked_fill(restarted, -1.0)
        moved = accepted | restarted
        self.y = torch.where(moved, y, self.y)
        self.x = torch.where(moved[:, None], x, self.x)
        self.g = torch.where(moved[:, None], g, self.g)
        self._propose()

    def _propose(self) -> None:
        fixed = (self.x.abs() >= 1 - _WALL) & (self.x * self.g < 0)  # downhill is out of the box
        step = self.curvature.direction(self.g, fixed)
        natural = _longest_entry(step)
        length = torch.minimum(torch.where(self.extrapolation > 0, self.extrapolation, natural), self.radius)
        step = step * (length / natural.clamp(min=1e-300))[:, None]
        self.proposal = torch.where(fixed, self.x.sign(), (self.x + step).clamp(-1, 1))
        self.predicted_reduction = -torch.linalg.vecdot(self.g, self.proposal - self.x)


def _longest_entry(v: Tensor) -> Tensor:
    return v.abs().amax(-1)
