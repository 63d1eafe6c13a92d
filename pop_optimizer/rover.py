"""Rover Descent for a function of one's own, in any dimension, from values alone (section 3.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult

from pop_envs.checks import one_of, positive_int
from pop_envs.rover.directions import read_direction
from pop_envs.rover.grid import grid_offsets, rescaled
from pop_envs.rover.network import DirectionNetwork, shipped_direction
from pop_envs.rover.search import Scales
from pop_optimizer.checkpoint import WEIGHTS, read_weights
from pop_optimizer.networks.rover import RoverNetwork, State
from pop_optimizer.threads import one_thread

Vector = NDArray[np.float64]
Pairs = Literal["all", "sampled", "per_dimension", "blocks"]

SHIPPED = Path(__file__).parent / "weights" / "rover"
KIND, FORMAT = "rover", 1
PAIRS: tuple[Pairs, ...] = ("all", "sampled", "per_dimension", "blocks")
_FIRST = 0.1  # step size and resolution, of the scale: the middle of those that training began with
_FTOL = 2.2e-9  # as SciPy's L-BFGS-B
_NOTHING = -1  # in a pair: a coordinate that is not there


@dataclass(frozen=True)
class RoverPolicy:
    """What there is to know of a trained rover: where to go, how far, and what to look at next."""

    direction: DirectionNetwork
    network: RoverNetwork


def load_rover(folder: Path | str = SHIPPED) -> RoverPolicy:
    """The policy in a checkpoint folder, the one that ships by default, with the direction network that ships.

    Raises:
        FileNotFoundError: If there is no checkpoint.
        CheckpointError: If it cannot be used.
    """
    file = Path(folder) / WEIGHTS
    return _load(Path(folder), file.stat().st_mtime_ns if file.is_file() else 0)


@lru_cache(maxsize=8)
def _load(folder: Path, written: int) -> RoverPolicy:
    def build(card: Any, written_in: str) -> tuple[Any, RoverNetwork]:
        with torch.device("meta"):
            return card, RoverNetwork(**card["network"])

    what = "a policy of Rover Descent"
    _, network = read_weights(folder, build, kind=KIND, policy=what, readable=(str(FORMAT),))
    return RoverPolicy(shipped_direction(), network)


class RoverRun:
    r"""One run, a whole set of grids after the other: ask for points, tell the values there.

    Each pair of coordinates has a step size, a resolution and a memory of its own. The step is the least-squares
    solution of eq. 8 for the pairs of the moment. Eq. 8 falls apart into coordinates, so that

    .. math:: \Delta\theta_i = \frac{1}{m_i} \sum_{(i, j)} \alpha_{ij} \Delta_{ij, i}

    with :math:`m_i` the number of pairs that coordinate i is in: d - 1 for all pairs, which is eq. 9. Eq. 10 has
    1 / (k - 1), which follows for all pairs of k sampled coordinates, as section 4.3.2 has them, but not for k sampled
    pairs, of which section 3.3 speaks; and neither holds where pairs are made coordinate by coordinate. A coordinate
    in no pair stays.

    Args:
        x0: Start (dim,).
        scale: How far away the minimum may be, in the function's units: lengths of training times this.
        pairs: "all" of them; all of k "sampled" coordinates; l partners for each coordinate, "per_dimension"; or these
            within its own one of the "blocks".
        k: Coordinates that are sampled.
        l: Partners of each coordinate.
        blocks: Groups of coordinates, each in one of them.
        alpha: First step size, in units of ``scale``.
        delta: First resolution, likewise.
        seed: Of what is sampled.
        policy: The policy; the one that ships if None.

    Attributes:
        x: The present point (dim,).
        best_x: The best of all points so far (dim,).
        best_value: Its value; infinite as long as none was finite.
        iterations: Steps made.
        evaluations: Values told.
        spread: Of the values told last: infinite where one of them was not finite.

    Raises:
        ValueError: If an argument does not fit.
    """

    def __init__(
        self,
        x0: ArrayLike,
        *,
        scale: float = 1.0,
        pairs: Pairs = "all",
        k: int = 10,
        l: int = 1,  # noqa: E741 - the paper's
        blocks: Sequence[Sequence[int]] | None = None,
        alpha: float = _FIRST,
        delta: float = _FIRST,
        seed: int | None = None,
        policy: RoverPolicy | None = None,
    ) -> None:
        self.x = np.atleast_1d(np.array(x0, dtype=np.float64))
        if self.x.ndim != 1 or not self.x.size or not np.isfinite(self.x).all():
            raise ValueError(f"x0 must be a vector of finite numbers, got {x0!r}")
        for name, value in (("scale", scale), ("alpha", alpha), ("delta", delta)):
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be a positive number, got {value!r}")
        one_of("pairs", pairs, PAIRS)
        self._k, self._l = min(positive_int("k", k), self.x.size), positive_int("l", l)
        if pairs == "sampled" and self._k < min(2, self.x.size):
            raise ValueError(f"k must be at least 2, for there to be a pair, got {k}")
        if (pairs == "blocks") != (blocks is not None):
            raise ValueError(f'blocks go with pairs="blocks", got pairs={pairs!r} and blocks={blocks!r:.80}')
        self._kind = pairs
        self._blocks = _checked_blocks([range(self.x.size)] if blocks is None else blocks, self.x.size)
        self._rng = np.random.default_rng(seed)
        self._policy = policy or load_rover()
        self._n = self._policy.direction.n
        self._rows: dict[int, int] = {}  # of each pair that was ever sampled
        self._first = scale * alpha, scale * delta
        self._scales = Scales(*(torch.empty(0, dtype=torch.float64, device="cpu") for _ in range(2)))
        self._memory: State = self._policy.network.new_state(0)
        self._before = self.x
        self._asked: tuple[Vector, NDArray[np.int64]] | None = None
        self.best_x, self.best_value = self.x.copy(), np.inf
        self.iterations = self.evaluations = 0
        self.spread = np.inf

    def ask(self) -> Vector:
        """The points (m, dim) of all grids, the present point first, each once; the same until values are told."""
        if self._asked is None:
            self._pairs = self._choose()
            self._here = self._rows_of(self._pairs)
            self._asked = self._grid_points()
        return self._asked[0].copy()

    def tell(self, values: ArrayLike) -> None:
        """Takes the values (m,) at the points asked for, and makes a step. NaN and infinity are allowed.

        Raises:
            RuntimeError: If no points were asked for.
            ValueError: If there are more or fewer values.
        """
        if self._asked is None:
            raise RuntimeError("there are no points that values could belong to: ask comes before tell")
        points, which = self._asked
        told = np.array(values, dtype=np.float64)
        if told.shape != points.shape[:1]:
            raise ValueError(f"expected values {points.shape[:1]}, got {told.shape}")
        self.note(points, told)
        finite = np.isfinite(told)
        with np.errstate(over="ignore"):
            self.spread = float(np.ptp(told)) if finite.all() else np.inf
        with torch.no_grad(), one_thread(len(self._pairs)):
            seen, trusted = rescaled(torch.from_numpy(told[which]))
            steps = self._steps(seen, trusted)
        if finite.any():
            self._before, self.x = self.x, self.x + self._combined(steps.numpy())
        else:
            self.x = (self.x + self._before) / 2
        self._asked = None
        self.iterations += 1

    def note(self, points: Vector, values: Vector) -> None:
        """Keeps the best of points (m, dim) with values (m,), and counts them; ``tell`` does so by itself."""
        self.evaluations += len(values)
        ranked = np.where(np.isfinite(values), values, np.inf)
        if len(values) and ranked.min() < self.best_value:
            self.best_x, self.best_value = points[ranked.argmin()].copy(), float(ranked.min())

    def _steps(self, seen: torch.Tensor, trusted: torch.Tensor) -> torch.Tensor:
        """The steps (pairs, 2) in the planes; step sizes, resolutions and memories go on."""
        here = torch.from_numpy(self._here)
        scales = Scales(*(each[here] for each in self._scales))
        direction = read_direction(self._policy.direction, seen)
        action, memory = self._policy.network(seen, tuple(each[here] for each in self._memory))
        steps = scales.lengths(trusted)[:, None] * direction
        for mine, new in zip(
            (*self._scales, *self._memory), (*scales.changed(action.double(), trusted), *memory), strict=True
        ):
            mine[here] = new
        return steps

    def _combined(self, steps: Vector) -> Vector:
        """The least-squares step (dim,) for the steps (pairs, 2) in the planes."""
        total, count = np.zeros(self.x.size + 1), np.zeros(self.x.size + 1)  # the last is the coordinate not there
        np.add.at(total, self._pairs, steps)
        np.add.at(count, self._pairs, 1)
        return (total / np.maximum(count, 1))[:-1]

    def _choose(self) -> NDArray[np.int64]:
        """The pairs (pairs, 2) of this step, each with its lower coordinate first."""
        if self.x.size == 1:
            return np.array([[0, _NOTHING]])
        if self._kind == "all":
            return np.stack(np.triu_indices(self.x.size, 1), 1)
        if self._kind == "sampled":
            return np.array(list(combinations(np.sort(self._rng.choice(self.x.size, self._k, replace=False)), 2)))
        found = [pair for block in self._blocks for pair in self._partners(block)]
        return np.unique(np.array(found), axis=0)

    def _partners(self, block: NDArray[np.int64]) -> list[tuple[int, int]]:
        if len(block) == 1:
            return [(int(block[0]), _NOTHING)]
        found = []
        for place, i in enumerate(block):
            others = self._rng.choice(len(block) - 1, min(self._l, len(block) - 1), replace=False)
            partners = block[others + (others >= place)]
            found += [(int(min(i, j)), int(max(i, j))) for j in partners]
        return found

    def _rows_of(self, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where step size, resolution and memory of pairs (pairs, 2) stand; new ones are begun."""
        keys = pairs[:, 0] * (self.x.size + 1) + pairs[:, 1] + 1
        rows = np.array([self._rows.setdefault(key, len(self._rows)) for key in keys.tolist()])
        new = len(self._rows) - len(self._scales.alpha)
        if new:
            begun = (torch.full((new,), first, dtype=torch.float64, device="cpu") for first in self._first)
            self._scales = Scales(*(torch.cat(each) for each in zip(self._scales, begun, strict=True)))
            fresh = self._policy.network.new_state(new)
            self._memory = tuple(torch.cat(each) for each in zip(self._memory, fresh, strict=True))
        return rows

    def _grid_points(self) -> tuple[Vector, NDArray[np.int64]]:
        """The points (m, dim) of the pairs' grids, each once, and which of them each grid (pairs, n * n) has."""
        delta = self._scales.delta.numpy()[self._here]
        moves = -delta[:, None, None] * grid_offsets(self._n).numpy()  # (pairs, n * n, 2)
        moves[self._pairs[:, 1] == _NOTHING, :, 1] = 0
        first, second = (np.broadcast_to(self._pairs[:, [c]], moves.shape[:2]) for c in (0, 1))
        # A point is known by the coordinates that it differs in, and by how much: (i, move, j, move), none as -1, 0.
        i, j = np.where(moves[..., 0] != 0, first, _NOTHING), np.where(moves[..., 1] != 0, second, _NOTHING)
        only_second = i == _NOTHING
        keys = np.stack(
            [
                np.where(only_second, j, i),
                np.where(only_second, moves[..., 1], moves[..., 0]),
                np.where(only_second, _NOTHING, j),
                np.where(only_second, 0, moves[..., 1]),
            ],
            -1,
        )
        # The present point, (-1, 0, -1, 0), is the first.
        different, which = np.unique(keys.reshape(-1, 4) + 0.0, axis=0, return_inverse=True)
        points = np.tile(self.x, (len(different), 1))
        for coordinate, move in (different[:, :2].T, different[:, 2:].T):
            rows = np.flatnonzero(coordinate != _NOTHING)
            points[rows, coordinate[rows].astype(np.int64)] += move[rows]
        return points, which.reshape(moves.shape[:2])


