"""Learns the direction from teachers, by behavioural cloning with negative samples (section 3.2.2)."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.progress import TextColumn
from torch import Tensor
from torch.nn.functional import softplus
from torch.utils.tensorboard import SummaryWriter

from agents.training.command_line import progress
from agents.training.folders import claim_folder
from agents.training.globals import lent_globals
from pop_envs.checks import one_of, positive, positive_int
from pop_envs.objectives.landscapes import FAMILIES, NUM_START_UNIFORMS, Family, LandscapePrior, Landscapes
from pop_envs.rover.directions import Best
from pop_envs.rover.grid import grid_offsets, rescaled
from pop_envs.rover.network import DirectionNetwork
from pop_optimizer.checkpoint import versions, write_weights

STATE = "state.pt"
CHUNK = 2048
HELD_OUT = 4096
_SMOOTH = 1e-6
_AT_THE_MINIMUM = 1e-3  # half widths: closer than this there is no direction to learn
_SHARES = (0.1, 0.9)  # of the teacher's step that a run goes: its ten states are ten different places


@dataclass(frozen=True)
class DirectionConfig:
    """Trains the direction network on what gradient descent and Newton's method do, whichever falls more."""

    name: str = "rover-direction"
    """Of the run's folder, <out>/<name>-<seed>."""
    seed: int = 0
    """What functions, weights and negative samples are drawn by."""
    out: Path = Path("runs")
    """Folder of runs."""
    resume: bool = False
    """Goes on with the run that the folder holds."""
    families: tuple[Family, ...] = FAMILIES
    """Landscapes to learn on."""
    functions: int = 51_200
    """Functions to learn on (the paper's 5e4, in whole batches)."""
    steps: int = 10
    """Steps of the teacher on each of them."""
    n: int = 5
    """Points of a side of the grid."""
    resolution: tuple[float, float] = (0.005, 2.0)
    """Resolutions are log-uniform between these, in half widths of the landscapes' box; equal ones fix it."""
    channels: int = 16
    """Outputs of the first convolution."""
    width: int = 96
    """Outputs of the second convolution and of the first dense layer."""
    differences: bool = True
    """Whether the network knows the teachers' directions by differences; the paper's does not."""
    loss: Literal["angle", "eq2"] = "angle"
    """What is minimized: the mean angle to the teacher, or the paper's cross-entropy with negative samples, eq. 2."""
    batch: int = 1024
    """States of a minibatch."""
    learning_rate: float = 3e-3
    """Peak of the learning rate, which falls on a cosine."""
    updates: int = 100_000
    """Minibatches to learn from."""
    minutes: float = 12.0
    """CPU minutes after which training ends, if they come before; the learning rate falls with them."""
    threads: int = 1
    """PyTorch's threads."""
    save_every: float = 60.0
    """CPU seconds between saves."""

    def __post_init__(self) -> None:
        for name in ("functions", "steps", "n", "channels", "width", "batch", "updates", "threads"):
            positive_int(name, getattr(self, name))
        low, high = self.resolution
        if not 0 < low <= high:
            raise ValueError(f"resolution must be two positive numbers in order, got {self.resolution}")
        if self.functions % CHUNK:
            raise ValueError(f"functions must be a multiple of {CHUNK}, got {self.functions}")
        for name in ("learning_rate", "minutes", "save_every"):
            positive(name, getattr(self, name))
        one_of("loss", self.loss, ("angle", "eq2"))

    @property
    def folder(self) -> Path:
        """Where the run's files go."""
        return self.out / f"{self.name}-{self.seed}"

    @property
    def shape(self) -> dict[str, Any]:
        """Of the network, as ``DirectionNetwork`` takes it."""
        return {name: getattr(self, name) for name in ("n", "channels", "width", "differences")}

    def lasting(self) -> dict[str, Any]:
        """The settings that a run keeps when it is resumed, as plain JSON values."""
        free = {"name", "out", "resume", "minutes", "threads", "save_every"}
        return json.loads(json.dumps({f.name: getattr(self, f.name) for f in fields(self) if f.name not in free}))


class States(NamedTuple):
    """What the teacher saw and did.

    Attributes:
        seen: Grids (states, n, n), float32.
        directions: Unit vectors (states, 2), float32.
        family: Numbers in ``FAMILIES`` (states,).
    """

    seen: Tensor
    directions: Tensor
    family: Tensor


