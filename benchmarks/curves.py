"""Draws learning curves: ``python -m benchmarks.curves runs/full-0 runs/full-1``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pandas as pd
import tyro
from rich.console import Console

from agents.training.callbacks import HISTORY
from agents.training.command_line import command
from pop_envs.objectives.priors import PRIORS
from pop_envs.rendering import PALETTE, dress

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DESCRIPTION = "Draws the validation scores of trainings against the functions they have seen."
_LABELS = {"ni": "NI (higher is better)", "log10_regret": "log10 regret (lower is better)"}


@dataclass(frozen=True)
class Curves:
    """What to draw.

    Attributes:
        runs: Folders of trainings, as ``agents.train`` leaves them.
        out: The figure.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    out: Path = Path("runs/curves.png")


def history(run: Path) -> pd.DataFrame:
    """The scores of a training, one row per validation: functions, seconds, and a column "<prior>_<measure>" each.

    Raises:
        FileNotFoundError: If the folder holds no training.
    """
    path = run / HISTORY
    if not path.is_file():
        raise FileNotFoundError(f"{run} holds no {HISTORY}: name folders that python -m agents.train has made")
    entries = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    table = pd.json_normalize(entries, sep="_")
    # What came after the state that a killed training was resumed from has been repeated.
    return table.drop_duplicates("functions", keep="last").sort_values("functions", ignore_index=True)


def draw(runs: tuple[Path, ...]) -> Figure:
    """A panel for each prior and measure, a line for each training."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6.5), layout="constrained")
    histories = {run.name: history(run).query("functions > 0") for run in runs}
    # Those that all trainings were validated on.
    priors = [name for name in PRIORS if all(f"{name}_ni" in table for table in histories.values())]
    panels = figure.subplots(2, len(priors), squeeze=False, sharex=True)
    for i, (row, measure) in enumerate(zip(panels, _LABELS, strict=True)):
        for panel, prior in zip(row, priors, strict=True):
            for j, (name, table) in enumerate(histories.items()):
                column, color = f"{prior}_{measure}", PALETTE[j % len(PALETTE)]
                panel.plot(table["functions"], table[column], label=name, color=color, linewidth=1.6)
            panel.set_ylabel(_LABELS[measure])
            dress(panel)
            if i == 0:
                panel.set_title(f"validation functions of the prior {prior}")
            else:
                panel.set_xlabel("functions trained on")
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=6, frameon=False)
    return figure


def main() -> None:
    """Draws what the command line asks for."""
    console = Console()
    curves = tyro.cli(Curves, description=_DESCRIPTION)
    with command(console):
        figure = draw(curves.runs)
    curves.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(curves.out, dpi=110)
    console.print(f"Figure: {curves.out}", highlight=False)


if __name__ == "__main__":
    main()
