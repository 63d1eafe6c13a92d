"""POP and two rivals on one function, drawn: ``python -m pop_optimizer <VLSE name | module:function>``."""

from __future__ import annotations

import argparse
import difflib
import importlib
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pop_envs.checks import positive_int, require
from pop_envs.objectives import vlse
from pop_envs.objectives.base import BoxObjective, Objective
from pop_envs.rendering import PALETTE, draw_landscape, draw_path, dress, restored
from pop_optimizer.classical import Array, BudgetExhausted, Evaluate, dual_annealing, lbfgsb_restarts
from pop_optimizer.differences import SCHEMES
from pop_optimizer.function import Function
from pop_optimizer.minimize import BUDGET, minimize

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANEL, _DPI = 4.0, 80
_GIF_DPI, _COLORS, _MS, _LAST_MS = 60, 64, 120, 2000  # the last picture stays for two seconds
_FLOOR = 1e-16  # of the largest gap: where the logarithmic axis ends


def pop(evaluate: Evaluate, x0: Array, budget: int, rng: np.random.Generator) -> None:
    """The policy that ships."""
    minimize(evaluate, x0, bounds=[(-1.0, 1.0)] * len(x0), jac=True, budget=budget, rng=rng)


METHODS: dict[str, Callable[[Evaluate, Array, int, np.random.Generator], None]] = {
    "POP": pop,
    "L-BFGS-B, restarted": lbfgsb_restarts,
    "dual annealing": dual_annealing,
}


@dataclass(frozen=True, eq=False)
class Problem:
    """What is minimized.

    Attributes:
        name: Its name.
        objective: The function on the unit box.
        price: Calls of the function that a value with its gradient takes.
    """

    name: str
    objective: BoxObjective
    price: int = 1


class PointwiseObjective(BoxObjective):
    """A function of one point, on a box.

    Args:
        value_and_grad: Value and gradient (dim,) at a point (dim,).
        value: The value alone, for landscapes.
        lower: Lower bounds (dim,), finite.
        upper: Upper bounds (dim,), finite and above ``lower``.
    """

    def __init__(
        self,
        value_and_grad: Callable[[Array], tuple[float, Array]],
        value: Callable[[Array], float],
        lower: Array,
        upper: Array,
    ) -> None:
        super().__init__(self._each(value_and_grad), lower, upper)
        self._value = value

    @staticmethod
    def _each(value_and_grad: Callable[[Array], tuple[float, Array]]) -> Callable[[Array], tuple[Array, Array]]:
        def of_batch(points: Array) -> tuple[Array, Array]:
            values, gradients = zip(*map(value_and_grad, points), strict=True)
            return np.array(values), np.stack(gradients)

        return of_batch

    def values_on(self, points: torch.Tensor) -> torch.Tensor:
        """See ``Objective``; no gradient is computed."""
        return torch.tensor([[self._value(x) for x in self.from_unit(points.numpy())]], dtype=torch.float64)


class Recorder:
    """The function as a method sees it, until the budget is spent; remembers points (dim,) and values."""

    def __init__(self, objective: Objective, budget: int) -> None:
        self.points: list[Array] = []
        self.values: list[float] = []
        self._objective, self._budget = objective, budget

    def __call__(self, u: Array) -> tuple[float, Array]:
        """Value and gradient (dim,) at a point (dim,) of the unit box; infinity and zeros where they are not finite."""
        if len(self.values) > self._budget:
            raise BudgetExhausted
        u = np.clip(u, -1.0, 1.0)
        values, gradients = self._objective.value_and_grad(torch.from_numpy(u)[None])
        value, gradient = values.item(), gradients[0].numpy()
        self.points.append(u)
        self.values.append(value if np.isfinite(value) else np.inf)
        return self.values[-1], gradient if np.isfinite(gradient).all() else np.zeros_like(gradient)


def run(problem: Problem, x0: Array, budget: int, seed: int) -> dict[str, Recorder]:
    """What each method evaluates from the same start, with ``budget + 1`` evaluations of value and gradient."""
    runs = {}
    for number, (name, method) in enumerate(METHODS.items()):
        runs[name] = Recorder(problem.objective, budget)
        with suppress(BudgetExhausted):
            method(runs[name], x0, budget, np.random.default_rng([seed, number]))
    return runs