def taught(
    families: tuple[Family, ...],
    functions: int,
    steps: int,
    n: int,
    resolution: tuple[float, float],
    rng: np.random.Generator,
) -> States:
    """States and the best teacher's directions there, on runs along them.

    Args:
        families: Of the landscapes.
        functions: Number of runs.
        steps: Of each run.
        n: Points of a side of the grid.
        resolution: Bounds of the log-uniform resolutions.
        rng: What they are drawn with.
    """
    parts, prior = [], LandscapePrior(families)
    lowest, highest = (math.log(bound) for bound in resolution)
    for first in range(0, functions, CHUNK):
        count = min(CHUNK, functions - first)
        landscapes = prior.build(torch.from_numpy(rng.random((count, prior.num_uniforms(2)))))
        x = landscapes.starts(torch.from_numpy(rng.random((count, NUM_START_UNIFORMS))))
        for _ in range(steps):
            direction, length = Best().step(landscapes, x)
            delta = torch.from_numpy(np.exp(rng.uniform(lowest, highest, count)))
            seen, _ = rescaled(landscapes.values_at(x[:, None] - delta[:, None, None] * grid_offsets(n)))
            parts.append(_kept(landscapes, x, seen, direction))
            share = torch.from_numpy(rng.uniform(*_SHARES, count))
            x = x + direction * (length * share)[:, None]
    return States(*(torch.cat(part) for part in zip(*parts, strict=True)))


def _kept(landscapes: Landscapes, x: Tensor, seen: Tensor, direction: Tensor) -> States:
    good = (direction != 0).any(-1) & ((x - landscapes.minimizer).norm(dim=-1) > _AT_THE_MINIMUM)
    return States(seen[good], direction[good].float(), landscapes.family[good])


def held_out(families: tuple[Family, ...], n: int, resolution: float, functions: int = HELD_OUT) -> States:
    """States of functions that no training sees: of a generator that no seed leads to."""
    rng = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(1, 0)))
    return taught(families, functions, 10, n, (resolution, resolution), rng)


def angles(network: DirectionNetwork, states: States) -> Tensor:
    """Angles (states,) between the network's directions and the teacher's, in degrees."""
    with torch.no_grad():
        told = torch.cat([network(seen) for seen in states.seen.split(8192)])
    cross = told[:, 0] * states.directions[:, 1] - told[:, 1] * states.directions[:, 0]
    return torch.rad2deg(torch.atan2(cross.abs(), (told * states.directions).sum(-1)))


def cross_entropy(told: Tensor, directions: Tensor, generator: torch.Generator) -> Tensor:
    """Minus eq. 2 per state: the teacher's directions (batch, 2) against others of the half space behind them."""
    turn = (torch.rand(len(told), generator=generator, device="cpu") - 0.5) * math.pi
    cos, sin = turn.cos(), turn.sin()
    d1, d2 = directions.unbind(-1)
    negative = -torch.stack([d1 * cos - d2 * sin, d1 * sin + d2 * cos], -1)
    return (softplus(-(told * directions).sum(-1)) + softplus((told * negative).sum(-1))).mean()


def mean_angle(told: Tensor, directions: Tensor) -> Tensor:
    """Mean angle between vectors (batch, 2) and unit vectors (batch, 2), in radians, smooth at 0 and at pi.

    Where two teachers may be right eq. 2 leads between them, as a mean does; this leads to the likelier one.
    """
    unit = told / (told.norm(dim=-1, keepdim=True) + _SMOOTH)
    cross = unit[:, 0] * directions[:, 1] - unit[:, 1] * directions[:, 0]
    dot = (unit * directions).sum(-1)
    return 2 * torch.atan2((cross.square() + _SMOOTH).sqrt(), 1 + dot + _SMOOTH).mean()


def mirrored(seen: Tensor, directions: Tensor, which: int) -> tuple[Tensor, Tensor]:
    """One of the eight symmetries of the square, of grids (batch, n, n) and directions (batch, 2) alike."""
    d1, d2 = directions.unbind(-1)
    if which & 1:
        seen, d1 = seen.flip(1), -d1
    if which & 2:
        seen, d2 = seen.flip(2), -d2
    if which & 4:
        seen, d1, d2 = seen.mT, d2, d1
    return seen, torch.stack([d1, d2], -1)


