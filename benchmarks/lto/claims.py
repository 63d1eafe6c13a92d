"""Margins of victory on the test functions: ``python -m benchmarks.lto.claims``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from agents.lto.unrolled import unroll
from agents.training.command_line import command
from benchmarks.lto.rivals import (
    RIVALS,
    best_so_far,
    pop_values,
    rival_values,
    rover_values,
    tuned,
    tuned_rover,
    wolfe_lbfgs,
)
from pop_envs.lto.rewards import WORST
from pop_envs.objectives.learning_tasks import TASKS, LearningTask, Losses, NetworkClassifier, functions_for
from pop_envs.rendering import PALETTE, dress
from pop_optimizer.checkpoint import load_checkpoint, write_atomically
from pop_optimizer.lto import POLICIES, load_policy
from pop_optimizer.optimizer import DEFAULT_CHECKPOINT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

STEPS = 100
SHIPPED = "gps"
EVALUATIONS = (10, 40, 100)
LABELS = {
    "gradient_descent": "gradient descent",
    "momentum": "momentum",
    "conjugate_gradient": "conjugate gradient",
    "lbfgs": "L-BFGS",
    SHIPPED: "predicted step descent",
}


@dataclass(frozen=True)
class Claims:
    """Measures learned policies beside the paper's rivals, on 100 test functions of each task for 100 iterations.

    Attributes:
        tasks: Which tasks.
        learned: Policies, LABEL=FOLDER each; {task} in a folder stands for the task. Those that ship are "gps".
        drawn: Labels of those that the figures show beside the policies that ship.
        transfer: Numbers of Gaussians that the network's policies are tried on as well (appendix 8.1).
        out: Folder of tables and figures.
    """

    tasks: tuple[str, ...] = ("logistic", "robust", "network")
    learned: tuple[str, ...] = ()
    drawn: tuple[str, ...] = ()
    transfer: tuple[int, ...] = (5, 6, 8, 12)
    out: Path = Path("results/lto")


def margins(values: dict[str, Array], rivals: Sequence[str]) -> dict[str, Array]:
    """Margin of victory (functions, iterations) of each method: the least value of the ``rivals``, less its own.

    So it is defined in section 6.1: at every iteration, on every function, the best of the competing algorithms is
    taken, which no one knows beforehand.

    A rival is not among its own rivals; values (functions, iterations) are of all methods.
    """
    found = {}
    for name, own in values.items():
        others = [values[rival] for rival in rivals if rival != name]
        found[name] = np.min(others, axis=0) - own
    return found


def bootstrap(samples: Array, resamples: int = 1000) -> tuple[Array, Array]:
    """Bounds of 95 % bootstrap intervals of the means over functions, (iterations,) each."""
    rng = np.random.default_rng(0)
    means = np.stack([samples[rng.integers(len(samples), size=len(samples))].mean(0) for _ in range(resamples)])
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    return low, high


def learned_values(folder: Path, functions: Losses, x0: Tensor) -> Tensor:
    """Values (batch, STEPS + 1) of a policy's runs."""
    network, card = load_policy(folder)
    with torch.no_grad():
        return unroll(network, card.task, functions, x0, STEPS)[1]


def measure(task: LearningTask, name: str, claims: Claims) -> dict[str, Array]:
    """Values (functions, STEPS + 1) of rivals and learned policies on the test functions, cut off at ``WORST``.

    The rivals' settings, like the policies, are those of the task ``name``.
    """
    functions, x0 = functions_for("test", task)
    values = rival_values(functions, x0, STEPS, tuned(TASKS[name]()))
    for label, folder in _folders(claims, name).items():
        values[label] = learned_values(folder, functions, x0)
    return {key: each.nan_to_num(WORST).clamp(max=WORST).numpy() for key, each in values.items()}


def summary(values: dict[str, Array]) -> list[dict[str, Any]]:
    """For each learned policy: how many of the 100 iterations have a positive mean margin, and how large it is."""
    rows = []
    by_all = margins(values, RIVALS)
    for name in values:
        if name in RIVALS:
            continue
        against = {rival: (values[rival] - values[name]).mean(0)[1:] for rival in RIVALS}
        first_three = (np.min([values[r] for r in RIVALS[:3]], axis=0) - values[name]).mean(0)[1:]
        every = by_all[name].mean(0)[1:]
        rows.append(
            {
                "policy": name,
                **{f"ahead of {LABELS[rival]}": int((each > 0).sum()) for rival, each in against.items()},
                "of the best of the first three": int((first_three > 0).sum()),
                "of the best of four": int((every > 0).sum()),
                "of L-BFGS in 1-10": int((against["lbfgs"][:10] > 0).sum()),
                "of the best of four in 30-100": int((every[29:] > 0).sum()),
                "in 5-100": int((every[4:] > 0).sum()),
                "mean margin in 5-100": _with_error(by_all[name][:, 5:].mean(1)),
                "final value": f"{values[name][:, -1].mean():.4f}",
                "its median": f"{np.median(values[name][:, -1]):.4f}",
            }
        )
    return rows


