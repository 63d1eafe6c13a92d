"""Action distributions whose head is shared by the coordinates."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import cached_property
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pop_envs.arrays import Array, namespace
from pop_envs.pop.tokens import EXHAUSTED, LOWEST, SURROGATE, TRUST_REGION

_LOG_2PI = math.log(2 * math.pi)
_LOG_STD = (-7.0, 0.0)  # finest and broadest deviation that a head can ask for


class PerCoordinateDistribution(ABC):
    """Actions (batch, dim), given the outputs of a head that every coordinate has alike."""

    num_outputs: ClassVar[int]
    """Outputs of the head per coordinate."""
    follows: ClassVar[tuple[str, ...]] = ()
    """Features of the token that it reads itself: the proposed actions that it follows, and what tells which."""

    @classmethod
    def head(cls, width: int, device: torch.device | str = "cpu") -> nn.Linear:
        """The head: hidden states (..., width) to parameters (..., num_outputs), near its start values."""
        net = nn.Linear(width, cls.num_outputs, device=device, dtype=torch.float32)
        nn.init.normal_(net.weight, std=0.01)
        with torch.no_grad():
            for bias, start in zip(net.bias, cls._start(), strict=True):
                bias.fill_(start)
        return net

    @classmethod
    @abstractmethod
    def _start(cls) -> list[float]:
        """Outputs of the untrained head."""

    @abstractmethod
    def given(self, outputs: Array, proposed: Array) -> Self:
        """Sets the parameters.

        Args:
            outputs: Of the head (batch, dim, num_outputs).
            proposed: The features (batch, dim, len(follows)) that it reads.
        """

    @abstractmethod
    def log_prob(self, actions: Tensor) -> Tensor:
        """Log-probabilities (batch,) of ``actions`` (batch, dim)."""

    @abstractmethod
    def entropy(self) -> Tensor:
        """Entropy (batch,)."""

    @abstractmethod
    def sample(self, generator: torch.Generator | None = None) -> Array:
        """Actions (batch, dim), drawn with ``generator`` or else PyTorch's global one."""

    @abstractmethod
    def mode(self) -> Array:
        """The likeliest action (batch, dim), or near it."""

    def get_actions(self, deterministic: bool = False, generator: torch.Generator | None = None) -> Array:
        """The mode or a sample (batch, dim)."""
        return self.mode() if deterministic else self.sample(generator)


class GaussianDistribution(PerCoordinateDistribution):
    """The paper's Gaussian (POP, eq. 2), with a deviation that depends on the state."""

    num_outputs = 2

    @classmethod
    def _start(cls) -> list[float]:
        return [0.0, _unbounded(math.log(0.3))]

    def given(self, outputs: Array, proposed: Array) -> Self:
        """See ``PerCoordinateDistribution``; no proposed action is in it."""
        self.mean, log_std = namespace(outputs).unbind(outputs, -1)
        self.log_std = _bounded(log_std)
        return self

    def log_prob(self, actions: Tensor) -> Tensor:
        """Log-probabilities (batch,) of ``actions`` (batch, dim)."""
        return _log_normal(actions, self.mean, self.log_std).sum(-1)

    def entropy(self) -> Tensor:
        """Entropy (batch,)."""
        return _normal_entropy(self.log_std).sum(-1)

    def sample(self, generator: torch.Generator | None = None) -> Array:
        """Actions (batch, dim), drawn with ``generator`` or else PyTorch's global one."""
        xp = namespace(self.mean)
        return self.mean + xp.exp(self.log_std) * xp.normal(self.mean, generator)

    def mode(self) -> Array:
        """The mean (batch, dim)."""
        return self.mean


