"""What the 47 functions are varied by: their content moved or turned in the box, and noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from benchmarks.budget import Array, Observe
from pop_envs.objectives.base import Objective

_FARTHEST = 0.8  # of a moved minimizer from the centre: it stays off the faces
_LONGEST_MOVE = 1.0  # half a box


class Moved(Objective):
    """A function seen through a unit box that lies elsewhere: at ``u`` it has its value at ``x``.

        x = minimizer + matrix @ (u - place)

    Where ``x`` is outside the function's own unit box, it has the value at the nearest point of that box plus
    ``penalty`` times the squared distance to it. So it is continuous and nowhere below its own minimum, and it has no
    further local minima: out there, the way to the nearest point always leads down.

    Args:
        original: One function (a batch of one) on the unit box.
        matrix: Linear map (dim, dim).
        minimizer: One of its minimizers (dim,). There is no rounding there, which functions with infinite slopes need.
        place: Where that lies in the new box (dim,).
        penalty: Per squared distance, positive.
    """

    def __init__(
        self, original: Objective, matrix: ArrayLike, minimizer: ArrayLike, place: ArrayLike, penalty: float
    ) -> None:
        self.dim = original.dim
        self.minimum = original.minimum
        self.matrix = torch.tensor(matrix, dtype=torch.float64, device="cpu")
        self.minimizer = torch.tensor(minimizer, dtype=torch.float64, device="cpu")
        self.place = torch.tensor(place, dtype=torch.float64, device="cpu")
        self.penalty = penalty
        self._original = original

    def own(self, u: Tensor) -> Tensor:
        """Points (n, dim) of the new box in the function's own unit coordinates, inside its box or not."""
        return self.minimizer + (u - self.place) @ self.matrix.T

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Objective``."""
        own = self.own(x)
        nearest = own.clamp(-1.0, 1.0)
        beyond = own - nearest
        y, g = self._original.value_and_grad(nearest)
        y = y + self.penalty * beyond.square().sum(-1)
        g = torch.where(beyond == 0, g, 2 * self.penalty * beyond)
        return y, g @ self.matrix

    def values_on(self, points: Tensor) -> Tensor:
        """See ``Objective``."""
        return self.value_and_grad(points)[0][None]


def shifted(original: Objective, minimizer: Array, penalty: float, rng: np.random.Generator) -> Moved:
    """The function with that minimizer at a random place.

    The place is uniform in [-0.8, 0.8]^dim, as far as no coordinate moves by more than half a box. Without this limit
    a function with its minimizer in a corner could be left with that corner alone, and be easy.
    """
    place = rng.uniform(
        np.maximum(-_FARTHEST, minimizer - _LONGEST_MOVE), np.minimum(_FARTHEST, minimizer + _LONGEST_MOVE)
    )
    return Moved(original, np.eye(original.dim), minimizer, place, penalty)


def rotated(original: Objective, minimizer: Array, penalty: float, rng: np.random.Generator) -> Moved:
    """The function turned about the centre of the box, made smaller by the least factor that keeps all of it inside.

    Random pairs of coordinates are turned by random angles; of an odd number of coordinates, one stays as it is.
    A rotation of the whole space would need a larger factor: in 6-D, 99 % of the new box would be outside the
    function's own.
    """
    rotation = random_rotation(original.dim, rng)
    # u = rotation.T @ x / scale stays in the box for all x in theirs.
    scale = np.linalg.norm(rotation, 1)
    return Moved(original, scale * rotation, minimizer, rotation.T @ minimizer / scale, penalty)


def random_rotation(dim: int, rng: np.random.Generator) -> Array:
    """A matrix (dim, dim) that turns random disjoint pairs of coordinates.

    The angles are uniform in the circle, but for those within 15 degrees of the axes, which would change little.

    Raises:
        ValueError: If there is no pair to turn.
    """
    if dim < 2:
        raise ValueError(f"a rotation needs at least 2 dimensions, got {dim}: leave functions of one dimension out")
    rotation = np.eye(dim)
    order = rng.permutation(dim)
    for i, j in zip(order[0::2], order[1::2], strict=False):
        angle = np.pi / 2 * (rng.integers(4) + rng.uniform(1 / 6, 5 / 6))
        rotation[[i, j, i, j], [i, j, j, i]] = np.cos(angle), np.cos(angle), -np.sin(angle), np.sin(angle)
    return rotation


@dataclass(frozen=True)
class Noise:
    """Gaussian noise on what a method sees.

    Attributes:
        value: Standard deviation on a value.
        gradient: Standard deviation on each entry of a gradient.
    """

    value: float
    gradient: float

    def observer(self, rng: np.random.Generator) -> Observe:
        """What turns true values and gradients into seen ones; its k-th noise depends on ``rng`` and k alone."""

        def observe(value: float, gradient: Array) -> tuple[float, Array]:
            first, *rest = rng.standard_normal(1 + len(gradient))
            return value + self.value * float(first), gradient + self.gradient * np.array(rest)

        return observe
