"""The user's function: what it may return, its gradient, and what that costs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Jacobian = bool | str | Callable[..., Any] | None

# The step that balances rounding against what the formula leaves out, as a power of the precision (Nocedal & Wright,
# section 8.1); a complex step has nothing to balance.
_POWERS = {"2-point": 1 / 2, "3-point": 1 / 3, "cs": 1 / 2}
_EPS = 2.0**-52
_LARGEST = np.finfo(np.float64).max


class Function:
    """A function of one point and its gradient, evaluated at (dim,), with what that takes counted.

    Args:
        fun: ``fun(x, *args)``: the value, or with ``jac=True`` a pair of value and gradient.
        jac: True, ``jac(x, *args)``, or ``"2-point"`` (None and False mean the same), ``"3-point"``, ``"cs"``: finite
            differences, whose step fits the precision of what ``fun`` returns.
        args: Further arguments of both.
        lower: Lower bounds (dim,), which no difference leaves; may be infinite.
        upper: Upper bounds (dim,).

    Attributes:
        nfev: Calls of ``fun``.
        njev: Gradients that ``fun`` or ``jac`` gave.

    Raises:
        TypeError: If ``fun`` cannot be called.
        ValueError: If ``jac`` is none of these.
    """

    def __init__(
        self, fun: Callable[..., Any], jac: Jacobian, args: tuple[Any, ...], lower: Vector, upper: Vector
    ) -> None:
        if not callable(fun):
            raise TypeError(f"fun must be a function of x, got {fun!r}")
        self._fun, self._args = fun, args if isinstance(args, tuple) else (args,)
        self._lower, self._upper = lower.clip(-_LARGEST, None), upper.clip(None, _LARGEST)  # no step is infinite
        self._jac = _checked(jac)
        # What stays fixed has no gradient to estimate.
        self._free = np.flatnonzero(lower < upper).tolist()
        self.nfev = self.njev = 0

    @property
    def price(self) -> int:
        """Evaluations of ``fun`` that a point takes."""
        each = {"2-point": 1, "3-point": 2, "cs": 1}
        return 1 + each[self._jac] * len(self._free) if isinstance(self._jac, str) else 1

    def __call__(self, x: Vector) -> tuple[float, Vector]:
        """Value and gradient (dim,) at a point (dim,).

        Raises:
            TypeError: If ``fun`` does not return a number, or its gradient is none.
            ValueError: If the gradient has another shape.
        """
        if isinstance(self._jac, str):
            answer = self._call(x)
            value = number(answer)
            return value, self._differences(x, value, precision(answer))
        self.njev += 1
        if callable(self._jac):
            value = number(self._call(x))
            return value, gradient(self._jac(x.copy(), *self._args), x.shape, "jac")
        answer = self._call(x)
        if not (isinstance(answer, tuple | list) and len(answer) == 2):
            raise TypeError(f"with jac=True, fun must return a pair (value, gradient), got {_shown(answer)}")
        return number(answer[0]), gradient(answer[1], x.shape, "the gradient of fun")

    def _call(self, x: NDArray[Any]) -> Any:
        self.nfev += 1
        return self._fun(x.copy(), *self._args)

    def _differences(self, x: Vector, value: float, eps: float) -> Vector:
        assert isinstance(self._jac, str)
        slopes = np.zeros_like(x)
        with np.errstate(all="ignore"):
            above, below = self._upper - x, x - self._lower
        # In units of the variable, or of the box where that is smaller; and no less than what rounding would swallow.
        unit = np.minimum(np.maximum(np.abs(x), 1.0), self._upper / 2 - self._lower / 2)
        steps = np.maximum(eps ** _POWERS[self._jac] * unit, 16 * _EPS * np.abs(x)).clip(5e-324)
        for i in self._free:
            h = float(steps[i])
            if self._jac == "cs":
                slopes[i] = self._imaginary(_moved(x.astype(np.complex128), i, 1j * h)) / h
                continue
            a, b = -h, h
            if self._jac == "2-point" or min(above[i], below[i]) < h:  # to the side with more room
                a = math.copysign(min(h, max(above[i], below[i]) / 2), above[i] - below[i])
                b = 2 * a
            a, slope = self._secant(x, i, a, value)
            if self._jac == "3-point":  # of the parabola through the three
                b, other = self._secant(x, i, b, value)
                slope = (slope * b - other * a) / (b - a) if a != b else slope
            slopes[i] = slope
        return slopes

    def _imaginary(self, x: NDArray[np.complex128]) -> float:
        answer = self._call(x)
        if not np.iscomplexobj(array_of(answer)):
            raise TypeError(f'with jac="cs", fun must return complex numbers at complex points, got {_shown(answer)}')
        return float(number(answer, complex_too=True).imag)

    def _secant(self, x: Vector, i: int, h: float, value: float) -> tuple[float, float]:
        """A step of ``h`` along coordinate ``i`` as it is rounded, and the slope of the secant."""
        moved = _moved(x, i, h)
        if moved[i] == x[i]:
            moved[i] = np.nextafter(x[i], math.copysign(math.inf, h))
        moved[i] = min(max(moved[i], self._lower[i]), self._upper[i])
        h = float(moved[i] - x[i])
        return h, (number(self._call(moved)) - value) / h


def number(answer: Any, who: str = "fun must return", *, complex_too: bool = False) -> Any:
    """What a function returned, as a float, or else complex if that is allowed.

    NumPy's, PyTorch's and JAX's scalars and arrays of one element are taken.

    Raises:
        TypeError: If it is no number.
    """
    if isinstance(answer, tuple | list | str | bytes | dict) or answer is None:
        hint = "; for a pair of value and gradient give jac=True" if isinstance(answer, tuple | list) else ""
        raise TypeError(f"{who} a number, got {_shown(answer)}{hint}")
    try:
        array = array_of(answer)
        if array.dtype.kind in "biufOc" and array.size == 1 and (complex_too or array.dtype.kind != "c"):
            return complex(array.item()) if complex_too else float(array.item())
    except OverflowError:  # an integer beyond all floats
        return math.inf if array.item() > 0 else -math.inf
    except (RuntimeError, TypeError, ValueError) as error:
        raise TypeError(f"{who} a number, got {_shown(answer)}") from error
    shape = f" of shape {array.shape}" if array.size != 1 else ""
    raise TypeError(f"{who} a real number, got {_shown(answer)}{shape}")


def gradient(answer: Any, shape: tuple[int, ...], who: str) -> Vector:
    """A gradient as a vector of its own.

    Raises:
        TypeError: If it is not made of real numbers.
        ValueError: If it does not have that ``shape``.
    """
    try:
        slopes = real_numbers(answer)
    except (OverflowError, RuntimeError, TypeError, ValueError) as error:
        raise TypeError(f"{who} must be an array of {shape[0]} real numbers, got {_shown(answer)}: {error}") from error
    if slopes.shape != shape and not (slopes.size == shape[0] == 1):
        raise ValueError(f"{who} must have shape {shape}, got {slopes.shape}")
    return slopes.reshape(shape)


def real_numbers(answer: Any) -> NDArray[np.float64]:
    """An array of its own.

    Raises:
        OverflowError, RuntimeError, TypeError, ValueError: If it is not made of real numbers.
    """
    array = array_of(answer)
    if array.dtype.kind not in "biufO":
        raise TypeError(f"its entries are {array.dtype}")
    if array.dtype.kind == "O" and any(entry is None for entry in array.flat):  # which NumPy would make NaN
        raise TypeError("None among them")
    with np.errstate(all="ignore"):  # in more than double precision
        return np.array(array, dtype=np.float64)


def array_of(answer: Any) -> NDArray[Any]:
    """NumPy's array of what may be one of PyTorch's, with a graph behind it and on another device, or of JAX's.

    Entries that are masked are NaN.
    """
    if isinstance(answer, torch.Tensor):
        answer = answer.detach().cpu()
        answer = answer.float() if answer.dtype is torch.bfloat16 else answer
        return answer.resolve_conj().resolve_neg().numpy()
    if np.ma.is_masked(answer):
        return np.where(answer.mask, np.nan, answer.data)
    return np.asarray(answer)


def precision(answer: Any) -> float:
    """The machine's precision in what a function returned; that of float64 unless its type says otherwise."""
    if isinstance(answer, torch.Tensor):
        return torch.finfo(answer.dtype).eps if answer.dtype.is_floating_point else _EPS
    dtype = array_of(answer).dtype
    return float(np.finfo(dtype).eps) if dtype.kind == "f" and dtype.itemsize < 8 else _EPS


def _checked(jac: Jacobian) -> Jacobian:
    if jac is None or (isinstance(jac, bool | np.bool_) and not jac):
        return "2-point"
    if isinstance(jac, bool | np.bool_):
        return True
    if callable(jac) or (isinstance(jac, str) and jac in _POWERS):
        return jac
    raise ValueError(f"jac must be True, a function, None, {', '.join(map(repr, _POWERS))}, got {jac!r}")


def _moved(x: NDArray[Any], i: int, h: complex) -> NDArray[Any]:
    moved = x.copy()
    moved[i] += h
    return moved


def _shown(answer: Any) -> str:
    text = repr(answer)
    return f"{type(answer).__name__} {text if len(text) <= 80 else text[:77] + '...'}"
