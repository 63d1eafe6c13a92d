"""Training configurations: a frozen dataclass is the configuration and the command line."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from pop_envs.core import PriorName, RewardName, StepRuleName, TokensName, positive_int
from pop_envs.prior import PRIORS


@dataclass(frozen=True)
class TrainConfig:
    """Trains a POP policy on random functions and judges it on functions it has not seen."""

    preset: Annotated[str, tyro.conf.Suppress] = "quick"
    """Name of the configuration, and of the run's folder."""
    seed: int = 0
    """Of the functions, the network's start and the actions."""
    functions: int = 500_000
    """Functions to train on; the learning rate falls to its end over them."""
    minutes: float = 12.0
    """Wall time after which training ends, if it comes before; the learning rate falls with it."""
    out: Path = Path("runs")
    """Folder of runs: everything goes to <out>/<preset>-<seed>."""
    resume: bool = False
    """Goes on with the run that <out>/<preset>-<seed> holds."""
    threads: int = 0
    """Of PyTorch; 0 for one on each core."""
    device: str = "cpu"
    """Where tensors live."""

    prior: PriorName = "wide"
    """What the functions are drawn from."""
    dims: tuple[int, ...] = (2,)
    """Numbers of coordinates of the functions: an update of each in turn."""
    budget: int = 50
    """Steps per function."""
    reward: RewardName = "log_gap"
    """Of the environment."""
    step_rule: StepRuleName = "quasi_newton"
    """Of the environment."""
    tokens: TokensName = "full"
    """Of the environment."""

    head: Literal["gaussian", "mixture", "unscouted", "free"] = "mixture"
    """Distribution of the actions: a Gaussian, or a mixture with two read-outs, the quasi-Newton one, or none."""
    width: int = 64
    """Of the transformer."""
    depth: int = 1
    """Of the transformer."""
    heads: int = 4
    """Attention heads."""
    mixing: bool = True
    """Whether coordinates see each other."""

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
    """Of the rewards, per step."""
    gae_lambda: float = 0.95
    """Of the generalized advantage estimate."""
    entropy: float = 0.0
    """Weight of the entropy bonus."""

    validate_every: float = 1.0
    """Minutes between validations, saves and figures."""

    def __post_init__(self) -> None:
        for name in ("functions", "budget", "width", "depth", "heads", "episodes", "batch_episodes", "epochs"):
            positive_int(name, getattr(self, name))
        if not self.dims:
            raise ValueError("dims must name at least one number of coordinates")
        for dim in self.dims:
            positive_int("dims", dim)
        for name in ("minutes", "learning_rate", "clip"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads, got {self.width} and {self.heads}")
        if self.episodes % self.batch_episodes:
            raise ValueError(
                f"episodes must be a multiple of batch_episodes, got {self.episodes} and {self.batch_episodes}"
            )
        if self.head in ("mixture", "unscouted") and self.tokens != "full":
            raise ValueError(f'head="{self.head}" has read-outs: it needs tokens="full"')

    def prior_card(self) -> dict[str, Any]:
        """The prior's name and configuration."""
        return {"name": self.prior, **asdict(PRIORS[self.prior]())}

    def lasting(self) -> dict[str, Any]:
        """What a run keeps when it is resumed, as plain JSON values."""
        free = {"functions", "minutes", "out", "resume", "threads", "device", "validate_every"}
        kept = {name: value for name, value in asdict(self).items() if name not in free}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in kept.items()}

    @property
    def folder(self) -> Path:
        """Where the run's files go."""
        return self.out / f"{self.preset}-{self.seed}"


PRESETS = {
    "quick": ("At most 15 minutes on two cores.", TrainConfig()),
    "paper": (
        "The paper's: eq. 4 and 6, its four quantities, its prior (eq. 8-10).",
        TrainConfig(
            preset="paper",
            prior="gp",
            reward="improvement",
            step_rule="gradient",
            tokens="paper",
            head="gaussian",
            mixing=False,
        ),
    ),
    "full": (
        "The policy that ships: three quarters of an hour on one core.",
        TrainConfig(preset="full", functions=300_000, minutes=240.0, dims=(2, 8), learning_rate=5e-4),
    ),
}
