"""What is run, as data. ``run.py`` runs it and ``analysis.py`` reads the result."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from benchmarks import vlse
from benchmarks.jobs import Engine
from benchmarks.plain import rosenbrock
from benchmarks.problems import (
    VARIANTS,
    bbob_blocks,
    block_problems,
    chain_blocks,
    gkls_blocks,
    mgh_blocks,
    nist_blocks,
    prior_blocks,
    scaled_blocks,
    variant_blocks,
    zeroshot_blocks,
)
from benchmarks.rivals import GRADIENT_FREE, LEAST_SQUARES, RIVALS, SLOW, Plugin, Rival, method_names, tuned
from benchmarks.rivals.velo import load_weights, velo
from pop_optimizer.optimizer import DEFAULT_CHECKPOINT, weights_file

Suite = Literal[
    "vlse",
    "gp",
    "wide",
    "kernels",
    "scaled",
    "shifted",
    "rotated",
    "noisy",
    "mgh",
    "rosenbrock",
    "nist",
    "bbob",
    "gkls",
    "zeroshot",
]

PAPER_CHECKPOINT = Path(__file__).parent / "weights" / "paper"
"""Of the preset "paper", trained on as many functions as the policy that ships."""

_OUT = Path("results/vlse")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Sweep:
    """Runs every method on every function from the same starts and judges them by best value found.

    Attributes:
        checkpoint: Trained policies to run as POP, each a checkpoint folder PATH or NAME=PATH. A policy
            is listed under NAME, by default the folder's name. Without any, the one that ships and, as
            "pop-paper", one that was trained as the paper describes it.
        methods: Methods to compare, with their default settings or, as NAME-tuned, with those that tuning found;
            "pop" stands for every checkpoint. "least_squares", for "mgh", "rosenbrock" and "nist", sees
            residuals too.
        without: Methods to leave out of the above.
        velo_weights: File of VeLO's published weights, with which it joins the above; see ``rivals.velo``.
        plugin: Files with methods of your own, which join the above, named there or not.
        suite: What to run on: "vlse" are the 47 functions, "scaled" those that scale in other dimensions, "shifted",
            "rotated" and "noisy" the 47 varied, "gp", "wide" and "kernels" unseen functions of these priors; "mgh",
            "rosenbrock" and "nist" are plain smooth problems: 40 of Moré, Garbow and Hillstrom, the chain, and NIST's
            27 fits; "bbob" are COCO's 24 functions, of which only values are known, "gkls" the classes of that name,
            and "zeroshot" the 20 functions of ZeroShotOpt's paper.
        functions: VLSE functions to run on. "scaled" leaves out those without the dimension, "rotated" those in 1-D.
        dims: Dimensions of the priors' and of scaled functions, and of those of "bbob", "gkls" and "zeroshot".
        rosenbrock_dims: Dimensions of the suite "rosenbrock".
        count: Number of functions of each prior in each dimension, and of each class of "gkls", which has 100.
        starts: Number of starts per function, uniform in the box and the same for all methods. "mgh" and "nist" have
            starts of their own, one and two a problem, and so many runs from each, which differ in their seeds.
            Those of "bbob" are each on an instance of their own.
        slow_starts: How many of them slow methods run from.
        budgets: Numbers of steps T; a run has T + 1 evaluations of value and gradient.
        per_dim: Whether these are for each coordinate of a function.
        strict: Whether gradient-free methods, but for slow ones, also run with twice the evaluations.
        quick: Minutes for hours: at most four starts and 32 functions of each prior, and no slow methods. Without a
            folder of its own in "out", what it finds is in results/vlse-quick.
        time_limit: Seconds after which a run has failed.
        seed: Seed of the starts and of the methods.
        jobs: Number of processes; -1 is one per core.
        engine: Where they run: "joblib" is this machine, "ray" a Ray cluster.
        out: Folder of the results. A run that was stopped goes on from what it holds.
        report_only: Runs nothing, and writes the report anew from the results that are there: those of the folder, or
            of every folder in it, and then also one page of them all; by default of all in results.
    """

    checkpoint: tuple[str, ...] = ()
    methods: tuple[str, ...] = field(default_factory=method_names)
    without: tuple[str, ...] = ()
    velo_weights: Path | None = None
    plugin: tuple[Path, ...] = ()
    suite: tuple[Suite, ...] = ("vlse",)
    functions: tuple[str, ...] = field(default_factory=lambda: tuple(vlse.names()))
    dims: tuple[int, ...] = (2,)
    rosenbrock_dims: tuple[int, ...] = rosenbrock.DIMS
    count: int = 256
    starts: int = 32
    slow_starts: int = 2
    budgets: tuple[int, ...] = (50,)
    per_dim: bool = False
    strict: bool = True
    quick: bool = False
    time_limit: float = 600.0
    seed: int = 0
    jobs: int = -1
    engine: Engine = "joblib"
    out: Path = _OUT
    report_only: bool = False

    def __post_init__(self) -> None:
        if self.quick:
            self._shorten()
        if self.report_only and self.out == _OUT:
            object.__setattr__(self, "out", _OUT.parent)
        known = (*method_names(), *LEAST_SQUARES, *(name for name, _ in _joining(self)))
        _require_known("methods", self.methods, known)
        _require_known("without", self.without, known)
        _require_known("suite", self.suite, get_args(Suite))
        _require_known("functions", self.functions, tuple(vlse.names()))
        for name in ("suite", "functions", "dims", "rosenbrock_dims", "budgets"):
            given = getattr(self, name)
            if not given or len(set(given)) < len(given):
                raise ValueError(f"{name} must name at least one, and each only once, got {given}")
        least = min(self.starts, self.slow_starts, self.count, *self.dims, *self.budgets)
        if least < 1 or self.seed < 0 or self.jobs == 0 or not self.time_limit > 0:
            raise ValueError(
                "starts, slow_starts, count, every dimension, every budget and jobs must be at least 1 (jobs may be "
                f"-1), the seed at least 0 and the time limit positive, got starts={self.starts}, "
                f"slow_starts={self.slow_starts}, count={self.count}, dims={self.dims}, budgets={self.budgets}, "
                f"jobs={self.jobs}, seed={self.seed}, time_limit={self.time_limit}"
            )
        if min(self.rosenbrock_dims) < 2:
            raise ValueError(f"a chain has at least 2 coordinates, got rosenbrock_dims={self.rosenbrock_dims}")

    def _shorten(self) -> None:
        changes: dict[str, Any] = {
            "starts": min(self.starts, 4),
            "count": min(self.count, 32),
            "without": tuple({*self.without, *SLOW}),
        }
        if self.out == _OUT:
            changes["out"] = _OUT.with_name(f"{_OUT.name}-quick")  # beside the long ones
        for name, value in changes.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class Method:
    """A rival with its settings, under the name it has in the tables.

    Attributes:
        name: Unique name.
        rival: See ``benchmarks.rivals``.
        settings: Keyword arguments of the rival.
        identity: What its results depend on, as JSON data; tells whether old results still hold.
        gradient_free: Whether it never looks at a gradient.
        slow: Whether it runs from fewer starts.
        residuals: Whether it sees residuals and their Jacobian in place of value and gradient.
    """

    name: str
    rival: Rival
    settings: dict[str, Any]
    identity: dict[str, Any]
    gradient_free: bool = False
    slow: bool = False
    residuals: bool = False


def blocks(sweep: Sweep) -> list[str]:
    """Names of the blocks of problems of a sweep, for ``problems.block_problems``.

    A VLSE function is a block of its own. The priors' functions are many, and faster to set up together.

    Raises:
        ValueError: If a suite has none of the functions.
    """
    named: list[str] = []
    for suite in sweep.suite:
        if suite == "vlse":
            found = list(sweep.functions)
        elif suite == "scaled":
            found = [block for dim in sweep.dims for block in scaled_blocks(sweep.functions, dim)]
        elif suite == "mgh":
            found = list(mgh_blocks())
        elif suite == "rosenbrock":
            found = list(chain_blocks(sweep.rosenbrock_dims))
        elif suite == "nist":
            found = list(nist_blocks())
        elif suite == "bbob":
            found = list(bbob_blocks(sweep.dims))
        elif suite == "gkls":
            found = list(gkls_blocks(sweep.dims, sweep.count))
        elif suite == "zeroshot":
            found = list(zeroshot_blocks(sweep.dims))
        elif suite in VARIANTS:
            found = list(variant_blocks(sweep.functions, suite))
        else:
            found = [block for dim in sweep.dims for block in prior_blocks(suite, dim, sweep.count)]
        if not found:
            raise ValueError(
                f"the suite {suite!r} has none of the functions {', '.join(sweep.functions)} in the dimensions "
                f"{', '.join(map(str, sweep.dims))}: name others in --functions or --dims, or leave the suite out"
            )
        named += found
    return named


def budgets(sweep: Sweep, block: str) -> tuple[int, ...]:
    """The budgets on a block of problems."""
    dim = block_problems(block)[0].dim if sweep.per_dim else 1
    return tuple(budget * dim for budget in sweep.budgets)


def methods(sweep: Sweep) -> list[Method]:
    """The methods of a sweep.

    Raises:
        ValueError: If POP is asked for without a checkpoint, or two methods would have one name.
        FileNotFoundError: If a checkpoint's folder holds none.
    """
    joining = [make for name, make in _joining(sweep) if name not in sweep.without]
    known = {*method_names(), *LEAST_SQUARES}
    names = [name for name in dict.fromkeys(sweep.methods) if name in known and name not in sweep.without]
    if not names and not joining:
        raise ValueError("no method is left: name at least one in --methods that is not in --without")
    checkpoints = sweep.checkpoint
    if not checkpoints and weights_file(DEFAULT_CHECKPOINT).is_file():
        checkpoints = (f"pop={DEFAULT_CHECKPOINT}", f"pop-paper={PAPER_CHECKPOINT}")
    if "pop" in names and not checkpoints:
        raise ValueError(
            "POP needs a trained policy and none was given: name one with --checkpoint PATH "
            "(python -m agents.train makes one), or leave it out with --without pop"
        )
    chosen: list[Method] = []
    for name in names:
        chosen += [_pop(text) for text in checkpoints] if name == "pop" else [_rival(name)]
    chosen += [make() for make in joining]
    taken = [method.name for method in chosen]
    twice = {name for name in taken if taken.count(name) > 1}
    if twice:
        raise ValueError(
            f"two methods are called {min(twice)!r}: give each checkpoint a name, --checkpoint NAME=PATH, "
            "and each plugin's file another"
        )
    return chosen


def _joining(sweep: Sweep) -> list[tuple[str, Callable[[], Method]]]:
    """Methods that join those with a name of the benchmark's own: what they are called, and what makes each."""
    found: list[tuple[str, Callable[[], Method]]] = [(path.stem, partial(_plugin, path)) for path in sweep.plugin]
    return found if sweep.velo_weights is None else [("velo", partial(_velo, sweep.velo_weights)), *found]


