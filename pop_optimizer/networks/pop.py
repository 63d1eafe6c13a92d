"""POP's network: a trajectory transformer with actor and critic heads per coordinate."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pop_envs.arrays import Array, namespace
from pop_envs.checks import one_of
from pop_optimizer.networks.distributions import DISTRIBUTIONS, PerCoordinateDistribution
from pop_optimizer.networks.transformer import Cache, TrajectoryTransformer, last_hidden

COORDINATES = 64
"""At how many coordinates a network looks at most."""


class POPNetwork(nn.Module):
    """One set of weights for any dimension: coordinates share it, and the value is the mean of theirs.

    It keeps no state: every call makes a distribution of its own, so that threads may share it. Of more than
    ``COORDINATES`` coordinates it looks at so many, evenly chosen, each of which stands for its neighbours: so a step
    costs the same in any dimension above.

    Args:
        num_features: Features of a token.
        proposed: Columns of the token that the head reads, see ``PerCoordinateDistribution.follows``.
        head: A name in ``DISTRIBUTIONS``.
        width: Of the transformer.
        depth: Of the transformer.
        heads: Attention heads.
        mixing: Whether coordinates see each other.
        window: Steps that it looks back; to the start if None.
        device: Where the weights live.

    Raises:
        ValueError: If the head is unknown, or the columns are more or fewer than it follows.
    """

    def __init__(
        self,
        num_features: int,
        proposed: Sequence[int],
        head: str = "mixture",
        width: int = 64,
        depth: int = 3,
        heads: int = 4,
        mixing: bool = False,
        window: int | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__()
        self._distribution = DISTRIBUTIONS[one_of("head", head, DISTRIBUTIONS)]
        if len(proposed) != len(self._distribution.follows):
            raise ValueError(f'head="{head}" follows {self._distribution.follows}, got columns {proposed}')
        self._proposed = list(proposed)
        self.transformer = TrajectoryTransformer(num_features, width, depth, heads, mixing, window, device)
        self.action_net = self._distribution.head(width, device)
        self.value_net = nn.Linear(width, 1, device=device, dtype=torch.float32)

    def new_cache(self, batch: int, dim: int, length: int) -> Cache:
        """An empty cache for ``batch`` runs in ``dim`` dimensions, of at most ``length`` steps."""
        return Cache(self.transformer, batch, min(dim, COORDINATES), length)

    def act(self, token: Array, cache: Cache) -> PerCoordinateDistribution:
        """Action distribution after the newest ``token`` (batch, dim, features)."""
        return self.distribution(self.transformer.step(_looked_at(token), cache), token)

    def step(self, token: Tensor, cache: Cache) -> tuple[PerCoordinateDistribution, Tensor]:
        """Action distribution and values (batch,) after the newest ``token`` (batch, dim, features)."""
        h = self.transformer.step(_looked_at(token), cache)
        return self.distribution(h, token), self.values(h)

    def evaluate(self, tokens: Tensor) -> tuple[PerCoordinateDistribution, Tensor]:
        """Action distribution and values (batch * steps,) of all steps of ``tokens`` (batch, steps, dim, features)."""
        h = self.transformer(_looked_at(tokens).transpose(1, 2)).transpose(1, 2)  # (batch, steps, dim, width)
        return self.distribution(h.flatten(0, 1), tokens.flatten(0, 1)), self.values(h).flatten()

    def newest(self, tokens: Tensor, length: Tensor) -> PerCoordinateDistribution:
        """Action distribution after the last of ``length`` (batch,) of padded tokens (batch, steps, dim, features)."""
        token = tokens[torch.arange(len(tokens), device=tokens.device), length - 1]
        return self.distribution(last_hidden(self.transformer, _looked_at(tokens), length), token)

    def distribution(self, h: Array, token: Array) -> PerCoordinateDistribution:
        """Action distribution at hidden states (batch, dim, width), after tokens (batch, dim, features)."""
        outputs, dim = self.action_net(h), token.shape[-2]
        if dim > COORDINATES:
            middles = 2 * namespace(token).index(dim, token) + 1
            outputs = outputs[..., middles * COORDINATES // (2 * dim), :]
        return self._distribution().given(outputs, token[..., self._proposed])

    def values(self, h: Tensor) -> Tensor:
        """Values (...,) at hidden states (..., dim, width)."""
        value: Tensor = self.value_net(h)
        return value.squeeze(-1).mean(-1)


def _looked_at(tokens: Array) -> Array:
    """Of tokens (..., dim, features) those of at most ``COORDINATES`` coordinates, evenly chosen."""
    dim = tokens.shape[-2]
    if dim <= COORDINATES:
        return tokens
    return tokens[..., (2 * namespace(tokens).index(COORDINATES, tokens) + 1) * dim // (2 * COORDINATES), :]
