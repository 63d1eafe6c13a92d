"""Rover Descent on a linear classifier and a small network: ``python -m benchmarks.rover.high_dimensions``."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import tyro
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.datasets import load_iris, make_classification
from torch import Tensor
from torch.nn.functional import cross_entropy, softplus

from benchmarks.budget import Array
from benchmarks.rover.report import draw_band, save, table
from pop_envs.rendering import dress
from pop_optimizer.rover import RoverRun

RATES = tuple(float(rate) for rate in 10.0 ** np.arange(-3, 2.1, 0.5))
LAYERS = (4, 10, 10, 3)
_CHUNK = 128  # networks whose activations fit the cache
Loss = Callable[[Tensor], Tensor]
"""Losses (m,) of parameters (m, dim)."""


@dataclass(frozen=True)
class Settings:
    """How much is run.

    Attributes:
        dims: Of logistic regression.
        scales: Of the rover there: of 0.3, 1, 3 and 10 the one with the lowest loss after 40 iterations on the problem
            100.
        scales_per_dimension: Of the one that gives each coordinate a partner, likewise.
        k: Coordinates that are sampled there.
        iterations: Of logistic regression.
        network_iterations: Of the network.
        scales_network: Of the three strategies there: of 0.1, 0.3 and 1 the one with the lowest loss after 30
            iterations from the start 100.
        k_network: Coordinates that are sampled there: about as many pairs as of the other strategies.
        seeds: Problems and starts.
    """

    dims: tuple[int, ...] = (10, 20, 50)
    scales: tuple[float, ...] = (1.0, 0.3, 3.0)
    scales_per_dimension: tuple[float, ...] = (0.3, 0.3, 0.3)
    k: int = 10
    iterations: int = 60
    network_iterations: int = 60
    scales_network: tuple[float, float, float] = (1.0, 0.3, 0.1)
    k_network: int = 20
    seeds: int = 3


def logistic(dim: int, seed: int) -> Loss:
    """The cross-entropy of a linear classifier without a bias, on data that were generated (Guyon, 2003)."""
    x, y = make_classification(500, dim, n_informative=dim // 2, n_redundant=0, random_state=seed)
    points, signs = torch.from_numpy(x), torch.from_numpy(2.0 * y - 1)
    return lambda theta: softplus(-signs * (theta @ points.T)).mean(-1)


def iris() -> tuple[Loss, list[list[int]]]:
    """The cross-entropy of a network with two hidden layers of 10 on Iris, and the coordinates of each layer."""
    data = load_iris()
    x = torch.from_numpy((data.data - data.data.mean(0)) / data.data.std(0))
    y = torch.from_numpy(data.target)
    sizes = [(a + 1) * b for a, b in pairwise(LAYERS)]
    ends = np.cumsum([0, *sizes])
    blocks = [list(range(a, b)) for a, b in pairwise(ends)]

    def loss(theta: Tensor) -> Tensor:
        return torch.cat([part_of(part) for part in theta.split(_CHUNK)])

    def part_of(theta: Tensor) -> Tensor:
        h = x.expand(len(theta), -1, -1)
        for i, (a, b) in enumerate(pairwise(LAYERS)):
            part = theta[:, ends[i] : ends[i + 1]].unflatten(1, (a + 1, b))
            h = torch.baddbmm(part[:, -1:], h, part[:, :-1])
            h = h.tanh() if i < len(LAYERS) - 2 else h
        return cross_entropy(h.transpose(1, 2), y.expand(len(theta), -1), reduction="none").mean(-1)

    return loss, blocks


def by_rover(loss: Loss, start: Array, iterations: int, **settings: object) -> tuple[Array, float, int]:
    """Losses (iterations + 1,) of the rover, seconds an iteration, and evaluations in all."""
    run = RoverRun(start, **settings)  # type: ignore[arg-type]
    values, began = [], time.perf_counter()
    with torch.no_grad():
        for _ in range(iterations + 1):
            told = loss(torch.from_numpy(run.ask())).numpy()
            values.append(told[0])
            run.tell(told)
    return np.array(values), (time.perf_counter() - began) / (iterations + 1), run.evaluations


def by_torch(loss: Loss, start: Array, iterations: int, kind: type[torch.optim.Optimizer]) -> Array:
    """Losses (iterations + 1,) of a first-order method, with the rate of ``RATES`` that ends lowest."""
    runs = []
    for rate in RATES:
        theta = torch.from_numpy(start.copy()).requires_grad_()
        optimizer, values = kind([theta], lr=rate), []  # type: ignore[call-arg]
        for _ in range(iterations + 1):
            optimizer.zero_grad()
            value = loss(theta[None])[0]
            value.backward()
            values.append(value.item())
            optimizer.step()
        runs.append(values)
    return np.array(min(runs, key=lambda values: values[-1] if np.isfinite(values[-1]) else np.inf))


def by_newton(loss: Loss, start: Array, iterations: int) -> Array:
    """Losses (iterations + 1,) of Newton's method, of which a step that does not descend is halved."""
    theta, values = torch.from_numpy(start.copy()), []

    def one(t: Tensor) -> Tensor:
        return loss(t[None])[0]

    for _ in range(iterations + 1):
        values.append(one(theta).item())
        gradient = torch.autograd.functional.jacobian(one, theta)
        hessian = torch.autograd.functional.hessian(one, theta)
        step = -torch.linalg.lstsq(hessian, gradient[:, None]).solution[:, 0]
        length = 1.0
        while one(theta + length * step) > values[-1] and length > 1e-6:
            length /= 2
        theta = theta + length * step
    return np.array(values)


