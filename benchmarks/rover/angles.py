"""Table 1, angles to the teacher: ``python -m benchmarks.rover.angles``. It trains five networks, resumably."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from rich.console import Console
from torch import Tensor

from agents.rover.direction import STATE, DirectionConfig, States, angles, held_out, train_direction
from benchmarks.rover.report import table
from pop_envs.objectives.landscapes import FAMILIES, Family
from pop_envs.rover.network import DirectionNetwork, shipped_direction

PAPER = {
    "quadratic": (1.2, 89.2, 43.1, 34.8),
    "valley": (83.5, 4.9, 94.1, 86.9),
    "saddle": (44.7, 85.8, 3.8, 57.2),
    "plateau": (29.4, 94.3, 53.9, 1.9),
    "all": (3.1, 6.4, 5.1, 3.8),
}
FORMS: dict[str, dict[str, Any]] = {
    "eq. 2": {"loss": "eq2"},
    "the paper's form": {"loss": "eq2", "differences": False},
}
"""What the network that ships does not have."""
RESOLUTIONS = (0.02, 0.1, 0.5)


@dataclass(frozen=True)
class Settings:
    """What is trained.

    Attributes:
        resolution: Of all grids, in half widths of the box: of 0.02 and 0.1 the one with the lower mean angle on other
            landscapes.
        minutes: CPU minutes of each training.
        seed: Of all of them.
        out: Folder of the runs.
    """

    resolution: float = 0.02
    minutes: float = 4.0
    seed: int = 0
    out: Path = Path("runs")


def trained(
    name: str, families: tuple[Family, ...], settings: Settings, console: Console, **form: Any
) -> DirectionNetwork:
    """The network that saw these families alone."""
    config = DirectionConfig(
        name=f"rover-direction-{name}",
        out=settings.out,
        seed=settings.seed,
        families=families,
        resolution=(settings.resolution, settings.resolution),
        minutes=settings.minutes,
        **form,
    )
    resume = (config.folder / STATE).exists()
    return train_direction(DirectionConfig(**vars(config) | {"resume": resume}), console)


class Unlearned(DirectionNetwork):
    """Newton's direction by differences where the Hessian is positive definite, and else the steepest descent."""

    def forward(self, seen: Tensor) -> Tensor:
        """See ``DirectionNetwork``."""
        descent, newton, shape = self._teachers(seen)
        trace, root = shape[:, 2], shape[:, 3]
        return torch.where(((root > 0) & (trace > 0))[:, None], newton, descent)


def _means(network: DirectionNetwork, test: States) -> list[str]:
    degrees = angles(network, test)
    told = [degrees[test.family == i] for i in range(len(FAMILIES))]
    return [f"{each.mean():.1f} (median {each.median():.1f})" for each in told]


def main() -> None:
    """Trains and prints."""
    settings = tyro.cli(Settings, description=__doc__)
    console = Console()
    networks: dict[str, DirectionNetwork] = {name: trained(name, (name,), settings, console) for name in FAMILIES}
    networks["all"] = trained("all", FAMILIES, settings, console)
    for name, form in FORMS.items():
        networks[f"all, {name}"] = trained("".join(filter(str.isalnum, name)), FAMILIES, settings, console, **form)
    test = held_out(FAMILIES, 5, settings.resolution)
    rows = []
    for name, network in networks.items():
        rows.append([name, *_means(network, test)])
        if name in PAPER:
            rows.append([f"{name}, the paper", *(f"{value:.1f}" for value in PAPER[name])])
    for resolution in RESOLUTIONS:
        told = _means(shipped_direction(), held_out(FAMILIES, 5, resolution))
        rows.append([f"shipped: all, at all resolutions, here {resolution:g}", *told])
    for resolution in RESOLUTIONS:
        test_there = held_out(FAMILIES, 5, resolution)
        rows.append([f"nothing learned, at {resolution:g}", *_means(Unlearned(), test_there)])
    title = (
        f"Mean angle to the best teacher, degrees, on held-out landscapes, at the resolution {settings.resolution:g}"
    )
    table("angles", title, ("trained on", *FAMILIES), rows)


if __name__ == "__main__":
    main()
