"""A prior of other kernels than the paper's, which no training sees: policies are chosen on it too."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pop_envs.checks import one_of
from pop_envs.objectives.base import Prior, Range, Uniforms
from pop_envs.objectives.gp_prior import PriorFunctions

KERNELS = ("rbf", "matern32", "matern52", "rational_quadratic", "periodic", "cosine")

_MOST = 12  # harmonics of a periodic kernel: of lengthscales from 0.4 on, fewer than one in a million lies above


@dataclass(frozen=True)
class KernelPrior(Prior):
    """Gaussian processes of one or two of six kernels, added or multiplied, with a lengthscale for each coordinate.

    In the manner of the generator of ZeroShotOpt (Meindl et al. 2025, arXiv:2510.03051); the kernels and the ranges are
    ours. The kernels are the RBF, the Matérn of orders 3/2 and 5/2, the rational quadratic with alpha = 1, the periodic
    and the cosine, the last two products over the coordinates (Rasmussen & Williams 2006, chapter 4; Duvenaud 2014,
    chapter 2). A function is a sum of random Fourier features (Rahimi & Recht 2007): those of a sum of kernels are
    divided between them, those of a product have frequencies that are sums.

    Attributes:
        kernels: Names in ``KERNELS`` of those that are drawn from.
        lengthscale: Range, log-uniform, for each coordinate; of the periodic and the cosine kernel that of the period.
        periodic_lengthscale: Range, log-uniform, of the periodic kernel's lengthscale, in periods' terms.
        p_single: Probability of one kernel.
        p_product: Probability that two are multiplied, and not added.
        num_features: Random features.
    """

    kernels: tuple[str, ...] = KERNELS
    lengthscale: Range = (0.15, 1.5)
    periodic_lengthscale: Range = (0.5, 2.0)
    p_single: float = 0.5
    p_product: float = 0.5
    num_features: int = 96

    def __post_init__(self) -> None:
        if not self.kernels:
            raise ValueError(f"kernels must name at least one of {', '.join(KERNELS)}")
        for name in self.kernels:
            one_of("kernels", name, KERNELS)

    def num_uniforms(self, dim: int) -> int:
        """See ``Prior``."""
        return 3 + self.num_features * 2 + 2 * (2 + dim + self.num_features * (2 * dim + 3))

    def build(self, uniforms: Tensor, dim: int) -> PriorFunctions:
        """See ``Prior``."""
        u, features = Uniforms(uniforms), self.num_features
        single, product = u.take(1) < self.p_single, u.take(1) < self.p_product
        share = u.take(1)  # of a sum's variance
        phase, weight = 2 * torch.pi * u.take(features), u.normal(features)
        first, second = self._frequencies(u, dim), self._frequencies(u, dim)  # (batch, dim, features)
        half = torch.arange(features, device=uniforms.device) % 2 == 0
        added = torch.where(half, first, second)
        combined = torch.where(product[..., None], first + second, added)
        frequency = torch.where(single[..., None], first, combined)
        balance = torch.where(half, share, 1 - share).mul(2).sqrt()
        weight = torch.where(single | product, weight, balance * weight)
        flat = torch.zeros(len(uniforms), dim, dtype=uniforms.dtype, device=uniforms.device)
        return PriorFunctions(
            curvature=flat,
            center=flat.clone(),
            frequency=frequency.transpose(0, 1).contiguous(),
            phase=phase.contiguous(),
            weight=math.sqrt(2 / features) * weight,
        )

    def _frequencies(self, u: Uniforms, dim: int) -> Tensor:
        """Frequencies (batch, dim, features) of kernels, each drawn for itself."""
        features = self.num_features
        kind = (len(self.kernels) * u.take(1)).floor()[..., None]
        scale = u.log_uniform(dim, self.lengthscale)[..., None]
        z = u.normal(dim * features).unflatten(1, (dim, features))
        # Half of a chi-squared variable: exponential with two degrees of freedom, and a normal's square adds one.
        exponential, another = (-torch.log(u.take(features) + 2.0**-54).clamp(max=-1e-12)[:, None] for _ in range(2))
        square = u.normal(features).square()[:, None] / 2
        harmonic = self._harmonics(
            u.log_uniform(1, self.periodic_lengthscale), places := u.take(dim * features)
        ).unflatten(1, (dim, features))
        spectra = {
            "rbf": z,
            "matern32": z * (1.5 / (exponential + square)).sqrt(),  # Student's t with 3 degrees of freedom
            "matern52": z * (2.5 / (exponential + another + square)).sqrt(),
            "rational_quadratic": z * exponential.sqrt(),
            "periodic": 2 * torch.pi * harmonic,
            "cosine": 2 * torch.pi * (places - 0.5).sign().unflatten(1, (dim, features)),
        }
        drawn = z
        for number, name in enumerate(self.kernels):
            drawn = torch.where(kind == number, spectra[name], drawn)
        return drawn / scale

    @staticmethod
    def _harmonics(lengthscale: Tensor, uniforms: Tensor) -> Tensor:
        """Quantiles (batch, n) of the harmonics of the periodic kernel exp(-2 sin^2(pi r / p) / l^2).

        Its Fourier coefficients are ``exp(-z) I_n(z)`` with ``z = l^-2``, I_n the modified Bessel functions.
        """
        z = lengthscale**-2
        order = torch.arange(-_MOST, _MOST + 1, device=z.device)
        angle = (torch.arange(64, dtype=z.dtype, device=z.device) + 0.5) * torch.pi / 64
        # The integral of I_n by the midpoint rule, which is exact for so smooth a period.
        mass = ((z * (angle.cos() - 1)).exp()[:, None] * (order[:, None] * angle).cos()).mean(-1)
        return torch.searchsorted(mass.cumsum(-1)[:, :-1].contiguous(), uniforms.contiguous()).to(z) - _MOST
