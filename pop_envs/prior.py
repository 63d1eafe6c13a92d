"""The priors over objective functions that POP is trained on (POP, section 3)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pop_envs.objective import Objective
from pop_envs.reference import reference_minimum, spread

Range = tuple[float, float]

_CHUNK = 64  # rows whose probe values fit the cache


@dataclass
class PriorFunctions(Objective):
    """A batch of functions ``transform(quadratic + random Fourier features)``, eq. 8-10.

    The mixing weight ``alpha`` of eq. 8 is already multiplied into ``curvature`` and ``weight``.
    The transform is ``z = (f - shift) / unit``, then ``sign(z) |z|^power``, which keeps the minimizers.

    Attributes:
        curvature: (batch, dim), of eq. 9.
        center: (batch, dim), of eq. 9.
        frequency: (dim, batch, features), of eq. 10.
        phase: (batch, features), of eq. 10.
        weight: (batch, features), of eq. 10 with its factor sqrt(2).
        rotation: (batch, dim, dim), the axes of the quadratic; None where they are the coordinates.
        transform: (batch, 3) with columns shift, unit, power; None for the identity.
    """

    curvature: Tensor
    center: Tensor
    frequency: Tensor
    phase: Tensor
    weight: Tensor
    rotation: Tensor | None = None
    transform: Tensor | None = None
    dim: int = field(init=False)

    def __post_init__(self) -> None:
        self.dim = self.center.shape[1]

    def __len__(self) -> int:
        return len(self.phase)

    def rows(self, index: Tensor) -> Self:
        """The functions at ``index`` (n,), in that order; repeats are allowed."""
        picked = {name: _pick(name, value, index) for name, value in self._tensors()}
        return replace(self, **picked)  # type: ignore[arg-type]

    def put(self, index: Tensor, other: PriorFunctions) -> None:
        """Replaces the functions at ``index`` (n,) by the n functions of ``other``."""
        for name, value in self._tensors():
            new = getattr(other, name)
            if name == "frequency":
                value[:, index] = new
            else:
                value[index] = new

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Objective``."""
        offset = self._axes(x - self.center)  # (batch, dim)
        pull = self.curvature * offset
        # One coordinate after the other: a batched product of such thin matrices is six times slower.
        angle = self.phase
        for d in range(self.dim):
            angle = torch.addcmul(angle, self.frequency[d], x[:, d, None])
        y = (pull * offset).sum(-1) + (self.weight * angle.cos()).sum(-1)
        slope = angle.sin_().mul_(self.weight)  # (batch, features)
        wave = torch.stack([(self.frequency[d] * slope).sum(-1) for d in range(self.dim)], -1)
        if self.rotation is not None:
            pull = torch.einsum("bij,bi->bj", self.rotation, pull)
        g = 2 * pull - wave
        return (y, g) if self.transform is None else _power(y, g, self.transform)

    def values_on(self, points: Tensor) -> Tensor:
        """See ``Objective``. In single precision: these values only tell scales and starting points."""
        points = points.float()
        chunks = torch.arange(len(self), device=points.device).split(_CHUNK)
        return torch.cat([self.rows(chunk)._values_on(points) for chunk in chunks]).double()

    def _values_on(self, points: Tensor) -> Tensor:
        offset = self._axes(points.double() - self.center[:, None])  # (batch, n, dim)
        quadratic = (self.curvature[:, None] * offset.square()).sum(-1).float()
        angle = self.phase.float()[:, None]
        for d in range(self.dim):
            angle = torch.addcmul(angle, self.frequency[d].float()[:, None], points[:, d, None])
        y = quadratic + torch.bmm(angle.cos_(), self.weight.float()[..., None])[..., 0]
        return y if self.transform is None else _power(y.double(), None, self.transform[:, None])[0]

    def _axes(self, offset: Tensor) -> Tensor:
        if self.rotation is None:
            return offset
        return torch.einsum("bij,b...j->b...i", self.rotation, offset)

    def _tensors(self) -> list[tuple[str, Tensor]]:
        named = [(f.name, getattr(self, f.name)) for f in fields(self) if f.init]
        return [(name, value) for name, value in named if value is not None]


def _pick(name: str, value: Tensor, index: Tensor) -> Tensor:
    return value[:, index] if name == "frequency" else value[index]


def _power(y: Tensor, g: Tensor | None, transform: Tensor) -> tuple[Tensor, Tensor]:
    """The odd power of the shifted value and, where asked, its gradient by the chain rule."""
    shift, unit, power = transform.unbind(-1)
    z = (y - shift) / unit
    size = z.abs()
    value = z.sign() * size**power
    if g is None:
        return value, value
    return value, g * (power * size ** (power - 1) / unit)[:, None]


class _Uniforms:
    """Columns of a (batch, n) table of uniform numbers, handed out from left to right."""

    def __init__(self, table: Tensor) -> None:
        self.table = table
        self.used = 0

    def take(self, n: int) -> Tensor:
        self.used += n
        return self.table[:, self.used - n : self.used]

    def uniform(self, n: int, bounds: Range) -> Tensor:
        low, high = bounds
        return low + (high - low) * self.take(n)

    def log_uniform(self, n: int, bounds: Range) -> Tensor:
        return self.uniform(n, (math.log(bounds[0]), math.log(bounds[1]))).exp()

    def normal(self, n: int) -> Tensor:
        # Half a unit in the last place keeps the quantile of 0 finite.
        return torch.special.ndtri(self.take(n) + 2.0**-54)


