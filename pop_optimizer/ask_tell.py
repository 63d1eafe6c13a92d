"""A policy at work: ask it for the next points, tell it what the objective says there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from pop_envs.arrays import Array, namespace
from pop_envs.checks import positive_int
from pop_envs.objectives.base import Objective, evaluate
from pop_envs.pop.search import Search
from pop_envs.pop.task import POPTask
from pop_envs.search.trust_region import TrustRegion
from pop_optimizer.networks.layers import in_numpy
from pop_optimizer.networks.pop import POPNetwork
from pop_optimizer.threads import one_thread


class Policy(Protocol):
    """What optimizes: it begins runs that are asked and told."""

    def start(
        self,
        x: Array,
        y: Array,
        g: Array,
        budget: int,
        deterministic: bool = False,
        generator: torch.Generator | None = None,
        descent: TrustRegion | None = None,
    ) -> Run:
        """Begins runs of ``budget`` steps at ``x`` (batch, dim), with values (batch,) and gradients there, float64.

        NumPy arrays are the faster way for one run, or a few; tensors for many. All that the run takes and gives is of
        the kind of ``x``.
        Actions are drawn with ``generator``, or the modes taken if ``deterministic``. A ``descent`` that has been at
        ``x`` last is gone on with.
        """


class Actor(Protocol):
    """What decides in a batch of runs, step after step."""

    def act(self, search: Search) -> Array:
        """Actions (batch, dim) for the newest points, of their tokens' kind; those outside [-1, 1] are clipped."""

    def extend(self, steps: int) -> None:
        """Makes room for runs of ``steps`` steps in all."""


@dataclass(frozen=True)
class POPPolicy:
    """A network, and the task whose steps and tokens it knows."""

    network: POPNetwork
    task: POPTask

    def start(
        self,
        x: Array,
        y: Array,
        g: Array,
        budget: int,
        deterministic: bool = False,
        generator: torch.Generator | None = None,
        descent: TrustRegion | None = None,
    ) -> Run:
        """See ``Policy``."""
        search = self.task.make_search(positive_int("budget", budget))
        network = in_numpy(self.network) if isinstance(x, np.ndarray) else self.network
        return Run(search, x, y, g, _NetworkActor(network, x.shape, budget, deterministic, generator), descent)


class _NetworkActor:
    """POP's network, which remembers earlier steps in its cache."""

    def __init__(
        self,
        network: POPNetwork,
        shape: Sequence[int],
        budget: int,
        deterministic: bool,
        generator: torch.Generator | None,
    ) -> None:
        self._network, self._deterministic, self._generator = network, deterministic, generator
        self._cache = network.new_cache(shape[0], shape[1], budget)

    def act(self, search: Search) -> Array:
        """See ``Actor``."""
        distribution = self._network.act(search.token, self._cache)
        return distribution.get_actions(self._deterministic, self._generator)

    def extend(self, steps: int) -> None:
        """See ``Actor``."""
        self._cache.extend(steps)


class Run:
    """A batch of optimization runs on the unit box, one step after the other.

    Args:
        search: What they are searched by.
        x: Their starts (batch, dim).
        y: Values there (batch,).
        g: Gradients there (batch, dim).
        actor: What decides.
        descent: See ``Policy.start``.

    Attributes:
        search: What is known of them.
    """

    def __init__(
        self, search: Search, x: Array, y: Array, g: Array, actor: Actor, descent: TrustRegion | None = None
    ) -> None:
        self.search = search
        with _computing(x):
            search.start(x, y, g, descent)
        self._shape = tuple(search.trajectory.x.shape)
        self._actor = actor
        self._asked: Array | None = None

    def ask(self) -> Array:
        """The next points (batch, dim), in the unit box; the same again until their values are told.

        Raises:
            RuntimeError: If the budget is spent.
        """
        if self._asked is None:
            if self.search.done.all():
                raise RuntimeError(f"the budget of {self.search.budget} steps is spent: start a new run")
            with _computing(self.search.trajectory.x):
                action = self._actor.act(self.search)
                xp = namespace(action)
                self._asked = self.search.propose(xp.clip(xp.float64(action), -1.0, 1.0))
        return namespace(self._asked).copy(self._asked)

    def tell(self, y: Array, g: Array, x: Array | None = None) -> None:
        """Values (batch,) and gradients (batch, dim) at the points asked for, or at ``x`` (batch, dim) instead.

        Raises:
            RuntimeError: If no points were asked for.
            ValueError: If the shapes are others.
        """
        if self._asked is None:
            raise RuntimeError("there are no points that values could belong to: ask comes before tell")
        if y.shape != self._shape[:1] or g.shape != self._shape:
            raise ValueError(
                f"expected values {self._shape[:1]} and gradients {self._shape}, "
                f"got {tuple(y.shape)} and {tuple(g.shape)}"
            )
        with _computing(self._asked):
            as_like = namespace(self._asked).as_like
            self.search.update(as_like(y, self._asked), as_like(g, self._asked), x)
        self._asked = None

    def extend(self, steps: int) -> None:
        """Makes the budget larger by so many steps, from the next point that is asked for on."""
        self.search.extend(steps)
        self._actor.extend(self.search.budget)


def _computing(x: Array) -> AbstractContextManager[object]:
    """What steps of runs at ``x`` (batch, dim) are computed in."""
    if isinstance(x, np.ndarray):
        return np.errstate(all="ignore")  # as torch, which computes log(0) without a word
    return _inference(len(x))


@contextmanager
def _inference(batch: int) -> Iterator[None]:
    with torch.no_grad(), one_thread(batch):
        yield


def run(
    policy: Policy,
    objective: Objective,
    x: Tensor,
    budget: int,
    deterministic: bool = False,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Optimizes a batch of functions from ``x`` (batch, dim); arguments as for ``Policy.start``.

    Returns:
        The points (batch, budget + 1, dim) and their values (batch, budget + 1), the start first.
    """
    y, g = evaluate(objective, x)
    going = policy.start(x, y, g, budget, deterministic, generator)
    points, values = [x], [y]
    for _ in range(budget):
        x = going.ask()
        y, g = evaluate(objective, x)
        going.tell(y, g)
        points.append(x)
        values.append(y)
    return torch.stack(points, 1), torch.stack(values, 1)
