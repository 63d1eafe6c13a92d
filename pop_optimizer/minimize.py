"""POP for a function of one's own, to the conventions of ``scipy.optimize.minimize``."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from contextlib import suppress
from inspect import signature
from pathlib import Path
from typing import Any, Literal

from numpy.typing import ArrayLike
from scipy.optimize import Bounds, OptimizeResult, OptimizeWarning

from pop_envs.checks import positive_int
from pop_optimizer.convergence import FTOL, real_number, tolerance
from pop_optimizer.function import Function, Jacobian
from pop_optimizer.optimizer import Optimizer, Seed
from pop_optimizer.space import BoundsLike, Space

BUDGET = 50
"""Evaluations after the start's, unless told otherwise."""
_STOPPED = 99  # SciPy's status where a callback has stopped


def minimize(
    fun: Callable[..., Any],
    x0: ArrayLike | None = None,
    args: tuple[Any, ...] = (),
    *,
    bounds: BoundsLike = None,
    jac: Jacobian = None,
    budget: int | None = None,
    maxiter: int | None = None,
    maxfev: int | None = None,
    stop: Literal["converged"] | None = None,
    target: float | None = None,
    ftol: float = FTOL,
    gtol: float | None = None,
    region: ArrayLike | None = None,
    rng: Seed = None,
    seed: Seed = None,
    checkpoint: Path | str | None = None,
    policy: Any = None,
    deterministic: bool = True,
    callback: Callable[..., Any] | None = None,
    disp: bool = False,
) -> OptimizeResult:
    """Minimizes a function of several variables with a trained policy.

    The whole budget is spent, on other basins where one is exhausted, unless ``stop``, ``target`` or the callback ends
    the run before.

    Args:
        fun: The objective, ``fun(x, *args)`` with ``x`` (dim,): returns the value, or with ``jac=True`` a pair of the
            value and the gradient. A number of any kind is taken, PyTorch's and JAX's too; NaN and infinity count as
            the worst value seen.
        x0: Start (dim,); uniformly random in the bounds if None, which then must be finite.
        args: Further arguments of ``fun`` and ``jac``.
        bounds: SciPy's ``Bounds`` or pairs (lower, upper), with None or infinity where there is no bound; equal ones
            fix a variable.
        jac: True, a function for the gradient, or ``"2-point"`` (as None), ``"3-point"``, ``"cs"``: finite differences
            within the bounds, with steps that fit the precision of what ``fun`` returns.
        budget: Evaluations after the one at the start; 50 unless one of ``budget``, ``maxiter``, ``maxfev`` is given,
            of which the tightest counts. A value with its gradient counts as one; by differences a point costs
            ``dim + 1`` of them, ``2 dim + 1`` by ``"3-point"``.
        maxiter: Steps: points after the start.
        maxfev: Evaluations, the start's among them.
        stop: ``"converged"`` to stop as soon as the best point meets a criterion of a minimum.
        target: To stop as soon as a value is no higher.
        ftol: Criterion of a minimum: the fall predicted for the next step is no more, relative to the value, or, for
            values within one of zero, to one or to the range of the values seen, whichever is less. SciPy's L-BFGS-B's.
        gtol: Another, if given: no entry of the projected gradient is larger.
        region: Half-width of the region around ``x0`` that is searched where there are no bounds, for each variable or
            one for all; the larger of the start's coordinate and 1 if None. It moves and grows when the best
            point lies at its edge.
        rng: Of a random start and of the policy's draws; None for a new one each time.
        seed: The same by its older name.
        checkpoint: Folder of a checkpoint; the one that ships if None.
        policy: Instead of a checkpoint, a model of Stable-Baselines3, or its path: see ``Optimizer``.
        deterministic: The policy's mode, about as good on validation functions as draws, and the same each time.
        callback: Called after each step with the best point (dim,), or with an ``OptimizeResult`` of ``x, fun, nit,
            nfev`` so far if its only parameter is named ``intermediate_result``; may raise ``StopIteration``.
        disp: Whether to print the message and the counts at the end.

    Returns:
        scipy's ``OptimizeResult``: see ``Optimizer.result`` for what it tells, and how far it can be trusted. ``nfev``
        and ``njev`` are calls of ``fun`` and gradients given, as SciPy counts them. Where ``target`` is reached,
        ``success`` is true; where the callback stopped, it is not, and ``status`` is 99.

    Raises:
        TypeError: If an argument, or what ``fun`` or ``jac`` returns, is of another kind.
        ValueError: If arguments do not fit, or a gradient has another shape.
        FileNotFoundError: If there is no checkpoint.
        CheckpointError: If the checkpoint cannot be used.
        BaseException: What ``fun``, ``jac`` or the callback raise, or Ctrl-C, with the ``OptimizeResult`` so far as the
            exception's ``result``.
    """
    if rng is not None and seed is not None:
        raise TypeError("rng and seed are two names of one argument: give one of them")
    if not (stop is None or (isinstance(stop, str) and stop == "converged")):
        raise ValueError(f'stop must be "converged" or None, got {stop!r}')
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be a function, got {callback!r}")
    if target is not None:
        target = real_number("target", target)
    space = Space(bounds, x0, region)
    function = Function(fun, jac, args, space.lower, space.upper)
    optimizer = Optimizer(
        Bounds(space.lower, space.upper),  # for bounds may be an iterator
        x0,
        budget=steps_of(function.price, budget, maxiter, maxfev),
        region=region,
        ftol=ftol,
        gtol=gtol,
        rng=seed if rng is None else rng,
        checkpoint=checkpoint,
        policy=policy,
        deterministic=deterministic,
    )
    end: dict[str, Any] = {}
    try:
        while not (optimizer.done or end):
            x = optimizer.ask()
            optimizer.record(x, *function(x))
            if callback is not None and optimizer.steps and not _goes_on(callback, optimizer, function):
                end = {"success": False, "status": _STOPPED, "message": "`callback` raised `StopIteration`."}
            elif target is not None and math.isfinite(optimizer.fun) and optimizer.fun <= target:
                end = {"success": True, "status": 0, "message": f"The target of {target:g} is reached."}
            elif stop == "converged" and optimizer.converged:
                break
        result = _counted(optimizer, function)
        result.update(end)
    except BaseException as error:
        with suppress(Exception):  # whatever kind of exception it is
            result = _counted(optimizer, function)
            error.add_note(f"{len(result.func_vals)} points were evaluated before: this exception's `result` has them.")
            error.result = result  # type: ignore[attr-defined]
        raise
    if disp:
        print(f"{result.message}\n  fun: {result.fun:g}, nit: {result.nit}, nfev: {result.nfev}, njev: {result.njev}")
    return result


