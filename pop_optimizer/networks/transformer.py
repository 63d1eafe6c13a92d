"""The causal trajectory transformer: one sequence per run and coordinate, with shared weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pop_envs.arrays import Array, namespace
from pop_optimizer.networks.layers import attention, gelu


class Cache:
    """Keys and values of the steps seen so far, so that a new step costs one row of attention.

    Where the transformer looks back no further than a window, a new step takes the place of the oldest: order does not
    matter to attention. It is written in place: use it without gradients only.

    Args:
        transformer: Whose layers it serves.
        batch: Number of runs.
        dim: Number of coordinates.
        length: Steps of a run; it holds those of the window.
    """

    def __init__(self, transformer: TrajectoryTransformer, batch: int, dim: int, length: int) -> None:
        depth, heads, width = len(transformer.blocks), transformer.heads, transformer.width
        like = transformer.embed.weight
        shape = batch * dim, heads, min(length, transformer.window or length), width // heads
        empty = namespace(like).empty_float32
        self.keys = [empty(shape, like) for _ in range(depth)]
        self.values = [empty(shape, like) for _ in range(depth)]
        self.length = 0
        self._window = transformer.window

    def extend(self, length: int) -> None:
        """Makes room for runs of ``length`` steps."""
        more = min(length, self._window or length) - self.keys[0].shape[2]
        if more > 0:
            xp, (runs, heads, _, width) = namespace(self.keys[0]), self.keys[0].shape
            room = xp.empty_float32((runs, heads, more, width), self.keys[0])
            self.keys, self.values = (
                [xp.concat([part, room], 2) for part in parts] for parts in (self.keys, self.values)
            )


class Block(nn.Module):
    """Pre-norm self-attention and a feed-forward layer (GPT-2), which may mix coordinates.

    Where they mix, the feed-forward layer reads the mean over the coordinates too (Zaheer et al., Deep
    sets, 2017): any number of them, in any order.
    """

    def __init__(self, width: int, heads: int, mixing: bool, device: torch.device | str = "cpu") -> None:
        super().__init__()
        self.heads = heads
        on: dict[str, Any] = {"device": device, "dtype": torch.float32}  # whatever PyTorch's defaults are
        self.norm1 = nn.LayerNorm(width, **on)
        self.qkv = nn.Linear(width, 3 * width, **on)
        self.out = nn.Linear(width, width, **on)
        self.norm2 = nn.LayerNorm(width, **on)
        self.up = nn.Linear(width, 4 * width, **on)
        self.mix = nn.Linear(width, 4 * width, bias=False, **on) if mixing else None
        self.down = nn.Linear(4 * width, width, **on)

    def forward(self, h: Tensor, mask: Tensor | None) -> Tensor:
        """Hidden states (batch, dim, steps, width) to the same; step i looks at steps <= i, or as the mask tells."""
        q, k, v = self._heads(h)
        return self._close(h, F.scaled_dot_product_attention(q, k, v, mask, is_causal=mask is None))

    def newest(self, h: Tensor, newest: Tensor, window: int | None) -> Tensor:
        """Hidden states (batch, dim, steps, width) to those (batch, dim, 1, width) of the ``newest`` steps (batch,).

        What ``forward`` gives there, to rounding. Nothing is computed of the other steps' keys and values: a score is
        linear in a key, and the attended value in the values, so that the projections of both are left to the query
        and to the mean, of which there is one a head.
        """
        _, dim, steps, width = h.shape
        normed = self.norm1(h)
        rows = newest[:, None, None, None].expand(-1, dim, 1, width)
        to_query, to_key, to_value = self.qkv.weight.unflatten(0, (3, self.heads, -1))  # (heads, width / heads, width)
        query_bias, _, value_bias = self.qkv.bias.unflatten(0, (3, self.heads, -1))  # the keys' shifts all scores alike
        query = torch.einsum("bdw,hkw->bdhk", normed.gather(2, rows)[:, :, 0], to_query) + query_bias
        scores = torch.einsum("bdhk,hkw->bdhw", query, to_key) @ normed.mT * (width // self.heads) ** -0.5
        back = newest[:, None] - torch.arange(steps, device=h.device)
        seen = (back >= 0) & (back < (window or steps))
        weights = scores.masked_fill(~seen[:, None, None], -torch.inf).softmax(-1)  # (batch, dim, heads, steps)
        attended = torch.einsum("bdhw,hkw->bdhk", weights @ normed, to_value) + value_bias
        return self._close(h.gather(2, rows), attended.reshape(-1, 1, *value_bias.shape).swapaxes(1, 2))

    def step(self, h: Array, keys: Array, values: Array, position: int) -> Array:
        """The newest step (batch, dim, 1, width), given ``position`` earlier ones, the last in the cache."""
        at = position % keys.shape[2]
        q, keys[:, :, at : at + 1], values[:, :, at : at + 1] = self._heads(h)
        seen = slice(position + 1)
        return self._close(h, attention(q, keys[:, :, seen], values[:, :, seen]))

    def _heads(self, h: Array) -> tuple[Array, Array, Array]:
        # (batch, dim, steps, 3 * width) -> three of (batch * dim, heads, steps, width / heads)
        qkv = self.qkv(self.norm1(h)).reshape(-1, h.shape[2], 3, self.heads, h.shape[3] // self.heads)
        q, k, v = namespace(h).unbind(qkv.swapaxes(1, 3), 2)
        return q, k, v

    def _close(self, h: Array, attended: Array) -> Array:
        h = h + self.out(attended.swapaxes(1, 2).reshape(h.shape))
        normed = self.norm2(h)
        up = self.up(normed)
        if self.mix is not None:
            up = up + self.mix(namespace(h).mean(normed, 1)[:, None])
        return h + self.down(gelu(up))


class TrajectoryTransformer(nn.Module):
    """Tokens of a trajectory to hidden states, causally, each coordinate for itself but for ``mixing``.

    Time stands in the token, so there is no positional embedding and any length runs. Coordinates share
    the weights, so any dimension runs.

    Args:
        num_features: Features of a token.
        width: Of the hidden states; a multiple of ``heads``.
        depth: Number of blocks.
        heads: Attention heads.
        mixing: Whether coordinates see each other.
        window: Steps that a step looks at, its own among them; all if None.
        device: Where the weights live.
    """

    def __init__(
        self,
        num_features: int,
        width: int = 64,
        depth: int = 3,
        heads: int = 4,
        mixing: bool = False,
        window: int | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width must be a multiple of heads, got width={width} and heads={heads}")
        self.width, self.heads, self.window = width, heads, window
        on: dict[str, Any] = {"device": device, "dtype": torch.float32}
        self.embed = nn.Linear(num_features, width, **on)
        self.blocks = nn.ModuleList(Block(width, heads, mixing, device) for _ in range(depth))
        self.norm = nn.LayerNorm(width, **on)

    def forward(self, tokens: Tensor) -> Tensor:
        """Whole trajectories (batch, dim, steps, num_features) to hidden states (batch, dim, steps, width)."""
        h, mask = self.embed(tokens), self._mask(tokens.shape[2], tokens.device)
        for block in self.blocks:
            h = block(h, mask)
        return self.norm(h)

    def _mask(self, steps: int, device: torch.device) -> Tensor | None:
        """Which steps (steps, steps) each step looks at, where that is not all before it."""
        if self.window is None or steps <= self.window:
            return None
        return torch.ones(steps, steps, dtype=torch.bool, device=device).tril().triu(1 - self.window)

    def step(self, token: Array, cache: Cache) -> Array:
        """The newest token (batch, dim, num_features) to its hidden state (batch, dim, width); extends ``cache``."""
        h = self.embed(token)[:, :, None]
        for block, keys, values in zip(self.blocks, cache.keys, cache.values, strict=True):
            step: Any = block.step
            h = step(h, keys, values, cache.length)
        cache.length += 1
        return self.norm(h)[:, :, 0]


def last_hidden(transformer: TrajectoryTransformer, tokens: Tensor, length: Tensor) -> Tensor:
    """Hidden states of the newest tokens of padded trajectories.

    Args:
        transformer: The network.
        tokens: (batch, steps, dim, num_features); what lies behind ``length`` is not looked at.
        length: Number of valid tokens of each row (batch,), at least 1.

    Returns:
        Hidden states (batch, dim, width).
    """
    longest = int(length.max())
    h, mask = transformer.embed(tokens[:, :longest].transpose(1, 2)), transformer._mask(longest, tokens.device)
    *blocks, last = transformer.blocks
    for block in blocks:
        h = block(h, mask)
    assert isinstance(last, Block)
    return transformer.norm(last.newest(h, length - 1, transformer.window))[:, :, 0]