def rover_descent(
    fun: Callable[..., Any],
    x0: ArrayLike,
    args: tuple[Any, ...] = (),
    *,
    budget: int = 1000,
    scale: float = 1.0,
    pairs: Pairs = "all",
    k: int = 10,
    l: int = 1,  # noqa: E741
    blocks: Sequence[Sequence[int]] | None = None,
    alpha: float = _FIRST,
    delta: float = _FIRST,
    seed: int | None = None,
    checkpoint: Path | str | None = None,
    callback: Callable[[Vector], Any] | None = None,
) -> OptimizeResult:
    """Minimizes a function of any number of variables from its values alone, as "Rover Descent" does.

    Args:
        fun: The objective, ``fun(x, *args)`` with ``x`` (dim,); returns the value. Where it is not finite steps are
            halved.
        x0: Start (dim,).
        args: Further arguments of ``fun``.
        budget: Evaluations, counted one by one: a pair's grid takes n², and points that grids share count once.
        scale: How far away the minimum may be, in the function's units.
        pairs: Which pairs of coordinates are looked at in each step; see ``RoverRun``, as for the next four.
        k: Coordinates that are sampled.
        l: Partners of each coordinate.
        blocks: Groups of coordinates.
        alpha: First step size, in units of ``scale``.
        delta: First resolution, likewise.
        seed: Of what is sampled; None for a new one each time.
        checkpoint: Folder of a policy's checkpoint; the one that ships if None.
        callback: Called with the new point (dim,) after each step; may raise ``StopIteration``.

    Returns:
        scipy's ``OptimizeResult`` with ``x, fun`` (the best of all points evaluated), ``nit, nfev, success, message``
        and the path: ``x_iters`` (nit + 1, dim) and ``func_vals`` of those whose value is known. It is a success if
        the values on the last grids were finite and differed by at most 2.2e-9 of the value (or of one, where that is
        more).

    Raises:
        ValueError: If an argument does not fit, or the objective returns no single number.
        FileNotFoundError: If there is no checkpoint.
        CheckpointError: If the checkpoint cannot be used.
    """
    left = positive_int("budget", budget)
    policy = load_rover(SHIPPED if checkpoint is None else checkpoint)
    run = RoverRun(
        x0,
        scale=scale,
        pairs=pairs,
        k=k,
        l=l,
        blocks=blocks,
        alpha=alpha,
        delta=delta,
        seed=seed,
        policy=policy,
    )
    path, values, message = [run.x.copy()], [], ""
    while run.evaluations < left and not message:
        points = run.ask()[: left - run.evaluations]
        told = np.array([_value(fun(point.copy(), *args)) for point in points])
        values.append(told[0])
        if run.evaluations + len(points) >= left and len(points) < len(run.ask()):
            run.note(points, told)  # the budget ends within the grids
            break
        run.tell(told)
        path.append(run.x.copy())
        message = _called(callback, run.x)
    return _result(run, path, values, message)


