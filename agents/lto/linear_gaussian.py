"""Time-varying linear-Gaussian policies and the linear-quadratic regulator, for states that are histories.

The state of a run is ``z = (x, w_0, w_1, ...)``: the point, and for each of the last H points, the newest first, what
its evaluation told, ``w = (gradient, fall from the point before)``. Of a step with action ``a`` all is known but the
newest ``w``: the point moves by ``reach * a``, and the others shift. So a transition is a matrix of a few rows, and a
sweep over the steps costs little more than copying the value function's matrix. Before H points there are fewer ``w``,
and matrices have fewer rows.

Everything is batched over functions (first axis); steps are the second axis. F functions, T steps, d coordinates,
m = d + 1 entries of a ``w``, n = d + H m entries of a state.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Policy(NamedTuple):
    """Actions are normal with mean ``gain z + offset``."""

    gain: Tensor
    """(F, T, d, n)"""
    offset: Tensor
    """(F, T, d)"""
    covariance: Tensor
    """(F, T, d, d)"""

    def mean(self, z: Tensor) -> Tensor:
        """Mean actions (F, T, samples, d) in states (F, T, samples, n)."""
        return z @ self.gain.mT + self.offset[:, :, None]


class Dynamics(NamedTuple):
    """The newest ``w`` after a step is normal with mean ``matrix (x, w_0, a) + offset``."""

    matrix: Tensor
    """(F, T, m, d + m + d)"""
    offset: Tensor
    """(F, T, m)"""
    covariance: Tensor
    """(F, T, m, m)"""


class Costs(NamedTuple):
    """The cost of the point x after a step is ``x curvature x / 2 + slope x``, up to a constant."""

    curvature: Tensor
    """(F, T, d, d), positive semidefinite."""
    slope: Tensor
    """(F, T, d)"""


def regulate(
    dynamics: Dynamics, costs: Costs, reference: Policy, eta: Tensor, reach: float, discount: float = 1.0
) -> Policy:
    """The policy that minimizes ``E[cost] / eta + KL(policy || reference)`` over whole runs.

    It is a linear-quadratic regulator with the cost ``cost / eta - log reference`` that keeps its entropy (Levine and
    Abbeel, 2014, section 3.1).

    Args:
        dynamics: Of the newest ``w``.
        costs: Of the points.
        reference: The policy to stay close to.
        eta: Multiplier of the divergence (F,).
        reach: How far an action of 1 moves the point.
        discount: What a step later counts less. Errors of models multiply from step to step; this bounds them.
    """
    batch, steps, d, n = reference.gain.shape
    head = 2 * d + 1
    precision = torch.linalg.inv(reference.covariance)
    gains, offsets, covariances = [], [], []
    size = _size(steps, d, n)
    value, slope = costs.slope.new_zeros(batch, size, size), costs.slope.new_zeros(batch, size)
    for t in reversed(range(steps)):
        value, slope = discount * value, discount * slope
        value[:, :d, :d] += costs.curvature[:, t] / eta[:, None, None]
        slope[:, :d] += costs.slope[:, t] / eta[:, None]
        by_state, by_action = _head(dynamics.matrix[:, t], reach)
        constant = _pad_left(dynamics.offset[:, t], d)
        # Of the state before: the point and w_0 enter the next head, the w from w_0 on shift into its tail.
        size, tail = _size(t, d, n), slice(d, d + value.shape[1] - head)
        head_value, cross = value[:, :head, :head], value[:, :head, head:]
        head_slope = slope[:, :head] + _times(head_value, constant)
        q, q_slope = value.new_zeros(batch, size, size), value.new_zeros(batch, size)
        q[:, tail, tail] = value[:, head:, head:]
        q_slope[:, tail] = slope[:, head:] + _times(cross.mT, constant)
        q[:, :head, :head] += by_state.mT @ head_value @ by_state
        across = by_state.mT @ cross
        q[:, :head, tail] += across
        q[:, tail, :head] += across.mT
        q_slope[:, :head] += _times(by_state.mT, head_slope)
        gain, offset, trust = reference.gain[:, t, :, :size], reference.offset[:, t], precision[:, t]
        trusted = trust @ gain
        qa = -trusted
        qa[:, :, :head] += by_action.mT @ head_value @ by_state
        qa[:, :, tail] += by_action.mT @ cross
        qa_slope = _times(by_action.mT, head_slope) - _times(trust, offset)
        covariance = torch.linalg.inv(_symmetric(by_action.mT @ head_value @ by_action + trust))
        new_gain, new_offset = -covariance @ qa, -_times(covariance, qa_slope)
        left, right = torch.cat([gain, qa], 1), torch.cat([trusted, new_gain], 1)
        value = _symmetric(torch.baddbmm(q, left.mT, right))
        slope = q_slope + _times(gain.mT, _times(trust, offset)) + _times(qa.mT, new_offset)
        gains.append(torch.nn.functional.pad(new_gain, (0, n - size)))
        offsets.append(new_offset)
        covariances.append(_symmetric(covariance))
    stacked = (torch.stack(each[::-1], 1) for each in (gains, offsets, covariances))
    return Policy(*stacked)


def divergence(policy: Policy, reference: Policy, dynamics: Dynamics, start: Tensor, reach: float) -> Tensor:
    """KL divergence (F,) of whole runs under ``policy`` from those under ``reference``, from starts (F, n)."""
    batch, steps, d, n = policy.gain.shape
    head = 2 * d + 1
    precision = torch.linalg.inv(reference.covariance)
    spread = precision @ policy.covariance
    total = (spread.diagonal(dim1=-2, dim2=-1).sum(-1) - torch.linalg.slogdet(spread).logabsdet - d).sum(-1)
    size = _size(0, d, n)
    mean, cov = start[:, :size], start.new_zeros(batch, size, size)
    for t in range(steps):
        gain = policy.gain[:, t, :, :size]
        by_gain = gain - reference.gain[:, t, :, :size]
        by_mean = _times(by_gain, mean) + policy.offset[:, t] - reference.offset[:, t]
        total = total + (by_mean * _times(precision[:, t], by_mean)).sum(-1)
        total = total + ((by_gain @ cov) * (precision[:, t] @ by_gain)).sum((-2, -1))
        by_state, by_action = _head(dynamics.matrix[:, t], reach)
        action = _times(gain, mean) + policy.offset[:, t]
        new = _times(by_state, mean[:, :head]) + _times(by_action, action) + _pad_left(dynamics.offset[:, t], d)
        across = by_state @ cov[:, :head] + by_action @ (gain @ cov)  # of the next head and the state
        with_action = across @ gain.mT + by_action @ policy.covariance[:, t]
        own = across[:, :, :head] @ by_state.mT + with_action @ by_action.mT
        own[:, d:, d:] += dynamics.covariance[:, t]
        size = _size(t + 1, d, n)
        tail = slice(d, d + size - head)
        cov = torch.cat(
            [torch.cat([own, across[:, :, tail]], 2), torch.cat([across[:, :, tail].mT, cov[:, tail, tail]], 2)], 1
        )
        mean = torch.cat([new, mean[:, tail]], 1)
    return total / 2


def constrained(
    dynamics: Dynamics,
    costs: Costs,
    reference: Policy,
    start: Tensor,
    reach: float,
    bound: float,
    eta: Tensor,
    *,
    shared: bool = False,
    discount: float = 1.0,
    sweeps: int = 5,
    tolerance: float = 0.7,
) -> tuple[Policy, Tensor, Tensor]:
    """The policy of least cost whose divergence from the reference is about ``bound``.

    Args:
        dynamics: See ``regulate``, as for what follows.
        costs: Of the points.
        reference: The policy to stay close to.
        start: States at the start (F, n).
        reach: How far an action of 1 moves the point.
        bound: Of the divergence.
        eta: First guesses of the multipliers (F,).
        shared: Whether one multiplier serves all functions, and bounds the mean of their divergences: where there is
            more to gain, policies may then change more. All first guesses must be alike.
        discount: See ``regulate``.
        sweeps: Most steps on the multipliers. The divergence falls about with their square, so few are needed.
        tolerance: Of the logarithm of the divergence over its bound, for all functions.

    Returns:
        The policy, the multipliers (F,) and the divergences (F,).
    """
    for sweep in range(sweeps):
        policy = regulate(dynamics, costs, reference, eta, reach, discount)
        reached = divergence(policy, reference, dynamics, start, reach)
        excess = ((reached.mean().expand_as(eta) if shared else reached).clamp(min=1e-12) / bound).log()
        if sweep == sweeps - 1 or (excess.abs() < tolerance).all():
            break
        eta = (eta * (excess / 2).clamp(-3, 3).exp()).clamp(1e-8, 1e12)
    return policy, eta, reached


def _size(t: int, d: int, n: int) -> int:
    """Entries of the state after t steps that are in use."""
    return min(d + (t + 1) * (d + 1), n)


def _head(matrix: Tensor, reach: float) -> tuple[Tensor, Tensor]:
    """The next (x, w_0) by (x, w_0) (F, d + m, d + m), and by the action (F, d + m, d)."""
    batch, m, _ = matrix.shape
    d = m - 1
    by_state = matrix.new_zeros(batch, d + m, d + m)
    by_state[:, :d, :d] = torch.eye(d, dtype=matrix.dtype, device=matrix.device)
    by_state[:, d:] = matrix[:, :, : d + m]
    move = reach * torch.eye(d, dtype=matrix.dtype, device=matrix.device)
    return by_state, torch.cat([move.expand(batch, -1, -1), matrix[:, :, d + m :]], 1)


def _pad_left(x: Tensor, zeros: int) -> Tensor:
    return torch.nn.functional.pad(x, (zeros, 0))


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector[..., None])[..., 0]


def _symmetric(matrix: Tensor) -> Tensor:
    return (matrix + matrix.mT) / 2