def _with_error(samples: Array) -> str:
    """The mean and its standard error."""
    return f"{samples.mean():+.4f} ± {samples.std(ddof=1) / len(samples) ** 0.5:.4f}"


def by_evaluations(task: LearningTask, name: str, claims: Claims) -> list[dict[str, Any]]:
    """Means of the best values found in some numbers of evaluations after the start's."""
    functions, x0 = functions_for("test", task)
    values = rival_values(functions, x0, STEPS, tuned(TASKS[name]()))
    values["L-BFGS, strong Wolfe"] = wolfe_lbfgs(functions, x0, STEPS)
    values["POP, in a box"] = pop_values(load_checkpoint(DEFAULT_CHECKPOINT)[0], functions, x0, STEPS)
    values["Rover Descent"] = rover_values(functions, x0, STEPS, tuned_rover(TASKS[name]()))
    for label, folder in _folders(claims, name).items():
        values[label] = learned_values(folder, functions, x0)
    rows = []
    for key, each in values.items():
        best = best_so_far(each).clamp(max=WORST)
        rows.append(
            {"method": LABELS.get(key, key)}
            | {str(count): f"{float(best[:, count].mean()):.4f}" for count in EVALUATIONS}
        )
    return rows


def draw_margins(ax: Axes, values: dict[str, Array], title: str, drawn: Sequence[str]) -> None:
    """Draws the mean margins of victory with their bootstrap bands: the ``drawn`` ones' over the four rivals."""
    found = margins(values, [*RIVALS, SHIPPED])
    against_four = margins(values, RIVALS)
    found |= {name: against_four[name] for name in drawn}
    for i, name in enumerate((*RIVALS, SHIPPED, *drawn)):
        iterations, band = np.arange(1, STEPS + 1), bootstrap(found[name])
        color, style = PALETTE[i % len(PALETTE)], "--" if name in drawn else "-"
        ax.plot(iterations, found[name].mean(0)[1:], style, color=color, label=LABELS.get(name, name), lw=1.4)
        ax.fill_between(iterations, band[0][1:], band[1][1:], color=color, alpha=0.15, lw=0)
    # What diverges leaves the picture.
    ends = np.concatenate([found[name].mean(0)[3:] for name in (SHIPPED, "gradient_descent", "momentum")])
    room = 0.5 * np.ptp(ends) + 1e-3
    ax.set(xlabel="iteration", title=title, ylim=(ends.min() - room, ends.max() + room))
    ax.axhline(0, color="black", lw=0.6)
    dress(ax)


def figure_of(panels: dict[str, dict[str, Array]], drawn: Sequence[str] = ()) -> Figure:
    """A panel for each title, side by side."""
    from matplotlib.figure import Figure

    figure = Figure((4 * len(panels), 3.6), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for ax, (title, values) in zip(axes, panels.items(), strict=True):
        draw_margins(ax, values, title, drawn)
    axes[0].set_ylabel("mean margin of victory")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    return figure


def table(rows: Sequence[dict[str, Any]]) -> str:
    """A table in Markdown."""
    heads = list(rows[0])
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *([str(row[head]) for head in heads] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def run(claims: Claims, console: Console) -> None:
    """Measures everything and writes ``claims.out``."""
    claims.out.mkdir(parents=True, exist_ok=True)
    text, panels = [], {}
    for name in claims.tasks:
        task = TASKS[name]()
        panels[name] = measure(task, name, claims)
        settings = [f"{LABELS[rule]} {each.step_size:g}, {each.decay:g}" for rule, each in tuned(task).items()]
        text += [f"## {name}\n", f"Step sizes and decays: {'; '.join(settings)}.\n", table(summary(panels[name]))]
        text += ["Mean of the best value by evaluations:\n", table(by_evaluations(task, name, claims))]
    figure_of(panels, claims.drawn).savefig(claims.out / "margins.png", dpi=80)
    if claims.transfer and "network" in claims.tasks:
        task = NetworkClassifier()
        panels = {f"{n} Gaussians": measure(replace(task, gaussians=n), "network", claims) for n in claims.transfer}
        for title, values in panels.items():
            text += [f"## network, {title}\n", table(summary(values))]
        figure_of(panels, claims.drawn).savefig(claims.out / "transfer.png", dpi=80)
    report = "\n".join(text)
    write_atomically(claims.out / "summary.md", report.encode())
    console.print(report, markup=False, highlight=False)


def _folders(claims: Claims, name: str) -> dict[str, Path]:
    named = dict(each.split("=", 1) for each in claims.learned)
    patterns = {SHIPPED: str(POLICIES / "{task}")} | named
    return {label: Path(pattern.format(task=name)) for label, pattern in patterns.items()}


def main() -> None:
    """The command line."""
    claims = tyro.cli(Claims, description=Claims.__doc__)
    console = Console()
    with command(console):
        run(claims, console)


if __name__ == "__main__":
    main()
