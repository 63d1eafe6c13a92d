"""The one way through a run: start, propose, update. Everything that optimizes with POP is a face of it."""

from __future__ import annotations

import torch
from torch import Tensor

from pop_envs.pop.step_rules import StepRule
from pop_envs.pop.tokens import Tokens
from pop_envs.search.surrogate import CAPACITY
from pop_envs.search.trajectory import Trajectory
from pop_envs.search.trust_region import TrustRegion


class Search:
    """A batch of runs on the unit box: what is known of them, and how an action becomes the next point.

    Args:
        step_rule: Turns actions into points.
        tokens: Turns trajectories into what a policy sees.
        budget: Steps T of a run; the start is not counted.

    Attributes:
        trajectory: What has been seen of each run.
    """

    trajectory: Trajectory

    def __init__(self, step_rule: StepRule, tokens: Tokens, budget: int) -> None:
        self.step_rule, self.tokens, self.budget = step_rule, tokens, budget
        self._token: Tensor | None = None
        self._proposed: tuple[Tensor, Tensor] | None = None

    def start(self, x: Tensor, y: Tensor, g: Tensor, descent: TrustRegion | None = None) -> None:
        """Begins at ``x`` (batch, dim) with values (batch,) and gradients (batch, dim), float64.

        A ``descent`` that has been there last is gone on with.
        """
        trust_region = self.tokens.needs_trust_region or self.step_rule.needs_trust_region
        capacity = min(self.budget + 1, CAPACITY) if self.tokens.needs_surrogate else 0
        # Copies, here and in `update`: callers may write into what is theirs.
        self.trajectory = Trajectory.start(x.clone(), y.clone(), g.clone(), trust_region, capacity, descent)
        self._token, self._proposed = None, None

    def propose(self, action: Tensor) -> Tensor:
        """The next points (batch, dim) for actions (batch, dim) in [-1, 1], float64.

        An action that the token proposes leads to what is proposed exactly, which its logarithmic scale would round.
        """
        x = self.step_rule.move(self.trajectory, action)
        proposals = self.tokens.proposals(self.trajectory)
        if proposals:
            proposed = self.token[..., [self.tokens.features.index(name) for name in proposals]]
            exact = (action.float()[..., None] == proposed).all(1)
            for chosen, point in zip(exact.unbind(-1), proposals.values(), strict=True):
                x = torch.where(chosen[:, None], point, x)
        self._proposed = action, x
        return x.clone()

    def update(self, y: Tensor, g: Tensor, x: Tensor | None = None) -> None:
        """Takes values (batch,) and gradients (batch, dim) at the points that were proposed, or at ``x`` (batch, dim).

        Raises:
            RuntimeError: If there are none.
        """
        if self._proposed is None:
            raise RuntimeError("there are no points that values could belong to: propose comes before update")
        action, proposed = self._proposed
        self.trajectory.update(action, proposed if x is None else x.clone(), y.clone(), g.clone())
        self._token, self._proposed = None, None

    @property
    def token(self) -> Tensor:
        """The token (batch, dim, num_features) of each run's newest point, float32."""
        if self._token is None:
            self._token = self.tokens(self.trajectory, self.step_rule, self.budget)
        return self._token

    @property
    def done(self) -> Tensor:
        """Which runs (batch,) have spent their budget."""
        return self.trajectory.t >= self.budget

    def put(self, index: Tensor, other: Search) -> None:
        """Replaces the runs at ``index`` (n,) by the n runs of ``other``."""
        token = self.token.index_copy(0, index, other.token)
        self.trajectory.put(index, other.trajectory)
        self._token, self._proposed = token, None
