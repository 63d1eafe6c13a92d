"""What is run, as data. ``run.py`` runs it and ``analysis.py`` reads the result."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from agents.checkpoint import WEIGHTS
from agents.optimizer import DEFAULT_CHECKPOINT
from benchmarks import vlse
from benchmarks.problems import prior_blocks
from benchmarks.rivals import RIVALS, Rival, tuned

Suite = Literal["vlse", "gp", "wide"]

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Sweep:
    """Runs every method on every function from the same starts and judges them by best value found.

    Attributes:
        checkpoint: Trained policies to run as POP, each a checkpoint folder PATH or NAME=PATH. A policy
            is listed under NAME, by default the folder's name. Without any, the one that ships.
        methods: Methods to compare; "pop" stands for every checkpoint.
        without: Methods to leave out of the above.
        suite: What to run on: "vlse" are the 47 functions, "gp" and "wide" unseen functions of these priors.
        functions: VLSE functions to run on.
        dims: Dimensions of the priors' functions.
        count: Number of functions of each prior in each dimension.
        starts: Number of starts per function, uniform in the box and the same for all methods.
        budgets: Numbers of steps T; a run has T + 1 evaluations of value and gradient.
        seed: Seed of the starts and of the methods.
        jobs: Number of processes; -1 is one per core.
        out: Folder of the results. A run that was stopped goes on from what it holds.
    """

    checkpoint: tuple[str, ...] = ()
    methods: tuple[str, ...] = tuple(RIVALS)
    without: tuple[str, ...] = ()
    suite: tuple[Suite, ...] = ("vlse",)
    functions: tuple[str, ...] = field(default_factory=lambda: tuple(vlse.names()))
    dims: tuple[int, ...] = (2,)
    count: int = 256
    starts: int = 32
    budgets: tuple[int, ...] = (50,)
    seed: int = 0
    jobs: int = -1
    out: Path = Path("results/vlse")

    def __post_init__(self) -> None:
        _require_known("methods", self.methods, tuple(RIVALS))
        _require_known("without", self.without, tuple(RIVALS))
        _require_known("suite", self.suite, get_args(Suite))
        _require_known("functions", self.functions, tuple(vlse.names()))
        for name in ("suite", "functions", "dims", "budgets"):
            given = getattr(self, name)
            if not given or len(set(given)) < len(given):
                raise ValueError(f"{name} must name at least one, and each only once, got {given}")
        if min(self.starts, self.count, *self.dims, *self.budgets) < 1 or self.seed < 0 or self.jobs == 0:
            raise ValueError(
                "starts, count, every dimension, every budget and jobs must be at least 1 (jobs may be -1) and the "
                f"seed at least 0, got starts={self.starts}, count={self.count}, dims={self.dims}, "
                f"budgets={self.budgets}, jobs={self.jobs}, seed={self.seed}"
            )


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


def blocks(sweep: Sweep) -> list[str]:
    """Names of the blocks of problems of a sweep, for ``problems.block_problems``.

    A VLSE function is a block of its own. The priors' functions are many, and faster to set up together.
    """
    named: list[str] = []
    for suite in sweep.suite:
        if suite == "vlse":
            named += sweep.functions
        else:
            named += [block for dim in sweep.dims for block in prior_blocks(suite, dim, sweep.count)]
    return named


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
