"""What is run, as data. ``run.py`` runs it and ``analysis.py`` reads the result."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agents.checkpoint import WEIGHTS
from agents.optimizer import DEFAULT_CHECKPOINT
from benchmarks import vlse
from benchmarks.rivals import RIVALS, Rival, tuned

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Sweep:
    """Runs every method on every function from the same starts and judges them by best value found.

    Attributes:
        checkpoint: Trained policies to run as POP, each a checkpoint folder PATH or NAME=PATH. A policy
            is listed under NAME, by default the folder's name. Without any, the one that ships.
        methods: Methods to compare; "pop" stands for every checkpoint.
        without: Methods to leave out of the above.
        functions: VLSE functions to run on.
        starts: Number of starts per function, uniform in the box and the same for all methods.
        budgets: Numbers of steps T; a run has T + 1 evaluations of value and gradient.
        seed: Seed of the starts and of the methods.
        jobs: Number of processes; -1 is one per core.
        out: Folder of the results. A run that was stopped goes on from what it holds.
    """

    checkpoint: tuple[str, ...] = ()
    methods: tuple[str, ...] = tuple(RIVALS)
    without: tuple[str, ...] = ()
    functions: tuple[str, ...] = field(default_factory=lambda: tuple(vlse.names()))
    starts: int = 32
    budgets: tuple[int, ...] = (50,)
    seed: int = 0
    jobs: int = -1
    out: Path = Path("results/vlse")

    def __post_init__(self) -> None:
        _require_known("methods", self.methods, tuple(RIVALS))
        _require_known("without", self.without, tuple(RIVALS))
        _require_known("functions", self.functions, tuple(vlse.names()))
        if self.starts < 1 or not self.budgets or min(self.budgets) < 1 or self.seed < 0 or self.jobs == 0:
            raise ValueError(
                "starts, every budget and jobs must be at least 1 (jobs may be -1) and the seed at least 0, got "
                f"starts={self.starts}, budgets={self.budgets}, jobs={self.jobs}, seed={self.seed}"
            )
        if len(set(self.budgets)) < len(self.budgets):
            raise ValueError(f"every budget must be named once, got {self.budgets}")


@dataclass(frozen=True)
class Method:
    """A rival with its settings, under the name it has in the tables.

    Attributes:
        name: Unique name.
        rival: See ``benchmarks.rivals``.
        settings: Keyword arguments of the rival.
        identity: What its results depend on, as JSON data; tells whether old results still hold.
    """

    name: str
    rival: Rival
    settings: dict[str, Any]
    identity: dict[str, Any]


def methods(sweep: Sweep) -> list[Method]:
    """The methods of a sweep.

    Raises:
        ValueError: If POP is asked for without a checkpoint, or two methods would have one name.
        FileNotFoundError: If a checkpoint's folder holds none.
    """
    names = [name for name in dict.fromkeys(sweep.methods) if name not in sweep.without]
    if not names:
        raise ValueError("no method is left: name at least one in --methods that is not in --without")
    checkpoints = sweep.checkpoint
    if not checkpoints and (DEFAULT_CHECKPOINT / WEIGHTS).is_file():
        checkpoints = (f"pop={DEFAULT_CHECKPOINT}",)
    if "pop" in names and not checkpoints:
        raise ValueError(
            "POP needs a trained policy and none was given: name one with --checkpoint PATH "
            "(python -m agents.train makes one), or leave it out with --without pop"
        )
    chosen: list[Method] = []
    for name in names:
        chosen += [_pop(text) for text in checkpoints] if name == "pop" else [_rival(name)]
    taken = [method.name for method in chosen]
    twice = {name for name in taken if taken.count(name) > 1}
    if twice:
        raise ValueError(f"two methods are called {min(twice)!r}: give each checkpoint a name, --checkpoint NAME=PATH")
    return chosen


def _rival(name: str) -> Method:
    settings = tuned(name)
    return Method(name, RIVALS[name], settings, settings)


def _pop(text: str) -> Method:
    name, path = text.split("=", 1) if "=" in text else (Path(text).resolve().name, text)
    weights = Path(path) / WEIGHTS
    if not weights.is_file():
        raise FileNotFoundError(f"--checkpoint must be a checkpoint folder, and {path} holds no {WEIGHTS}")
    if not _LABEL.fullmatch(name):
        raise ValueError(f"a checkpoint's name must be letters, digits and _.- only, got {name!r}: use NAME=PATH")
    identity = {"checkpoint_sha256": hashlib.sha256(weights.read_bytes()).hexdigest()}
    return Method(name, RIVALS["pop"], {"checkpoint": Path(path)}, identity)


def _require_known(field_name: str, given: tuple[str, ...], known: tuple[str, ...]) -> None:
    unknown = [name for name in given if name not in known]
    if unknown:
        raise ValueError(f"unknown {field_name}: {', '.join(unknown)}; choose from {', '.join(known)}")