def train_direction(config: DirectionConfig, console: Console | None = None) -> DirectionNetwork:
    """Trains the network and leaves it, with its card, in ``config.folder``.

    Raises:
        FileExistsError: If the folder holds a run already and ``config.resume`` is not set.
        FileNotFoundError: If there is nothing to resume.
        ValueError: If the run to resume was made with other settings.
    """
    claim_folder(config, STATE)
    with lent_globals(config.threads):
        return _Training(config, console).run()


class _Training:
    def __init__(self, config: DirectionConfig, console: Console | None) -> None:
        self.config, self.console = config, console
        self.done, self.before = 0, 0.0
        data_seed, weights_seed, batch_seed = np.random.SeedSequence(config.seed).generate_state(3)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(weights_seed))
            self.network = DirectionNetwork(**config.shape)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=config.learning_rate, weight_decay=1e-4)
        self.generator = torch.Generator("cpu").manual_seed(int(batch_seed))
        self.data_seed = int(data_seed)
        self._resume()

    def run(self) -> DirectionNetwork:
        config = self.config
        rng = np.random.default_rng(self.data_seed)
        states = taught(config.families, config.functions, config.steps, config.n, config.resolution, rng)
        middle = math.sqrt(config.resolution[0] * config.resolution[1])
        test = held_out(FAMILIES, config.n, middle, functions=CHUNK)
        writer = SummaryWriter(str(config.folder / "log"))
        begin = saved = time.process_time()
        self.network.train()
        with progress(self.console, TextColumn("{task.percentage:>3.0f} %")) as bar:
            task = bar.add_task("direction", total=1.0)
            while (share := self._share(begin)) < 1:
                value = self._update(states, share)
                if self.done % 200 == 0:
                    writer.add_scalar("loss", value.item(), self.done)
                    bar.update(task, completed=share, description=f"{self.done:,} updates, loss {value.item():.3f}")
                if time.process_time() - saved > config.save_every:
                    saved = time.process_time()
                    self._save(begin, test, writer)
        self._save(begin, test, writer)
        writer.close()
        self.network.eval()
        return self.network

    def _share(self, begin: float) -> float:
        seconds = self.before + time.process_time() - begin
        return max(self.done / self.config.updates, seconds / (60 * self.config.minutes))

    def _update(self, states: States, share: float) -> Tensor:
        cosine = (1 + math.cos(math.pi * share)) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * min(1.0, self.done / 500 + 0.05) * (0.005 + 0.995 * cosine)
        rows = torch.randint(len(states.seen), (self.config.batch,), generator=self.generator, device="cpu")
        seen, directions = mirrored(states.seen[rows], states.directions[rows], self.done % 8)
        told = self.network(seen)
        is_angle = self.config.loss == "angle"
        value = mean_angle(told, directions) if is_angle else cross_entropy(told, directions, self.generator)
        self.optimizer.zero_grad(set_to_none=True)
        value.backward()
        self.optimizer.step()
        self.done += 1
        return value

    def _save(self, begin: float, test: States, writer: SummaryWriter) -> None:
        seconds = self.before + time.process_time() - begin
        self.network.eval()
        degrees = angles(self.network, test)
        by_family = {name: round(degrees[test.family == i].mean().item(), 2) for i, name in enumerate(FAMILIES)}
        self.network.train()
        for name, mean in by_family.items():
            writer.add_scalar(f"degrees/{name}", mean, self.done)
        card = {
            "network": self.config.shape,
            "training": self.config.lasting(),
            "updates": self.done,
            "seconds": round(seconds, 1),
            "degrees to the teacher on held-out landscapes": by_family,
            "versions": versions("pop-optimizer", "torch", "numpy"),
        }
        write_weights(self.config.folder, self.network.state_dict(), card, kind="rover-direction", written_in=1)
        state = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "done": self.done,
            "seconds": seconds,
        }
        partial = self.config.folder / f".{STATE}"
        torch.save(state, partial)
        partial.replace(self.config.folder / STATE)

    def _resume(self) -> None:
        if not self.config.resume:
            return
        state = torch.load(self.config.folder / STATE, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.done, self.before = state["done"], state["seconds"]
