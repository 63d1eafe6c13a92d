"""The user's function: what it may return, its gradient, and what that costs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pop_optimizer.differences import EPS, SCHEMES, differences, evaluations

Vector = NDArray[np.float64]
_REAL = "biufO"  # NumPy's kinds of what may be real numbers
_LARGEST = np.finfo(np.float64).max

Jacobian = bool | str | Callable[..., Any] | None


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
        self._fun, self._args = callable_fun(fun), args if isinstance(args, tuple) else (args,)
        self._lower, self._upper = lower.clip(-_LARGEST, None), upper.clip(None, _LARGEST)  # no step is infinite
        self._jac = checked_jac(jac)
        self.nfev = self.njev = 0

    @property
    def price(self) -> int:
        """Evaluations of ``fun`` that a point takes."""
        if not isinstance(self._jac, str):
            return 1
        return 1 + evaluations(self._jac, int((self._lower < self._upper).sum()))

    def __call__(self, x: Vector) -> tuple[float, Vector]:
        """Value and gradient (dim,) at a point (dim,).

        Raises:
            TypeError: If ``fun`` does not return a number, or its gradient is none.
            ValueError: If the gradient has another shape.
        """
        if isinstance(self._jac, str):
            answer = self._call(x)
            value = number(answer)
            eps = precision(answer)
            return value, differences(self._values, x, np.asarray(value), self._lower, self._upper, self._jac, eps)
        self.njev += 1
        if callable(self._jac):
            value = number(self._call(x))
            return value, gradient(self._jac(x.copy(), *self._args), x.shape, "jac")
        answer, slopes = pair(self._call(x))
        return number(answer), gradient(slopes, x.shape, "the gradient of fun")

    def _call(self, x: NDArray[Any]) -> Any:
        self.nfev += 1
        return self._fun(x.copy(), *self._args)

    def _values(self, x: NDArray[Any]) -> NDArray[Any]:
        """The value at a point (dim,), complex at a complex one, as an array without axes."""
        answer = self._call(x)
        return complexes(answer, ()) if np.iscomplexobj(x) else np.asarray(number(answer))


def callable_fun(fun: Any) -> Callable[..., Any]:
    """``fun``, if it can be called.

    Raises:
        TypeError: If it cannot.
    """
    if not callable(fun):
        raise TypeError(f"fun must be a function of x, got {_shown(fun)}")
    return fun


def checked_jac(jac: Any, *also: str) -> Any:
    """True, a function, or the name of a scheme, or one ``also`` allowed.

    Raises:
        ValueError: If it is something else.
    """
    if jac is None or (isinstance(jac, bool | np.bool_) and not jac):
        return SCHEMES[0]
    if isinstance(jac, bool | np.bool_):
        return True
    names = (*SCHEMES, *also)
    if callable(jac) or (isinstance(jac, str) and jac in names):
        return jac
    raise ValueError(f"jac must be True, a function, None, {', '.join(map(repr, names))}, got {_shown(jac)}")


def pair(answer: Any) -> tuple[Any, Any]:
    """Value and gradient that ``fun`` returned.

    Raises:
        TypeError: If it did not.
    """
    if isinstance(answer, tuple | list) and len(answer) == 2:
        return answer[0], answer[1]
    raise TypeError(f"with jac=True, fun must return a pair (value, gradient), got {_shown(answer)}")


def number(answer: Any, who: str = "fun must return") -> float:
    """What a function returned, as a float: NumPy's, PyTorch's and JAX's scalars and arrays of one element are taken.

    Raises:
        TypeError: If it is no real number.
    """
    if isinstance(answer, tuple | list):
        raise TypeError(f"{who} a number, got {_shown(answer)}; for a pair of value and gradient give jac=True")
    try:
        array = array_of(answer)
        if array.dtype.kind in _REAL and array.size == 1:
            return float(array.item())
    except OverflowError:  # an integer beyond all floats
        return math.inf if array.item() > 0 else -math.inf
    except (RuntimeError, TypeError, ValueError) as error:
        raise TypeError(f"{who} a number, got {_shown(answer)}") from error
    shape = f" of shape {array.shape}" if array.size != 1 else ""
    raise TypeError(f"{who} a real number, got {_shown(answer)}{shape}")


def gradient(answer: Any, shape: tuple[int, ...], who: str) -> Vector:
    """A gradient of that ``shape`` (dim,), as an array of its own; of one variable a number will do.

    Raises:
        TypeError: If it is not made of real numbers.
        ValueError: If it has another shape.
    """
    return reals(answer, shape, who, scalar_too=shape == (1,))


def reals(answer: Any, shape: tuple[int, ...], who: str, *, scalar_too: bool = False) -> NDArray[np.float64]:
    """What ``who`` returned as an array of its own, of that ``shape``.

    Raises:
        TypeError: If it is not made of real numbers.
        ValueError: If it has another shape.
    """
    try:
        array = real_numbers(answer)
    except (OverflowError, RuntimeError, TypeError, ValueError) as error:
        raise TypeError(f"{who} must be an array of real numbers, got {_shown(answer)}: {error}") from error
    if array.shape != shape and not (scalar_too and array.size == 1):
        raise ValueError(f"{who} must have shape {shape}, got {array.shape}")
    return array.reshape(shape)


def complexes(answer: Any, shape: tuple[int, ...]) -> NDArray[np.complex128]:
    """What ``fun`` returned at complex points.

    Raises:
        TypeError: If it is not complex.
        ValueError: If it has another shape.
    """
    array = array_of(answer)
    if not np.iscomplexobj(array):
        raise TypeError(f'with jac="cs", fun must return complex numbers at complex points, got {_shown(answer)}')
    if array.size != math.prod(shape):
        raise ValueError(f"fun must have shape {shape}, got {array.shape}")
    return np.array(array, dtype=np.complex128).reshape(shape)


def real_numbers(answer: Any) -> NDArray[np.float64]:
    """An array of its own.

    Raises:
        OverflowError, RuntimeError, TypeError, ValueError: If it is not made of real numbers.
    """
    array = array_of(answer)
    if array.dtype == np.float64:
        return array.copy()
    if array.dtype.kind not in _REAL:
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
        return torch.finfo(answer.dtype).eps if answer.dtype.is_floating_point else EPS
    dtype = array_of(answer).dtype
    return float(np.finfo(dtype).eps) if dtype.kind == "f" and dtype.itemsize < 8 else EPS


def _shown(answer: Any) -> str:
    text = repr(answer)
    return f"{type(answer).__name__} {text if len(text) <= 80 else text[:77] + '...'}"