class MixtureDistribution(PerCoordinateDistribution):
    """A step or a jump, of all coordinates together: a mixture of two Gaussians.

    Either's mean is ``k * proposed + (1 - k) * free`` with a learned gate ``k`` that starts near 1: the
    untrained policy is a quasi-Newton method that now and then jumps to the surrogate's proposal. Coordinates
    jump together, since a jump of one alone only searches a line; their mean logit decides how likely
    that is.
    """

    num_outputs = 7
    follows: ClassVar[tuple[str, ...]] = (SURROGATE, TRUST_REGION)
    guided: ClassVar[tuple[bool, bool]] = (True, True)
    """Whether the step and the jump follow a proposed action."""

    @classmethod
    def _start(cls) -> list[float]:
        # Under the signed rules 0.86 is half of the box, and 0.07 scatters over all of it.
        free, jump_free = 0.5, 0.86
        std, jump_std = (tight if guided else 0.07 for tight, guided in zip((0.008, 0.02), cls.guided, strict=True))
        log_stds = [_unbounded(math.log(std)), _unbounded(math.log(jump_std))]
        return [5.0, 4.0, free, jump_free, *log_stds, math.log(0.1 / 0.9)]

    def given(self, outputs: Array, proposed: Array) -> Self:
        """See ``PerCoordinateDistribution``."""
        # Component 0 steps, component 1 jumps: (batch, dim, 2) each, and weights (batch, 2).
        xp = namespace(outputs)
        gates, free, log_stds = (outputs[..., i : i + 2] for i in (0, 2, 4))
        gates = xp.sigmoid(gates)
        if not all(self.guided):
            gates = xp.where(xp.mask(self.guided, outputs), gates, 0.0)
        self.means = xp.lerp(free, proposed[..., [1, 0]], gates) if self.follows else free
        self.log_stds = _bounded(log_stds)
        self.jump_logit = xp.mean(outputs[..., 6], -1)
        return self

    @property
    def log_weights(self) -> Tensor:
        """Logarithms of the components' weights (batch, 2)."""
        return F.logsigmoid(torch.stack([-self.jump_logit, self.jump_logit], -1))

    def log_prob(self, actions: Tensor) -> Tensor:
        """Log-probabilities (batch,) of ``actions`` (batch, dim), exact."""
        parts = _log_normal(actions[..., None], self.means, self.log_stds).sum(-2)
        return (self.log_weights + parts).logsumexp(-1)

    def entropy(self) -> Tensor:
        """An upper bound of the entropy (batch,), tight for components that coincide or lie far apart.

        The pairwise-distance estimator with the Kullback-Leibler divergence (Kolchinsky & Tracey,
        Estimating mixture entropy with pairwise distances, 2017, eq. 10).
        """
        mean, log_std = self.means, self.log_stds
        other_mean, other_log_std = mean.flip(-1), log_std.flip(-1)
        squared = (2 * log_std).exp() + (mean - other_mean).square()
        divergence = (other_log_std - log_std + squared / (2 * (2 * other_log_std).exp()) - 0.5).sum(-2)
        log_weights = self.log_weights
        near = torch.logaddexp(log_weights, log_weights.flip(-1) - divergence)
        return (log_weights.exp() * (_normal_entropy(log_std).sum(-2) - near)).sum(-1)

    def sample(self, generator: torch.Generator | None = None) -> Array:
        """Actions (batch, dim), drawn with ``generator`` or else PyTorch's global one."""
        xp = namespace(self.means)
        jumps = xp.uniform(self.jump_logit, generator) < xp.sigmoid(self.jump_logit)
        noise = xp.normal(self.means[..., 0], generator)
        return self._component(self.means, jumps) + noise * xp.exp(self._component(self.log_stds, jumps))

    def mode(self) -> Array:
        """The mean (batch, dim) of the likelier component."""
        return self._component(self.means, self.jump_logit > 0)

    @staticmethod
    def _component(pair: Array, jumps: Array) -> Array:
        return namespace(pair).where(jumps[..., None], pair[..., 1], pair[..., 0])


class UnguidedJumpsDistribution(MixtureDistribution):
    """The mixture with jumps that no surrogate guides."""

    guided = (True, False)


class FreeMixtureDistribution(MixtureDistribution):
    """The mixture without proposed actions."""

    follows = ()
    guided = (False, False)


