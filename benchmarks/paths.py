"""Draws the paths of methods over one function, from the same start: ``python -m benchmarks.paths``."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from rich.console import Console

from agents.training.command_line import command
from benchmarks import vlse
from benchmarks.budget import Array, BudgetExhausted, Evaluator
from benchmarks.problems import Problem, vlse_problem
from benchmarks.run import method_generator, start_point
from benchmarks.sweep import Method, Sweep, methods
from pop_envs.rendering import draw_landscape, draw_path, draw_values

_DESCRIPTION = "Draws where methods went on a function of one or two dimensions, and the gap to its minimum."


@dataclass(frozen=True)
class Paths:
    """What to draw.

    Attributes:
        methods: Methods to draw, one row each.
        function: VLSE function to run on.
        start: Number of the start, as in the benchmark.
        budget: Number of steps T.
        checkpoint: Trained policy to run as POP; the one that ships by default.
        seed: Seed of the start and of the methods, as in the benchmark.
        out: The figure.
    """

    methods: tuple[str, ...] = ("adam-tuned", "pop")
    function: str = "levy"
    start: int = 0
    budget: int = 50
    checkpoint: tuple[str, ...] = ()
    seed: int = 0
    out: Path = Path("results/adam_and_pop.png")

    def __post_init__(self) -> None:
        flat = [name for name in vlse.names() if vlse_problem(name).dim <= 2]
        if self.function not in flat:
            raise ValueError(f"function must be one that can be drawn: {', '.join(flat)}; got {self.function!r}")

    def sweep(self) -> Sweep:
        """The benchmark's settings for these runs."""
        return Sweep(checkpoint=self.checkpoint, methods=self.methods, functions=(self.function,), seed=self.seed)


def trace(method: Method, problem: Problem, start: int, budget: int, seed: int) -> tuple[Array, Array]:
    """Points (n, dim) of the unit box and their values (n,), of one run of the benchmark."""
    x0 = start_point(problem, start, seed)
    evaluate = Evaluator(problem.objective, x0, budget)
    with suppress(BudgetExhausted):
        method.rival(evaluate, x0, budget, method_generator(method, problem, start, budget, seed), **method.settings)
    points = np.stack(evaluate.points)
    return points, problem.objective.values_on(torch.from_numpy(points))[0].numpy()


def draw(paths: Paths) -> None:
    """Writes the figure."""
    from matplotlib.figure import Figure

    problem = vlse_problem(paths.function)
    chosen = methods(paths.sweep())
    figure = Figure(figsize=(11, 4.2 * len(chosen)), layout="constrained")
    for (left, right), method in zip(figure.subplots(len(chosen), 2, squeeze=False), chosen, strict=True):
        points, values = trace(method, problem, paths.start, paths.budget, paths.seed)
        draw_landscape(left, problem.objective)
        draw_path(left, problem.objective, points, values, paths.budget)
        draw_values(right, values, problem.f_min, paths.budget)
        left.set_title(f"{method.name} on {problem.name}")
    paths.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(paths.out, dpi=110)


def main() -> None:
    """Draws what the command line asks for."""
    console = Console()
    with command(console):
        paths = tyro.cli(Paths, description=_DESCRIPTION)
        draw(paths)
    console.print(f"Figure: {paths.out}", highlight=False)


if __name__ == "__main__":
    main()
