"""Checks of arguments, in one voice: what was expected, what came."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from importlib.util import find_spec
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def positive_int(name: str, value: int) -> int:
    """``value``, if it is a positive integer.

    Raises:
        ValueError: If it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}")
    return int(value)


def positive(name: str, value: float) -> float:
    """``value``, if it is positive.

    Raises:
        ValueError: If it is not.
    """
    if not value > 0:
        raise ValueError(f"{name} must be positive, got {value}")
    return value


def one_of(name: str, value: str, allowed: Collection[str]) -> str:
    """``value``, if it is among ``allowed``.

    Raises:
        ValueError: If it is not.
    """
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
    return value


def made(name: str, value: str | T, registry: Mapping[str, Callable[[], T]], kind: type[T]) -> T:
    """``value``, if it is a ``kind``, or else what the ``registry`` makes under this name.

    Raises:
        ValueError: If it is neither.
    """
    if isinstance(value, kind):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a name or a {kind.__name__}, got {value!r}")
    return registry[one_of(name, value, registry)]()


def require(extra: str, *modules: str) -> None:
    """Says early what is not installed.

    Raises:
        ImportError: If one of the ``modules``, which come with an ``extra``, is missing.
    """
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise ImportError(f"{', '.join(missing)} must be installed: pip install --editable '.[{extra}]' in the clone")
