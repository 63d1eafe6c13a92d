"""One code for NumPy arrays and torch tensors.

A single run computes with NumPy, where a small operation takes 0.2 to 1 microseconds, and a batch with torch, where it
takes 2 to 4 but large ones are faster, on a GPU too. What both call by one name (operators, indexing, ``sum``, ``any``,
``all``, ``argmin``) is used as it is; the rest stands here, in pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch

Array: TypeAlias = Any
"""A NumPy array or a torch tensor; what takes several takes one kind, and returns it."""

_SINGLE = torch.float32
_distances = partial(torch.cdist, compute_mode="donot_use_mm_for_euclid_dist")


def _as(like: Array) -> dict[str, Any]:
    return {"dtype": like.dtype, "device": like.device}


def _unbind(x: Array, axis: int) -> list[Array]:
    before = (...,) if axis == -1 else (slice(None),) * axis
    return [x[(*before, i)] for i in range(x.shape[axis])]


def _squares(x: Array) -> Array:
    return np.vecdot(x, x)


def row_sums(x: torch.Tensor) -> torch.Tensor:
    """Sums (...) of rows (..., n); of two or three columns PyTorch's own, which are equal, take five times as long."""
    if not 1 < x.shape[-1] < 4:
        return x.sum(-1)
    total, *others = x.unbind(-1)
    for column in others:
        total = total + column
    return total


class _NumPy:
    where = staticmethod(np.where)
    sign = staticmethod(np.sign)
    sqrt = staticmethod(np.sqrt)
    exp = staticmethod(np.exp)
    log = staticmethod(np.log)
    log1p = staticmethod(np.log1p)
    isfinite = staticmethod(np.isfinite)
    minimum = staticmethod(np.minimum)
    maximum = staticmethod(np.maximum)
    logaddexp = staticmethod(np.logaddexp)
    sigmoid = staticmethod(lambda x: 1 / (1 + np.exp(-x)))
    uniform = staticmethod(lambda like, generator: torch.rand(like.shape, generator=generator, dtype=_SINGLE).numpy())
    normal = staticmethod(lambda like, generator: torch.randn(like.shape, generator=generator, dtype=_SINGLE).numpy())
    vecdot = staticmethod(np.vecdot)
    concat = staticmethod(np.concatenate)
    stack = staticmethod(np.array)  # takes a quarter of np.stack's time
    linalg = np.linalg
    at_least = staticmethod(np.maximum)
    at_most = staticmethod(np.minimum)
    clip = staticmethod(lambda x, low, high: np.minimum(np.maximum(x, low), high))  # half of np.clip's time
    longest_entry = staticmethod(lambda x: np.maximum.reduce(abs(x), -1))
    add_product = staticmethod(lambda x, a, b: x + a * b)
    subtract_product = staticmethod(lambda x, a, b: x - a * b)
    squared_distances = staticmethod(lambda points, x: _squares(points - x[:, None]))
    unbind = staticmethod(_unbind)
    mean = staticmethod(lambda x, axis: np.add.reduce(x, axis) / x.shape[axis])
    log_softmax = staticmethod(lambda x, axis: x - np.logaddexp.reduce(x, axis, keepdims=True))
    lerp = staticmethod(lambda a, b, t: np.where(t < 0.5, a + t * (b - a), b - (1 - t) * (b - a)))  # exact at both ends
    mask = staticmethod(lambda x, like: np.array(x))
    index = staticmethod(lambda count, like: np.arange(count))
    full = staticmethod(lambda shape, value, like: np.full(shape, value))
    zeros = staticmethod(lambda shape, like: np.zeros(shape))
    integers = staticmethod(lambda shape, like: np.zeros(shape, np.int64))
    empty_float32 = staticmethod(lambda shape, like: np.empty(shape, np.float32))
    float32 = staticmethod(lambda x: x.astype(np.float32))
    float64 = staticmethod(lambda x: x.astype(np.float64))
    copy = staticmethod(np.copy)
    from_tensor = staticmethod(lambda x, like: x.numpy())
    as_like = staticmethod(lambda x, like: np.asarray(x, like.dtype))


class _Torch:
    where = staticmethod(torch.where)
    sign = staticmethod(torch.sign)
    sqrt = staticmethod(torch.sqrt)
    exp = staticmethod(torch.exp)
    log = staticmethod(torch.log)
    log1p = staticmethod(torch.log1p)
    isfinite = staticmethod(torch.isfinite)
    minimum = staticmethod(torch.minimum)
    maximum = staticmethod(torch.maximum)
    logaddexp = staticmethod(torch.logaddexp)
    sigmoid = staticmethod(torch.sigmoid)
    uniform = staticmethod(lambda like, generator: torch.rand(like.shape, generator=generator, **_as(like)))
    normal = staticmethod(lambda like, generator: torch.randn(like.shape, generator=generator, **_as(like)))
    vecdot = staticmethod(lambda x, y: row_sums(x * y))
    concat = staticmethod(torch.cat)
    stack = staticmethod(torch.stack)
    linalg = torch.linalg
    at_least = staticmethod(lambda x, low: x.clamp(min=low))
    at_most = staticmethod(lambda x, high: x.clamp(max=high))
    clip = staticmethod(torch.clamp)
    longest_entry = staticmethod(lambda x: x.abs().amax(-1))
    add_product = staticmethod(torch.addcmul)
    subtract_product = staticmethod(lambda x, a, b: torch.addcmul(x, a, b, value=-1))
    squared_distances = staticmethod(lambda points, x: _distances(points, x[:, None])[..., 0].square())
    unbind = staticmethod(torch.unbind)
    mean = staticmethod(torch.mean)
    log_softmax = staticmethod(torch.log_softmax)
    lerp = staticmethod(torch.lerp)
    mask = staticmethod(lambda x, like: torch.tensor(x, device=like.device))
    index = staticmethod(lambda count, like: torch.arange(count, device=like.device))
    full = staticmethod(lambda shape, value, like: like.new_full(shape, value))
    zeros = staticmethod(lambda shape, like: like.new_zeros(shape))
    integers = staticmethod(lambda shape, like: like.new_zeros(shape, dtype=torch.int64))
    empty_float32 = staticmethod(lambda shape, like: like.new_empty(shape, dtype=torch.float32))
    float32 = staticmethod(lambda x: x.float())
    float64 = staticmethod(lambda x: x.double())
    copy = staticmethod(torch.clone)
    from_tensor = staticmethod(lambda x, like: x.to(like.device))
    as_like = staticmethod(torch.Tensor.to)


def namespace(x: Array) -> Any:
    """The functions for arrays of the kind of ``x``; arrays that they make are float64 unless their names tell."""
    return _NumPy if isinstance(x, np.ndarray) else _Torch


def merged(rows: Array, new: Sequence[Array], old: Sequence[Array]) -> Sequence[Array]:
    """Of arrays (batch, ...) the ``new`` where ``rows`` (batch,) are True, and else the ``old``."""
    if isinstance(rows, np.ndarray):  # quick where it is all or none, as in a single run
        if rows.all():
            return new
        if not rows.any():
            return old
    where = namespace(rows).where
    return [where(rows.reshape(-1, *(1,) * (a.ndim - 1)), a, b) for a, b in zip(new, old, strict=True)]


def replaced(x: Array, rows: Array, new: Array) -> Array:
    """A copy of ``x`` whose ``rows``, by their indices or a mask, are the ``new`` ones."""
    copy = namespace(x).copy(x)
    copy[rows] = new
    return copy
