"""COCO's 24 noiseless functions, BBOB (Hansen et al., 2009), as its authors' ``coco-experiment`` computes them.

``python -m benchmarks.others.bbob`` runs methods as the suite ``bbob`` does and lets COCO's observer log them, in a
folder for each that ``python -m cocopp`` reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import tyro
from rich.console import Console
from torch import Tensor

from agents.training.command_line import command
from benchmarks.budget import Array, ValuesOnly

DIMS = (2, 3, 5, 10, 20, 40)
"""Dimensions that the suite has."""
FUNCTIONS = tuple(range(1, 25))
"""Numbers of its functions."""
GROUPS = ("separable", "moderate conditioning", "ill-conditioned", "multimodal, adequate structure", "multimodal, weak")
"""Of its functions, as its authors group them."""
INSTANCES = 15
"""Of each function; the k-th start of a function is on its k-th instance."""

_HALF_WIDTH = 5.0  # of the box [-5, 5]^dim


def group(function: int) -> str:
    """The group of a function's number."""
    return GROUPS[int(np.searchsorted((5, 9, 14, 19), function))]


class Bbob(ValuesOnly):
    """One instance of a function, through the unit box. It tells values only.

    Args:
        function: Its number.
        dim: One of ``DIMS``.
        instance: Number of the instance, from 1.
        observer: COCO's, which logs what ``value`` is asked for until ``close``.

    Raises:
        ValueError: If there is no such function, dimension or instance.
    """

    minimum: float

    def __init__(self, function: int, dim: int, instance: int, observer: Any = None) -> None:
        import cocoex  # slow to import

        if function not in FUNCTIONS or dim not in DIMS or not 1 <= instance <= INSTANCES:
            raise ValueError(
                f"BBOB has functions 1 to 24, dimensions {', '.join(map(str, DIMS))} and, here, instances 1 to "
                f"{INSTANCES}, got function {function}, dimension {dim}, instance {instance}"
            )
        # It is kept, for problems do not keep it alive.
        self._suite = suite = cocoex.Suite("bbob", "", f"dimensions: {dim} instance_indices: 1-{INSTANCES}")
        self.dim = dim
        self._problem = suite.get_problem_by_function_dimension_instance(function, dim, instance)
        # COCO's minima have two digits; its minimizers are rounded, too.
        self.minimum = round(float(self._problem(_minimizer(self._problem))), 2)
        self._evaluated = self._problem
        if observer is not None:
            self._evaluated = suite.get_problem_by_function_dimension_instance(function, dim, instance)
            self._evaluated.observe_with(observer)

    def value(self, u: Array) -> float:
        """See ``ValuesOnly``."""
        return float(self._evaluated(_HALF_WIDTH * u))

    def values_on(self, points: Tensor) -> Tensor:
        """See ``Objective``; nothing is logged."""
        return torch.tensor([[self._problem(_HALF_WIDTH * u) for u in points.numpy()]], dtype=torch.float64)

    def close(self) -> None:
        """Ends the observer's log of it."""
        self._evaluated.free()


def _minimizer(problem: Any) -> Array:
    """In COCO's own units: it tells by a file in the current folder."""
    with TemporaryDirectory() as folder, chdir(folder):
        problem._best_parameter("print")
        return np.loadtxt("._bbob_problem_best_parameter.txt", ndmin=1)


@dataclass(frozen=True)
class Logs:
    """Logs runs of methods for cocopp: the same runs as those of the suite ``bbob`` with these settings.

    Attributes:
        methods: Methods, as ``benchmarks.run`` names them.
        dims: Dimensions.
        functions: Numbers of functions.
        budget: Steps for each coordinate.
        starts: Instances, with a start on each.
        seed: Of starts and methods.
        out: Folder; each method's is within.
    """

    methods: tuple[str, ...] = ("pop", "lbfgsb_restarts", "cma_es")
    dims: tuple[int, ...] = (2, 3, 5, 10)
    functions: tuple[int, ...] = FUNCTIONS
    budget: int = 100
    starts: int = 5
    seed: int = 0
    out: Path = Path("results/bbob/coco")


def log(logs: Logs) -> Iterator[Path]:
    """Runs the methods one after the other, and yields each one's folder when it is done.

    Raises:
        FileExistsError: If there is one already: COCO would add to it.
    """
    import cocoex

    from benchmarks.problems import bbob_problem
    from benchmarks.run import run_once
    from benchmarks.sweep import Sweep, methods

    for method in methods(Sweep(methods=logs.methods, checkpoint=())):
        folder = logs.out.resolve() / method.name
        if folder.exists():
            raise FileExistsError(f"{folder} holds logs already: delete it, or choose another folder with --out")
        folder.parent.mkdir(parents=True, exist_ok=True)
        options = f'outer_folder: "{folder.parent}" result_folder: {method.name} algorithm_name: {method.name}'
        observer = cocoex.Observer("bbob", options)
        for dim in logs.dims:
            for function in logs.functions:
                for start in range(logs.starts):
                    problem = bbob_problem(function, dim, start + 1, observer)
                    run_once(method, problem, start, logs.budget * dim, logs.seed)
                    problem.objective.close()  # type: ignore[attr-defined]
        yield folder


def main() -> None:
    """Logs with the settings of the command line."""
    console = Console()
    with command(console):
        for folder in log(tyro.cli(Logs, description=(__doc__ or "").split("\n\n")[0])):
            console.print(f"{folder}", highlight=False)


if __name__ == "__main__":
    main()
