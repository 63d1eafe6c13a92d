"""Losses of small models on random data: what learned optimizers for machine learning are trained on.

Li and Malik, Learning to Optimize, ICLR 2017, sections 6.1 to 6.3. The paper leaves scales open; ours are the
defaults of the tasks below: they were chosen once, before anything was trained.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Literal, Self

import numpy as np
import torch
from torch import Tensor

from pop_envs.objectives.base import Prior, TensorFunctions, Uniforms

_DEGREES = 2  # of freedom of random covariances, for each dimension: one alone gives needles


class Losses(TensorFunctions):
    """Losses of models on datasets, one row a dataset; their points, all of R^dim, are the models' parameters."""

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Objective``."""
        y, g = self.on(x[:, None])
        return y[:, 0], g[:, 0]

    def values_on(self, points: Tensor) -> Tensor:
        """See ``Objective``."""
        return self.on(points.expand(len(self), -1, -1))[0]

    @abstractmethod
    def on(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Values (batch, n) and gradients (batch, n, dim) at n points of each function, ``x`` (batch, n, dim).

        Both are differentiable by ``x``.
        """

    @abstractmethod
    def turned(self, rotation: Tensor) -> Self:
        """The losses on datasets whose features are turned by orthogonal matrices (batch, features, features)."""


