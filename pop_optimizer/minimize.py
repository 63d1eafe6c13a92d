"""POP for a function of one's own, in the manner of ``scipy.optimize.minimize``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import Bounds, OptimizeResult

from pop_envs.checks import positive_int
from pop_envs.objectives.base import BoxObjective
from pop_envs.search.trajectory import Trajectory
from pop_optimizer.ask_tell import POPPolicy
from pop_optimizer.checkpoint import WEIGHTS, load_checkpoint

Vector = NDArray[np.float64]

DEFAULT_CHECKPOINT = Path(__file__).parent / "weights" / "pop"
# As SciPy's L-BFGS-B: relative to the value but for values within one of zero, and in the function's own coordinates.
_FTOL, _GTOL = 2.2e-9, 1e-5
_DIFFERENCE = 1.5e-8  # half-widths of the box: about the root of the machine's precision


def minimize(
    fun: Callable[..., Any],
    x0: ArrayLike | None = None,
    args: tuple[Any, ...] = (),
    *,
    bounds: Bounds | Sequence[tuple[float, float]] | None = None,
    jac: bool | Callable[..., ArrayLike] | None = None,
    budget: int = 50,
    seed: int | None = None,
    checkpoint: Path | str | None = None,
    deterministic: bool = True,
    callback: Callable[[Vector], Any] | None = None,
) -> OptimizeResult:
    """Minimizes a function of several variables on a box with a trained policy.

    Args:
        fun: The objective, ``fun(x, *args)`` with ``x`` (dim,); returns the value, or the value and the
            gradient (dim,) if ``jac`` is True. NaN and infinity count as the worst value seen.
        x0: Start (dim,) in the box; uniformly random if None.
        args: Further arguments of ``fun`` and ``jac``.
        bounds: The box, finite: scipy's ``Bounds`` or a pair (lower, upper) per coordinate.
        jac: True, a function for the gradient, or None for forward differences.
        budget: Evaluations after the one at the start. A value with its gradient counts as one; by
            differences a gradient costs ``dim`` more.
        seed: Of a random start and of the policy's draws; None for a new one each time.
        checkpoint: Folder of a checkpoint; the one that ships if None.
        deterministic: The policy's mode, about as good on validation functions as draws, and the same each time.
        callback: Called with the newest point (dim,) after each step; may raise ``StopIteration``.

    Returns:
        scipy's ``OptimizeResult`` with ``x, fun, jac`` (gradient at ``x``), ``nit, nfev, njev, success,
        message`` and the whole path: ``x_iters`` (nit + 1, dim) and ``func_vals`` (nit + 1,). It is a success if
        the best point is a local minimum as far as its descent can tell, to the tolerance of SciPy's L-BFGS-B: the
        fall predicted for the next step is at most 2.2e-9 of the value (or of one, where that is more). A budget
        that is spent before is not.

    Raises:
        ValueError: If an argument does not fit, or the objective returns the wrong shapes.
        FileNotFoundError: If there is no checkpoint.
        CheckpointError: If the checkpoint cannot be used.
    """
    lower, upper = _bounds(bounds, x0)
    counted = _Counted(fun, jac, args)
    objective = BoxObjective(counted.value_and_grad, lower, upper)
    counted.objective = objective
    steps = _steps(positive_int("budget", budget), 1 + objective.dim if counted.differences else 1)
    start_seed, policy_seed = np.random.SeedSequence(seed).spawn(2)
    start = _start(x0, objective, np.random.default_rng(start_seed))
    folder = Path(checkpoint or DEFAULT_CHECKPOINT)
    policy = _load(folder, _written(folder))
    generator = torch.Generator("cpu").manual_seed(int(policy_seed.generate_state(1)[0]))

    # In own coordinates, which the way through the unit box would round.
    unit = objective.to_unit(start[None]).clip(-1, 1)
    run = policy.start(unit, *objective.evaluate_own(start[None]), steps, deterministic, generator)
    message = ""
    for _ in range(steps):
        run.tell(*objective.evaluate_own(objective.from_unit(run.ask())))
        if callback is not None:
            try:
                callback(counted.points[-1].copy())
            except StopIteration:
                message = "The callback asked to stop."
                break
    return _result(counted, run.search.trajectory, message)


def pop(fun: Callable[..., Any], x0: ArrayLike, args: tuple[Any, ...] = (), **options: Any) -> OptimizeResult:
    """POP as a method of SciPy: ``scipy.optimize.minimize(..., method=pop_optimizer.pop, options={"budget": 100})``.

    Raises:
        ValueError: If there are constraints, or as ``minimize`` does.
    """
    if options.pop("constraints", ()):
        raise ValueError("POP minimizes on a box: constraints other than bounds are not supported")
    if options.pop("tol", None) is not None:
        raise ValueError("POP spends its budget: leave tol out, and give options={'budget': ...}")
    for unused in ("hess", "hessp"):
        options.pop(unused, None)
    return minimize(fun, x0, args, **options)


class _Counted:
    """The user's function with its gradient, evaluated one point at a time, with all that it said kept."""

    objective: BoxObjective

    def __init__(self, fun: Callable[..., Any], jac: bool | Callable[..., ArrayLike] | None, args: tuple[Any, ...]):
        self.fun, self.jac, self.args = fun, jac, args
        self.differences = jac is None or jac is False
        self.points: list[Vector] = []
        self.values: list[float] = []
        self.gradients: list[Vector] = []
        self.nfev = self.njev = 0

    def value_and_grad(self, batch: Vector) -> tuple[Vector, Vector]:
        """Values (1,) and gradients (1, dim) at a batch of one point (1, dim)."""
        x = batch[0]
        if self.jac is True:
            value, gradient = self.fun(x.copy(), *self.args)
            self.nfev, self.njev = self.nfev + 1, self.njev + 1
        elif callable(self.jac):
            value, gradient = self.fun(x.copy(), *self.args), self.jac(x.copy(), *self.args)
            self.nfev, self.njev = self.nfev + 1, self.njev + 1
        else:
            value, gradient = self._by_differences(x)
        value, gradient = float(np.asarray(value).item()), np.array(gradient, dtype=np.float64)
        if gradient.shape != x.shape:
            raise ValueError(f"the gradient must have shape {x.shape}, got {gradient.shape}")
        self.points.append(x)
        self.values.append(value)
        self.gradients.append(gradient)
        return np.array([value]), gradient[None]

    def _by_differences(self, x: Vector) -> tuple[float, Vector]:
        unit = self.objective.to_unit(x)
        half_width = (self.objective.upper - self.objective.lower) / 2
        value = self._value(x)
        gradient = np.empty_like(x)
        for d in range(len(x)):
            moved = x.copy()
            # Inward, and no less than what rounding would swallow.
            length = max(_DIFFERENCE * half_width[d], 16 * np.spacing(abs(x[d])))
            moved[d] += length if unit[d] < 0 else -length
            gradient[d] = (self._value(moved) - value) / (moved[d] - x[d])
        return value, gradient

    def _value(self, x: Vector) -> float:
        self.nfev += 1
        return float(np.asarray(self.fun(x.copy(), *self.args)).item())