def table(problem: Problem, runs: dict[str, Recorder]) -> str:
    """Best value, when it was found, evaluations and, where the minimum is known, regret of each method."""
    minimum = problem.objective.minimum
    head = ("", "best value", "found at", "evaluations", *(() if minimum is None else ("regret",)))
    rows = [head]
    for name, recorder in runs.items():
        best = min(recorder.values)
        row = (name, f"{best:.8g}", str(recorder.values.index(best) + 1), str(len(recorder.values)))
        rows.append(row if minimum is None else (*row, f"{max(best - minimum, 0.0):.2e}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    price = "" if problem.price == 1 else f"; each takes {problem.price} calls of the function, by finite differences"
    dim = problem.objective.dim
    return "\n".join([*lines, f"{problem.name} in {dim}-D; an evaluation is a value with its gradient{price}"])


class Painter:
    """A landscape with its path for each method, in up to two dimensions, and the best values of all.

    Args:
        problem: The function.
        runs: What ``run`` returned.
        landscape: Whether to draw the function, which takes some 15,000 calls of it in 2-D.
    """

    def __init__(self, problem: Problem, runs: dict[str, Recorder], landscape: bool = True) -> None:
        from matplotlib.figure import Figure

        self._objective, self._runs = problem.objective, runs
        self._budget = max(len(recorder.values) for recorder in runs.values()) - 1
        land = len(runs) if landscape and problem.objective.dim <= 2 else 0
        width = _PANEL * (land + 1) if land else 1.6 * _PANEL
        self.figure: Figure = Figure((width, 1.06 * _PANEL), dpi=_DPI, layout="constrained")
        axes = self.figure.subplots(1, land + 1, squeeze=False)[0]
        self._land, self._curves = axes[:-1], axes[-1]
        for ax, name in zip(self._land, runs, strict=False):
            draw_landscape(ax, self._objective)
            ax.set_title(name)
        if not land:
            self._curves.set_title(problem.name)
        self._prepare_curves()

    def draw(self, step: int | None = None) -> None:
        """Draws all methods as far as that step; by default to the end."""
        step = self._budget if step is None else step
        for ax, recorder in zip(self._land, self._runs.values(), strict=False):
            values = np.array(recorder.values[: step + 1])
            draw_path(ax, self._objective, np.stack(recorder.points[: step + 1]), values, self._budget)
        for (name, recorder), color in zip(self._runs.items(), PALETTE, strict=False):
            best = self._shown(recorder)[: step + 1]
            self._curves.step(range(1, len(best) + 1), best, where="post", color=color, label=name)
        self._curves.legend(loc="upper right", frameon=False, fontsize="small")

    def animate(self, out: Path) -> None:
        """Writes all steps as a GIF, whose colours are those of the last picture."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from PIL import Image

        canvas: Any = FigureCanvasAgg(self.figure)  # without types
        self.figure.set_dpi(_GIF_DPI)
        pictures: list[Image.Image] = []
        for step in range(self._budget, -1, -1):
            with restored([*self._land, self._curves]):
                self.draw(step)
                canvas.draw()
                picture = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())
            self.figure.set_layout_engine("none")  # all others as the last, and sooner
            colors = pictures[0] if pictures else picture.quantize(_COLORS)
            pictures.append(picture.quantize(palette=colors, dither=Image.Dither.NONE))
        durations = [*[_MS] * self._budget, _LAST_MS]
        first, *others = reversed(pictures)
        first.save(out, format="GIF", save_all=True, append_images=others, duration=durations, loop=0)

    def _shown(self, recorder: Recorder) -> Array:
        """Best values so far, or gaps to the minimum where it is known."""
        best, minimum = np.minimum.accumulate(recorder.values), self._objective.minimum
        return best if minimum is None else np.maximum(best - minimum, self._floor)

    def _prepare_curves(self) -> None:
        """Axes that stay the same from frame to frame."""
        ax: Axes = self._curves
        minimum = self._objective.minimum
        first = max(recorder.values[0] for recorder in self._runs.values())
        self._floor = 0.0 if minimum is None else max(_FLOOR * (first - minimum), 1e-300)
        shown = np.concatenate([self._shown(recorder) for recorder in self._runs.values()])
        shown = shown[np.isfinite(shown)]
        if len(shown):
            low, high = shown.min(), shown.max()
            margin = 0.05 * (high - low or 1.0)
            ax.set_ylim((low / 2, 2 * high) if minimum is not None else (low - margin, high + margin))
        if minimum is not None:
            ax.set_yscale("log")
        ax.set(xlim=(1, self._budget + 1), xlabel="evaluations of value and gradient")
        ax.set_ylabel("best value so far" if minimum is None else "best value so far, above the minimum")
        dress(ax)


def named_problem(name: str, dim: int | None, bounds: Sequence[float] | None, jac: str | None) -> Problem:
    """The function that the command line names.

    Raises:
        ValueError: If there is none of this name, or the other arguments do not fit it.
    """
    if ":" not in name:
        if bounds is not None or jac is not None:
            raise ValueError("--bounds and --jac are for functions of your own: those of VLSE have both")
        record = vlse.problem(name, dim)
        return Problem(name, record.objective())
    if dim is not None:
        raise ValueError("--dim is for VLSE's functions: --bounds tells the dimension of one of your own")
    if bounds is None or not bounds or len(bounds) % 2:
        raise ValueError(
            "a function of your own needs --bounds LOWER UPPER [LOWER UPPER ...], a pair for each variable"
        )
    fun = imported(name)
    lower, upper = np.array(bounds, dtype=np.float64).reshape(-1, 2).T
    gradient: Any = {None: None, "true": True}.get(jac, jac)
    if isinstance(gradient, str) and gradient not in SCHEMES:
        if ":" not in gradient:
            raise ValueError(f"--jac must be true, {', '.join(SCHEMES)} or module:function, got {jac!r}")
        gradient = imported(gradient)
    function = Function(fun, gradient, (), lower, upper)

    def value(x: Array) -> float:
        return float(fun(x)[0] if gradient is True else fun(x))

    return Problem(name, PointwiseObjective(function, value, lower, upper), function.price)


def imported(name: str) -> Callable[..., Any]:
    """The function ``module:function``; modules in the current folder are found.

    Raises:
        ValueError: If there is no such module, or no such function in it.
    """
    module_name, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there, and misses one itself
        raise ValueError(
            f"there is no module {error.name!r}: name it as in an import, and run this where it can be imported"
        ) from error
    fun = getattr(module, attribute, None)
    if not callable(fun):
        known = [key for key in vars(module) if callable(getattr(module, key)) and not key.startswith("_")]
        close = difflib.get_close_matches(attribute, known)
        hint = f"did you mean {' or '.join(close)}?" if close else f"it has {', '.join(known) or 'none'}"
        raise ValueError(f"{module_name} has no function {attribute!r}: {hint}")
    return fun


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pop_optimizer", description=__doc__)
    add = parser.add_argument
    add("function", help="one of VLSE's 47 functions, or MODULE:FUNCTION, a function of one point (dim,)")
    add("--dim", type=int, help="of a VLSE function that scales")
    add("--bounds", type=float, nargs="+", metavar="B", help="LOWER UPPER for each variable of MODULE:FUNCTION")
    add(
        "--jac", help=f"of MODULE:FUNCTION: true if it returns (value, gradient), MODULE:FUNCTION, {', '.join(SCHEMES)}"
    )
    add("--start", type=float, nargs="+", metavar="X", help="the start; random by default")
    add("--budget", type=int, default=BUDGET, help="evaluations of value and gradient after the start's (%(default)s)")
    add("--seed", type=int, default=0, help="of the start and of all methods (%(default)s)")
    add("--animate", action="store_true", help="write a GIF")
    add(
        "--contour",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="draw the function, by 15,000 calls of it",
    )
    add("--out", type=Path, help="the figure (FUNCTION.png, or .gif)")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Does what the command line asks for."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    try:
        require("render", "matplotlib")
        problem = named_problem(chosen.function, chosen.dim, chosen.bounds, chosen.jac)
        budget = positive_int("--budget", chosen.budget)
        if chosen.seed < 0:
            raise ValueError(f"--seed must not be negative, got {chosen.seed}")
        x0 = _start(problem.objective, chosen.start, chosen.seed)
    except (ImportError, ValueError) as error:
        parser.error(str(error))
    runs = run(problem, x0, budget, chosen.seed)
    print(table(problem, runs))
    painter = Painter(problem, runs, landscape=chosen.contour)
    out = chosen.out or Path(f"{problem.name.replace(':', '.')}.{'gif' if chosen.animate else 'png'}")
    out.parent.mkdir(parents=True, exist_ok=True)
    if chosen.animate:
        painter.animate(out)
    else:
        painter.draw()
        painter.figure.savefig(out)
    print(f"Figure: {out}")


def _start(objective: BoxObjective, start: Sequence[float] | None, seed: int) -> Array:
    """The start (dim,) in the unit box."""
    if start is None:
        return np.random.default_rng(seed).uniform(-1.0, 1.0, objective.dim)
    x = np.array(start)
    if x.shape != (objective.dim,):
        raise ValueError(f"--start must have {objective.dim} numbers, got {len(x)}")
    if not ((objective.lower <= x) & (x <= objective.upper)).all():
        raise ValueError(f"--start must lie in the bounds {objective.lower} to {objective.upper}, got {x}")
    return objective.to_unit(x)


if __name__ == "__main__":
    sys.path.insert(0, "")
    main()
