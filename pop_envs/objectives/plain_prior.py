"""A prior of plain smooth problems, on which patience pays: bowls, curved valleys, least squares."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from pop_envs.objectives.base import Prior, Range, TensorFunctions, Uniforms

BOWL, VALLEY, REGRESSION, CURVE = range(4)
"""Kinds of functions, in the order of the prior's probabilities."""

_REFLECTIONS = 2  # enough to turn every axis, at a cost that is linear in the dimension


@dataclass
class PlainFunctions(TensorFunctions):
    """A batch of sums of squares, each with the minimum 0 at its ``target``.

    With the offset ``o = H (x - target)``, H a product of reflections, or ``o = x - target``:

    - a bowl: ``sum_i scale_i^2 |o_i|^(2 power)``;
    - a valley, as Rosenbrock's: ``sum_i scale_i o_i^2 + stiffness^2 sum_i linked_i (o_{i+1} - slope_i o_i - bend_i
      o_i^2)^2``;
    - a regression through a link function: ``mean_j (phi(w_j . x) - phi(w_j . target))^2``;
    - a fit of a curve, a sum of terms ``a psi(b s)`` with ``a = x_{2k}`` and ``b = rate_k exp(spread x_{2k+1})``, to
      its values for the target at ``s`` in (0, 1].

    Attributes:
        kind: (batch,), one of the constants above.
        target: (batch, dim).
        axes: (batch, 2, dim), unit normals of the reflections; 0 where there are none.
        scale: (batch, dim).
        power: (batch, 1).
        slope: (batch, dim).
        bend: (batch, dim).
        linked: (batch, dim), 1 where a coordinate bends the way of the next one, else 0.
        stiffness: (batch, 1).
        weight: (batch, rows, dim), ``w`` of a regression.
        shape: (batch, 1), which of three ``phi`` or ``psi``.
        rate: (batch, dim); of the odd coordinates.
        spread: (batch, 1).
    """

    kind: Tensor
    target: Tensor
    axes: Tensor
    scale: Tensor
    power: Tensor
    slope: Tensor
    bend: Tensor
    linked: Tensor
    stiffness: Tensor
    weight: Tensor
    shape: Tensor
    rate: Tensor
    spread: Tensor
    dim: int = field(init=False)
    minimum = 0.0

    def __post_init__(self) -> None:
        self.dim = self.target.shape[1]

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Objective``."""
        y, g = (part[:, 0] for part in self._on(x[:, None]))
        return y, g

    def values_on(self, points: Tensor) -> Tensor:
        """See ``Objective``."""
        return self._on(points.expand(len(self), -1, -1))[0]

    def _on(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Values (batch, n) and gradients (batch, n, dim) at ``x`` (batch, n, dim), kind by kind."""
        y, g = torch.empty_like(x[..., 0]), torch.empty_like(x)
        for kind, evaluate in enumerate((_bowl, _valley, _regression, _curve)):
            index = (self.kind == kind).nonzero()[:, 0]
            if len(index):
                functions = self if len(index) == len(self) else self.rows(index)
                y[index], g[index] = evaluate(functions, x[index])
        return y, g


def _bowl(f: PlainFunctions, x: Tensor) -> tuple[Tensor, Tensor]:
    offset, power = _reflected(f.axes, x - f.target[:, None]), f.power[..., None]
    scale = f.scale.square()[:, None]
    size = offset.abs().clamp(min=1e-150)
    value = (scale * size ** (2 * power)).sum(-1)
    pull = 2 * power * scale * offset * size ** (2 * power - 2)
    return value, _reflected(f.axes.flip(1), pull)


def _valley(f: PlainFunctions, x: Tensor) -> tuple[Tensor, Tensor]:
    offset = _reflected(f.axes, x - f.target[:, None])
    here, following = offset[..., :-1], offset[..., 1:]
    slope, bend = f.slope[:, None, :-1], f.bend[:, None, :-1]
    stiffness = (f.stiffness.square() * f.linked[:, :-1])[:, None]
    side = following - slope * here - bend * here.square()
    floor = f.scale[:, None] * offset
    value = (floor * offset).sum(-1) + (stiffness * side.square()).sum(-1)
    push = 2 * stiffness * side
    pull = 2 * floor
    pull[..., 1:] += push
    pull[..., :-1] -= push * (slope + 2 * bend * here)
    return value, _reflected(f.axes.flip(1), pull)


def _regression(f: PlainFunctions, x: Tensor) -> tuple[Tensor, Tensor]:
    shape = f.shape[..., None]
    predicted, slope = _link(x @ f.weight.mT, shape)  # (batch, n, rows)
    observed, _ = _link(f.target[:, None] @ f.weight.mT, shape)
    residual = predicted - observed
    push = 2 * residual * slope / residual.shape[-1]
    return residual.square().mean(-1), push @ f.weight


def _link(z: Tensor, shape: Tensor) -> tuple[Tensor, Tensor]:
    """A sigmoid, an exponential, straight on from 20, or a bent line of ``z``, as ``shape`` says, and its slope."""
    curved = z.clamp(max=20)
    tanh, exponential, root = z.tanh(), curved.exp(), (1 + z.square()).sqrt()
    values = (tanh, exponential * (1 + (z - curved)), z + root)
    slopes = (1 - tanh.square(), exponential, 1 + z / root)
    return _chosen(values, shape), _chosen(slopes, shape)


