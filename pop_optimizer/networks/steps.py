"""Learning to Optimize's network: a step vector from the changes and gradients of a run."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus


class StepNetwork(nn.Module):
    """One hidden layer of softplus units and a linear output (Li and Malik, section 5).

    Args:
        history: Past iterates that it sees.
        dim: Number of coordinates.
        hidden: Number of hidden units.
        squash: Whether tanh bounds the output, as SAC's policies have it.

    Attributes:
        scale: What observations are multiplied by, (history (1 + dim),), fixed before training.
    """

    scale: Tensor

    def __init__(self, history: int, dim: int, hidden: int = 50, squash: bool = False) -> None:
        super().__init__()
        features = history * (1 + dim)
        self.shape = {"history": history, "dim": dim, "hidden": hidden, "squash": squash}
        self.squash = squash
        self.register_buffer("scale", torch.ones(features))
        self.hidden = nn.Linear(features, hidden)
        self.output = nn.Linear(hidden, dim, bias=False)

    def forward(self, observation: Tensor) -> Tensor:
        """Actions (..., dim) for observations (..., history (1 + dim)); neither is bounded unless squashed."""
        action = self._output(self.hidden(observation * self.scale))
        return action.tanh() if self.squash else action

    def linearized(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Actions, and the mean of their Jacobians (..., dim, features) over the last but one axis of observations.

        Of an output that is not squashed.
        """
        hidden = self.hidden(observation * self.scale)
        slopes = hidden.sigmoid().mean(-2)  # (..., hidden)
        jacobian = (self.output.weight * slopes[..., None, :]) @ self.hidden.weight * self.scale
        return self._output(hidden), jacobian

    def _output(self, hidden: Tensor) -> Tensor:
        return (softplus(hidden) - softplus(self.hidden.bias)) @ self.output.weight.T
