"""Checkpoints: weights as safetensors with the card inside, and the card once more beside it; never pickle."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from agents.policy import TrajectoryPolicy
from agents.runner import Optimizer
from pop_envs.core import one_of
from pop_envs.step_rule import STEP_RULES
from pop_envs.tokens import TOKENS

FORMAT = 2
WEIGHTS, CARD = "policy.safetensors", "card.json"


class CheckpointError(ValueError):
    """A checkpoint that cannot be used, and why."""


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("pop-optimizer", "torch", "numpy", "gymnasium", "stable-baselines3")}


@dataclass(frozen=True)
class Card:
    """How a checkpoint was made, and what it takes to run it.

    Attributes:
        preset: Name of the training configuration.
        seed: Of the training.
        functions: Functions seen in training.
        seconds: Wall time of the training.
        budget: Steps per episode in training.
        dims: Numbers of coordinates in training.
        step_rule: Of the environment.
        tokens: Of the environment.
        policy: Shape of the network: head, width, depth, heads, mixing.
        prior: The training prior's name and configuration.
        validation: Measures on the validation functions, by prior.
        versions: Of the libraries it was made with.
    """

    preset: str
    seed: int
    functions: int
    seconds: float
    budget: int
    dims: tuple[int, ...]
    step_rule: str
    tokens: str
    policy: dict[str, Any]
    prior: dict[str, Any]
    validation: dict[str, Any]
    versions: dict[str, str] = field(default_factory=_versions)


def save_checkpoint(folder: Path, policy: TrajectoryPolicy, card: Card) -> None:
    """Writes weights and card into ``folder``; a kill at any point leaves the old or the new checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in policy.state_dict().items()}
    text = json.dumps(asdict(card), indent=2)
    # The weights' file alone is the checkpoint; the card beside it is for people.
    metadata = {"format": str(FORMAT), "kind": "pop", "card": text, "sha256": _digest(tensors)}
    write_atomically(folder / WEIGHTS, save(tensors, metadata))
    write_atomically(folder / CARD, text.encode() + b"\n")


def load_checkpoint(path: Path | str) -> tuple[Optimizer, Card]:
    """The optimizer in a checkpoint folder, and its card.

    Raises:
        FileNotFoundError: If there is no checkpoint.
        CheckpointError: If it is damaged, not one of POP's, or of another format.
    """
    file = Path(path) / WEIGHTS
    if not file.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}: expected a folder with {WEIGHTS}; `make train` makes one")
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise CheckpointError(f"{file} is damaged or not a safetensors file ({error}): copy it again") from error
    if metadata.get("kind") != "pop":
        raise CheckpointError(f"{file} holds weights of something else than a POP policy")
    if metadata.get("format") != str(FORMAT):
        raise CheckpointError(
            f"{file} has format {metadata.get('format')}, and this version of pop-optimizer reads format {FORMAT}: "
            "take the version that wrote it, or train a policy with this one"
        )
    try:
        told = json.loads(metadata["card"])
        card = Card(**{**told, "dims": tuple(told["dims"])})
        one_of("step_rule", card.step_rule, STEP_RULES)
        with torch.random.fork_rng(devices=[]):  # the weights that the policy starts with are not kept
            policy = build_policy(card)
        policy.load_state_dict(tensors)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{file} is damaged: its card does not describe its weights; copy it again") from error
    if metadata.get("sha256") != _digest(policy.state_dict()):
        raise CheckpointError(f"{file} is damaged: its weights do not match their checksum; copy it again")
    policy.set_training_mode(False)
    return Optimizer(policy, card.step_rule, card.tokens), card


def build_policy(card: Card) -> TrajectoryPolicy:
    """The untrained policy that ``card`` describes; one coordinate stands for any number."""
    num_features = len(TOKENS[card.tokens].features)
    return TrajectoryPolicy(
        spaces.Box(-np.inf, np.inf, (1, num_features)), spaces.Box(-1, 1, (1,)), lambda _: 0.0, **card.policy
    )


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