@dataclass(frozen=True)
class GPPrior:
    """The paper's prior: a separable quadratic plus a Gaussian process (eq. 8-10).

    A function is a fixed map of one row of uniform numbers, so that a batch drawn from one
    generator, row after row, equals functions drawn one by one. The ranges are ours, chosen for the
    unit box; the paper's are in an appendix that we have not seen.

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
        """Length of the row of uniform numbers that one function in ``dim`` dimensions takes."""
        return 4 + 2 * dim + self.num_features * (2 + dim)

    def sample(
        self,
        batch: int,
        dim: int,
        rng: np.random.Generator,
        device: torch.device | str = "cpu",
    ) -> PriorFunctions:
        """Draws ``batch`` functions in ``dim`` dimensions from one generator."""
        return self.build(torch.from_numpy(rng.random((batch, self.num_uniforms(dim)))).to(device), dim)

    def build(self, uniforms: Tensor, dim: int) -> PriorFunctions:
        """The functions that the rows of ``uniforms`` (batch, num_uniforms(dim)) stand for."""
        return self._build(_Uniforms(uniforms), dim)

    def _build(self, u: _Uniforms, dim: int) -> PriorFunctions:
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
    """The paper's prior widened by rough, anisotropic, ill-conditioned and strongly scaled functions.

    Attributes:
        p_heavy: Probability of heavy-tailed frequencies (Student-t with two degrees of freedom, the
            spectrum of a Matern-1 kernel) with a lengthscale of its own per coordinate.
        anisotropy: Range, log-uniform, of the factor of each coordinate's lengthscale.
        p_rotated: Probability of a rotated, ill-conditioned quadratic.
        condition: Range, log-uniform, of that quadratic's condition number.
        p_power: Probability of a power of the value above its minimum.
        power: Range of the exponent.
        margin: Range, log-uniform, of what is added to the value before the power, in units of the
            function's spread: the smaller, the flatter the minimum.
    """

    p_heavy: float = 0.5
    anisotropy: Range = (0.5, 2.0)
    p_rotated: float = 0.4
    condition: Range = (1.0, 1e4)
    p_power: float = 0.3
    power: Range = (1.0, 3.0)
    margin: Range = (1e-4, 1e-1)

    def num_uniforms(self, dim: int) -> int:
        """See ``GPPrior``."""
        return super().num_uniforms(dim) + self.num_features + 6 + 2 * dim + dim * dim

    def _build(self, u: _Uniforms, dim: int) -> PriorFunctions:
        functions = super()._build(u, dim)
        heavy = u.take(1) < self.p_heavy
        # t = z / sqrt(chi2 / 2), and half a chi-squared variable with two degrees is exponential.
        tail = (-torch.log(u.take(self.num_features) + 2.0**-54)).clamp(min=1e-4).rsqrt()
        stretch = u.log_uniform(dim, self.anisotropy)
        factor = torch.where(heavy[..., None], tail[:, None] / stretch[..., None], 1.0)
        functions.frequency = (functions.frequency.transpose(0, 1) * factor).transpose(0, 1).contiguous()

        rotated = u.take(1) < self.p_rotated
        log_condition = u.log_uniform(1, self.condition).log()
        # The first axis is the steepest, the last the flattest, those between lie anywhere.
        place = u.take(dim).clone()
        place[:, -1] = 1.0
        place[:, 0] = 0.0
        steepest = functions.curvature.amax(-1, keepdim=True)
        ill = steepest * torch.exp(-log_condition * place)
        axes = torch.linalg.qr(u.normal(dim * dim).unflatten(1, (dim, dim))).Q
        functions.curvature = torch.where(rotated, ill, functions.curvature)
        functions.rotation = torch.where(
            rotated[..., None], axes, torch.eye(dim, dtype=axes.dtype, device=axes.device)
        ).contiguous()

        powered = u.take(1)[:, 0] < self.p_power
        power = u.uniform(1, self.power)[:, 0]
        margin = u.log_uniform(1, self.margin)[:, 0]
        functions.transform = torch.stack([torch.zeros_like(power), torch.ones_like(power), torch.ones_like(power)], -1)
        index = powered.nonzero()[:, 0]
        if len(index):
            chosen = functions.rows(index)
            unit = spread(chosen)
            shift = reference_minimum(chosen) - margin[index] * unit
            functions.transform[index] = torch.stack([shift, unit, power[index]], -1)
        return functions


PRIORS = {"gp": GPPrior, "wide": WidePrior}

# Spawn keys: no integer seed, as training uses them, leads to these streams.
_VALIDATION, _TEST = 1, 2


def validation_functions(
    prior: GPPrior, batch: int = 256, dim: int = 2, device: torch.device | str = "cpu"
) -> PriorFunctions:
    """The prior's functions to choose settings by: always the same, and never met in training."""
    return prior.sample(batch, dim, _held_out(_VALIDATION, 0), device)


def validation_starts(batch: int = 256, dim: int = 2) -> NDArray[np.float64]:
    """Uniform starts (batch, dim) in the unit box that go with ``validation_functions``."""
    return _held_out(_VALIDATION, 1).uniform(-1, 1, (batch, dim))


def final_test_functions(
    prior: GPPrior, batch: int = 1024, dim: int = 2, device: torch.device | str = "cpu"
) -> PriorFunctions:
    """The prior's functions to report on: as ``validation_functions``, but others."""
    return prior.sample(batch, dim, _held_out(_TEST, 0), device)


def final_test_starts(batch: int = 1024, dim: int = 2) -> NDArray[np.float64]:
    """Uniform starts (batch, dim) in the unit box that go with ``final_test_functions``."""
    return _held_out(_TEST, 1).uniform(-1, 1, (batch, dim))


def _held_out(purpose: int, stream: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(0, spawn_key=(purpose, stream)))