def pop(fun: Callable[..., Any], x0: ArrayLike, args: tuple[Any, ...] = (), **options: Any) -> OptimizeResult:
    """POP as a method of SciPy: ``scipy.optimize.minimize(..., method=pop_optimizer.pop, options={"budget": 100})``.

    Options are the arguments of ``minimize``; ``tol`` sets ``ftol`` and ``gtol``. Those that it does not know are
    warned of, as are Hessians, which it does not use.

    Raises:
        ValueError: If there are constraints, or as ``minimize`` does.
    """
    if options.pop("constraints", ()):
        raise ValueError("POP minimizes in bounds: other constraints are not supported; penalize them in fun")
    tol = options.pop("tol", None)
    if tol is not None:
        tol = tolerance("tol", tol)
        options = {"ftol": tol, "gtol": tol} | options
    for unused in ("hess", "hessp"):
        if options.pop(unused, None) is not None:
            warnings.warn(f"Method pop does not use Hessian information ({unused}).", RuntimeWarning, stacklevel=3)
    known = signature(minimize).parameters
    unknown = [name for name in options if name not in known]
    if unknown:
        warnings.warn(f"Unknown solver options: {', '.join(unknown)}", OptimizeWarning, stacklevel=3)
    return minimize(fun, x0, args, **{name: value for name, value in options.items() if name in known})


def steps_of(price: int, budget: int | None = None, maxiter: int | None = None, maxfev: int | None = None) -> int:
    """Steps that the limits allow, where a point costs ``price`` evaluations.

    Raises:
        ValueError: If that is none.
    """
    if budget is maxiter is maxfev is None:
        budget = BUDGET
    steps = {}
    if budget is not None:
        steps[f"budget={budget}"] = (positive_int("budget", budget) + 1) // price - 1
    if maxfev is not None:
        steps[f"maxfev={maxfev}"] = positive_int("maxfev", maxfev) // price - 1
    if maxiter is not None:
        steps[f"maxiter={maxiter}"] = positive_int("maxiter", maxiter)
    tightest = min(steps, key=lambda limit: steps[limit])
    if steps[tightest] < 1:
        raise ValueError(
            f"{tightest} does not pay for one step, which takes {2 * price} evaluations with the start's, finite "
            "differences among them: raise it, or give jac"
        )
    return steps[tightest]


def _goes_on(callback: Callable[..., Any], optimizer: Optimizer, function: Function) -> bool:
    """Calls the callback; whether it lets the run go on."""
    try:
        if _wants_result(callback):
            told = {"x": optimizer.x, "fun": optimizer.fun, "nit": optimizer.steps, "nfev": function.nfev}
            callback(intermediate_result=OptimizeResult(**told))
        else:
            callback(optimizer.x)
    except StopIteration:
        return False
    return True


def _wants_result(callback: Callable[..., Any]) -> bool:
    try:
        return set(signature(callback).parameters) == {"intermediate_result"}
    except (TypeError, ValueError):  # as some builtins
        return False


def _counted(optimizer: Optimizer, function: Function) -> OptimizeResult:
    result = optimizer.result()
    result.update(nfev=function.nfev, njev=function.njev)
    return result
