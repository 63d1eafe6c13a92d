"""Learning to Optimize's network: a step vector from the changes and gradients of a run."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

_RECENT = 0.5  # weight of a gradient's square in the unit, over that of the next newer one
_LEAST = 1e-7  # of units: what is at rest stays there
_USUAL = 5.0  # up to which relative features are told apart
_MOST = 1e6  # of them: squares of larger ones overflow


class StepNetwork(nn.Module):
    """One hidden layer of softplus units and a linear output (Li and Malik, section 5).

    Args:
        history: Past iterates that it sees.
        dim: Number of coordinates.
        hidden: Number of hidden units.
        squash: Whether tanh bounds the output, as SAC's policies have it.
        relative: Whether gradients and the output are in units of the root mean square of the newest gradients, and
            changes of the value in units of its square. Then the policy does on ``f(x / c) c^2`` what it does on
            ``f(x)``, c times as far. The unit itself is one more feature, which vanishes as the unit does.

    Attributes:
        scale: What observations are multiplied by, (history (1 + dim),), fixed before training.
    """

    scale: Tensor

    def __init__(self, history: int, dim: int, hidden: int = 50, squash: bool = False, relative: bool = False) -> None:
        super().__init__()
        features = history * (1 + dim)
        self.shape = {"history": history, "dim": dim, "hidden": hidden, "squash": squash, "relative": relative}
        self.squash, self.relative = squash, relative
        self.register_buffer("scale", torch.ones(features))
        self.hidden = nn.Linear(features + relative, hidden)
        self.output = nn.Linear(hidden, dim, bias=False)

    def forward(self, observation: Tensor) -> Tensor:
        """Actions (..., dim) for observations (..., history (1 + dim)); neither is bounded unless squashed."""
        seen = observation * self.scale
        if self.relative:
            seen, unit = self._relative(seen)
        # At rest the output is zero.
        action = (softplus(self.hidden(seen)) - softplus(self.hidden.bias)) @ self.output.weight.T
        if self.relative:
            action = unit * action
        return action.tanh() if self.squash else action

    def linearized(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Actions, and the mean of their Jacobians (..., dim, features) over the last but one axis of observations."""
        with torch.enable_grad():
            observation = observation.detach().requires_grad_()
            action = self(observation)
            each = action.sum(tuple(range(action.ndim - 1)))
            rows = [torch.autograd.grad(one, observation, retain_graph=True)[0].mean(-2) for one in each]
        return action.detach(), torch.stack(rows, -2)

    def _relative(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Features (..., history (1 + dim) + 1) and the unit (..., 1)."""
        history = self.shape["history"]
        change, gradient = seen[..., :history], seen[..., history:].unflatten(-1, (history, -1))
        weight = (1 - _RECENT) * _RECENT ** torch.arange(history, dtype=seen.dtype, device=seen.device)
        square = (gradient.square().mean(-1) * weight).sum(-1, keepdim=True) + _LEAST**2
        unit = square.sqrt()
        ratio = torch.cat([change / square, gradient.flatten(-2) / unit], -1)
        ratio = ratio.clamp(-_MOST, _MOST)
        ratio = ratio / (1 + (ratio / _USUAL).square()).sqrt()
        return torch.cat([ratio, unit / (1 + unit)], -1), unit
