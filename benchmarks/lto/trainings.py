"""What trainings came to on the validation functions: ``python -m benchmarks.lto.trainings FOLDER ...``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from agents.training.callbacks import HISTORY
from agents.training.command_line import command
from agents.training.folders import CONFIG
from benchmarks.lto.claims import table


@dataclass(frozen=True)
class Trainings:
    """Lists the trainings in some folders, with their mean values over 100 iterations on the validation functions.

    Attributes:
        folders: Folders of runs, what --out was when they were made.
    """

    folders: Annotated[tuple[Path, ...], tyro.conf.Positional] = (Path("runs"),)


def row(folder: Path) -> dict[str, Any]:
    """What one training came to."""
    settings = json.loads((folder / CONFIG).read_text("utf-8"))
    history = [json.loads(line) for line in (folder / HISTORY).read_text("utf-8").splitlines()]
    best = min(history, key=lambda entry: entry["long_cost"])
    return {
        "task": settings["preset"],
        "algorithm": settings["algorithm"] + (", from scratch" if settings["scratch"] else ""),
        "folder": folder.parent.name,
        "seed": settings["seed"],
        "minutes": f"{history[-1]['seconds'] / 60:.1f}",
        "steps": f"{history[-1]['timesteps']:,}",
        "first": f"{history[0]['long_cost']:.4g}",
        "best": f"{best['long_cost']:.4f}",
        "last": f"{history[-1]['long_cost']:.4g}",
        "best, at step 40": f"{best['value']:.4f}",
        "at 100": f"{best['long_value']:.4f}",
    }


def main() -> None:
    """The command line."""
    trainings = tyro.cli(Trainings, description=Trainings.__doc__)
    console = Console()
    with command(console):
        found = sorted(path.parent for each in trainings.folders for path in each.glob(f"lto-*/{HISTORY}"))
        if not found:
            raise FileNotFoundError(f"no trainings in {', '.join(map(str, trainings.folders))}: make train FAMILY=lto")
        rows = sorted((row(folder) for folder in found), key=lambda each: (each["task"], each["algorithm"]))
        console.print(table(rows), markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
