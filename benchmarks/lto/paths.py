"""Paths on logistic problems in two dimensions, the paper's Figure 4: ``python -m benchmarks.lto.paths``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import tyro
from rich.console import Console

from agents.lto.classical import descend
from agents.lto.unrolled import unroll
from agents.training.command_line import command
from benchmarks.lto.claims import LABELS, SHIPPED
from benchmarks.lto.rivals import lbfgs, tuned
from pop_envs.objectives.base import BoxObjective
from pop_envs.objectives.learning_tasks import TASKS, functions_for
from pop_envs.rendering import PALETTE, draw_landscape, dress
from pop_optimizer.lto import POLICIES, load_policy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TASK = "logistic_2d"
STEPS = 40


@dataclass(frozen=True)
class Paths:
    """Draws the values and the paths of all methods on test functions with a weight and a bias.

    Attributes:
        policy: Folder of the learned policy.
        functions: Numbers of the test functions.
        out: The figure.
    """

    policy: Path = POLICIES / TASK
    functions: tuple[int, ...] = (0, 1, 2, 3)
    out: Path = Path("results/lto/paths.png")


def paths_of(paths: Paths) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Points (functions, STEPS + 1, 2) and values (functions, STEPS + 1) of each method."""
    task = TASKS[TASK]()
    index = torch.tensor(paths.functions)
    functions, starts = functions_for("test", task, int(index.max()) + 1)
    functions, x0 = functions.rows(index), starts[index]
    settings = tuned(task)
    points = {
        rule: descend(functions, x0, STEPS, rule, [settings[rule]])[0][:, 0]
        for rule in ("gradient_descent", "momentum", "conjugate_gradient")
    }
    points["lbfgs"] = lbfgs(functions, x0, STEPS, settings["lbfgs"].step_size)[0]
    network, card = load_policy(paths.policy)
    with torch.no_grad():
        points[SHIPPED] = unroll(network, card.task, functions, x0, STEPS)[0]
    return points, {name: functions.on(each)[0] for name, each in points.items()}


def draw(paths: Paths) -> Figure:
    """A pair of panels for each function: values by iteration, and paths."""
    from matplotlib.figure import Figure

    points, values = paths_of(paths)
    functions, _ = functions_for("test", TASKS[TASK](), max(paths.functions) + 1)
    figure = Figure((11, 2.9 * ((len(paths.functions) + 1) // 2)), layout="constrained")
    axes = iter(figure.subplots((len(paths.functions) + 1) // 2, 4, squeeze=False).flat)
    for row, number in enumerate(paths.functions):
        curve, land = next(axes), next(axes)
        near = np.concatenate([points[name][row].numpy() for name in ("momentum", "lbfgs", SHIPPED)])
        low, high = near.min(0), near.max(0)
        center, half = (low + high) / 2, 0.6 * max(high - low) + 0.2
        function = functions.rows(torch.tensor([number]))

        def on(x: np.ndarray, function=function) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[no-untyped-def]
            return function.values_on(torch.from_numpy(x))[0].numpy(), np.zeros_like(x)

        draw_landscape(land, BoxObjective(on, center - half, center + half))
        for color, (name, path) in zip(PALETTE, points.items(), strict=False):
            curve.plot(values[name][row], color=color, lw=1.3, label=LABELS[name])
            land.plot(*path[row].T, "-", color=color, lw=1.1, marker="o", ms=2)
        curve.set(xlabel="iteration", title=f"test function {number}")
        land.set(xlabel="weight", ylabel="bias")
        dress(curve)
    figure.legend(*curve.get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    return figure


def main() -> None:
    """The command line."""
    paths = tyro.cli(Paths, description=Paths.__doc__)
    with command(Console()):
        paths.out.parent.mkdir(parents=True, exist_ok=True)
        draw(paths).savefig(paths.out, dpi=60)


if __name__ == "__main__":
    main()
