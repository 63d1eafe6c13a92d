"""VeLO, a learned optimizer (Metz et al., 2022), with its published weights.

Ported to NumPy is the inference of ``HyperV2`` for a single tensor of parameters, with the settings of the
published ``config.gin``, from ``research/general_lopt/hyper_v2.py`` and ``learned_optimizers/common.py`` of
https://github.com/google/learned_optimization, copyright 2021 Google LLC, licensed under the Apache License 2.0.
What was changed is written anew for this interface; the names of the weights are the original's.

An LSTM sees the whole tensor and, step by step, mixes the weights of a small network from 256 sets of them.
That network decides on the displacement of every coordinate.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from benchmarks.budget import Array, Evaluate

Single = NDArray[np.float32]  # VeLO computes in single precision

PUBLISHED = (
    "https://storage.googleapis.com/gresearch/learned_optimization/pretrained_lopts/"
    "aug12_continue_on_bigger_2xbs_200kstep_bigproblem_v2_5620/params"
)
"""Where the weights are: the default of ``prefab.LearnedOptimizer``, 9,282,564 bytes."""

_INPUTS = (1, 1, 1, 3, 1, 3, 1, 3, 1, 3, 3, 3, 3, 3)
"""Widths of the small network's inputs for one coordinate, 30 in all."""

SHAPES: dict[str, tuple[int, ...]] = {
    **{f"ff_mod_stack/~/b{layer}": (256, width) for layer, width in enumerate((4, 4, 3))},
    **{f"ff_mod_stack/~/w0__{i}": (256, width, 4) for i, width in enumerate(_INPUTS)},
    "ff_mod_stack/~/w1": (256, 4, 4),
    "ff_mod_stack/~/w2": (256, 4, 3),
    "lstm_init_state/cell": (1, 512),
    "lstm_init_state/hidden": (1, 512),
    "rnn_params/linear/b": (512,),  # what it computes is thrown away
    "rnn_params/linear/w": (30, 512),
    "rnn_params/linear_1/b": (512,),
    "rnn_params/linear_1/w": (30, 512),
    "rnn_params/linear_2/b": (512,),
    "rnn_params/linear_2/w": (30, 512),
    "rnn_params/rnn/linear/b": (2048,),
    "rnn_params/rnn/linear/w": (1024, 2048),
    "rnn_params/rnn_to_controls/b": (256,),
    "rnn_params/rnn_to_controls/w": (512, 256),
    "rnn_params/step_size/b": (1,),
    "rnn_params/step_size/w": (512, 1),
}
"""Of the published weights, by their path in the tree."""

_MOMENTUM = np.array([0.9, 0.99, 0.999], np.float32)
_RMS = np.array([0.999], np.float32)
_ADAFACTOR = np.array([0.9, 0.99, 0.999], np.float32)


def velo(evaluate: Evaluate, x0: Array, budget: int, rng: np.random.Generator, *, weights: Path) -> None:
    """VeLO from the start, told the budget; the unit box's coordinates are its parameters.

    It draws nothing. Its displacements are in proportion to the root mean square of the coordinates, as
    suits the weights of neural networks. Iterates are projected onto the box, and kept in double precision.
    ``weights`` is the file of the published weights, see ``load_weights``.
    """
    optimizer = Velo(load_weights(weights), len(x0), budget)
    x = x0
    finite: list[float] = []
    while True:  # ends with BudgetExhausted
        value, gradient = evaluate(x)
        if np.isfinite(value):
            finite.append(value)
        loss = value if np.isfinite(value) else max(finite, default=0.0)
        x = np.clip(x + optimizer.displacement(x, loss, gradient), -1.0, 1.0)