def main() -> None:
    """Runs, draws and prints."""
    settings = tyro.cli(Settings, description=__doc__)
    columns = ("problem", "method", "loss at the end", "evaluations", "seconds an iteration")
    figure = Figure((15, 4), layout="constrained")
    rows = []
    axes = np.atleast_1d(figure.subplots(1, len(settings.dims)))
    for dim, *scales, ax in zip(settings.dims, settings.scales, settings.scales_per_dimension, axes, strict=True):
        rows += _logistic(dim, scales, settings, ax)
    save(figure, "logistic")
    figure = Figure((6, 4.5), layout="constrained")
    rows += _iris(settings, figure.subplots())
    save(figure, "iris")
    table("high_dimensions", f"Means over {settings.seeds} problems or starts, ± standard error", columns, rows)


def _logistic(dim: int, scales: Sequence[float], settings: Settings, ax: Axes) -> list[list[str]]:
    strategies: dict[str, dict[str, object]] = {
        "rover": {"pairs": "sampled", "k": settings.k, "scale": scales[0]},
        "per dimension": {"pairs": "per_dimension", "scale": scales[1]},
    }
    runs: dict[str, list[Array]] = {name: [] for name in (*strategies, "gradient descent", "Newton")}
    cost: dict[str, tuple[str, str]] = {}
    for seed in range(settings.seeds):
        loss, start = logistic(dim, seed), np.random.default_rng(seed).normal(size=dim)
        _by_strategies(strategies, loss, start, settings.iterations, seed, runs, cost)
        runs["gradient descent"].append(by_torch(loss, start, settings.iterations, torch.optim.SGD))
        runs["Newton"].append(by_newton(loss, start, settings.iterations))
    _draw(ax, runs, f"logistic regression, d = {dim}")
    return [[f"logistic, d = {dim}", name, _mean(values), *cost.get(name, ("", ""))] for name, values in runs.items()]


def _by_strategies(
    strategies: Mapping[str, Mapping[str, object]],
    loss: Loss,
    start: Array,
    iterations: int,
    seed: int,
    runs: dict[str, list[Array]],
    cost: dict[str, tuple[str, str]],
) -> None:
    """Adds one run of each strategy to ``runs``, and what it took to ``cost``."""
    for name, strategy in strategies.items():
        values, each, evaluations = by_rover(loss, start, iterations, seed=seed, **strategy)
        runs[name].append(values)
        cost[name] = (f"{evaluations:,}", f"{each:.4f}")


def _iris(settings: Settings, ax: Axes) -> list[list[str]]:
    loss, blocks = iris()
    strategies: dict[str, dict[str, object]] = {
        "pairs": {"pairs": "sampled", "k": settings.k_network, "scale": settings.scales_network[0]},
        "per dimension": {"pairs": "per_dimension", "l": 1, "scale": settings.scales_network[1]},
        "blocks": {"pairs": "blocks", "blocks": blocks, "l": 1, "scale": settings.scales_network[2]},
    }
    runs: dict[str, list[Array]] = {name: [] for name in (*strategies, "gradient descent", "Adam")}
    cost: dict[str, tuple[str, str]] = {}
    for seed in range(settings.seeds):
        start = np.random.default_rng(seed).normal(scale=0.5, size=193)
        _by_strategies(strategies, loss, start, settings.network_iterations, seed, runs, cost)
        for name, kind in (("gradient descent", torch.optim.SGD), ("Adam", torch.optim.Adam)):
            runs[name].append(by_torch(loss, start, settings.network_iterations, kind))
    _draw(ax, runs, "a network on Iris, d = 193")
    return [["Iris, d = 193", name, _mean(values), *cost.get(name, ("", ""))] for name, values in runs.items()]


def _draw(ax: Axes, runs: dict[str, list[Array]], title: str) -> None:
    for name, values in runs.items():
        draw_band(ax, np.arange(len(values[0])), np.array(values), name)
    ax.set(title=title, xlabel="iteration", ylabel="loss", yscale="log")
    dress(ax)
    ax.legend(frameon=False, fontsize="small")


def _mean(values: list[Array]) -> str:
    ends = np.array([each[-1] for each in values])
    return f"{ends.mean():.4g} ± {ends.std() / len(ends) ** 0.5:.2g}"


if __name__ == "__main__":
    main()