def _curve(f: PlainFunctions, x: Tensor) -> tuple[Tensor, Tensor]:
    rows, pairs = max(16, 2 * f.dim), f.dim // 2
    s = torch.arange(1, rows + 1, dtype=x.dtype, device=x.device)[:, None] / rows
    shape, spread, rate = f.shape[..., None, None], f.spread[..., None], f.rate[:, None, 1::2][..., :pairs]

    def model(at: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Values (batch, n, rows) and their slopes by heights and by rates (batch, n, rows, pairs)."""
        height, rates = at[..., 0 : 2 * pairs : 2, None].mT, rate * (spread * at[..., 1::2]).exp()
        unit, slope = _response(s * rates[..., None, :], shape)
        value = (height * unit).sum(-1) + (at[..., -1:] if f.dim % 2 else 0.0)
        return value, unit, height * slope * s * (spread * rates)[..., None, :]

    value, by_height, by_rate = model(x)
    residual = value - model(f.target[:, None])[0]
    push = (2 / rows) * residual[..., None]
    g = torch.empty_like(x)
    g[..., 0 : 2 * pairs : 2], g[..., 1::2] = (push * by_height).sum(-2), (push * by_rate).sum(-2)
    if f.dim % 2:
        g[..., -1] = push[..., 0].sum(-1)
    return residual.square().mean(-1), g


def _response(z: Tensor, shape: Tensor) -> tuple[Tensor, Tensor]:
    """A decay, a saturation or a wave at ``z`` >= 0, as ``shape`` says, and its slope."""
    decay, sine, cosine = (-z).exp(), z.sin(), z.cos()
    values = (decay, z / (1 + z), sine)
    slopes = (-decay, (1 + z).square().reciprocal(), cosine)
    return _chosen(values, shape), _chosen(slopes, shape)


def _chosen(variants: tuple[Tensor, Tensor, Tensor], shape: Tensor) -> Tensor:
    return torch.where(shape == 0, variants[0], torch.where(shape == 1, variants[1], variants[2]))


def _reflected(axes: Tensor, v: Tensor) -> Tensor:
    """``v`` (batch, n, dim) reflected along one of the ``axes`` (batch, 2, dim) after the other."""
    for axis in axes[:, None].unbind(2):
        v = torch.addcmul(v, torch.linalg.vecdot(axis, v)[..., None], axis, value=-2)
    return v


@dataclass(frozen=True)
class PlainPrior(Prior):
    """Problems that people bring first: smooth, with one valley to follow or a model to fit.

    Global search has nothing to find on most of them, and a descent that is left early is lost. The ranges
    are ours, about those of the problems of Moré, Garbow and Hillstrom (1981), none of which it holds.

    Attributes:
        shares: Of bowls, valleys, regressions and fits of curves.
        target: Range of the minimizer's coordinates.
        p_rotated: Probability that the axes of a bowl or valley are not the coordinates.
        condition: Range, log-uniform, of the condition number of bowls; of valleys' floors its root.
        p_quartic: Probability that a bowl is flat at its minimum.
        bend: Range, log-uniform, of the curvature of valleys, to either side.
        slope: Range of their slopes.
        stiffness: Range, log-uniform, of how much steeper the sides of valleys are than their floors.
        p_pairs: Probability that only every other coordinate bends the way of the next.
        column_scale: Range, log-uniform, of the sizes of a regression's columns.
        rate: Range, log-uniform, of a curve's rates, which parameters change by a factor up to
            ``exp(spread)`` either way.
        spread: Range of that.
    """

    shares: tuple[float, float, float, float] = (0.15, 0.4, 0.2, 0.25)
    target: Range = (-0.8, 0.8)
    p_rotated: float = 0.3
    condition: Range = (1.0, 1e8)
    p_quartic: float = 0.2
    bend: Range = (0.5, 20.0)
    slope: Range = (-2.0, 2.0)
    stiffness: Range = (1.0, 200.0)
    p_pairs: float = 0.3
    column_scale: Range = (0.03, 6.0)
    rate: Range = (1.0, 12.0)
    spread: Range = (0.3, 3.0)

    def num_uniforms(self, dim: int) -> int:
        """See ``Prior``."""
        return 8 + dim * (7 + _REFLECTIONS + _rows(dim))

    def build(self, uniforms: Tensor, dim: int) -> PlainFunctions:
        """See ``Prior``."""
        u = Uniforms(uniforms)
        ends = torch.tensor(self.shares, dtype=uniforms.dtype, device=uniforms.device).cumsum(0)[:-1]
        kind = (u.take(1) >= ends).sum(-1)
        target = u.uniform(dim, self.target)
        axes = u.normal(_REFLECTIONS * dim).unflatten(1, (_REFLECTIONS, dim))
        axes = axes / torch.linalg.vector_norm(axes, dim=-1, keepdim=True)
        rotated = u.take(1) < self.p_rotated
        condition, place = u.log_uniform(1, self.condition), u.take(dim)
        quartic = u.take(1) < self.p_quartic
        side = torch.where(u.take(dim) < 0.5, -1.0, 1.0).to(target)
        bend, slope = side * u.log_uniform(dim, self.bend), u.uniform(dim, self.slope)
        stiffness = u.log_uniform(1, self.stiffness)
        every_other = (u.take(1) < self.p_pairs) & (torch.arange(dim, device=uniforms.device) % 2 == 1)
        columns = u.log_uniform(dim, self.column_scale)
        weight = u.normal(_rows(dim) * dim).unflatten(1, (_rows(dim), dim))
        return PlainFunctions(
            kind=kind,
            target=target,
            axes=axes * rotated[..., None],
            scale=condition ** (-place / 2),
            power=1.0 + quartic.to(target),
            slope=slope,
            bend=bend,
            linked=1.0 - every_other.to(target),
            stiffness=stiffness,
            weight=weight * columns[:, None],
            shape=(3 * u.take(1)).floor(),
            rate=u.log_uniform(dim, self.rate),
            spread=u.uniform(1, self.spread),
        )


def _rows(dim: int) -> int:
    """Equations of a regression."""
    return 2 * dim
