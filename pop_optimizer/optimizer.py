"""POP one point at a time: ask where to evaluate, tell what the function says there."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult

from pop_envs.checks import positive_int
from pop_envs.search.trust_region import TrustRegion
from pop_optimizer.ask_tell import Policy, Run
from pop_optimizer.checkpoint import WEIGHTS, load_checkpoint
from pop_optimizer.convergence import FTOL, negligible, projected_gradient, tolerance
from pop_optimizer.function import Vector, gradient, number, real_numbers
from pop_optimizer.model import MODEL, ModelPolicy, load_model
from pop_optimizer.space import BoundsLike, Space

Seed = int | np.random.Generator | np.random.RandomState | np.random.SeedSequence | None

DEFAULT_CHECKPOINT = Path(__file__).parent / "weights" / "pop"
# Functions of values with exponents, to base 2, further from 0 are scaled to half of that, for products of slopes must
# neither overflow nor vanish.
_EXPONENTS = 300
_SAME = 1e-3  # of the half-widths: points so near each other in all variables count as one minimum
CONVERGED, IMPROVING, NOT_FINITE, STALLED = range(4)


class Optimizer:
    """A trained policy as an optimizer that is asked and told, on a function of one's own.

    >>> optimizer = Optimizer(bounds=[(-5, 10), (-5, 10)], x0=[-3, 4], budget=50)
    >>> while not optimizer.done:
    ...     x = optimizer.ask()
    ...     optimizer.tell(x, ((x - 1) ** 2).sum(), 2 * (x - 1))
    >>> print(optimizer.result().x.round(4))
    [1. 1.]

    It can be pickled and copied between any two calls, and goes on from there as the original does.

    Args:
        bounds: SciPy's ``Bounds`` or pairs (lower, upper), with None or infinity where there is no bound; equal ones
            fix a variable.
        x0: Start (dim,); uniformly random in the bounds if None, which then must be finite.
        budget: Steps: points after the start. The policy plans with it.
        region: Half-width of the region around ``x0`` that is searched where there are no bounds, one (dim,) for each
            variable or one for all; the larger of the start's coordinate and 1 if None. It moves and grows when
            the best point lies at its edge.
        ftol: Of convergence: see ``result``.
        gtol: Likewise; not looked at if None.
        rng: Of a random start and of the policy's draws; None for a new one each time.
        checkpoint: Folder of a checkpoint; the one that ships if None.
        policy: Instead of a checkpoint, a model of Stable-Baselines3 (or another that has its ``predict``), trained on
            ``POP-v0``; or the path of one that it saved, which is a pickle, and so to be trusted.
        deterministic: Whether the policy takes the modes of its actions, and draws nothing.

    Raises:
        TypeError: If an argument is of another kind.
        ValueError: If arguments do not fit.
        FileNotFoundError: If there is no checkpoint.
        CheckpointError: If the checkpoint cannot be used.
    """

    def __init__(
        self,
        bounds: BoundsLike = None,
        x0: ArrayLike | None = None,
        *,
        budget: int = 50,
        region: ArrayLike | None = None,
        ftol: float = FTOL,
        gtol: float | None = None,
        rng: Seed = None,
        checkpoint: Path | str | None = None,
        policy: Any = None,
        deterministic: bool = True,
    ) -> None:
        self._ftol = tolerance("ftol", ftol)
        self._gtol = None if gtol is None else tolerance("gtol", gtol)
        self._budget = positive_int("budget", budget)
        self.space = Space(bounds, x0, region)
        self._policy = policy_of(checkpoint, policy)
        self._deterministic = bool(deterministic)
        start_seed, policy_seed = seed_sequence(rng).spawn(2)
        self._generator = torch.Generator("cpu").manual_seed(int(policy_seed.generate_state(1)[0]))
        self._asked: Vector | None = self.space.start(np.random.default_rng(start_seed))
        self._run: Run | None = None
        self._points: list[Vector] = []
        self._values: list[float] = []
        self._descents: list[int] = []
        self._best, self._best_gradient = 0, np.full(self.space.dim, np.nan)
        self._exponent = 0  # the search sees values divided by 2 ** _exponent
        # The number that the present box's first descent has, and what comes before the numbers of its others.
        self._first_descent = self._descents_before = 0

    @property
    def budget(self) -> int:
        """Steps in all; it may be raised at any time."""
        return self._budget

    @budget.setter
    def budget(self, budget: int) -> None:
        if positive_int("budget", budget) < len(self._points) - 1:
            raise ValueError(f"budget must be at least the {len(self._points) - 1} steps that were made, got {budget}")
        if self._run is not None:
            self._run.extend(budget - self._budget)
        self._budget = budget

    @property
    def done(self) -> bool:
        """Whether the budget is spent, or nothing is left to search where all variables are fixed."""
        return len(self._points) > (self._budget if len(self.space.free) else 0)

    @property
    def steps(self) -> int:
        """Steps made: points after the start."""
        return max(len(self._points) - 1, 0)

    @property
    def x(self) -> Vector:
        """The best point so far (dim,)."""
        if self._points:
            return self._points[self._best].copy()
        assert self._asked is not None
        return self._asked.copy()

    @property
    def fun(self) -> float:
        """Its value; NaN before there is one."""
        return self._values[self._best] if self._values else math.nan

    @property
    def converged(self) -> bool:
        """Whether the best point meets a criterion of ``result``."""
        return self._criterion() is not None

    def ask(self) -> Vector:
        """The next point (dim,), at first the start; the same again until one is told.

        Raises:
            RuntimeError: If the budget is spent.
        """
        if self._asked is None:
            if self.done:
                raise RuntimeError(f"the budget of {self._budget} steps is spent: raise `budget` to go on")
            assert self._run is not None
            self._asked = self.space.full(self.space.box.from_unit(self._run.ask()[0]))
        return self._asked.copy()

    def tell(self, x: ArrayLike, value: ArrayLike, gradient: ArrayLike) -> None:
        """Takes values and gradients, in order; points need not be those asked for, and each counts as a step.

        Args:
            x: A point (dim,), or several (n, dim), within the bounds.
            value: Its value, or theirs (n,); NaN and infinity count as the worst value seen.
            gradient: Its gradient (dim,), or theirs (n, dim).

        Raises:
            TypeError: If value or gradient are not made of real numbers.
            ValueError: If shapes do not fit, or a point is not within the bounds.
            RuntimeError: If the budget is spent.
        """
        try:
            points, dim = real_numbers(x), self.space.dim
        except (OverflowError, RuntimeError, TypeError, ValueError) as error:
            raise TypeError(f"x must be real numbers, got {x!r}: {error}") from error
        values, gradients = ([value], [gradient]) if points.ndim < 2 else (value, gradient)
        points = points.reshape(1, -1) if points.ndim < 2 else points
        if points.ndim != 2 or points.shape[1] != dim:
            raise ValueError(f"x must have shape ({dim},) or (n, {dim}), got {points.shape}")
        answers = _listed("value", values, len(points)), _listed("gradient", gradients, len(points))
        told = [
            (x, number(y, "value must be"), _gradient(g, x.shape)) for x, y, g in zip(points, *answers, strict=True)
        ]
        left = (self._budget if len(self.space.free) else 0) + 1 - len(self._points)
        if len(told) > left:
            raise RuntimeError(
                f"the budget of {self._budget} steps leaves room for {left} points, got {len(told)}: raise `budget`"
            )
        for point, _, _ in told:
            if not ((self.space.lower <= point) & (point <= self.space.upper)).all():
                raise ValueError(f"x must lie in the bounds, got {point}")
        for point, y, g in told:
            self.record(point, y, g)

    def result(self) -> OptimizeResult:
        """What is known so far, as SciPy's ``OptimizeResult``.

        ``success`` means that the best point is a local minimum as far as its descent can tell: the fall predicted for
        its next whole quasi-Newton step is at most ``ftol`` of the value (or, for values within one of zero, of one or
        of the range of the values seen, whichever is less). Or, where ``gtol`` is given, that no entry of the
        projected gradient is larger. Else ``status`` and ``message`` tell what is the matter: 1, still improving; 3,
        stalled, as at a kink, in noise, or with wrong gradients; 2, no value was finite.

        Besides, ``jac`` is the gradient at ``x``, ``x_iters`` (nit + 1, dim) and ``func_vals`` (nit + 1,) are the whole
        path, ``descents`` is the number of descents that were begun, and ``descents_to_best`` how many of them came to
        the best point, to a thousandth of the box.
        """
        evaluations = min(len(self._points), len(self._values))  # which differ if a signal came between
        values = np.array(self._values[:evaluations])
        lowest = self._lowest_of_descents()
        near = [p for p in lowest.values() if self._same(self._points[p], self.x)]
        status, message = self._verdict(values)
        fields = {
            "message": message,
            "success": status == CONVERGED,
            "status": status,
            "fun": self.fun,
            "x": self.x,
            "jac": self._best_gradient.copy(),
            "nit": max(evaluations - 1, 0),
            "nfev": evaluations,
            "njev": evaluations,
            "descents": len(lowest),
            "descents_to_best": len(near),
            "x_iters": np.array(self._points[:evaluations]).reshape(-1, self.space.dim),
            "func_vals": values,
        }
        return OptimizeResult(**fields)

    def record(self, x: Vector, y: float, g: Vector) -> None:
        """As ``tell``, of one point within the bounds and the budget: for callers that have checked what they tell."""
        first, seen = not self._points, math.isfinite(self.fun)
        improved = first or (math.isfinite(y) and not (seen and self.fun <= y))
        self._points.append(x.copy())
        self._values.append(y)
        if improved:
            self._best, self._best_gradient = len(self._values) - 1, g.copy()
        asked, self._asked = self._asked, None
        if not len(self.space.free):
            self._descents.append(0)
            return
        exponent = self._exponent_at(y, g, not seen) if improved and math.isfinite(y) else self._exponent
        if first:
            self._exponent = exponent
            self._start(x, y, g, self._budget)
        else:
            assert self._run is not None
            elsewhere = asked is None or (asked != x).any()
            self._run.ask()
            self._run.tell(*self._seen(y, g), self._unit(x) if elsewhere else None)
        self._descents.append(self._number_of_descent())
        steps = self._budget - len(self._points) + 1
        if improved and steps and (self.space.moves or exponent != self._exponent):
            pressed = self.space.presses(x, g)
            if pressed.any() or exponent != self._exponent:
                self._move(x, y, g, steps, pressed, exponent)

    def _start(self, x: Vector, y: float, g: Vector, steps: int, descent: TrustRegion | None = None) -> None:
        self._run = self._policy.start(
            self._unit(x), *self._seen(y, g), steps, self._deterministic, self._generator, descent
        )

    def _move(self, x: Vector, y: float, g: Vector, steps: int, pressed: NDArray[np.bool_], exponent: int) -> None:
        """Goes on in a region around ``x``, where it is at an edge that is no bound, or with values scaled anew."""
        assert self._run is not None
        here, descent = self._unit(x), self._run.search.trajectory.trust_region
        self._first_descent, self._descents_before = self._descents[-1], max(self._descents)
        frame = self.space.grow(x, pressed)
        if descent is not None:
            at_x = bool((descent.x == here).all()) and exponent == self._exponent
            descent = replace(descent.rescaled(*frame), number=np.zeros(1)) if at_x else None
        self._exponent = exponent
        self._start(x, y, g, steps, descent)

    def _exponent_at(self, y: float, g: Vector, first: bool) -> int:
        """The exponent by which the search needs a new best value and its slopes scaled, mostly that it has.

        What falls from the first value on towards zero needs no other, unless that was one of the large ones.
        """
        with np.errstate(all="ignore"):
            sizes = np.abs(g[self.space.free] * self.space.box.half_width)
        size = float(sizes.max(initial=abs(y), where=np.isfinite(sizes)))
        exponent = math.frexp(size)[1]
        above = exponent - self._exponent
        needed = above > _EXPONENTS or (-above > _EXPONENTS and (first or self._exponent > 0))
        half = _EXPONENTS // 2
        return exponent - min(max(exponent, -half), half) if needed and size > 0 else self._exponent

    def _unit(self, x: Vector) -> Vector:
        """A point as the search sees it (1, n)."""
        return self.space.to_unit(x).clip(-1, 1)[None]

    def _seen(self, y: float, g: Vector) -> tuple[Vector, Vector]:
        """Value (1,) and gradient (1, n) as the search sees them."""
        slope, value = g[self.space.free], np.array([y])
        with np.errstate(all="ignore"):
            if self._exponent:
                slope, value = np.ldexp(slope, -self._exponent), np.ldexp(value, -self._exponent)
            return value, (slope * self.space.box.half_width)[None]

    def _number_of_descent(self) -> int:
        assert self._run is not None
        trajectory = self._run.search.trajectory
        number = 0 if trajectory.trust_region is None else int(trajectory.trust_region.number.item())
        return self._descents_before + number if number else self._first_descent

    def _lowest_of_descents(self) -> dict[int, int]:
        """Of each descent the index of its lowest point."""
        lowest: dict[int, int] = {}
        for i, (descent, value) in enumerate(zip(self._descents, self._values, strict=False)):
            if math.isfinite(value) and (descent not in lowest or value < self._values[lowest[descent]]):
                lowest[descent] = i
        return lowest

    def _same(self, one: Vector, other: Vector) -> bool:
        if not len(self.space.free):
            return True
        with np.errstate(all="ignore"):
            apart = np.abs(one - other)[self.space.free] / self.space.box.half_width
        return bool((apart <= _SAME).all())

    def _criterion(self) -> str | None:
        """The criterion that the best point meets, in words."""
        if not self._points or not math.isfinite(self.fun):
            return None
        if not len(self.space.free):
            return "all variables are fixed"
        slopes = self._best_gradient[self.space.free]
        if not np.isfinite(slopes).all() or self.space.presses(self.x, self._best_gradient).any():
            return None
        steepest = projected_gradient(self.x, self._best_gradient, self.space.lower, self.space.upper)
        if steepest == 0:
            return "the projected gradient is zero"
        if self._gtol is not None and steepest <= self._gtol:
            return f"no entry of the projected gradient is larger than {steepest:.1e} (gtol = {self._gtol:.1e})"
        assert self._run is not None
        descent = self._run.search.trajectory.lowest
        # One that does not know the best point is of values that the search counts as infinite.
        if descent is not None and descent.y.item() == self._seen(self.fun, self._best_gradient)[0]:
            with np.errstate(all="ignore"):
                fall = np.ldexp(descent.unrestricted_reduction(), self._exponent)
            highest = max(filter(math.isfinite, self._values))
            if negligible(fall, np.array(self.fun), np.array(highest), self._ftol):
                return f"the next step promises no more than {max(fall.item(), 0.0):.1e} (ftol = {self._ftol:.1e})"
        return None

    def _verdict(self, values: Vector) -> tuple[int, str]:
        """Status and message."""
        if not np.isfinite(values).any():
            return NOT_FINITE, "The function was finite nowhere on the path."
        criterion = self._criterion()
        if criterion is not None:
            return CONVERGED, f"The best point is a local minimum: {criterion}."
        so_far = (
            f"The budget of {self._budget} steps is spent" if self.done else f"Stopped after {len(values) - 1} steps"
        )
        lately = min(max(10, len(values) // 10), len(values) - 1)
        best = np.minimum.accumulate(np.where(np.isfinite(values), values, np.inf))
        fall = best[-1 - lately] - best[-1]
        if fall > 0:
            return IMPROVING, (
                f"{so_far} while still improving, by {fall:.2g} in the last {lately}: give more, or go on from x."
            )
        return STALLED, (
            f"{so_far}, and the last {lately} did not improve the best point, though it meets no criterion of a "
            "minimum: a kink, noise, or wrong gradients may be why."
        )


def seed_sequence(rng: Seed) -> np.random.SeedSequence:
    """Seeds from what SciPy takes as ``rng`` or ``seed``.

    Raises:
        TypeError: If it is none of these.
        ValueError: If it is negative.
    """
    if isinstance(rng, np.random.SeedSequence):  # as it is now, and not changed for its owner
        return np.random.SeedSequence(rng.entropy, spawn_key=rng.spawn_key, pool_size=rng.pool_size)
    if isinstance(rng, np.random.Generator):
        return np.random.SeedSequence(int(rng.integers(2**63)))
    if isinstance(rng, np.random.RandomState):
        return np.random.SeedSequence([int(word) for word in rng.randint(2**31, size=2)])
    if rng is None or (isinstance(rng, int | np.integer) and not isinstance(rng, bool)):
        if rng is not None and rng < 0:
            raise ValueError(f"rng, or seed, must not be negative, got {rng}")
        return np.random.SeedSequence(None if rng is None else int(rng))
    raise TypeError(f"rng, or seed, must be an int, a Generator, a RandomState, a SeedSequence or None, got {rng!r}")


def policy_of(checkpoint: Path | str | None, policy: Any = None) -> Policy:
    """The policy in a folder, or the one that ships; or a model, or that of a path.

    What is read is read once as long as its file stays as it is.

    Raises:
        TypeError: If both are given, or one is of another kind.
        FileNotFoundError: If there is none.
        CheckpointError: If the checkpoint cannot be used.
        ValueError: If the model was not trained on ``POP-v0``.
    """
    if policy is not None:
        if checkpoint is not None:
            raise TypeError("checkpoint and policy both say what optimizes: give one of them")
        # SB3's policies predict as their models do, and can be copied and pickled.
        held = getattr(policy, "policy", policy)
        return policy_of(policy) if isinstance(policy, str | Path) else ModelPolicy(held)
    if not isinstance(checkpoint, str | Path | None):
        raise TypeError(f"checkpoint must be a folder's path, got {checkpoint!r}")
    folder = DEFAULT_CHECKPOINT if checkpoint is None else Path(checkpoint)
    file = weights_file(folder)
    return _load(folder, file.stat().st_mtime_ns if file.is_file() else 0)


def weights_file(path: Path) -> Path:
    """The file that decides what the checkpoint at ``path`` does: POP's weights, or a model that SB3 saved."""
    if path.suffix == ".zip":
        return path
    return path / (MODEL if not (path / WEIGHTS).is_file() and (path / MODEL).is_file() else WEIGHTS)


@lru_cache(maxsize=8)
def _load(path: Path, written: int) -> Policy:
    if weights_file(path).suffix == ".zip":
        return ModelPolicy(load_model(path))
    return load_checkpoint(path)[0]


def _listed(name: str, answers: Any, length: int) -> list[Any]:
    try:
        listed = list(answers)
    except TypeError:
        listed = []
    if len(listed) != length:
        raise ValueError(f"{name} must have one entry for each of the {length} points, got {len(listed)}")
    return listed


_gradient = partial(gradient, who="gradient")
