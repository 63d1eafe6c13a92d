"""A batched limited-memory inverse-Hessian estimate, read off an optimization trajectory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

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

    s: Tensor
    z: Tensor
    rho: Tensor
    gamma: Tensor

    @classmethod
    def start(cls, g: Tensor, first_step: Tensor) -> QuasiNewton:
        """No pairs yet: the first direction has length ``first_step`` (batch,)."""
        batch, dim = g.shape
        pairs = g.new_zeros(batch, memory(dim), dim)
        return cls(pairs, pairs, g.new_zeros(batch, memory(dim)), _first_scale(g, first_step))

    def update(self, s: Tensor, z: Tensor) -> Tensor:
        """Adds the pair ``s`` (move), ``z`` (gradient change), each (batch, dim), where it curves up.

        Returns:
            Where it does (batch,).
        """
        ss, sz, zz = (torch.linalg.vecdot(a, b) for a, b in ((s, s), (s, z), (z, z)))
        keep = (sz > 1e-10 * (ss.sqrt() * zz.sqrt())) & (sz > _SMALLEST) & (zz > _SMALLEST)
        shift = keep[:, None, None]
        self.s = torch.where(shift, torch.cat([self.s[:, 1:], s[:, None]], 1), self.s)
        self.z = torch.where(shift, torch.cat([self.z[:, 1:], z[:, None]], 1), self.z)
        rho = torch.cat([self.rho[:, 1:], 1 / sz[:, None]], 1)
        self.rho = torch.where(keep[:, None], rho, self.rho)
        self.gamma = torch.where(keep, (ss / zz).sqrt(), self.gamma)
        return keep

    def restart(self, rows: Tensor, g: Tensor, first_step: Tensor) -> None:
        """Begins anew in the ``rows`` (batch,) that are True, at gradients (batch, dim)."""
        self.rho = self.rho.masked_fill(rows[:, None], 0.0)
        self.gamma = torch.where(rows, _first_scale(g, first_step), self.gamma)

    def rescaled(self, scale: Tensor) -> QuasiNewton:
        """The same estimate where moves count in units of ``scale`` (dim,), positive."""
        gamma = self.gamma / scale.log().mean().mul(2).exp()
        return QuasiNewton(self.s / scale, self.z * scale, self.rho, gamma)

    def direction(self, g: Tensor, fixed: Tensor) -> Tensor:
        """The quasi-Newton direction ``-H g`` (batch, dim) at gradients ``g``, by the two-loop recursion.

        Coordinates that are ``fixed`` (batch, dim), as at a wall, have no part in it.
        """
        q = g.masked_fill(fixed, 0.0)
        # Pairs that no row has cost nothing, and scaling the moves once takes rho out of both loops.
        oldest = self.rho.shape[1] - int((self.rho != 0).any(0).sum())
        s, z, rho = self.s[:, oldest:], self.z[:, oldest:], self.rho[:, oldest:, None]
        pairs = list(zip(s.unbind(1), z.unbind(1), (rho * s).unbind(1), strict=True))
        alphas = []
        for _, z, scaled_s in reversed(pairs):
            alpha = torch.linalg.vecdot(scaled_s, q)[:, None]
            q = torch.addcmul(q, alpha, z, value=-1)
            alphas.append(alpha)
        r = self.gamma[:, None] * q
        for (s, z, scaled_s), alpha in zip(pairs, reversed(alphas), strict=True):
            beta = torch.linalg.vecdot(z, r)[:, None]
            r = torch.addcmul(torch.addcmul(r, alpha, s), beta, scaled_s, value=-1)
        return -r.masked_fill(fixed, 0.0)


def memory(dim: int) -> int:
    """Pairs that are kept: on validation functions more do no better, fewer do worse in 8 dimensions and more."""
    return min(max(6, 2 * dim), 20)


def _first_scale(g: Tensor, first_step: Tensor) -> Tensor:
    """The scale (batch,) that makes the step ``first_step`` long."""
    steepest = g.abs().amax(-1)
    relative = torch.linalg.vector_norm(g / steepest.clamp(min=_SMALLEST)[:, None], dim=-1)  # no square underflows
    return torch.where(steepest > _SMALLEST, first_step / (steepest * relative.clamp(min=1)), 0.0)
