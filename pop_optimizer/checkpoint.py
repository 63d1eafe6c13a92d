"""Checkpoints: weights as safetensors with the card inside, and the card once more beside it; never pickle."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from pop_envs.objectives.priors import PRIORS
from pop_envs.pop.rewards import REWARDS
from pop_envs.pop.task import POPTask
from pop_optimizer.ask_tell import POPPolicy
from pop_optimizer.networks.distributions import DISTRIBUTIONS
from pop_optimizer.networks.pop import POPNetwork

FORMAT = 3
READABLE = ("2", str(FORMAT))
WEIGHTS, CARD = "policy.safetensors", "card.json"

AnyCard = TypeVar("AnyCard")
AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)


class CheckpointError(ValueError):
    """A checkpoint that cannot be used, and why."""


def versions(*names: str) -> dict[str, str]:
    """Versions of those packages among ``names`` that are installed."""
    found = {}
    for name in names:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


_versions = partial(versions, "pop-optimizer", "torch", "numpy", "gymnasium", "stable-baselines3")


@dataclass(frozen=True)
class Card:
    """How a checkpoint was made, and what it takes to run it.

    Attributes:
        preset: Name of the training configuration.
        seed: Of the training.
        functions: Functions seen in training.
        seconds: Wall time of the training.
        task: What it was trained on. A prior or reward of one's own is read back as the default one.
        prior: The prior's configuration.
        dims: Numbers of coordinates in training.
        policy: Shape of the network: head, width, depth, heads, mixing.
        validation: Measures on the validation functions, by prior.
        priors: Names of the priors that updates drew from, where that is not the task's alone.
        budgets: Budgets that updates drew from, likewise.
        versions: Of the libraries it was made with.
        algorithm: That it was trained by.
    """

    preset: str
    seed: int
    functions: int
    seconds: float
    task: POPTask
    prior: dict[str, Any]
    dims: tuple[int, ...]
    policy: dict[str, Any]
    validation: dict[str, Any]
    priors: tuple[str, ...] = ()
    budgets: tuple[int, ...] = ()
    versions: dict[str, str] = field(default_factory=_versions)
    algorithm: str = "episodic_ppo"

    def record(self) -> dict[str, Any]:
        """The card as plain JSON values."""
        return asdict(self) | {"task": self.task.record()}

    def network(self, device: torch.device | str = "cpu") -> POPNetwork:
        """The untrained network that the card describes."""
        features = self.task.make_tokens().features
        proposed = [features.index(name) for name in DISTRIBUTIONS[self.policy["head"]].follows]
        return POPNetwork(len(features), proposed, **self.policy, device=device)


def save_checkpoint(folder: Path, network: POPNetwork, card: Card) -> None:
    """Writes weights and card into ``folder``; a kill at any point leaves the old or the new checkpoint."""
    write_weights(folder, network.state_dict(), card.record(), kind="pop", written_in=FORMAT)


def write_card(folder: Path, card: Card) -> None:
    """Writes the card of a model that SB3 saves, and that can be read without it."""
    write_atomically(folder / CARD, json.dumps(card.record(), indent=2).encode() + b"\n")


def load_checkpoint(path: Path | str) -> tuple[POPPolicy, Card]:
    """The policy in a checkpoint folder, and its card.

    Raises:
        FileNotFoundError: If there is no checkpoint.
        CheckpointError: If it is damaged, not one of POP's, or of another format.
    """

    def build(told: Any, written_in: str) -> tuple[Card, POPNetwork]:
        card = _read_card(told, written_in)
        return card, card.network("meta")

    card, network = read_weights(path, build, kind="pop", policy="a POP policy", readable=READABLE)
    return POPPolicy(network, card.task), card


def write_weights(
    folder: Path, weights: dict[str, Tensor], card: dict[str, Any], *, kind: str, written_in: int
) -> None:
    """Writes a network's weights and its card; a kill at any point leaves the old or the new checkpoint.

    Args:
        folder: Where to.
        weights: The network's state.
        card: How it was made, as plain JSON values.
        kind: Of network.
        written_in: Version of the format.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    text = json.dumps(card, indent=2)
    # The weights' file alone is the checkpoint; the card beside it is for people.
    metadata = {"format": str(written_in), "kind": kind, "card": text, "sha256": _digest(tensors)}
    write_atomically(folder / WEIGHTS, save(tensors, metadata))
    write_atomically(folder / CARD, text.encode() + b"\n")


def read_weights(
    path: Path | str,
    build: Callable[[Any, str], tuple[AnyCard, AnyNetwork]],
    *,
    kind: str,
    policy: str,
    readable: Sequence[str],
) -> tuple[AnyCard, AnyNetwork]:
    """The card and the network in a checkpoint folder.

    Args:
        path: The folder.
        build: Makes card and network, on the meta device, of the card's record and its format: the network takes the
            file's tensors, and draws no random numbers for its own.
        kind: Of network.
        policy: What it is, with its article.
        readable: Versions of the format.

    Raises:
        FileNotFoundError: If there is no checkpoint.
        CheckpointError: If it is damaged, of another kind, or of another format.
    """
    file = Path(path) / WEIGHTS
    if not file.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}: expected a folder with {WEIGHTS}; `make train` makes one")
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
            # Copies, for where a tensor lies in memory decides how matrix products round.
            tensors = {name: opened.get_tensor(name).clone() for name in opened.keys()}  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise CheckpointError(f"{file} is damaged or not a safetensors file ({error}): copy it again") from error
    if metadata.get("kind") != kind:
        raise CheckpointError(f"{file} holds weights of something else than {policy}")
    if metadata.get("format") not in readable:
        raise CheckpointError(
            f"{file} has format {metadata.get('format')}, and this version of pop-optimizer reads formats "
            f"{' and '.join(readable)}: take the version that wrote it, or train a policy with this one"
        )
    try:
        card, network = build(json.loads(metadata["card"]), metadata["format"])
        network.load_state_dict(tensors, assign=True)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{file} is damaged: its card does not describe its weights; copy it again") from error
    if metadata.get("sha256") != _digest(tensors):
        raise CheckpointError(f"{file} is damaged: its weights do not match their checksum; copy it again")
    network.requires_grad_(False).eval()
    return card, network


def _read_card(told: dict[str, Any], written_in: str) -> Card:
    if written_in == "2":  # the task's settings stood one by one, the prior's name in its record, the reward nowhere
        told["task"] = {name: told.pop(name) for name in ("budget", "step_rule", "tokens")}
        told["task"]["prior"] = told["prior"].pop("name")
    # To run the policy takes neither prior nor reward: classes of one's own need not be here.
    registries: dict[str, Collection[str]] = {"prior": PRIORS, "reward": REWARDS}
    task = {name: value for name, value in told["task"].items() if value in registries.get(name, (value,))}
    lists = {name: tuple(told.get(name, ())) for name in ("dims", "priors", "budgets")}
    return Card(**told | lists | {"task": POPTask(**task)})


def write_atomically(file: Path, content: bytes) -> None:
    """Replaces ``file`` by ``content``, whole or not at all."""
    partial = file.with_name(f".{file.name}.partial")
    with partial.open("wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
    partial.replace(file)


def _digest(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()