def _rival(method: str) -> Method:
    if method in LEAST_SQUARES:
        return Method(method, LEAST_SQUARES[method], {}, {}, residuals=True)
    name = method.removesuffix("-tuned")
    settings = {} if name == method else tuned(name)
    return Method(method, RIVALS[name], settings, settings, name in GRADIENT_FREE, name in SLOW)


def _velo(weights: Path) -> Method:
    load_weights(weights)  # raises early what would fail in every run
    return Method(
        "velo", velo, {"weights": weights}, {"weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest()}
    )


def _plugin(path: Path) -> Method:
    plugin = Plugin(path.resolve())
    gradient_free = plugin.gradient_free()
    identity = {"file_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    return Method(path.stem, plugin, {}, identity, gradient_free)


def _pop(text: str) -> Method:
    name, path = text.split("=", 1) if "=" in text else (Path(text).resolve().name.removesuffix(".zip"), text)
    weights = weights_file(Path(path))
    if not weights.is_file():
        raise FileNotFoundError(
            f"--checkpoint must be a checkpoint folder, or a model that SB3 saved, and {path} holds no {weights.name}"
        )
    if not _LABEL.fullmatch(name):
        raise ValueError(f"a checkpoint's name must be letters, digits and _.- only, got {name!r}: use NAME=PATH")
    identity = {"checkpoint_sha256": hashlib.sha256(weights.read_bytes()).hexdigest()}
    return Method(name, RIVALS["pop"], {"checkpoint": Path(path)}, identity)


def _require_known(field_name: str, given: tuple[str, ...], known: tuple[str, ...]) -> None:
    unknown = [name for name in given if name not in known]
    if unknown:
        raise ValueError(f"unknown {field_name}: {', '.join(unknown)}; choose from {', '.join(known)}")
