"""Who says where to go: the learned network, or the teachers that it learned from (section 3.2.2)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from pop_envs.objectives.base import Objective
from pop_envs.objectives.landscapes import Landscapes, newton_step

_DIFFERENCE = 1e-4  # half widths, of the Hessians of functions that do not know theirs
_LADDER = 2.0 ** -torch.arange(-4, 20, dtype=torch.float64, device="cpu")  # step lengths of a line search
_ZOOMS, _ZOOM_POINTS = 3, 9


class Direction(ABC):
    """A direction at each point."""

    @abstractmethod
    def __call__(self, seen: Tensor, functions: Objective, x: Tensor) -> Tensor:
        """Unit vectors (batch, 2), float64; zero where there is no direction.

        Args:
            seen: Grids (batch, n, n), float32, as ``rescaled`` makes them.
            functions: What is optimized, for teachers alone.
            x: Where (batch, 2), for teachers alone.
        """


class Seeing(Direction):
    """A direction that is told by the grid alone.

    Args:
        network: Maps grids (batch, n, n), float32, to vectors (batch, 2) of any length.
    """

    def __init__(self, network: Callable[[Tensor], Tensor]) -> None:
        self.network = network

    def __call__(self, seen: Tensor, functions: Objective, x: Tensor) -> Tensor:
        """See ``Direction``."""
        return read_direction(self.network, seen)


def read_direction(network: Callable[[Tensor], Tensor], seen: Tensor) -> Tensor:
    """What a network says of grids (batch, n, n): unit vectors (batch, 2), float64; zero where a grid is constant."""
    with torch.no_grad():
        told = network(seen).double()
    return torch.where((seen.amax((1, 2)) > 0)[:, None], normalized(told), 0.0)


class Gradient(Direction):
    """The steepest descent."""

    def __call__(self, seen: Tensor, functions: Objective, x: Tensor) -> Tensor:
        """See ``Direction``."""
        return normalized(-functions.value_and_grad(x)[1])


class Newton(Direction):
    """Newton's step, which saddles attract."""

    def __call__(self, seen: Tensor, functions: Objective, x: Tensor) -> Tensor:
        """See ``Direction``."""
        _, g, hessian = derivatives(functions, x)
        return normalized(newton_step(g, hessian, positive=False))


class Best(Direction):
    """The steepest descent or Newton's step, whichever falls more when each goes as far as it falls most."""

    def __call__(self, seen: Tensor, functions: Objective, x: Tensor) -> Tensor:
        """See ``Direction``."""
        return self.step(functions, x)[0]

    def step(self, functions: Objective, x: Tensor) -> tuple[Tensor, Tensor]:
        """The direction (batch, 2), and how far it falls most (batch,)."""
        y, g, hessian = derivatives(functions, x)
        both = torch.stack([normalized(-g), normalized(newton_step(g, hessian, positive=False))], 1)
        falls, lengths = zip(*(_line_search(functions, x, y, both[:, i]) for i in (0, 1)), strict=True)
        newton = falls[1] > falls[0]
        return torch.where(newton[:, None], both[:, 1], both[:, 0]), torch.where(newton, lengths[1], lengths[0])


def derivatives(functions: Objective, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Values (batch,), gradients (batch, 2) and Hessians (batch, 2, 2), by differences where they are not known."""
    if isinstance(functions, Landscapes):
        return functions.derivatives(x)
    y, g = functions.value_and_grad(x)
    columns = []
    for axis in torch.eye(2, dtype=x.dtype, device=x.device):
        ahead, behind = (functions.value_and_grad(x + sign * _DIFFERENCE * axis)[1] for sign in (1, -1))
        columns.append((ahead - behind) / (2 * _DIFFERENCE))
    hessian = torch.stack(columns, -1)
    return y, g, (hessian + hessian.mT) / 2


def normalized(vectors: Tensor) -> Tensor:
    """Unit vectors (batch, 2); zero where there is no finite direction."""
    largest = vectors.abs().amax(-1, keepdim=True)
    scaled = vectors / largest  # no square under- or overflows
    unit = scaled / scaled.norm(dim=-1, keepdim=True)
    return torch.where((largest > 0) & largest.isfinite(), unit, 0.0)


def _line_search(functions: Objective, x: Tensor, y: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """The most that each function falls along a direction (batch, 2), and how far away: (batch,) each."""
    lengths, ratio = _LADDER.to(x).expand(len(x), -1), 2.0
    powers = torch.arange(_ZOOM_POINTS, dtype=x.dtype, device=x.device) - _ZOOM_POINTS // 2
    for _ in range(_ZOOMS + 1):
        values = functions.values_at(x[:, None] + lengths[..., None] * direction[:, None])
        best, where = torch.where(values.isnan(), torch.inf, values).min(-1)
        length = lengths.gather(1, where[:, None])[:, 0]
        ratio **= 2 / (_ZOOM_POINTS - 1)  # the next points lie between this one's neighbours
        lengths = length[:, None] * ratio**powers
    return y - best, length