@dataclass
class LogisticLosses(Losses):
    """Mean logistic losses with an l2 penalty on the weights but not on the bias; parameters are (w, b).

    Attributes:
        design: (batch, dim, instances), each instance with a 1 appended, negated where its label is 0.
        penalty: Its coefficient.
    """

    design: Tensor
    penalty: float

    def __post_init__(self) -> None:
        self.dim = self.design.shape[1]

    def on(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Losses``."""
        margin = x @ self.design  # (batch, n, instances)
        small = (-margin.abs()).exp()
        weights = _without_last(x)
        y = (small.log1p() - margin.clamp(max=0)).mean(-1) + self.penalty / 2 * weights.square().sum(-1)
        miss = torch.where(margin < 0, 1.0, small) / (1 + small)  # sigmoid(-margin)
        return y, self.penalty * weights - miss @ self.design.mT / margin.shape[-1]

    def turned(self, rotation: Tensor) -> Self:
        """See ``Losses``."""
        return replace(self, design=_turned(self.design, rotation))


@dataclass
class RobustLosses(Losses):
    """Mean Geman-McClure losses ``r^2 / (c^2 + r^2)`` of a linear model's residuals r; parameters are (w, b).

    Attributes:
        design: (batch, dim, instances), each instance with a 1 appended.
        target: (batch, instances).
        scale: The constant c^2.
    """

    design: Tensor
    target: Tensor
    scale: float

    def __post_init__(self) -> None:
        self.dim = self.design.shape[1]

    def on(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Losses``."""
        residual = x @ self.design - self.target[:, None]
        square = residual.square()
        rest = self.scale / (self.scale + square)
        pull = residual * rest.square() * (2 / (self.scale * residual.shape[-1]))
        return (1 - rest).mean(-1), pull @ self.design.mT

    def turned(self, rotation: Tensor) -> Self:
        """See ``Losses``."""
        return replace(self, design=_turned(self.design, rotation))


@dataclass
class NetworkLosses(Losses):
    """Mean cross entropies of a two-layer ReLU network, with an l2 penalty on its weights but not on its biases.

    Parameters are (W, b, U, c), row by row, of ``U max(W x + b, 0) + c``.

    Attributes:
        inputs: (batch, features, instances).
        target: (batch, classes, instances), 1 for the class of an instance, else 0.
        hidden: Number of hidden units.
        penalty: Its coefficient.
    """

    inputs: Tensor
    target: Tensor
    hidden: int
    penalty: float

    def __post_init__(self) -> None:
        self.dim = sum(self._sizes)

    @property
    def _sizes(self) -> tuple[int, int, int, int]:
        features, classes = self.inputs.shape[1], self.target.shape[1]
        return self.hidden * features, self.hidden, classes * self.hidden, classes

    def on(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Losses``."""
        first, first_bias, second, second_bias = x.split(self._sizes, -1)
        first = first.unflatten(-1, (self.hidden, -1))  # (batch, n, hidden, features)
        second = second.unflatten(-1, (-1, self.hidden))  # (batch, n, classes, hidden)
        inputs, target = self.inputs[:, None], self.target[:, None]
        active = (first @ inputs + first_bias[..., None]).relu()  # (batch, n, hidden, instances)
        logits = second @ active + second_bias[..., None]  # (batch, n, classes, instances)
        log_probability = logits.log_softmax(-2)
        y = -(target * log_probability).sum(-2).mean(-1)
        y = y + self.penalty / 2 * (first.square().sum((-2, -1)) + second.square().sum((-2, -1)))
        push = (log_probability.exp() - target) / self.inputs.shape[-1]
        back = (second.mT @ push) * (active > 0)
        by_second = push @ active.mT + self.penalty * second
        by_first = back @ inputs.mT + self.penalty * first
        return y, torch.cat([by_first.flatten(-2), back.sum(-1), by_second.flatten(-2), push.sum(-1)], -1)

    def turned(self, rotation: Tensor) -> Self:
        """See ``Losses``."""
        return replace(self, inputs=rotation @ self.inputs)


class LearningTask(Prior):
    """A distribution over losses, whose coordinates are the parameters of a model.

    Attributes:
        training_size: Number of functions that the paper trains on.
        features: Of an instance.
    """

    training_size: ClassVar[int]
    features: int

    @property
    @abstractmethod
    def dim(self) -> int:
        """Number of the model's parameters."""

    def draw(self, batch: int, rng: np.random.Generator) -> Losses:
        """Draws ``batch`` functions."""
        functions = self.sample(batch, self.dim, rng)
        assert isinstance(functions, Losses)
        return functions

    def check_dim(self, dim: int) -> None:
        """Refuses another number of coordinates than the model's.

        Raises:
            ValueError: If it is another one.
        """
        if dim != self.dim:
            raise ValueError(f"the model has {self.dim} parameters, got dim={dim}")


@dataclass(frozen=True)
class LogisticRegression(LearningTask):
    """Classes from two Gaussians, one each (section 6.1); means are normal, covariances Wishart with mean I.

    Attributes:
        features: Of an instance, d.
        instances: Of a dataset; half from either Gaussian.
        penalty: Coefficient of the l2 penalty, lambda.
        spread: Standard deviation of the coordinates of means.
    """

    features: int = 3
    instances: int = 100
    penalty: float = 5e-4
    spread: float = 1.0
    training_size: ClassVar[int] = 90

    @property
    def dim(self) -> int:
        """See ``LearningTask``."""
        return self.features + 1

    def num_uniforms(self, dim: int) -> int:
        """See ``Prior``."""
        self.check_dim(dim)
        return self.features * (2 + _DEGREES * (2 * self.features + self.instances))

    def build(self, uniforms: Tensor, dim: int) -> LogisticLosses:
        """See ``Prior``."""
        self.check_dim(dim)
        points = _mixture(Uniforms(uniforms), 2, self.features, self.instances, self.spread)
        label = torch.ones(self.instances, dtype=points.dtype, device=points.device)
        label[: self.instances // 2] = -1
        return LogisticLosses(_with_ones(points) * label, self.penalty)


@dataclass(frozen=True)
class RobustRegression(LearningTask):
    """Labels from one linear map, with noise, of points from Gaussians with normal means (section 6.2).

    Attributes:
        features: Of an instance, d.
        gaussians: Number of Gaussians, each with the identity for its covariance.
        instances: Of a dataset.
        scale: The constant c, which stands in the denominator as it is.
        spread: Standard deviation of the coordinates of means.
        noise: Standard deviation of labels; the map and its bias are standard normal.
    """

    features: int = 3
    gaussians: int = 4
    instances: int = 100
    scale: float = 1.0
    spread: float = 1.0
    noise: float = 0.5
    training_size: ClassVar[int] = 120

    @property
    def dim(self) -> int:
        """See ``LearningTask``."""
        return self.features + 1

    def num_uniforms(self, dim: int) -> int:
        """See ``Prior``."""
        self.check_dim(dim)
        return self.features * (self.gaussians + self.instances) + dim + self.instances

    def build(self, uniforms: Tensor, dim: int) -> RobustLosses:
        """See ``Prior``."""
        self.check_dim(dim)
        u = Uniforms(uniforms)
        points = _mixture(u, self.gaussians, self.features, self.instances, self.spread, identity=True)
        design = _with_ones(points)
        target = (u.normal(dim)[:, None] @ design)[:, 0] + self.noise * u.normal(self.instances)
        return RobustLosses(design, target, self.scale)


@dataclass(frozen=True)
class NetworkClassifier(LearningTask):
    """Classes from Gaussians, a random one each, for a small network (section 6.3 and appendix 8.1).

    Means are normal, covariances Wishart with mean I. Classes are uniform among the ways in which not all are alike.

    Attributes:
        gaussians: Number of Gaussians.
        per_gaussian: Instances from each.
        features: Of an instance, d.
        hidden: Hidden units of the network, h.
        classes: Number of classes, p.
        penalty: Coefficient of the l2 penalty, lambda.
        spread: Standard deviation of the coordinates of means.
    """

    gaussians: int = 4
    per_gaussian: int = 25
    features: int = 2
    hidden: int = 2
    classes: int = 2
    penalty: float = 5e-4
    spread: float = 2.0
    training_size: ClassVar[int] = 80

    @property
    def dim(self) -> int:
        """See ``LearningTask``."""
        return self.hidden * (self.features + 1) + self.classes * (self.hidden + 1)

    @property
    def instances(self) -> int:
        """Of a dataset."""
        return self.gaussians * self.per_gaussian

    def num_uniforms(self, dim: int) -> int:
        """See ``Prior``."""
        self.check_dim(dim)
        return self.features * (self.gaussians + _DEGREES * (self.gaussians * self.features + self.instances)) + 1

    def build(self, uniforms: Tensor, dim: int) -> NetworkLosses:
        """See ``Prior``."""
        self.check_dim(dim)
        u = Uniforms(uniforms)
        inputs = _mixture(u, self.gaussians, self.features, self.instances, self.spread)
        labels = _unlike(u.take(1), self.gaussians, self.classes).repeat_interleave(self.per_gaussian, 1)
        target = torch.nn.functional.one_hot(labels, self.classes).mT.to(inputs)
        return NetworkLosses(inputs, target, self.hidden, self.penalty)


@dataclass(frozen=True)
class TrainingSet(LearningTask):
    """Finitely many losses, of which one is drawn at a time.

    Attributes:
        functions: The losses.
        features: Of their instances.
        turn: Whether features are turned at random. Means and covariances of the tasks above have no preferred
            direction, so this makes no losses that they do not make.
    """

    functions: Losses
    features: int
    turn: bool = True

    @property
    def dim(self) -> int:
        """See ``LearningTask``."""
        return self.functions.dim

    def num_uniforms(self, dim: int) -> int:
        """See ``Prior``."""
        self.check_dim(dim)
        return 1 + self.features**2

    def build(self, uniforms: Tensor, dim: int) -> Losses:
        """See ``Prior``."""
        self.check_dim(dim)
        u = Uniforms(uniforms)
        drawn = self.functions.rows((u.take(1)[:, 0] * len(self.functions)).long())
        if not self.turn:
            return drawn
        # The QR decomposition of a normal matrix, with signs made unique, is uniform over rotations.
        q, r = torch.linalg.qr(u.normal(self.features**2).unflatten(1, (self.features, -1)))
        return drawn.turned(q * r.diagonal(dim1=1, dim2=2).sign()[:, None])


TASKS: dict[str, Callable[[], LearningTask]] = {
    "logistic": LogisticRegression,
    "robust": RobustRegression,
    "network": NetworkClassifier,
    "logistic_2d": partial(LogisticRegression, features=1),
}
"""By the names that environments, command lines and checkpoints know them by."""

_PURPOSES = {"training": 3, "validation": 4, "test": 5}
"""Spawn keys: no integer seed leads to these streams."""


def functions_for(
    purpose: Literal["training", "validation", "test"], task: LearningTask, size: int | None = None
) -> tuple[Losses, Tensor]:
    """The task's functions to train on, to choose by, or to report on, and a start (size, dim) for each.

    They are always the same. There are 100 of them, as in the paper, but ``task.training_size`` to train on.
    """
    count = size or (task.training_size if purpose == "training" else 100)
    draws, starts = (
        np.random.default_rng(np.random.SeedSequence(0, spawn_key=(_PURPOSES[purpose], stream))) for stream in (0, 1)
    )
    return task.draw(count, draws), torch.from_numpy(starts.standard_normal((count, task.dim)))


def _without_last(x: Tensor) -> Tensor:
    """``x`` (..., dim) with the last coordinate 0."""
    return torch.cat([x[..., :-1], torch.zeros_like(x[..., -1:])], -1)


def _turned(design: Tensor, rotation: Tensor) -> Tensor:
    """A design (batch, features + 1, instances) with its features turned."""
    return torch.cat([rotation @ design[:, :-1], design[:, -1:]], 1)


def _with_ones(points: Tensor) -> Tensor:
    """A row of ones below the ``points`` (batch, features, instances)."""
    return torch.cat([points, torch.ones_like(points[:, :1])], 1)


def _mixture(
    u: Uniforms, gaussians: int, features: int, instances: int, spread: float, identity: bool = False
) -> Tensor:
    """Points (batch, features, instances), as many from each Gaussian, one Gaussian after the other."""
    means = spread * u.normal(gaussians * features).unflatten(1, (features, gaussians, 1))
    shape = (features, _DEGREES * features, gaussians, 1)
    root = None if identity else u.normal(_DEGREES * gaussians * features**2).unflatten(1, shape)
    points = u.normal(features * instances * (1 if identity else _DEGREES)).unflatten(
        1, (-1, gaussians, instances // gaussians)
    )
    if root is not None:
        points = (root * points[:, None]).sum(2) / shape[1] ** 0.5
    return (means + points).flatten(2)


def _unlike(u: Tensor, gaussians: int, classes: int) -> Tensor:
    """Labels (batch, gaussians), not all alike, for uniform numbers (batch, 1)."""
    ways = classes**gaussians
    between = (ways - 1) // (classes - 1) - 1  # ways from one where all are alike to the next
    way = (u * (ways - classes)).long()
    way = way + 1 + way // between
    return way // classes ** torch.arange(gaussians, device=u.device) % classes
