"""The classical optimizers that Rover Descent is held against in the plane, with what an iteration of each costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import cma
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from agents.rover.rollout import Rollout, log10_gaps, rollout
from benchmarks.budget import Array
from pop_envs.objectives.base import Objective
from pop_envs.objectives.landscapes import newton_step
from pop_envs.rover.core import Core
from pop_envs.rover.directions import derivatives
from pop_optimizer.networks.rover import RoverNetwork

GRADIENT_COST, HESSIAN_COST = 3, 6
"""Evaluations of a value with its gradient, and with its Hessian too, by forward differences in two coordinates."""


USUAL = 0.1
"""First step size and resolution of ``rover_descent``, of its scale."""


class Curves(NamedTuple):
    """Best values so far.

    Attributes:
        by_iteration: After each iteration (batch, iterations + 1).
        evaluations: How many each of these took (iterations + 1,).
        by_evaluation: After so many evaluations (batch, iterations + 1): where a method sees more than its iterates.
    """

    by_iteration: Array
    evaluations: NDArray[np.int64]
    by_evaluation: Array


Method = Callable[..., Curves]


def rover(core: Core, network: RoverNetwork, steps: int) -> tuple[Curves, Rollout]:
    """The rover from where it stands."""
    runs = rollout(core, network, steps)
    cost = core.task.n**2 * np.arange(1, steps + 2)
    return Curves(_best(runs.values.numpy()), cost, _best(runs.lowest.numpy())), runs


def rescale(core: Core, factor: float = 1.0) -> None:
    """Gives rovers the usual first step size and resolution, or one so many times smaller and one so many coarser."""
    usual = torch.full_like(core.search.scales.alpha, USUAL)
    core.place(core.search.x, usual / factor, usual * factor)


def gradient_descent(objective: Objective, x: Tensor, steps: int, *, rate: float, momentum: float = 0.0) -> Curves:
    """Steepest descent, or Nesterov's (1983) if there is momentum, from ``x`` (batch, dim)."""
    velocity, values = torch.zeros_like(x), []
    for _ in range(steps + 1):
        values.append(objective.value_and_grad(x)[0])
        g = objective.value_and_grad(x + momentum * velocity)[1]
        velocity = momentum * velocity - rate * g.nan_to_num(0.0, 0.0, 0.0)
        x = x + velocity
    return _first_order(values, GRADIENT_COST)


def newton(objective: Objective, x: Tensor, steps: int, *, damping: float) -> Curves:
    """Newton's method, whose steps are ``damping`` times the full ones."""
    values = []
    for _ in range(steps + 1):
        y, g, hessian = derivatives(objective, x)
        values.append(y)
        x = x + damping * newton_step(g, hessian.nan_to_num(0.0, 0.0, 0.0), positive=False).nan_to_num(0.0, 0.0, 0.0)
    return _first_order(values, HESSIAN_COST)


def cma_es(objective: Objective, x: Tensor, evaluations: int, *, sigma: float, seed: int = 0) -> Curves:
    """CMA-ES, that of pycma, from ``x`` (batch, dim), one run after the other; an iteration is a generation of 6."""
    runs = []
    for i, start in enumerate(x.numpy()):
        value, rng = _Counted(objective, i, evaluations), np.random.default_rng([seed, i])
        value(start)
        options = {"randn": lambda *shape, r=rng: r.standard_normal(shape), "seed": np.nan, "verbose": -9}
        strategy = cma.CMAEvolutionStrategy(start, sigma, {**options, "verb_log": 0})
        with suppress(_Spent):
            while not strategy.stop():
                points = strategy.ask()
                strategy.tell(points, [value(point) for point in points])
        runs.append(value.padded())
    best = _best(np.array(runs))
    counts = np.arange(0, evaluations, 6)
    return Curves(best[:, counts], counts + 1, best[:, counts])


