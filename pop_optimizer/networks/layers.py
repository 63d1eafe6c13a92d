"""A network's layers in NumPy, where small ones take less time than a tensor operation needs to start."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from pop_envs.arrays import Array

Single = NDArray[np.float32]
Module = TypeVar("Module", bound=nn.Module)


def in_numpy(module: Module) -> Module:
    """A twin that takes NumPy arrays: it has the methods of ``module``, and its weights as they are now."""
    twin = copy.copy(module)
    # As plain attributes: those of a module are looked up in three dictionaries.
    vars(twin).update({name: _layer(child) for name, child in module.named_children()})
    return twin


def _layer(module: nn.Module) -> Any:
    if isinstance(module, nn.ModuleList):
        return [in_numpy(child) for child in module]
    return _LAYERS[type(module)](module) if type(module) in _LAYERS else in_numpy(module)


class _Linear:
    def __init__(self, layer: nn.Linear) -> None:
        self.weight = layer.weight.detach().numpy()
        self._factor = self.weight.T
        self._bias = None if layer.bias is None else layer.bias.detach().numpy()

    def __call__(self, x: Single) -> Single:
        y: Single = x @ self._factor
        if self._bias is not None:
            y += self._bias
        return y


class _LayerNorm:
    def __init__(self, layer: nn.LayerNorm) -> None:
        self._weight, self._bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
        self._eps, self._width = layer.eps, self._weight.size

    def __call__(self, x: Single) -> Single:
        centred = x - np.add.reduce(x, -1, keepdims=True) / self._width
        deviation = np.sqrt(np.vecdot(centred, centred)[..., None] / self._width + self._eps)
        y: Single = centred / deviation * self._weight + self._bias
        return y


_LAYERS: dict[type[nn.Module], Any] = {nn.Linear: _Linear, nn.LayerNorm: _LayerNorm}


def gelu(x: Array) -> Array:
    """The Gaussian error linear unit, by tanh (Hendrycks & Gimpel, 2016)."""
    if not isinstance(x, np.ndarray):
        return F.gelu(x, approximate="tanh")
    return 0.5 * x * (1 + np.tanh(0.7978845608028654 * (x + 0.044715 * (x * x * x))))


def attention(query: Array, keys: Array, values: Array) -> Array:
    """Scaled dot-product attention (Vaswani et al., 2017), of queries (..., m, width) to all of n keys and values."""
    if not isinstance(query, np.ndarray):
        return F.scaled_dot_product_attention(query, keys, values)
    scores = query @ keys.swapaxes(-1, -2) * query.shape[-1] ** -0.5
    weights = np.exp(scores - np.maximum.reduce(scores, -1, keepdims=True))
    return weights @ values / np.add.reduce(weights, -1, keepdims=True)
