"""Many problems, or many starts of one, in one batched run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import Bounds, OptimizeResult

from pop_optimizer.convergence import FTOL, negligible, projected_gradient, tolerance
from pop_optimizer.differences import SCHEMES, differences, evaluations
from pop_optimizer.function import array_of, callable_fun, checked_jac, complexes, pair, precision, reals
from pop_optimizer.minimize import BUDGET, steps_of
from pop_optimizer.optimizer import Seed, policy_of, seed_sequence

Array = NDArray[np.float64]


def minimize_batch(
    fun: Callable[..., Any],
    x0: Any,
    args: tuple[Any, ...] = (),
    *,
    bounds: Any,
    jac: bool | str | Callable[..., Any] | None = None,
    budget: int = BUDGET,
    ftol: float = FTOL,
    rng: Seed = None,
    checkpoint: Path | str | None = None,
    policy: Any = None,
    deterministic: bool = True,
) -> OptimizeResult:
    """Minimizes many functions at once, each from its start: row i of a batch of points belongs to function i.

    ``fun`` is called once a step with points of the kind of ``x0``: a NumPy, PyTorch or JAX array of its precision, on
    its device. The search itself computes in double precision, on the CPU.

    Args:
        fun: ``fun(x, *args)`` with ``x`` (batch, dim): values (batch,), or with ``jac=True`` a pair of values and
            gradients (batch, dim).
        x0: Starts (batch, dim), within the bounds.
        args: Further arguments of ``fun`` and ``jac``.
        bounds: Finite boxes: pairs (lower, upper) for each variable (dim, 2), or for each variable of each function
            (batch, dim, 2), or SciPy's ``Bounds`` of arrays that broadcast to (batch, dim). Equal ones fix a variable.
        jac: True, a function for the gradients (batch, dim), ``"autodiff"`` for PyTorch's or JAX's differentiation of
            ``fun``, or ``"2-point"`` (as None), ``"3-point"``, ``"cs"``: finite differences.
        budget: Evaluations of each function after the one at its start, counted as in ``minimize``.
        ftol: As in ``minimize``.
        rng: Of the policy's draws, where there are any.
        checkpoint: Folder of a checkpoint; the one that ships if None.
        policy: Instead of a checkpoint, a model of Stable-Baselines3, or its path: see ``Optimizer``.
        deterministic: Whether the policy takes the modes of its actions, and draws nothing.

    Returns:
        scipy's ``OptimizeResult`` with ``x`` (batch, dim), ``fun`` (batch,), ``jac`` (batch, dim) and ``success``
        (batch,), which means what it does in ``minimize``; ``nit`` and ``nfev``, the same for all; and the paths,
        ``x_iters`` (batch, nit + 1, dim) and ``func_vals`` (batch, nit + 1).

    Raises:
        TypeError: If ``fun`` or ``jac`` return something else than real numbers.
        ValueError: If arguments do not fit each other, or values and gradients have other shapes.
        FileNotFoundError: If there is no checkpoint.
        CheckpointError: If the checkpoint cannot be used.
    """
    start = np.array(array_of(x0), dtype=np.float64)
    if start.ndim != 2 or not start.size:
        raise ValueError(f"x0 must have shape (batch, dim), got {start.shape}")
    lower, upper = _bounds(bounds, start.shape)
    outside = ~((lower <= start) & (start <= upper)).all(1)
    if outside.any():
        raise ValueError(f"x0 must lie in the bounds, got {start[outside][0]} in row {outside.argmax()}")
    ftol = tolerance("ftol", ftol)
    functions = _Functions(fun, jac, args, x0, lower, upper)
    steps = steps_of(functions.price, budget=budget)
    center, half_width = lower / 2 + upper / 2, upper / 2 - lower / 2

    def seen(y: Array, g: Array) -> tuple[torch.Tensor, torch.Tensor]:
        with np.errstate(over="ignore", invalid="ignore"):
            return torch.from_numpy(y), torch.from_numpy(g * half_width)

    policy_seed = seed_sequence(rng).spawn(2)[1]
    generator = torch.Generator("cpu").manual_seed(int(policy_seed.generate_state(1)[0]))
    y, g = functions(start)
    unit = np.divide(start - center, half_width, out=np.zeros_like(start), where=half_width > 0).clip(-1, 1)
    run = policy_of(checkpoint, policy).start(torch.from_numpy(unit), *seen(y, g), steps, deterministic, generator)
    points, values, best_g = [start], [y], g
    lowest = np.where(np.isfinite(y), y, np.inf)
    for _ in range(steps):
        x = np.clip(center + half_width * run.ask().numpy(), lower, upper)
        y, g = functions(x)
        run.tell(*seen(y, g))
        better = np.isfinite(y) & (y < lowest)
        lowest, best_g = np.where(better, y, lowest), np.where(better[:, None], g, best_g)
        points.append(x)
        values.append(y)
    x_iters, func_vals = np.stack(points, 1), np.stack(values, 1)
    finite = np.isfinite(func_vals)
    rows, best = np.arange(len(start)), np.where(finite, func_vals, np.inf).argmin(1)
    x, value = x_iters[rows, best], func_vals[rows, best]
    highest = np.where(finite, func_vals, -np.inf).max(1)
    descent = run.search.trajectory.lowest
    success = finite.any(1) & (projected_gradient(x, best_g, lower, upper) == 0)
    if descent is not None:
        success |= finite.any(1) & negligible(descent.unrestricted_reduction().numpy(), value, highest, ftol)
    fields = {
        "message": f"The budget is spent; {success.sum()} of {len(start)} best points are local minima.",
        "success": success,
        "fun": value,
        "x": x,
        "jac": best_g,
        "nit": steps,
        "nfev": functions.price * (steps + 1),
        "x_iters": x_iters,
        "func_vals": func_vals,
    }
    return OptimizeResult(**fields)


class _Functions:
    """Values and gradients of all functions in NumPy's double precision, whatever arrays the user's own takes."""

    def __init__(
        self, fun: Callable[..., Any], jac: Any, args: tuple[Any, ...], like: Any, lower: Array, upper: Array
    ) -> None:
        self._fun, self._args = callable_fun(fun), args if isinstance(args, tuple) else (args,)
        self._jac = checked_jac(jac, "autodiff")
        self._theirs, self._differentiated = _kind(like)
        self._lower, self._upper = lower, upper

    @property
    def price(self) -> int:
        """Evaluations of each function that a point takes."""
        return 1 + (evaluations(self._jac, self._lower.shape[1]) if self._jac in SCHEMES else 0)

    def __call__(self, x: Array) -> tuple[Array, Array]:
        """Values (batch,) and gradients (batch, dim) at points (batch, dim)."""
        points, gradients = self._theirs(x), None
        if self._jac == "autodiff":
            values, gradients = self._differentiated(self._call, points)
        elif self._jac is True:
            values, gradients = pair(self._call(points))
        else:
            values = self._call(points)
        if callable(self._jac):
            gradients = self._jac(self._theirs(x), *self._args)
        y = reals(values, x.shape[:1], "fun")
        if gradients is not None:
            return y, reals(gradients, x.shape, "jac")
        return y, differences(self._values, x, y, self._lower, self._upper, self._jac, precision(values))

    def _call(self, points: Any) -> Any:
        return self._fun(points, *self._args)

    def _values(self, x: NDArray[Any]) -> NDArray[Any]:
        answer = self._call(self._theirs(x))
        if np.iscomplexobj(x):
            return complexes(answer, x.shape[:1])
        return reals(answer, x.shape[:1], "fun")


def _kind(like: Any) -> tuple[Callable[[NDArray[Any]], Any], Callable[..., tuple[Any, Any]]]:
    """What makes arrays like the starts, and what differentiates functions of them."""
    if isinstance(like, torch.Tensor):
        real = like.dtype if like.is_floating_point() else torch.float64
        dtype = {False: real, True: torch.promote_types(real, torch.complex64)}
        return lambda x: torch.tensor(x, dtype=dtype[np.iscomplexobj(x)], device=like.device), _torch_autodiff
    if type(like).__module__.partition(".")[0] in ("jax", "jaxlib"):
        import jax

        # Double precision only where JAX allows it.
        theirs = like.dtype if np.issubdtype(like.dtype, np.floating) else jax.numpy.zeros(0).dtype
        return lambda x: jax.numpy.asarray(x, None if np.iscomplexobj(x) else theirs), _jax_autodiff
    return lambda x: x.copy(), _no_autodiff


def _torch_autodiff(fun: Callable[[Any], Any], points: torch.Tensor) -> tuple[Any, Any]:
    with torch.inference_mode(False), torch.enable_grad():
        points = points.clone().requires_grad_()
        values = fun(points)
        return values, torch.autograd.grad(values.sum(), points)[0]


def _jax_autodiff(fun: Callable[[Any], Any], points: Any) -> tuple[Any, Any]:
    import jax

    values, pull_back = jax.vjp(fun, points)
    return values, pull_back(jax.numpy.ones_like(values))[0]


def _no_autodiff(fun: Callable[[Any], Any], points: Any) -> tuple[Any, Any]:
    raise ValueError('jac="autodiff" needs x0 as a PyTorch tensor or a JAX array: NumPy cannot differentiate')


def _bounds(bounds: Any, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Lower and upper bounds (batch, dim)."""
    if bounds is None:
        raise ValueError("bounds must be given, finite ones: what has no bounds is for minimize, one by one")
    try:
        if isinstance(bounds, Bounds):
            lower, upper = (np.broadcast_to(np.asarray(b, np.float64), shape) for b in (bounds.lb, bounds.ub))
        else:
            pairs = np.broadcast_to(np.asarray(bounds, np.float64), (*shape, 2))
            lower, upper = pairs[..., 0], pairs[..., 1]
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"bounds must be pairs (lower, upper) of numbers, shape {(shape[1], 2)} or {(*shape, 2)}, or Bounds that "
            f"broadcast to {shape}: {error}"
        ) from error
    wrong = ~(np.isfinite(lower) & np.isfinite(upper) & (lower <= upper))
    if wrong.any():
        i, j = np.argwhere(wrong)[0]
        raise ValueError(
            f"bounds must be finite with lower <= upper, got ({lower[i, j]}, {upper[i, j]}) in row {i}, variable {j}: "
            "what has no bounds is for minimize, one by one"
        )
    return lower, upper
