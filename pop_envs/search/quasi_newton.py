"""A batched limited-memory inverse-Hessian estimate, read off an optimization trajectory."""

from __future__ import annotations

from dataclasses import dataclass

from pop_envs.arrays import Array, merged, namespace

_SMALLEST = 1e-290  # below, inverses overflow: as good as zero


@dataclass
class QuasiNewton:
    """The last curvature pairs of each run (Nocedal & Wright, Numerical Optimization, section 7.2).

    Pairs without positive curvature are not stored. Rows are independent of each other.

    Attributes:
        s: Moves (batch, memory, dim), newest last; zero where there is none yet.
        z: Gradient changes (batch, memory, dim).
        rho: Inverse curvatures 1 / (s . z) (batch, memory); zero switches a pair off.
        gamma: Scale of the initial estimate (batch,): the geometric mean of Barzilai and Borwein's two steps (1988).
            The longer one suits bowls, the shorter, which is usual, curved valleys; on validation functions of the
            plain prior their mean loses to neither by much.
    """

    s: Array
    z: Array
    rho: Array
    gamma: Array

    @classmethod
    def start(cls, g: Array, first_step: Array) -> QuasiNewton:
        """No pairs yet: the first direction has length ``first_step`` (batch,)."""
        batch, dim = g.shape
        xp = namespace(g)
        pairs, rho = (xp.zeros((batch, memory(dim), *shape), g) for shape in ((dim,), ()))
        return cls(pairs, pairs, rho, _first_scale(g, first_step))

    def update(self, s: Array, z: Array) -> Array:
        """Adds the pair ``s`` (move), ``z`` (gradient change), each (batch, dim), where it curves up.

        Returns:
            Where it does (batch,).
        """
        xp = namespace(s)
        ss, sz, zz = xp.vecdot(s, s), xp.vecdot(s, z), xp.vecdot(z, z)
        keep = (sz > 1e-10 * (xp.sqrt(ss) * xp.sqrt(zz))) & (sz > _SMALLEST) & (zz > _SMALLEST)
        if keep.any():
            now = self.s, self.z, self.rho
            longer = (xp.concat([old[:, 1:], new[:, None]], 1) for old, new in zip(now, (s, z, 1 / sz), strict=True))
            self.s, self.z, self.rho, self.gamma = merged(keep, (*longer, xp.sqrt(ss / zz)), (*now, self.gamma))
        return keep

    def restart(self, rows: Array, g: Array, first_step: Array) -> None:
        """Begins anew in the ``rows`` (batch,) that are True, at gradients (batch, dim)."""
        xp = namespace(g)
        self.rho = xp.where(rows[:, None], 0.0, self.rho)
        self.gamma = xp.where(rows, _first_scale(g, first_step), self.gamma)

    def rescaled(self, scale: Array) -> QuasiNewton:
        """The same estimate where moves count in units of ``scale`` (dim,), positive."""
        xp = namespace(scale)
        gamma = self.gamma / xp.exp(2 * xp.log(scale).mean())
        return QuasiNewton(self.s / scale, self.z * scale, self.rho, gamma)

    def direction(self, g: Array, fixed: Array) -> Array:
        """The quasi-Newton direction ``-H g`` (batch, dim) at gradients ``g``, by the two-loop recursion.

        Coordinates that are ``fixed`` (batch, dim), as at a wall, have no part in it.
        """
        xp = namespace(g)
        q = xp.where(fixed, 0.0, g)
        # Pairs that no row has cost nothing, and scaling the moves once takes rho out of both loops.
        oldest = self.rho.shape[1] - int(self.rho.any(0).sum())
        s, z, rho = self.s[:, oldest:], self.z[:, oldest:], self.rho[:, oldest:, None]
        pairs = list(zip(*(xp.unbind(part, 1) for part in (s, z, rho * s)), strict=True))
        alphas = []
        for _, z, scaled_s in reversed(pairs):
            alpha = xp.vecdot(scaled_s, q)[:, None]
            q = xp.subtract_product(q, alpha, z)
            alphas.append(alpha)
        r = self.gamma[:, None] * q
        for (s, z, scaled_s), alpha in zip(pairs, reversed(alphas), strict=True):
            beta = xp.vecdot(z, r)[:, None]
            r = xp.subtract_product(xp.add_product(r, alpha, s), beta, scaled_s)
        return xp.where(fixed, 0.0, -r)


def memory(dim: int) -> int:
    """Pairs that are kept: on validation functions more do no better, fewer do worse in 8 dimensions and more."""
    return min(max(6, 2 * dim), 20)


def _first_scale(g: Array, first_step: Array) -> Array:
    """The scale (batch,) that makes the step ``first_step`` long."""
    xp = namespace(g)
    steepest = xp.longest_entry(g)
    relative = g / xp.at_least(steepest, _SMALLEST)[:, None]  # no square underflows
    length = steepest * xp.at_least(xp.sqrt(xp.vecdot(relative, relative)), 1.0)
    return xp.where(steepest > _SMALLEST, first_step / length, 0.0)
