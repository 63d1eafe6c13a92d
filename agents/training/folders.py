"""The folder of a training: whose it is, and what it was made with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

from agents.training.callbacks import STATE
from pop_optimizer.checkpoint import write_atomically

CONFIG = "config.json"


class Configuration(Protocol):
    """What a folder must know of a training's configuration."""

    @property
    def out(self) -> Path:
        """Folder of runs."""

    @property
    def folder(self) -> Path:
        """The run's own."""

    @property
    def resume(self) -> bool:
        """Whether the run goes on."""

    def lasting(self) -> dict[str, Any]:
        """What a run keeps when it is resumed; the version of its state, if it has one, is its "layout"."""


def claim_folder(config: Configuration, state: str = STATE) -> None:
    """Makes the folder of a new run, or checks that of a run that goes on, from a file named ``state``.

    Raises:
        FileExistsError: If the folder holds a run already and the run is a new one.
        FileNotFoundError: If there is nothing to resume.
        ValueError: If the run to resume was made with other settings or by an earlier version, or the folder cannot
            be used.
    """
    if config.out.exists() and not config.out.is_dir():
        raise ValueError(f"--out must be a folder, and {config.out} is a file")
    saved, kept = config.folder / state, config.folder / CONFIG
    if saved.exists() and not config.resume:
        raise FileExistsError(f"{config.folder} holds a run: go on with --resume, or choose another --out or --seed")
    if config.resume and not saved.exists():
        raise FileNotFoundError(f"nothing to resume in {config.folder}: no {state}; leave --resume out")
    if config.resume:
        before, now = _kept(kept), config.lasting()
        if before.get("layout") != now.get("layout"):
            raise ValueError(
                f"{config.folder} was made by an earlier version, whose state this one cannot go on from: its "
                "checkpoint still runs; train anew with another --out or --seed"
            )
        changed = sorted(name for name in before | now if before.get(name) != now.get(name))
        if changed:
            raise ValueError(
                f"{config.folder} was made with other settings of {', '.join(changed)}: resume with the same"
            )
    config.folder.mkdir(parents=True, exist_ok=True)
    write_atomically(kept, json.dumps(config.lasting(), indent=2).encode())


def _kept(path: Path) -> dict[str, Any]:
    try:
        kept = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read ({error}): copy it again, or train anew in another --out") from error
    if not isinstance(kept, dict):
        raise ValueError(f"{path} holds no settings: copy it again, or train anew in another --out")
    return kept