class Velo:
    """VeLO's state for one tensor of parameters.

    Args:
        weights: See ``load_weights``.
        dim: Number of parameters.
        num_steps: Number of steps that there will be.
    """

    def __init__(self, weights: dict[str, Single], dim: int, num_steps: int) -> None:
        self._rnn = {key.removeprefix("rnn_params/"): w for key, w in weights.items() if key.startswith("rnn_params/")}
        small = {key.split("/")[-1]: w for key, w in weights.items() if key.startswith("ff_mod_stack/")}
        w0 = np.concatenate([small[f"w0__{i}"] for i in range(len(_INPUTS))], axis=1)  # (256, 30, 4)
        self._layers = [(w0, small["b0"]), (small["w1"], small["b1"]), (small["w2"], small["b2"])]
        self._hidden, self._cell = weights["lstm_init_state/hidden"][0], weights["lstm_init_state/cell"][0]
        self._losses = LossFeatures(num_steps)
        self._iteration, self._num_steps = 0, num_steps
        self.momentum = np.zeros((dim, len(_MOMENTUM)), np.float32)
        self.rms = np.zeros((dim, len(_RMS)), np.float32)
        self.adafactor = np.zeros((dim, len(_ADAFACTOR)), np.float32)

    def displacement(self, x: Array, loss: float, gradient: Array) -> Single:
        """The next step (dim,) from ``x`` (dim,), where the loss and its gradient (dim,) are these."""
        p = x.astype(np.float32)
        g = np.clip(gradient, -1000.0, 1000.0).astype(np.float32)
        mixture, step_size = self._lstm(self._tensor_features(p, loss))

        self.momentum = _MOMENTUM * self.momentum + (1 - _MOMENTUM) * g[:, None]
        self.rms = _RMS * self.rms + (1 - _RMS) * g[:, None] ** 2
        self.adafactor = _ADAFACTOR * self.adafactor + (1 - _ADAFACTOR) * (g[:, None] ** 2 + np.float32(1e-30))
        self._iteration += 1

        o = _normalized(self._parameter_features(p, g))
        for layer, (w, b) in enumerate(self._layers):
            o = o @ _mixed(w, mixture) + _mixed(b, mixture)
            if layer < len(self._layers) - 1:
                o = np.maximum(o, 0)
        direction, magnitude = o[:, 0], np.exp(np.float32(0.001) * o[:, 1])
        scale = np.sqrt(np.mean(p**2) + np.float32(1e-9))
        return -np.float32(0.001) * step_size * scale * direction * magnitude

    def _tensor_features(self, p: Single, loss: float) -> Single:
        """What the LSTM sees (30,): in alphabetical order of their names in the original."""
        norm = 1 / np.sqrt(np.maximum(np.mean(p**2), np.float32(1e-9)))
        m, rms = norm * self.momentum, norm * self.rms
        mean_m = m.mean(0)
        rank = np.eye(5, dtype=np.float32)[int(len(p) > 1)]  # a tensor's number of dimensions longer than 1
        return np.concatenate(
            [
                time_features(self._iteration / self._num_steps),
                self._losses(loss),
                _clipped_log(rms.mean(0)),
                rank,
                _clipped_log(np.mean((m - mean_m) ** 2, 0)),
                _clipped_log(np.mean((rms - mean_m) ** 2, 0)),  # the original subtracts the momentum's mean, too
            ]
        )

    def _lstm(self, features: Single) -> tuple[Single, Single]:
        """How to mix the small networks (256,), and how long the step is ()."""
        x = self._linear("linear_2", features) + np.maximum(self._linear("linear_1", features), 0)
        gates = self._linear("rnn/linear", np.concatenate([x, self._hidden]))
        i, g, f, o = np.split(gates, 4)
        self._cell = expit(f + 1) * self._cell + expit(i) * np.tanh(g)
        self._hidden = expit(o) * np.tanh(self._cell)
        return self._linear("rnn_to_controls", self._hidden), self._linear("step_size", self._hidden)[0]

    def _linear(self, name: str, x: Single) -> Single:
        return x @ self._rnn[f"{name}/w"] + self._rnn[f"{name}/b"]

    def _parameter_features(self, p: Single, g: Single) -> Single:
        """What the small network sees of each coordinate (dim, 30), in the original's order."""
        m, rms, v = self.momentum, self.rms, self.adafactor
        by_rms = 1 / np.sqrt(rms + np.float32(1e-6))
        by_v = 1 / np.sqrt(v + np.float32(1e-8))
        g = g[:, None]
        return np.concatenate(
            [
                *(g, np.clip(g, -0.1, 0.1), p[:, None]),
                *(m, rms, m * by_rms, by_rms),
                *(g / np.sqrt(np.maximum(v + np.float32(1e-9), np.float32(1e-9))), g * by_rms),
                *(v, v, by_v, by_v, m / np.sqrt(v)),  # rows and columns are the same in a vector
            ],
            axis=1,
        )


