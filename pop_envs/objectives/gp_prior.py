"""The priors over objective functions that POP is trained on (POP, section 3)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import Self

import torch
from torch import Tensor

from pop_envs.arrays import row_sums
from pop_envs.objectives.base import FunctionBatch, Prior, Range, Uniforms
from pop_envs.objectives.reference import reference_minimum, spread

_CHUNK = 64  # rows whose probe values fit the cache


@dataclass
class PriorFunctions(FunctionBatch):
    """A batch of functions, bowl plus random Fourier features (eq. 8-10), and what the wide prior adds.

    The mixing weight ``alpha`` of eq. 8 is already multiplied into ``curvature`` and ``weight``. What is
    None is not there, as in all functions of the paper's prior.

    Attributes:
        curvature: (batch, dim), of eq. 9.
        center: (batch, dim), of eq. 9.
        frequency: (dim, batch, features), of eq. 10.
        phase: (batch, features), of eq. 10.
        weight: (batch, features), of eq. 10 with its factor sqrt(2).
        bend: (batch, dim): the bowl sees ``x_d + bend_d (x_{d-1}^2 - 1/3)``, so that its valleys curve.
        rotation: (batch, dim, dim), the axes of the bowl.
        kink: (batch, 2) with columns q, e: the bowl is ``(o^2 + e^2)^(q/2)`` of the offset o along an axis.
        contrast: (batch, 5), of the value; see ``_contrasted``.
    """

    curvature: Tensor
    center: Tensor
    frequency: Tensor
    phase: Tensor
    weight: Tensor
    bend: Tensor | None = None
    rotation: Tensor | None = None
    kink: Tensor | None = None
    contrast: Tensor | None = None
    dim: int = field(init=False)

    def __post_init__(self) -> None:
        self.dim = self.center.shape[1]

    def __len__(self) -> int:
        return len(self.phase)

    def rows(self, index: Tensor) -> Self:
        """See ``FunctionBatch``."""
        return self._picked(index)

    def put(self, index: Tensor, other: Self) -> None:
        """See ``FunctionBatch``."""
        for name, value in self._tensors():
            new = getattr(other, name)
            if name == "frequency":
                value[:, index] = new
            else:
                value[index] = new

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Objective``."""
        bowl, pull = (part[:, 0] for part in self._bowl(x[:, None]))
        # One coordinate after the other: a batched product of such thin matrices is six times slower. And in as few
        # arrays as will do: to get a new one of this size takes longer than to fill it.
        angle = torch.addcmul(self.phase, self.frequency[0], x[:, 0, None])
        for d in range(1, self.dim):
            angle.addcmul_(self.frequency[d], x[:, d, None])
        wave = angle.cos()
        y = bowl + wave.mul_(self.weight).sum(-1)
        slope = angle.sin_().mul_(self.weight)  # (batch, features)
        falls = [torch.mul(self.frequency[d], slope, out=wave).sum(-1) for d in range(self.dim)]
        g = pull - torch.stack(falls, -1)
        if self.contrast is None:
            return y, g
        y, factor = _contrasted(y, self.contrast)
        return y, g * factor[:, None]

    def values_on(self, points: Tensor) -> Tensor:
        """See ``Objective``. In single precision: these values only tell scales and starting points."""
        chunks = (slice(start, start + _CHUNK) for start in range(0, len(self), _CHUNK))
        return torch.cat([self._picked(chunk)._values_on(points) for chunk in chunks])

    def _picked(self, rows: Tensor | slice) -> Self:
        """The functions at ``rows``; those of a slice are views."""
        picked = {name: value[:, rows] if name == "frequency" else value[rows] for name, value in self._tensors()}
        return replace(self, **picked)  # type: ignore[arg-type]

    def _values_on(self, points: Tensor) -> Tensor:
        bowl, _ = self._bowl(points.expand(len(self), -1, -1))
        points, frequency = points.float(), self.frequency.float()[:, :, None]
        angle = torch.addcmul(self.phase.float()[:, None], frequency[0], points[:, 0, None])
        for d in range(1, self.dim):
            angle.addcmul_(frequency[d], points[:, d, None])
        y = bowl + torch.bmm(angle.cos_(), self.weight.float()[..., None])[..., 0]
        return y if self.contrast is None else _contrasted(y, self.contrast[:, None])[0]

    def _bowl(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Values (batch, n) and gradients (batch, n, dim) of the bowl at ``x`` (batch, n, dim)."""
        offset = x - self.center[:, None]
        if self.bend is not None:
            offset[..., 1:] += self.bend[:, None, 1:] * (x[..., :-1].square() - 1 / 3)
        if self.rotation is not None:
            offset = torch.einsum("bij,bnj->bni", self.rotation, offset)
        if self.kink is None:
            size, pull = offset.square(), 2 * offset
        else:
            q, e = self.kink[:, None, None].unbind(-1)
            soft = offset.square() + e.square()
            size, pull = soft ** (q / 2), q * offset * soft ** (q / 2 - 1)
        value = row_sums(self.curvature[:, None] * size)
        pull = self.curvature[:, None] * pull
        if self.rotation is not None:
            pull = torch.einsum("bij,bni->bnj", self.rotation, pull)
        if self.bend is not None:
            pull[..., :-1] += 2 * x[..., :-1] * self.bend[:, None, 1:] * pull[..., 1:]
        return value, pull

    def _tensors(self) -> list[tuple[str, Tensor]]:
        named = [(f.name, getattr(self, f.name)) for f in fields(self) if f.init]
        return [(name, value) for name, value in named if value is not None]


def _contrasted(y: Tensor, contrast: Tensor) -> tuple[Tensor, Tensor]:
    """A growing, odd function of the value, and its slope.

    With columns shift, unit, power, k, l: ``z = (y - shift) / unit``, then ``z^power``, then Box and Cox's
    ``((1 + k z)^l - 1) / (k l)``. A power above 1 flattens the minimum; l < 0 makes plateaus around narrow
    wells, l > 1 values over many orders of magnitude.
    """
    shift, unit, power, k, exponent = contrast.unbind(-1)
    z = (y - shift) / unit
    size = z.abs()
    powered, slope = size**power, power * size ** (power - 1)
    base = 1 + k * powered
    value = z.sign() * (base**exponent - 1) / (k * exponent)
    return value, slope * base ** (exponent - 1) / unit


@dataclass(frozen=True)
class GPPrior(Prior):
    """The paper's prior: a separable quadratic plus a Gaussian process (eq. 8-10).

    The ranges are ours, chosen for the unit box; the paper's are in an appendix that we have not seen.

    Attributes:
        alpha: Range of the weight of the convex part (eq. 8).
        beta1: Range of its curvatures (eq. 9).
        beta2: Range of its centre (eq. 9).
        lengthscale: Range, log-uniform, of the RBF kernel's lengthscale.
        sigma: Range of the Gaussian process' standard deviation.
        num_features: M of eq. 10.
        p_convex: Probability of alpha = 1.
    """

    alpha: Range = (0.0, 0.7)
    beta1: Range = (0.2, 2.0)
    beta2: Range = (-0.8, 0.8)
    lengthscale: Range = (0.15, 1.0)
    sigma: Range = (0.5, 1.5)
    num_features: int = 96
    p_convex: float = 0.1

    def __post_init__(self) -> None:
        for name in ("alpha", "beta1", "beta2", "lengthscale", "sigma"):
            low, high = getattr(self, name)
            if not low <= high:
                raise ValueError(f"{name} must be a range (low, high) with low <= high, got {(low, high)}")
        if self.beta1[0] <= 0 or self.lengthscale[0] <= 0:
            raise ValueError(f"beta1 and lengthscale must be positive, got {self.beta1} and {self.lengthscale}")
        if not (self.alpha[0] >= 0 and self.alpha[1] <= 1 and 0 <= self.p_convex <= 1):
            raise ValueError(f"alpha and p_convex must lie in [0, 1], got {self.alpha} and {self.p_convex}")
        if self.num_features < 1:
            raise ValueError(f"num_features must be at least 1, got {self.num_features}")

    def num_uniforms(self, dim: int) -> int:
        """See ``Prior``."""
        return 4 + 2 * dim + self.num_features * (2 + dim)

    def build(self, uniforms: Tensor, dim: int) -> PriorFunctions:
        """See ``Prior``."""
        return self._build(Uniforms(uniforms), dim)

    def _build(self, u: Uniforms, dim: int) -> PriorFunctions:
        alpha = u.uniform(1, self.alpha)
        alpha = torch.where(u.take(1) < self.p_convex, 1.0, alpha)
        curvature = u.uniform(dim, self.beta1)
        center = u.uniform(dim, self.beta2)
        lengthscale = u.log_uniform(1, self.lengthscale)
        sigma = u.uniform(1, self.sigma)
        features = self.num_features
        frequency = u.normal(dim * features).unflatten(1, (dim, features)) / lengthscale[..., None]
        phase = 2 * torch.pi * u.take(features)
        weight = sigma * math.sqrt(2 / features) * u.normal(features)
        return PriorFunctions(
            curvature=alpha * curvature,
            center=center,
            frequency=frequency.transpose(0, 1).contiguous(),
            phase=phase.contiguous(),
            weight=(1 - alpha) * weight,
        )


@dataclass(frozen=True)
class WidePrior(GPPrior):
    """The paper's prior widened by random families of harder functions, each with a probability of its own.

    Attributes:
        p_heavy: Heavy-tailed frequencies (Student-t with two degrees of freedom, the spectrum of a
            Matern-1 kernel) with a lengthscale of its own per coordinate.
        anisotropy: Range, log-uniform, of the factor of each coordinate's lengthscale.
        p_ripple: Fine ripples on a bowl.
        ripple_lengthscale: Range, log-uniform, of their lengthscale.
        ripple_height: Range, log-uniform, of their height.
        p_sparse: Few frequencies, so that the waves repeat.
        p_additive: Frequencies along the coordinates, so that these do not interact.
        p_rotated: A rotated, ill-conditioned bowl.
        condition: Range, log-uniform, of its condition number.
        p_bend: A bowl with curved valleys.
        bend: Range of how much they curve, to either side.
        p_kink: A bowl with kinks.
        kink: Range of the exponent of the distance in it.
        kink_width: Range, log-uniform, of the width that a kink is rounded over.
        p_power: A power of the value above its minimum.
        power: Range of the exponent.
        margin: Range, log-uniform, of what is added to the value before the power, in units of the
            function's spread: the smaller, the flatter the minimum.
        p_contrast: Plateaus around wells, or values over orders of magnitude.
        contrast: Range, log-uniform, of k in ``_contrasted``.
        contrast_exponent: Range of l in ``_contrasted``.
    """

    p_heavy: float = 0.4
    anisotropy: Range = (0.5, 2.0)
    p_ripple: float = 0.2
    ripple_lengthscale: Range = (0.02, 0.15)
    ripple_height: Range = (0.02, 0.5)
    p_sparse: float = 0.25
    p_additive: float = 0.25
    p_rotated: float = 0.4
    condition: Range = (1.0, 1e4)
    p_bend: float = 0.2
    bend: Range = (0.2, 1.5)
    p_kink: float = 0.15
    kink: Range = (0.8, 1.6)
    kink_width: Range = (1e-4, 1e-1)
    p_power: float = 0.2
    power: Range = (1.0, 3.0)
    margin: Range = (1e-4, 1e-1)
    p_contrast: float = 0.3
    contrast: Range = (0.1, 100.0)
    contrast_exponent: Range = (-1.5, 4.0)

    def num_uniforms(self, dim: int) -> int:
        """See ``GPPrior``."""
        return super().num_uniforms(dim) + 2 * self.num_features + 20 + 3 * dim + dim * dim

    def _build(self, u: Uniforms, dim: int) -> PriorFunctions:
        functions = super()._build(u, dim)
        self._change_waves(functions, u)
        self._change_bowl(functions, u)
        self._change_contrast(functions, u)
        return functions

    def _change_waves(self, functions: PriorFunctions, u: Uniforms) -> None:
        dim, features = functions.dim, self.num_features
        frequency = functions.frequency.transpose(0, 1)  # (batch, dim, features)
        heavy = u.take(1) < self.p_heavy
        # t = z / sqrt(chi2 / 2), and half a chi-squared variable with two degrees is exponential.
        tail = (-torch.log(u.take(features) + 2.0**-54)).clamp(min=1e-4).rsqrt()
        stretch = u.log_uniform(dim, self.anisotropy)
        frequency = frequency * torch.where(heavy[..., None], tail[:, None] / stretch[..., None], 1.0)

        ripple = u.take(1) < self.p_ripple
        # Brings the lengthscale of all frequencies to the ripple's, whatever it was.
        typical = frequency.square().mean((1, 2), keepdim=True).sqrt()
        finer = 1 / (typical * u.log_uniform(1, self.ripple_lengthscale)[..., None])
        frequency = torch.where(ripple[..., None], frequency * finer, frequency)
        low = u.log_uniform(1, self.ripple_height)
        height = functions.weight.square().sum(-1, keepdim=True).sqrt().clamp(min=1e-12)
        weight = torch.where(ripple, functions.weight * low / height, functions.weight)

        sparse = u.take(1) < self.p_sparse
        count = 1 + (6 * u.take(1)).floor()
        kept = torch.arange(features, device=count.device) < count
        sparse_weight = weight * kept * (features / count).sqrt()
        functions.weight = torch.where(sparse, sparse_weight, weight)

        additive = u.take(1) < self.p_additive
        along = (u.take(features) * dim).floor()[:, None] == torch.arange(dim, device=count.device)[:, None]
        frequency = torch.where(additive[..., None], frequency * along * math.sqrt(dim), frequency)
        functions.frequency = frequency.transpose(0, 1).contiguous()

    def _change_bowl(self, functions: PriorFunctions, u: Uniforms) -> None:
        dim = functions.dim
        rotated = u.take(1) < self.p_rotated
        log_condition = u.log_uniform(1, self.condition).log()
        # The first axis is the steepest, the last the flattest, those between lie anywhere.
        place = u.take(dim).clone()
        place[:, -1] = 1.0
        place[:, 0] = 0.0
        steepest = functions.curvature.amax(-1, keepdim=True)
        ill = steepest * torch.exp(-log_condition * place)
        axes = torch.linalg.qr(u.normal(dim * dim).unflatten(1, (dim, dim))).Q
        identity = torch.eye(dim, dtype=axes.dtype, device=axes.device)
        functions.curvature = torch.where(rotated, ill, functions.curvature)
        functions.rotation = torch.where(rotated[..., None], axes, identity).contiguous()

        bent = u.take(1) < self.p_bend
        side = torch.where(u.take(1) < 0.5, -1.0, 1.0)
        functions.bend = torch.where(bent, side * u.uniform(dim, self.bend), 0.0)

        kinked = u.take(1) < self.p_kink
        exponent, width = u.uniform(1, self.kink), u.log_uniform(1, self.kink_width)
        functions.kink = torch.cat([torch.where(kinked, exponent, 2.0), torch.where(kinked, width, 0.0)], -1)

    def _change_contrast(self, functions: PriorFunctions, u: Uniforms) -> None:
        powered, contrasted = u.take(1) < self.p_power, u.take(1) < self.p_contrast
        power = torch.where(powered, u.uniform(1, self.power), 1.0)
        margin = torch.where(powered, u.log_uniform(1, self.margin), 0.0)
        k = torch.where(contrasted, u.log_uniform(1, self.contrast), 1.0)
        exponent = torch.where(contrasted, u.uniform(1, self.contrast_exponent), 1.0)
        exponent = torch.where(exponent.abs() < 1e-3, 1e-3, exponent)
        zero, one = torch.zeros_like(k), torch.ones_like(k)
        index = (powered | contrasted)[:, 0].nonzero()[:, 0]
        shift, unit = zero.clone(), one.clone()
        if len(index):
            chosen = functions.rows(index)
            unit[index, 0] = spread(chosen, k.device)
            shift[index, 0] = reference_minimum(chosen, k.device) - margin[index, 0] * unit[index, 0]
        functions.contrast = torch.cat([shift, unit, power, k, exponent], -1)