class OptionsDistribution(PerCoordinateDistribution):
    """A choice: the present descent's proposal or the lowest one's, exactly, or a jump.

    The jump is a Gaussian whose mean is ``k * proposed + (1 - k) * free``, with a learned gate ``k`` that starts near
    1, of the action that leads to the surrogate's proposal. All coordinates choose together, by the means of their
    logits; a jump's is higher, by a learned amount, where the present descent is exhausted: the untrained policy is a
    rule that descends and then jumps.

    Probabilities of the two proposals are masses, that of a jump is a density: log-probabilities are with respect to
    the sum of Lebesgue's measure and the counting measure on the proposals, so that their ratios are right.
    """

    num_outputs = 7
    follows = (SURROGATE, TRUST_REGION, LOWEST, EXHAUSTED)

    @classmethod
    def _start(cls) -> list[float]:
        log_std, logits = _unbounded(math.log(0.02)), [math.log(weight) for weight in (0.9, 0.03, 0.07)]
        return [4.0, 0.86, log_std, *logits, 5.0]

    def given(self, outputs: Array, proposed: Array) -> Self:
        """See ``PerCoordinateDistribution``."""
        xp = namespace(outputs)
        gate, free, log_std, step, lowest, jump, urge = xp.unbind(outputs, -1)
        surrogate, self.step, self.lowest, exhausted = xp.unbind(proposed, -1)
        self.mean = xp.lerp(free, surrogate, xp.sigmoid(gate))
        self._raw_log_std = log_std
        logits = xp.mean(xp.stack([step, lowest, jump + urge * exhausted]), -1)
        step_weight, lowest_weight, self.jump_weight = xp.log_softmax(logits, 0)
        self.same = (self.step == self.lowest).all(-1)
        both = xp.logaddexp(step_weight, lowest_weight)
        self.step_weight = xp.where(self.same, both, step_weight)
        self.lowest_weight = xp.where(self.same, both, lowest_weight)
        return self

    @cached_property
    def log_std(self) -> Array:
        """Logarithms of the jump's deviations (batch, dim); the mode does without."""
        return _bounded(self._raw_log_std)

    def log_prob(self, actions: Tensor) -> Tensor:
        """Log-probabilities (batch,) of ``actions`` (batch, dim); see the class."""
        jump = self.jump_weight + _log_normal(actions, self.mean, self.log_std).sum(-1)
        other = torch.where((actions == self.lowest).all(-1), self.lowest_weight, jump)
        return torch.where((actions == self.step).all(-1), self.step_weight, other)

    def entropy(self) -> Tensor:
        """Entropy (batch,)."""
        jump, lowest = self.jump_weight, self.lowest_weight
        apart = (-lowest.exp() * lowest).masked_fill(self.same, 0.0) - self.step_weight.exp() * self.step_weight
        return apart + jump.exp() * (_normal_entropy(self.log_std).sum(-1) - jump)

    def sample(self, generator: torch.Generator | None = None) -> Array:
        """Actions (batch, dim), drawn with ``generator`` or else PyTorch's global one."""
        xp = namespace(self.mean)
        jump, step = xp.exp(self.jump_weight), xp.exp(self.step_weight)
        u, noise = xp.uniform(jump, generator), xp.normal(self.mean, generator)
        return self._chosen(u < jump, u < jump + step, self.mean + xp.exp(self.log_std) * noise)

    def mode(self) -> Array:
        """The likeliest proposal, or the mean of jumps (batch, dim) where these are likelier."""
        jumps = self.jump_weight > namespace(self.mean).maximum(self.step_weight, self.lowest_weight)
        return self._chosen(jumps, self.step_weight >= self.lowest_weight, self.mean)

    def _chosen(self, jumps: Array, steps: Array, jump: Array) -> Array:
        where = namespace(jump).where
        return where(jumps[..., None], jump, where(steps[..., None], self.step, self.lowest))


def _bounded(raw: Array) -> Array:
    """A log-deviation between the bounds of ``_LOG_STD``, smoothly, so that no head gets stuck at them."""
    low, high = _LOG_STD
    return low + (high - low) * namespace(raw).sigmoid(raw)


def _unbounded(log_std: float) -> float:
    """Inverse of ``_bounded``."""
    low, high = _LOG_STD
    return math.log((log_std - low) / (high - log_std))


def _log_normal(x: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    return -0.5 * ((x - mean) / log_std.exp()).square() - log_std - 0.5 * _LOG_2PI


def _normal_entropy(log_std: Tensor) -> Tensor:
    return log_std + 0.5 * (1 + _LOG_2PI)


DISTRIBUTIONS: dict[str, type[PerCoordinateDistribution]] = {
    "gaussian": GaussianDistribution,
    "mixture": MixtureDistribution,
    "unguided_jumps": UnguidedJumpsDistribution,
    "free": FreeMixtureDistribution,
    "options": OptionsDistribution,
}
