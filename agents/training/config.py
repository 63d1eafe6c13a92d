"""Training configurations: a frozen dataclass is the configuration and the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from agents.training.algorithms import ALGORITHMS, EPISODIC, hyperparameters
from pop_envs.checks import positive, positive_int
from pop_envs.pop.task import FULL, POPTask, PriorLike
from pop_optimizer.networks.distributions import DISTRIBUTIONS

LAYOUT = 4
"""Of the state that a run is resumed from: with another one it cannot be."""


@dataclass(frozen=True)
class TrainConfig:
    """Trains a POP policy on random functions and evaluates it on functions it has not seen."""

    preset: Annotated[str, tyro.conf.Suppress] = "quick"
    """Name of the configuration, and of the run's folder."""
    seed: int = 0
    """What functions, the network's first weights and the actions are drawn by."""
    functions: int = 500_000
    """Functions to train on, longer runs counted as several; the learning rate falls to its end over them."""
    minutes: float = 12.0
    """Wall time after which training ends, if it comes before; the learning rate falls with it."""
    out: Path = Path("runs")
    """Folder of runs: everything goes to <out>/<preset>-<seed>, or <out>/<algorithm>-<seed> if that is another."""
    resume: bool = False
    """Goes on with the run that this folder holds."""
    algorithm: Literal[*ALGORITHMS] = EPISODIC  # type: ignore[valid-type]
    """POP's own PPO on whole episodes, or an algorithm of Stable-Baselines3 or sb3-contrib, in the first of dims."""
    hyperparameters: Path | None = None
    """Of another algorithm than episodic_ppo: a file in rl_zoo3's format; agents/hyperparameters/<algorithm>.yml if
    None."""
    extractor: bool = False
    """Whether another algorithm than episodic_ppo sees whole trajectories, through the transformer, instead of the
    newest token."""
    threads: int = 1
    """PyTorch's threads; 0 for one on each core, which is faster on an idle machine and much slower on a busy one."""
    device: str = "cpu"
    """Where PyTorch computes: cpu, cuda or another device of its own."""

    task: Annotated[POPTask, tyro.conf.arg(name="")] = FULL
    """What is trained on."""
    priors: tuple[PriorLike, ...] = ()
    """Priors, of which one is drawn for each update, if there are more than the task's; named twice, twice as often."""
    dims: tuple[int, ...] = (2,)
    """Numbers of coordinates, drawn likewise."""
    budgets: tuple[int, ...] = ()
    """Budgets, drawn likewise, if there are more than the task's."""

    head: Literal[*DISTRIBUTIONS] = "options"  # type: ignore[valid-type]
    """Distribution of actions: a Gaussian, mixtures of steps and jumps, or a choice of exact steps and jumps."""
    width: int = 64
    """Size of the transformer's hidden states."""
    depth: int = 1
    """Number of the transformer's blocks."""
    heads: int = 4
    """Attention heads of each block."""
    mixing: bool = True
    """Whether coordinates see each other."""
    window: int = 128
    """Steps that the transformer looks back."""

    episodes: int = 512
    """Functions per update."""
    batch_episodes: int = 128
    """Functions per minibatch."""
    epochs: int = 2
    """Passes over an update's functions."""
    learning_rate: float = 1e-3
    """Peak of the learning rate: a warm-up, then a cosine to a twentieth."""
    clip: float = 0.2
    """PPO's bound on the change of probabilities."""
    discount: float = 0.99
    """Factor on a reward for each step that it lies ahead."""
    gae_lambda: float = 0.95
    """Bias against variance in the generalized advantage estimate."""
    entropy: float = 0.0
    """Weight of the entropy bonus."""

    validate_every: float = 1.0
    """Minutes between validations, saves and figures."""
    yardsticks: bool = False
    """Whether more than Adam is scored beside the policy at the end, of methods that learn nothing: minutes more."""

    def __post_init__(self) -> None:
        for name in ("functions", "width", "depth", "heads", "window", "episodes", "batch_episodes", "epochs"):
            positive_int(name, getattr(self, name))
        if not self.dims:
            raise ValueError("dims must name at least one number of coordinates")
        for name in ("dims", "budgets"):
            for number in getattr(self, name):
                positive_int(name, number)
        for name in ("minutes", "learning_rate", "clip"):
            positive(name, getattr(self, name))
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads, got {self.width} and {self.heads}")
        if self.episodes % self.batch_episodes:
            raise ValueError(
                f"episodes must be a multiple of batch_episodes, got {self.episodes} and {self.batch_episodes}"
            )
        if self.algorithm != EPISODIC:
            self._check_stock()
            return
        if self.extractor or self.hyperparameters is not None:
            raise ValueError("extractor and hyperparameters are settings of other algorithms than episodic_ppo")
        missing = set(DISTRIBUTIONS[self.head].follows) - set(self.task.make_tokens().features)
        if missing:
            raise ValueError(
                f'head="{self.head}" follows {", ".join(sorted(missing))}, which tokens={self.task.tokens!r} lack'
            )

    def _check_stock(self) -> None:
        usual = PRESETS[self.preset][1] if self.preset in PRESETS else TrainConfig()
        changed = [name for name in _OF_EPISODIC if getattr(self, name) != getattr(usual, name)]
        if changed:
            raise ValueError(
                f"{', '.join(changed)} are settings of episodic_ppo: those of {self.algorithm} are hyperparameters, in "
                "agents/hyperparameters or a file of your own"
            )
        if len(set(self.dims)) > 1 or len({*self.budgets, self.task.budget}) > 1:
            raise ValueError(
                f"{self.algorithm} learns one number of coordinates and one budget, got dims={self.dims} and "
                f"budgets={self.budgets}: only episodic_ppo learns several; the preset quick has one"
            )
        hyperparameters(self.algorithm, self.hyperparameters)

    def choices(self) -> tuple[Sequence[PriorLike], Sequence[int], Sequence[int]]:
        """The priors, numbers of coordinates and budgets of which one is drawn for each update."""
        return self.priors or (self.task.prior,), self.dims, self.budgets or (self.task.budget,)

    def settings(self) -> dict[str, Any]:
        """All settings by the names that the command line gives them, the task's among them."""
        own = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "task"}
        own["priors"] = tuple(replace(self.task, prior=prior).record()["prior"] for prior in self.priors)
        return own | self.task.record()

    def changed(self, **changes: Any) -> TrainConfig:
        """This configuration with other settings, by the names that the command line gives them."""
        task = {name: changes.pop(name) for name in self.task.record().keys() & changes.keys()}
        return replace(self, task=replace(self.task, **task), **changes)

    def lasting(self) -> dict[str, Any]:
        """What a run keeps when it is resumed, as plain JSON values."""
        free = {"functions", "minutes", "out", "resume", "threads", "device", "validate_every", "yardsticks"}
        kept = {name: value for name, value in self.settings().items() if name not in free}
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in kept.items()}
        if self.hyperparameters is not None:
            plain["hyperparameters"] = str(self.hyperparameters)
        return plain | {"layout": LAYOUT}

    @property
    def folder(self) -> Path:
        """Where the run's files go."""
        return self.out / f"{self.preset if self.algorithm == EPISODIC else self.algorithm}-{self.seed}"


_OF_EPISODIC = (
    *("head", "episodes", "batch_episodes", "epochs", "learning_rate"),
    *("clip", "discount", "gae_lambda", "entropy"),
)
"""Settings that other algorithms have in their files, if at all."""


PRESETS = {
    "quick": ("Twelve minutes on one core.", TrainConfig(priors=("wide", "wide", "plain"))),
    "paper": (
        "The paper's: eq. 4 and 6, its four quantities, its prior (eq. 8-10).",
        TrainConfig(preset="paper", task=POPTask(), head="gaussian", mixing=False),
    ),
    "full": (
        "The policy that ships: a quarter of an hour on one core.",
        TrainConfig(
            preset="full",
            functions=110_000,
            minutes=240.0,
            priors=("wide", "wide", "plain"),
            dims=(2, 2, 2, 4, 8, 8, 16, 32),
            budgets=(50, 50, 50, 50, 20, 100, 200, 500),
            learning_rate=1e-3,
            validate_every=6.0,
        ),
    ),
}
