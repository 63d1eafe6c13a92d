"""The network that reads a direction off a grid (section 3.2.2), and the one that ships."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from pop_envs.rover.directions import normalized

SHIPPED = Path(__file__).parent / "weights"
"""The direction is a part of the environment's transition (eq. 4): its weights lie here, not with the policy's."""
FILE = "policy.safetensors"
_FLAT = 1e-10  # of the square of a Hessian's size: its determinant is rounding
_TINY = 1e-12  # of values on a grid in [0, 1]: there is no curvature


class DirectionNetwork(nn.Module):
    r"""Two convolutions with batch normalization, two dense layers; and what differences tell of the teachers.

    A ReLU network hardly learns to divide, as Newton's step does. Therefore the last layer does not give eq. 2's y
    itself, as the paper's does, but a, b and r of

    .. math:: y = a \hat g + b \hat h + r

    with :math:`\hat g` the steepest descent and :math:`\hat h` Newton's direction by differences on the grid. The dense
    layers see both, and the shape of the Hessian. Where the grid curves along one line only, as beside a wall or in one
    dimension, Newton's method has no direction, and y is the steepest descent.

    Args:
        n: Points of a side of the grid, odd and at least 5.
        channels: Outputs of the first convolution.
        width: Outputs of the second convolution and of the first dense layer.
        differences: Whether there are such; the paper's form has none.

    Raises:
        ValueError: If the grid is too small, or its middle no point.
    """

    stencils: Tensor

    def __init__(self, n: int = 5, channels: int = 16, width: int = 96, differences: bool = True) -> None:
        super().__init__()
        if n < 5 or n % 2 == 0:
            raise ValueError(f"two convolutions of 3 x 3 need an odd grid of at least 5 x 5, got n={n}")
        self.n, self.differences = n, differences
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, channels, 3, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, width, 3, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Flatten(),
        )
        features = (n - 4) ** 2 * width
        self.dense = nn.Sequential(
            nn.Linear(features + 9 if differences else features, width),
            nn.ReLU(),
            nn.Linear(width, 4 if differences else 2),
        )
        self.register_buffer("stencils", _stencils(n), persistent=False)

    def forward(self, seen: Tensor) -> Tensor:
        """The vectors y (batch, 2) of eq. 2, of any length, for grids (batch, n, n), float32."""
        features = self.convolutions(seen[:, None])
        if not self.differences:
            plain: Tensor = self.dense(features)
            return plain
        with torch.no_grad():
            descent, newton, shape = self._teachers(seen)
        told = self.dense(torch.cat([features, descent, newton, shape], -1))
        y = told[:, :1] * descent + told[:, 1:2] * newton + told[:, 2:]
        return torch.where((newton == 0).all(-1, keepdim=True), descent, y)

    def _teachers(self, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Directions of both teachers (batch, 2), and the shape (batch, 5) of the Hessian, all within [-1, 1]."""
        g1, g2, h11, h12, h22 = (seen.flatten(1).double() @ self.stencils).unbind(-1)
        determinant = h11 * h22 - h12 * h12
        size = (h11 * h11 + 2 * h12 * h12 + h22 * h22).sqrt() + _TINY
        sign = torch.where(determinant.abs() > _FLAT * size * size, determinant.sign(), 0.0)
        descent = normalized(-torch.stack([g1, g2], -1))
        newton = normalized(-sign[:, None] * torch.stack([h22 * g1 - h12 * g2, h11 * g2 - h12 * g1], -1))
        slope = (g1 * g1 + g2 * g2).sqrt()
        # The root: a valley's determinant is a hundredth of the square of its largest entry.
        root = sign * determinant.abs().sqrt()
        entries = torch.stack([h11 - h22, 2 * h12, h11 + h22, root, slope * size / (slope + size)], -1)
        return descent.float(), newton.float(), (entries / size[:, None]).float()


def _stencils(n: int) -> Tensor:
    """Maps grids (n * n) to g1, g2, h11, h12, h22 by differences of fourth order in the middle, of unit resolution."""
    rows = torch.zeros(3, n, dtype=torch.float64, device="cpu")
    rows[:, n // 2 - 2 : n // 2 + 3] = torch.tensor(
        [[0, 0, 12, 0, 0], [1, -8, 0, 8, -1], [-1, 16, -30, 16, -1]], dtype=torch.float64, device="cpu"
    )
    here, first, second = rows / 12
    pairs = ((first, here), (here, first), (second, here), (first, first), (here, second))
    return torch.stack([torch.outer(a, b).flatten() for a, b in pairs], 1)


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