def _called(callback: Callable[[Vector], Any] | None, x: Vector) -> str:
    try:
        if callback is not None:
            callback(x.copy())
    except StopIteration:
        return "The callback asked to stop."
    return ""


def _value(told: Any) -> float:
    array = np.asarray(told, dtype=np.float64)
    if array.size != 1:
        raise ValueError(f"the objective must return one number, got shape {array.shape}")
    return float(array.item())


def _result(run: RoverRun, path: list[Vector], values: list[float], message: str) -> OptimizeResult:
    found = bool(np.isfinite(run.best_value))
    close = found and run.spread <= _FTOL * max(abs(run.best_value), 1.0)
    status = 2 if not found else 0 if close else 1
    told = (
        "The values on the last grids are equal but for a part in 4e8.",
        f"The budget is spent, {run.evaluations} evaluations, before the grids are even: give more, or go on from x.",
        "The objective was finite nowhere: start elsewhere, or give a smaller scale.",
    )
    fields = {
        "x": run.best_x,
        "fun": run.best_value,
        "nit": run.iterations,
        "nfev": run.evaluations,
        "success": status == 0,
        "status": status,
        "message": message or told[status],
        "x_iters": np.array(path),
        "func_vals": np.array(values),
    }
    return OptimizeResult(**fields)


def _checked_blocks(blocks: Sequence[Sequence[int]], dim: int) -> list[NDArray[np.int64]]:
    checked = [np.array(list(block), dtype=np.int64) for block in blocks]
    every = np.concatenate(checked) if checked else np.empty(0)
    if not np.array_equal(np.sort(every), np.arange(dim)) or any(len(block) == 0 for block in checked):
        raise ValueError(f"blocks must hold each of the coordinates 0 to {dim - 1} once, and none may be empty")
    return checked
