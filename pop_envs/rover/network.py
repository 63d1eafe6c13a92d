"""The network that reads a direction off a grid (section 3.2.2), and the one that ships."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from safetensors import safe_open
from torch import Tensor, nn

SHIPPED = Path(__file__).parent / "weights"
"""The direction is a part of the environment's transition (eq. 4): its weights lie here, not with the policy's."""
FILE = "policy.safetensors"


class DirectionNetwork(nn.Module):
    """Two convolutions with batch normalization, two dense layers.

    Args:
        n: Points of a side of the grid, at least 5.
        channels: Outputs of the first convolution.
        width: Outputs of the second convolution and of the first dense layer.

    Raises:
        ValueError: If the grid is too small.
    """

    def __init__(self, n: int = 5, channels: int = 16, width: int = 96) -> None:
        super().__init__()
        if n < 5:
            raise ValueError(f"two convolutions of 3 x 3 need a grid of at least 5 x 5, got n={n}")
        self.n = n
        self.layers = nn.Sequential(
            nn.Conv2d(1, channels, 3, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, width, 3, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear((n - 4) ** 2 * width, width),
            nn.ReLU(),
            nn.Linear(width, 2),
        )

    def forward(self, seen: Tensor) -> Tensor:
        """The vectors y (batch, 2) of eq. 2, of any length, for grids (batch, n, n), float32."""
        told: Tensor = self.layers(seen[:, None])
        return told


def load_direction(folder: Path | str = SHIPPED) -> DirectionNetwork:
    """The network in a folder, ready to be used; the one that ships by default.

    Raises:
        FileNotFoundError: If there is none.
    """
    file = Path(folder) / FILE
    if not file.is_file():
        raise FileNotFoundError(f"no direction network at {folder}: `make train FAMILY=rover-direction` makes one")
    with safe_open(file, framework="pt") as opened:
        card = json.loads(opened.metadata()["card"])
        tensors = {name: opened.get_tensor(name).clone() for name in opened.keys()}  # noqa: SIM118 (not a dict)
    network = DirectionNetwork(**card["network"])
    network.load_state_dict(tensors)
    network.requires_grad_(False).eval()
    return network


@lru_cache(maxsize=1)
def shipped_direction() -> DirectionNetwork:
    """The network that ships, read once; nothing in it is written when it is used."""
    return load_direction()