def _bounds(bounds: Bounds | Sequence[tuple[float, float]] | None, x0: ArrayLike | None) -> tuple[Vector, Vector]:
    if bounds is None:
        raise ValueError("POP searches a finite box: give bounds, a pair (lower, upper) for each coordinate")
    if isinstance(bounds, Bounds):
        lower, upper = np.broadcast_arrays(*(np.atleast_1d(b).astype(np.float64) for b in (bounds.lb, bounds.ub)))
        same = (np.size(x0),) if lower.size == 1 and x0 is not None else lower.shape  # one bound for all coordinates
        return np.broadcast_to(lower, same), np.broadcast_to(upper, same)
    pairs = np.asarray(bounds, dtype=np.float64)
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise ValueError(f"bounds must be pairs (lower, upper), one for each coordinate, got shape {pairs.shape}")
    return pairs[:, 0], pairs[:, 1]


def _steps(budget: int, price: int) -> int:
    """Steps that a budget pays for, where a point costs ``price`` evaluations and the start one more."""
    steps = (budget + 1) // price - 1
    if steps < 1:
        raise ValueError(
            f"a budget of {budget} does not pay for one step by finite differences, which takes {2 * price} "
            "evaluations with the start; raise the budget or give jac"
        )
    return steps


def _start(x0: ArrayLike | None, objective: BoxObjective, rng: np.random.Generator) -> Vector:
    """Where to begin (dim,), in own coordinates."""
    if x0 is None:
        return objective.from_unit(rng.uniform(-1, 1, objective.dim))
    x = np.atleast_1d(np.array(x0, dtype=np.float64))
    if x.shape != (objective.dim,):
        raise ValueError(f"x0 must have shape ({objective.dim},) as the bounds have, got {x.shape}")
    if not ((objective.lower <= x) & (x <= objective.upper)).all():
        raise ValueError(f"x0 must lie in the bounds, got {x}")
    return x


@lru_cache(maxsize=8)
def _load(folder: Path, written: int) -> POPPolicy:
    """The policy in ``folder``, read once as long as the file stays as it was ``written``."""
    return load_checkpoint(folder)[0]


def _written(folder: Path) -> int:
    file = folder / WEIGHTS
    return file.stat().st_mtime_ns if file.is_file() else 0


def _result(counted: _Counted, trajectory: Trajectory, message: str) -> OptimizeResult:
    values = np.array(counted.values)
    found = bool(np.isfinite(values).any())
    best = int(np.argmin(np.where(np.isfinite(values), values, np.inf)))
    status = 2 if not found else 0 if _converged(counted, best, trajectory) else 1
    told = (
        "The best point is a local minimum.",
        f"The budget is spent, {counted.nfev} evaluations with the start's, before the best descent has converged: "
        "give more, or go on from x.",
        "The objective was finite nowhere on the path.",
    )
    fields = {
        "x": counted.points[best],
        "fun": counted.values[best],
        "jac": counted.gradients[best],
        "nit": len(values) - 1,
        "nfev": counted.nfev,
        "njev": counted.njev,
        "success": status == 0,
        "status": status,
        "message": message or told[status],
        "x_iters": np.array(counted.points),
        "func_vals": values,
    }
    return OptimizeResult(**fields)


def _converged(counted: _Counted, best: int, trajectory: Trajectory) -> bool:
    """Whether the best point is a local minimum, by the fall that its descent predicts or else by its gradient."""
    if trajectory.trust_region is not None:
        fall = trajectory.lowest_descent.predicted_reduction.item()
        return fall <= _FTOL * max(abs(counted.values[best]), 1.0)
    x, g, objective = counted.points[best], counted.gradients[best], counted.objective
    return bool(np.abs((x - g).clip(objective.lower, objective.upper) - x).max() <= _GTOL)
