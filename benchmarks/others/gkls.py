"""The GKLS classes of functions with known minima, from the paper's formulas.

Gaviano, Kvasov, Lera and Sergeyev (2003), "Algorithm 829: Software for generation of classes of test functions with
known local and global minima for global optimization". A function is a paraboloid with a cubic in each of some balls,
which gives each ball a minimum of its own and leaves the function continuously differentiable (the paper's D-type).

Balls, minima and values are drawn as the paper says, but from NumPy's generator: the functions are of the published
classes, and not the hundred of each class that the authors' program, with a generator of its own, draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pop_envs.objectives.base import BoxObjective

Array = NDArray[np.float64]

MINIMUM = -1.0
"""The global one of every function."""
COUNT = 100
"""Functions of each class."""
CLASSES = {
    "2d-simple": (2, 0.90, 0.20),
    "2d-hard": (2, 0.90, 0.10),
    "3d-simple": (3, 0.66, 0.20),
    "3d-hard": (3, 0.90, 0.20),
    "4d-simple": (4, 0.66, 0.20),
    "4d-hard": (4, 0.90, 0.20),
    "5d-simple": (5, 0.66, 0.30),
    "5d-hard": (5, 0.66, 0.20),
}
"""Dimension, distance of the global minimizer from the paraboloid's, radius of its ball (Sergeyev and Kvasov, 2006)."""

_BALLS = 9  # ten minima, with the paraboloid's
_SHRINK = 0.99  # of balls but the global one, and of depths


@dataclass(frozen=True)
class Gkls:
    """One function on [-1, 1]^dim.

    Attributes:
        vertex: Minimizer of the paraboloid (dim,), whose minimum is 0.
        centers: Minimizers (balls, dim); the first is the global one.
        radii: Of the balls (balls,).
        values: The minima (balls,).
    """

    vertex: Array
    centers: Array
    radii: Array
    values: Array

    def __call__(self, x: Array) -> tuple[Array, Array]:
        """Values (batch,) and gradients (batch, dim) at points (batch, dim)."""
        away = x - self.vertex
        values, gradients = (away**2).sum(-1), 2.0 * away
        for center, radius, value in zip(self.centers, self.radii, self.values, strict=True):
            inside = np.linalg.norm(x - center, axis=-1) < radius
            if inside.any():
                values[inside], gradients[inside] = self._cubic(x[inside] - center, center, radius, value)
        return values, gradients

    def _cubic(self, z: Array, center: Array, radius: float, value: float) -> tuple[Array, Array]:
        """In a ball, at points ``z`` from its center: the paper's equation for D-type functions, and its gradient."""
        v = self.vertex - center
        a = v @ v - value
        s = np.linalg.norm(z, axis=-1)
        c = z @ v
        y = 2 * c * s**2 / radius**2 - 2 * a * s**3 / radius**3 + s**2 - 4 * c * s / radius + 3 * a * s**2 / radius**2
        s, c = s[:, None], c[:, None]
        unit = np.divide(z, s, out=np.zeros_like(z), where=s > 0)
        g = 2 / radius**2 * (v * s**2 + 2 * c * z) - 6 * a * s * z / radius**3 + 2 * z
        g += -4 / radius * (v * s + c * unit) + 6 * a * z / radius**2
        return y + value, g


class GklsObjective(BoxObjective):
    """A function of a class, by its number: always the same one.

    Raises:
        ValueError: If there is no such class or number.
    """

    def __init__(self, name: str, number: int) -> None:
        if name not in CLASSES or not 0 <= number < COUNT:
            raise ValueError(f"classes are {', '.join(CLASSES)}, with functions 0 to {COUNT - 1}, got {name}, {number}")
        self.key = name, number
        dim = CLASSES[name][0]
        super().__init__(lambda x: self.function(x), -np.ones(dim), np.ones(dim), MINIMUM)

    @cached_property
    def function(self) -> Gkls:
        """What it evaluates."""
        name, number = self.key
        return drawn(*CLASSES[name], np.random.default_rng([*name.encode(), number]))


def drawn(dim: int, distance: float, radius: float, rng: np.random.Generator) -> Gkls:
    """A function with the global minimizer at a distance from the paraboloid's, in a ball of that radius."""
    vertex = rng.uniform(-1.0, 1.0, dim)
    while True:
        direction = rng.standard_normal(dim)
        best = vertex + distance * direction / np.linalg.norm(direction)
        if np.abs(best).max() <= 1.0:
            break
    centers = [best]
    while len(centers) < _BALLS:  # the others leave the global one's ball alone, and some room for their own
        center = rng.uniform(-1.0, 1.0, dim)
        if np.linalg.norm(center - best) > 2.0 * radius and all(np.linalg.norm(center - c) > 1e-2 for c in centers[1:]):
            centers.append(center)
    places = np.array([*centers, vertex])
    apart = np.linalg.norm(places[:, None] - places, axis=-1) + np.diag(np.full(len(places), np.inf))
    radii = apart.min(1) / 2.0  # balls that do not overlap
    radii[0] = radius
    for i in range(1, _BALLS):  # grown as far as the others let them
        others = np.delete(np.arange(_BALLS), i)
        radii[i] = max(radii[i], min((apart[i, others] - radii[others]).min(), apart[i, -1] / 2.0))
    radii = radii[:-1]
    radii[1:] *= _SHRINK
    # Below the lowest value on a ball's surface, by a depth that its size decides, yet above the global minimum.
    rims = (np.linalg.norm(vertex - places[:-1], axis=-1) - radii) ** 2
    depths = np.minimum(rng.uniform(radii, 2.0 * radii), _SHRINK * (rims - MINIMUM))
    values = rims - depths
    values[0] = MINIMUM
    return Gkls(vertex, np.array(centers), radii, values)
