"""A batched quasi-Newton descent that can be left at any step, and goes on from wherever it is left to."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from pop_envs.arrays import Array, merged, namespace
from pop_envs.search.quasi_newton import QuasiNewton

# All constants are chosen on validation functions, of the plain prior for the lowest value after 20 to 500 evaluations,
# where the descent matches the line search of L-BFGS-B (Zhu et al., 1997) or better, and of the others after 50.
# The first step goes a share of the way to the walls that lie downhill of each coordinate, where L-BFGS-B looks for its
# first Cauchy point: a coordinate of small slope gets as far as the others. Half would be no better from random starts,
# and worse from those that are nearer to a minimum. Where there are better points already, a descent had better stay in
# the basin that it was sent to: its step is as long, in the root mean square over coordinates and half-widths of the
# box, along the steepest descent.
_FAR, _NEAR = 0.25, 0.2
# Other lengths are largest entries.
_LONGEST = 1.0
_GROW, _EXTRAPOLATE, _SHRINK = 3.0, 4.0, 0.5
_WALL = 1e-6
# Ripples that contradict the slopes of so short a step count as noise: with steps of any length functions of the priors
# that are not noisy lose what noisy ones gain little by (``python -m benchmarks.noise``).
_SHORT = 0.05


@dataclass
class TrustRegion:
    """A quasi-Newton descent in a trust region: each evaluation is one step (Nocedal & Wright, chapter 4).

    The descent has an iterate and makes a proposal. A point near the proposal is accepted, as the next
    iterate, if its value is lower, and else rejected: the region shrinks. From a point far from the
    proposal the descent is restarted.

    A value that is higher although the slopes at both ends of a short step fall contradicts them: it is noisy. From the
    second such value on the slopes are trusted, and the point is accepted.

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
        contradictions: Values since the start that were higher though the slopes of a short step fell (batch,).
        number: How many descents there were before (batch,).
        curvature: The inverse Hessian's estimate.
    """

    x: Array
    y: Array
    g: Array
    proposal: Array
    predicted_reduction: Array
    outcome: Array
    radius: Array
    extrapolation: Array
    accepts: Array
    rejects: Array
    contradictions: Array
    number: Array
    curvature: QuasiNewton

    @classmethod
    def start(cls, x: Array, y: Array, g: Array, far: bool = True) -> TrustRegion:
        """Descents from ``x`` (batch, dim) with values (batch,) and gradients (batch, dim).

        Their first steps are long, or those of descents that are sent somewhere if not ``far``.
        """
        xp = namespace(x)
        zero = xp.zeros(y.shape, y)
        downhill = -xp.sign(g)
        step = _FAR * (downhill - x) * abs(downhill)  # none where the slope is 0
        first_step = xp.sqrt(xp.vecdot(step, step)) if far else _near(g)
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
            contradictions=zero,
            number=zero,
            curvature=QuasiNewton.start(g, first_step),
        )
        region._set_proposal(x + step if far else region._quasi_newton_target())
        return region

    def rows(self, index: Array) -> TrustRegion:
        """The descents at ``index`` (n,), or where a mask (batch,) is True."""
        own = {name: value[index] for name, value in vars(self).items() if name != "curvature"}
        return TrustRegion(**own, curvature=QuasiNewton(*(value[index] for value in vars(self.curvature).values())))

    def rescaled(self, center: Array, scale: Array) -> TrustRegion:
        """The same descents seen from another box, with that centre (dim,) and half-widths (dim,) in this one."""
        xp = namespace(self.x)
        moved = replace(
            self,
            x=(self.x - center) / scale,
            g=self.g * scale,
            radius=xp.full(self.radius.shape, _LONGEST, self.radius),
            extrapolation=xp.zeros(self.extrapolation.shape, self.extrapolation),
            curvature=self.curvature.rescaled(scale),
        )
        moved._set_proposal(moved._quasi_newton_target())
        return moved

    def unrestricted_reduction(self) -> Array:
        """Fall in value (batch,) that the slope predicts for the whole quasi-Newton step, however short the radius."""
        xp, fixed = namespace(self.x), self._fixed()
        step = xp.clip(self.x + self.curvature.direction(self.g, fixed), -1.0, 1.0) - self.x
        return xp.vecdot(xp.where(fixed, 0.0, self.g), -step)

    def leads_to(self, x: Array) -> Array:
        """Whether points (batch, dim) are near enough to the proposals to count as steps (batch,)."""
        longest_entry = namespace(x).longest_entry
        reach = longest_entry(self.proposal - self.x)
        return longest_entry(x - self.proposal) <= 2 * reach + _WALL

    def update(
        self, x: Array, y: Array, g: Array, valid: Array, restarted: Array | None = None, exact: bool = False
    ) -> None:
        """Takes note of new points; shapes as in ``start``.

        Args:
            x: The points.
            y: Their values.
            g: Their gradients.
            valid: Where (batch,) values mean something.
            restarted: Where (batch,) the proposal does not lead to the point; found out if None.
            exact: Whether values are known to be free of noise.
        """
        xp = namespace(x)
        restarted = ~self.leads_to(x) if restarted is None else restarted
        y = xp.where(valid, y, math.inf)
        accepted = (y < self.y) | (self.y == math.inf)  # anything is better than an iterate without a value
        s = x - self.x
        if not exact:
            falling = (xp.vecdot(self.g, s) < 0) & (xp.vecdot(g, s) < 0) & (xp.longest_entry(s) < _SHORT)
            contradicted = falling & ~accepted & valid & ~restarted
            accepted = accepted | (contradicted & (self.contradictions > 0))
            self.contradictions = xp.where(restarted, 0.0, self.contradictions + contradicted)
        # A point that is rejected still teaches the curvature along the way to it.
        z = xp.where((restarted | ~valid)[:, None], 0.0, g - self.g)
        curves_up = self.curvature.update(s, z)
        length = xp.longest_entry(s)
        self.radius = xp.where(accepted, xp.at_most(_GROW * length, _LONGEST), _SHRINK * length)
        self.extrapolation = xp.where(~accepted | curves_up, 0.0, _EXTRAPOLATE * length)
        self.outcome = xp.float64(accepted)
        self.accepts, self.rejects = self.accepts + self.outcome, xp.where(accepted, 0.0, self.rejects + 1)
        if restarted.any():
            self.curvature.restart(restarted, g, _near(g))
            self.radius = xp.where(restarted, _LONGEST, self.radius)
            self.extrapolation = xp.where(restarted, 0.0, self.extrapolation)
            self.outcome = xp.where(restarted, -1.0, self.outcome)
            self.accepts, self.rejects = (xp.where(restarted, 0.0, count) for count in (self.accepts, self.rejects))
        moved = accepted | restarted
        self.x, self.y, self.g = merged(moved, (x, y, g), (self.x, self.y, self.g))
        self._set_proposal(self._quasi_newton_target())

    def _quasi_newton_target(self) -> Array:
        xp = namespace(self.x)
        fixed = self._fixed()
        step = self.curvature.direction(self.g, fixed)
        natural = xp.longest_entry(step)
        length = xp.minimum(xp.where(self.extrapolation > 0, self.extrapolation, natural), self.radius)
        step = step * (length / xp.at_least(natural, 1e-300))[:, None]
        return xp.where(fixed, xp.sign(self.x), self.x + step)

    def _fixed(self) -> Array:
        """Coordinates (batch, dim) at a wall, where downhill is out of the box."""
        return (abs(self.x) >= 1 - _WALL) & (self.x * self.g < 0)

    def _set_proposal(self, target: Array) -> None:
        xp = namespace(target)
        self.proposal = xp.clip(target, -1.0, 1.0)
        self.predicted_reduction = xp.vecdot(self.g, self.x - self.proposal)


def _near(g: Array) -> Array:
    """Lengths (batch,) of the first steps of descents that are sent somewhere."""
    return namespace(g).full(g.shape[:1], _NEAR * math.sqrt(g.shape[1]), g)
