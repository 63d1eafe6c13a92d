"""A batched quasi-Newton descent that can be left at any step, and goes on from wherever it is left to."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pop_envs.search.quasi_newton import QuasiNewton

# All constants are chosen on validation functions, of the plain prior for the lowest value after 20 to 500 evaluations,
# where the descent matches the line search of L-BFGS-B (Zhu et al., 1997) or better, and of the others after 50.
# The first step goes a share of the way to the walls that lie downhill of each coordinate, where L-BFGS-B looks for its
# first Cauchy point: a coordinate of small slope gets as far as the others. Where there are better points already, a
# descent had better stay in the basin that it was sent to: its step is as long, in the root mean square over
# coordinates and half-widths of the box, along the steepest descent.
_FAR, _NEAR = 0.5, 0.2
# Other lengths are largest entries.
_LONGEST = 1.0
_GROW, _EXTRAPOLATE, _SHRINK = 3.0, 4.0, 0.5
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
        accepts: Points accepted since the start (batch,).
        rejects: Points rejected since the last one that was accepted (batch,).
        number: How many descents there were before (batch,).
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
    accepts: Tensor
    rejects: Tensor
    number: Tensor
    curvature: QuasiNewton

    @classmethod
    def start(cls, x: Tensor, y: Tensor, g: Tensor, far: bool = True) -> TrustRegion:
        """Descents from ``x`` (batch, dim) with values (batch,) and gradients (batch, dim).

        Their first steps are long, or those of descents that are sent somewhere if not ``far``.
        """
        zero = torch.zeros_like(y)
        downhill = -g.sign()
        step = _FAR * (downhill - x) * downhill.abs()  # none where the slope is 0
        first_step = torch.linalg.vector_norm(step, dim=-1) if far else _near(g)
        region = cls(
            x=x,
            y=y,
            g=g,
            proposal=x,
            predicted_reduction=zero,
            outcome=zero - 1,
            radius=zero + _LONGEST,
            extrapolation=zero,
            accepts=zero,
            rejects=zero,
            number=zero,
            curvature=QuasiNewton.start(g, first_step),
        )
        region._set_proposal(x + step if far else region._quasi_newton_target())
        return region

    def rescaled(self, center: Tensor, scale: Tensor) -> TrustRegion:
        """The same descents seen from another box, with that centre (dim,) and half-widths (dim,) in this one."""
        moved = replace(
            self,
            x=(self.x - center) / scale,
            g=self.g * scale,
            radius=torch.full_like(self.radius, _LONGEST),
            extrapolation=torch.zeros_like(self.extrapolation),
            curvature=self.curvature.rescaled(scale),
        )
        moved._set_proposal(moved._quasi_newton_target())
        return moved

    def unrestricted_reduction(self) -> Tensor:
        """Fall in value (batch,) that the slope predicts for the whole quasi-Newton step, however short the radius."""
        fixed = self._fixed()
        step = (self.x + self.curvature.direction(self.g, fixed)).clamp(-1, 1) - self.x
        return -torch.linalg.vecdot(self.g.masked_fill(fixed, 0.0), step)

    def leads_to(self, x: Tensor) -> Tensor:
        """Whether points (batch, dim) are near enough to the proposals to count as steps (batch,)."""
        reach = _longest_entry(self.proposal - self.x)
        return _longest_entry(x - self.proposal) <= 2 * reach + _WALL

    def update(self, x: Tensor, y: Tensor, g: Tensor, valid: Tensor) -> None:
        """Takes note of new points; shapes as in ``start``, and ``valid`` (batch,) where values mean something."""
        restarted = ~self.leads_to(x)
        y = y.masked_fill(~valid, torch.inf)
        accepted = (y < self.y) | self.y.isinf()  # anything is better than an iterate without a value
        s = x - self.x
        # A point that is rejected still teaches the curvature along the way to it.
        z = (g - self.g).masked_fill((restarted | ~valid)[:, None], 0.0)
        curves_up = self.curvature.update(s, z)
        length = _longest_entry(s)
        self.radius = torch.where(accepted, (_GROW * length).clamp(max=_LONGEST), _SHRINK * length)
        self.extrapolation = (_EXTRAPOLATE * length).masked_fill(~accepted | curves_up, 0.0)
        self.outcome = accepted.to(y.dtype)
        self.accepts, self.rejects = self.accepts + self.outcome, (self.rejects + 1).masked_fill(accepted, 0.0)
        if restarted.any():
            self.curvature.restart(restarted, g, _near(g))
            self.radius = self.radius.masked_fill(restarted, _LONGEST)
            self.extrapolation = self.extrapolation.masked_fill(restarted, 0.0)
            self.outcome = self.outcome.masked_fill(restarted, -1.0)
            self.accepts, self.rejects = (count.masked_fill(restarted, 0.0) for count in (self.accepts, self.rejects))
        moved = accepted | restarted
        self.y = torch.where(moved, y, self.y)
        self.x = torch.where(moved[:, None], x, self.x)
        self.g = torch.where(moved[:, None], g, self.g)
        self._set_proposal(self._quasi_newton_target())

    def _quasi_newton_target(self) -> Tensor:
        fixed = self._fixed()
        step = self.curvature.direction(self.g, fixed)
        natural = _longest_entry(step)
        length = torch.minimum(torch.where(self.extrapolation > 0, self.extrapolation, natural), self.radius)
        step = step * (length / natural.clamp(min=1e-300))[:, None]
        return torch.where(fixed, self.x.sign(), self.x + step)

    def _fixed(self) -> Tensor:
        """Coordinates (batch, dim) at a wall, where downhill is out of the box."""
        return (self.x.abs() >= 1 - _WALL) & (self.x * self.g < 0)

    def _set_proposal(self, target: Tensor) -> None:
        self.proposal = target.clamp(-1, 1)
        self.predicted_reduction = -torch.linalg.vecdot(self.g, self.proposal - self.x)


def _longest_entry(v: Tensor) -> Tensor:
    return v.abs().amax(-1)


def _near(g: Tensor) -> Tensor:
    """Lengths (batch,) of the first steps of descents that are sent somewhere."""
    return torch.full_like(g[:, 0], _NEAR * math.sqrt(g.shape[1]))
