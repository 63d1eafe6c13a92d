"""Rover Descent's policy network: two convolutions, a memory, dense layers (section 3.2.3)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from pop_envs.checks import one_of, positive_int
from pop_envs.rover.search import HIGHEST_CHANGE, LOWEST_CHANGE

Memory = Literal["lstm", "stack"]
Squash = Literal["clip", "tanh"]
State = tuple[Tensor, ...]


class GridEncoder(nn.Sequential):
    """Two convolutions, on grids (batch, stack, n, n), to features (batch, features).

    Args:
        n: Points of a side of the grid, at least 5.
        stack: Grids that are seen at once.
        channels: Outputs of the first convolution.
        width: Outputs of the second.

    Attributes:
        features: Number of features.

    Raises:
        ValueError: If the grid is too small.
    """

    def __init__(self, n: int, stack: int, channels: int, width: int) -> None:
        if n < 5:
            raise ValueError(f"two convolutions of 3 x 3 need a grid of at least 5 x 5, got n={n}")
        super().__init__(
            nn.Conv2d(stack, channels, 3), nn.ReLU(), nn.Conv2d(channels, width, 3), nn.ReLU(), nn.Flatten()
        )
        self.features = (n - 4) ** 2 * width


class RoverNetwork(nn.Module):
    """Changes of step size and resolution, from grids and a memory that the caller keeps.

    It keeps no state, so that threads may share it.

    Args:
        n: Points of a side of the grid.
        channels: Outputs of the first convolution.
        width: Of all other layers.
        memory: "lstm", or a "stack" of the newest grids.
        stack: How many of them.
        squash: How actions are bounded: "clip", as PPO's are, or "tanh", as TD3's, DDPG's and SAC's.

    Raises:
        ValueError: If a setting cannot be.
    """

    def __init__(
        self,
        n: int = 5,
        channels: int = 16,
        width: int = 64,
        memory: Memory = "lstm",
        stack: int = 1,
        squash: Squash = "clip",
    ) -> None:
        super().__init__()
        one_of("memory", memory, ("lstm", "stack"))
        one_of("squash", squash, ("clip", "tanh"))
        if memory == "lstm" and positive_int("stack", stack) != 1:
            raise ValueError(f"an LSTM sees one grid at a time, got stack={stack}")
        self.n, self.stack, self.squash = n, stack, squash
        self.encoder = GridEncoder(n, stack, channels, width)
        self.lstm = nn.LSTM(self.encoder.features, width) if memory == "lstm" else None
        first = width if self.lstm is not None else self.encoder.features
        self.dense = nn.Sequential(
            nn.Linear(first, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2)
        )

    def new_state(self, batch: int) -> State:
        """The memory of ``batch`` rovers that have seen nothing: tensors (batch, ...), float32."""
        device = next(self.parameters()).device
        if self.lstm is None:
            return (torch.zeros(batch, self.stack, self.n, self.n, device=device, dtype=torch.float32),)
        width = self.lstm.hidden_size
        return tuple(torch.zeros(batch, width, device=device, dtype=torch.float32) for _ in range(2))

    def forward(self, seen: Tensor, state: State) -> tuple[Tensor, State]:
        """Actions (batch, 2) in [-0.5, 1] after grids (batch, n, n), and the memory that follows."""
        if self.lstm is None:
            (grids,) = state
            grids = torch.cat([grids[:, 1:], seen[:, None]], 1)
            told, after = self.dense(self.encoder(grids)), [grids]
        else:
            short, long = state
            h, pair = self.lstm(self.encoder(seen[:, None])[None], (short[None], long[None]))
            told, after = self.dense(h[0]), [each[0] for each in pair]
        if self.squash == "tanh":
            told = LOWEST_CHANGE + (HIGHEST_CHANGE - LOWEST_CHANGE) * (told.tanh() + 1) / 2
        return told.clamp(LOWEST_CHANGE, HIGHEST_CHANGE), tuple(after)