class LossFeatures:
    """How the loss has fallen, from its running means over ten half-lives."""

    def __init__(self, num_steps: int) -> None:
        half_lives = np.logspace(1, np.log10(num_steps), 10)
        self.decays = np.exp(-1 / half_lives).astype(np.float32)
        self._means = np.zeros(10, np.float32)
        self._lowest = np.full(10, 999999999999.0, np.float32)
        self._count = 0

    def __call__(self, loss: float) -> Single:
        """Takes in a loss and gives the features (9,), which are 0 for the first two losses."""
        # Twice a loss must fit into single precision.
        new = np.float32(np.clip(loss, -1e38, 1e38))
        unbiased = 1 - self.decays ** np.float32(self._count + 1)
        highest = np.max(self._means / unbiased) if self._count else new
        new = np.minimum(2 * np.abs(highest), new)
        self._count += 1
        self._means = self.decays * self._means + (1 - self.decays) * new
        means = self._means / unbiased
        self._lowest = np.minimum(self._lowest, means)
        if self._count <= 2:
            return np.zeros(9, np.float32)
        fallen = (means[:-1] - self._lowest[:-1]) / np.maximum(means[1:] - self._lowest[:-1], np.float32(1e-8))
        return np.clip(fallen - 1, -1, 1)


def time_features(fraction: float) -> Single:
    """Where in the run it is (9,): a soft staircase."""
    stairs = np.array([0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0, 1.1], np.float32)
    return np.tanh(10 * (fraction - stairs))


def _clipped_log(x: Single) -> Single:
    return np.clip(np.log(np.float32(1e-8) + np.abs(10 * x)) / 2, -2.5, 2.5)


def _normalized(x: Single) -> Single:
    """Each column by its root mean square."""
    return x / np.sqrt(np.float32(1e-5) + np.mean(x**2, 0))


def _mixed(stack: Single, mixture: Single) -> Single:
    """One layer of the small network, from those of all 256."""
    return np.tensordot(mixture, stack, 1) * np.float32(100 / len(stack))


@lru_cache(maxsize=1)
def load_weights(path: Path) -> dict[str, Single]:
    """Reads the published weights, the parameters of a flax checkpoint, by their path in the tree.

    Args:
        path: The file ``params`` from ``PUBLISHED``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds something else.
    """
    if not path.is_file():
        raise FileNotFoundError(f"VeLO needs its published weights, and there is no file {path}: get {PUBLISHED}")
    try:
        checkpoint = msgpack.unpackb(path.read_bytes(), ext_hook=_array, use_list=False)
    except ValueError as error:
        raise ValueError(f"{path} is no checkpoint of flax ({error}): get {PUBLISHED}") from error
    if not isinstance(checkpoint, dict) or "params" not in checkpoint:
        raise ValueError(f"{path} must hold a checkpoint with an entry 'params': get {PUBLISHED}")
    weights = dict(_leaves(checkpoint["params"]))
    for name in sorted(SHAPES.keys() | weights.keys()):
        expected, got = SHAPES.get(name, "nothing"), weights[name].shape if name in weights else "nothing"
        if expected != got:
            raise ValueError(f"VeLO's weights {name} must have the shape {expected}, {path} has {got}: get {PUBLISHED}")
    return weights


def _leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Single]]:
    if isinstance(tree, dict):
        for name, branch in tree.items():
            yield from _leaves(branch, f"{path}/{name}" if path else name)
    else:
        yield path, np.asarray(tree, dtype=np.float32)


def _array(code: int, data: bytes) -> Any:
    """An array or a NumPy scalar, as flax packs them: its shape, the name of its type and its bytes."""
    if code not in (1, 3):
        return msgpack.ExtType(code, data)
    shape, dtype, content = msgpack.unpackb(data, use_list=False)
    return np.frombuffer(content, dtype).reshape(shape)
