"""What the rover sees: function values on a grid around it (section 3.2.1)."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=16)
def grid_offsets(n: int) -> Tensor:
    """Offsets (n * n, 2) of the points of eq. 1 from the centre, in units of the resolution.

    Eq. 1 has i - n/2 for i = 1, ..., n, whose mean is a half, and the text a "grid centered on" the point: here it is
    i - (n + 1)/2, so that the middle of an odd grid is the point itself.
    """
    ticks = (n + 1) / 2 - torch.arange(1, n + 1, dtype=torch.float64, device="cpu")
    return torch.cartesian_prod(ticks, ticks)


def rescaled(values: Tensor) -> tuple[Tensor, Tensor]:
    """Grids as they are seen, and which of them can be trusted.

    Args:
        values: Function values (batch, n * n), row by row.

    Returns:
        Grids (batch, n, n), float32, rescaled to [0, 1], where what is not finite counts as the worst value that is,
        and a constant is 0; and whether all values are finite (batch,).
    """
    finite = values.isfinite()
    # Halves, for the range of finite numbers may not be one.
    half = values / 2
    low = torch.where(finite, half, torch.inf).amin(-1, keepdim=True)
    high = torch.where(finite, half, -torch.inf).amax(-1, keepdim=True)
    span = high - low
    share = torch.where(finite, (half - low) / span, 1.0)
    seen = torch.where((span > 0) & span.isfinite(), share, 0.0).float()
    n = round(values.shape[-1] ** 0.5)
    return seen.unflatten(-1, (n, n)), finite.all(-1)
