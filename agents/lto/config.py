"""The configuration of a training of Learning to Optimize: a frozen dataclass is the command line."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from pop_envs.checks import positive, positive_int
from pop_envs.lto.task import LTOTask
from pop_envs.objectives.learning_tasks import TASKS

_TASK = LTOTask()

Algorithm = Literal["gps", "unrolled", "ppo", "trpo", "sac"]


@dataclass(frozen=True)
class LTOConfig:
    """Learns to optimize the losses of one task, on as many functions as in the paper."""

    preset: Annotated[str, tyro.conf.Suppress] = "logistic"
    """Name of the configuration."""
    algorithm: Algorithm = "gps"
    """Guided policy search, gradients through unrolled runs, or one of SB3's."""
    scratch: bool = False
    """Whether SB3's algorithms begin with a random network, and not with one cloned from momentum."""
    seed: int = 0
    """What starts, the network's first weights and the actions are drawn by."""
    minutes: float = 15.0
    """Minutes of the processor's time after which training ends; the learning rate falls with them."""
    out: Path = Path("runs")
    """Folder of runs: everything goes to <out>/lto-<task>-<algorithm>-<seed>."""
    resume: bool = False
    """Goes on with the run that the folder holds."""
    threads: int = 1
    """PyTorch's threads."""
    validate_every: float = 0.5
    """Minutes, of the processor's time too, between validations and saves."""

    task: Annotated[LTOTask, tyro.conf.arg(name="")] = _TASK
    """What is trained on."""
    turn: bool = True
    """Whether the features of datasets are turned at random for each run: as much as many more functions."""
    hidden: int = 50
    """Hidden units of the network."""
    relative: bool = True
    """Whether it sees gradients and changes, and steps, in units of the newest gradients' size."""
    learning_rate: float = 3e-3
    """Peak of Adam's learning rate: a warm-up, then a cosine to a twentieth."""
    gap: float | None = None
    """Guided policy search and unrolled: values this far above a run's lowest weigh half as much; None: all alike."""
    log_std: float = -3.0
    """SB3's algorithms: logarithm of the first standard deviation of actions, in their unit."""

    functions: int = 40
    """Guided policy search: functions of an iteration, drawn from those to train on."""
    trajectories: int = 10
    """Runs of each function."""
    reference: Literal["policy", "target"] = "policy"
    """What its targets stay close to: the network made linear, or the targets before."""
    momentum: Literal["each", "shared"] = "shared"
    """Whether the momentum that it begins with is the best for each function, or one for all."""
    memory: int | None = 8
    """How many of the last evaluations targets see; None: the whole history."""
    discount: float = 1.0
    """What a later step counts less for targets; below 1, errors of their models do not multiply without bound."""
    divergence: float = 1.0
    """Bound on the divergence from the reference, in nats for a step and coordinate."""
    multiplier: Literal["each", "shared"] = "shared"
    """Whether the bound holds for each function, or for their mean by one multiplier."""
    noise: float = 0.3
    """Deviation of the actions that it plays, relative to their size."""
    noise_floor: float = 3e-4
    """The least of it, in units of actions."""
    first_epochs: int = 60
    """Passes over the samples of momentum."""
    epochs: int = 1
    """Passes over the samples of an iteration."""
    batch: int = 1024
    """Samples of a minibatch."""
    averaging: float = 0.9
    """Weight that the network's average, which is what is saved, keeps at each iteration."""
    models: Literal["fitted", "expanded"] = "fitted"
    """Whether models of evaluations are fitted to samples, or made from second derivatives of the objective."""
    components: int = 10
    """Gaussians of the prior on fitted models."""
    prior_strength: float = 5.0
    """Weight of that prior, in samples."""

    def __post_init__(self) -> None:
        for name in ("hidden", "functions", "trajectories", "epochs", "first_epochs", "batch", "components", "threads"):
            positive_int(name, getattr(self, name))
        for name in ("minutes", "validate_every", "learning_rate", "divergence", "noise", "noise_floor"):
            positive(name, getattr(self, name))
        if self.memory is not None:
            positive_int("memory", self.memory)
        if self.gap is not None:
            positive("gap", self.gap)

    def settings(self) -> dict[str, Any]:
        """All settings by the names that the command line gives them, the task's among them."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "task"} | self.task.record()

    def lasting(self) -> dict[str, Any]:
        """What a run keeps when it is resumed, as plain JSON values."""
        free = {"minutes", "out", "resume", "threads", "validate_every"}
        return {name: value for name, value in self.settings().items() if name not in free}

    @property
    def folder(self) -> Path:
        """Where the run's files go."""
        scratch = "-scratch" if self.scratch else ""
        return self.out / f"lto-{self.preset}-{self.algorithm}{scratch}-{self.seed}"


_BASE = LTOConfig()
_CHANGES: dict[str, dict[str, Any]] = {
    # What is left to gain late in a run is little, and is what the rivals have gained by then.
    "logistic": {"gap": 0.01},
    "logistic_2d": {"gap": 0.01},
    # Its states are three times as long, and cost nine times as much; a step's samples say too little of its curvature.
    "network": {
        "models": "expanded",
        "functions": 32,
        "trajectories": 2,
        "batch": 512,
        "learning_rate": 1e-3,
        "discount": 0.9,
    },
}
PRESETS = {
    name: (
        f"Losses of the task {name}.",
        replace(
            _BASE,
            preset=name,
            task=replace(_BASE.task, task=name),
            **_CHANGES.get(name, {}),
        ),
    )
    for name in TASKS
}