def nelder_mead(objective: Objective, x: Tensor, evaluations: int, *, size: float) -> Curves:
    """SciPy's Nelder-Mead, likewise; an iteration takes two evaluations, about as many as it does on average."""
    runs = []
    for i, start in enumerate(x.numpy()):
        value = _Counted(objective, i, evaluations)
        simplex = start + size * np.eye(len(start) + 1, len(start), -1)
        options: Any = {"maxfev": evaluations, "initial_simplex": simplex, "xatol": 1e-12, "fatol": 1e-14}
        with suppress(_Spent):
            minimize(value, start, method="Nelder-Mead", options=options)
        runs.append(value.padded())
    best = _best(np.array(runs))
    counts = np.arange(0, evaluations, 2)
    return Curves(best[:, counts], counts + 1, best[:, counts])


FIRST_ORDER: dict[str, tuple[Method, Sequence[Mapping[str, float]]]] = {
    "gradient descent": (gradient_descent, [{"rate": 10.0**e} for e in np.arange(-4, 1.1, 0.5)]),
    "Nesterov": (
        gradient_descent,
        [{"rate": 10.0**e, "momentum": m} for e in np.arange(-4, 1.1, 0.5) for m in (0.5, 0.8, 0.9, 0.95)],
    ),
    "Newton": (newton, [{"damping": d} for d in (1.0, 0.7, 0.5, 0.3, 0.1)]),
}
"""What takes iterations, with the settings that are tried."""

ZEROTH_ORDER: dict[str, tuple[Method, Sequence[Mapping[str, float]]]] = {
    "CMA-ES": (cma_es, [{"sigma": s} for s in (0.05, 0.2, 0.6)]),
    "Nelder-Mead": (nelder_mead, [{"size": s} for s in (0.05, 0.2, 0.6)]),
}
"""What takes evaluations."""


def tuned(objective: Objective, x: Tensor, minimum: Array, steps: int, evaluations: int) -> dict[str, dict[str, float]]:
    """For each method the settings with the lowest mean log10 gap at its end."""
    found = {}
    for methods, length in ((FIRST_ORDER, steps), (ZEROTH_ORDER, evaluations)):
        for name, (method, settings) in methods.items():
            scores = [_final(method(objective, x, length, **setting), minimum) for setting in settings]
            found[name] = dict(settings[int(np.argmin(scores))])
    return found


def all_curves(
    settings: Mapping[str, Mapping[str, float]], objective: Objective, x: Tensor, steps: int, evaluations: int
) -> dict[str, Curves]:
    """The runs of all methods."""
    runs: dict[str, Curves] = {}
    for methods, length in ((FIRST_ORDER, steps), (ZEROTH_ORDER, evaluations)):
        runs |= {name: method(objective, x, length, **settings[name]) for name, (method, _) in methods.items()}
    return runs


def _final(curves: Curves, minimum: Array) -> float:
    return float(log10_gaps(curves.by_iteration, minimum)[:, -1].mean())


def _first_order(values: Sequence[Tensor], cost: int) -> Curves:
    best = _best(torch.stack(list(values), 1).numpy())
    return Curves(best, cost * np.arange(1, best.shape[1] + 1), best)


def _best(values: Array) -> Array:
    return np.asarray(np.minimum.accumulate(np.where(np.isnan(values), math.inf, values), 1))


class _Spent(Exception):  # noqa: N818 - the normal end of a run
    pass


class _Counted:
    """One function of a batch, evaluated a point at a time, so many times."""

    def __init__(self, objective: Objective, row: int, evaluations: int) -> None:
        self.function = objective.rows(torch.tensor([row], device="cpu"))
        self.left, self.values = evaluations, list[float]()

    def __call__(self, x: Any) -> float:
        if len(self.values) == self.left:
            raise _Spent
        self.values.append(self.function.values_at(torch.from_numpy(np.array(x, dtype=np.float64))[None, None]).item())
        return self.values[-1]

    def padded(self) -> list[float]:
        """All values, the last one repeated where a run ended early."""
        return self.values + [self.values[-1]] * (self.left - len(self.values))
