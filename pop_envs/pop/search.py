"""The one way through a run: start, propose, update. Everything that optimizes with POP is a face of it."""

from __future__ import annotations

from pop_envs.arrays import Array, namespace, replaced
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
        self._token: Array | None = None
        self._proposed: tuple[Array, Array] | None = None

    def start(self, x: Array, y: Array, g: Array, descent: TrustRegion | None = None) -> None:
        """Begins at ``x`` (batch, dim) with values (batch,) and gradients (batch, dim), float64.

        A ``descent`` that has been there last is gone on with.
        """
        trust_region = self.tokens.needs_trust_region or self.step_rule.needs_trust_region
        capacity = min(self.budget + 1, CAPACITY) if self.tokens.needs_surrogate else 0
        # Copies, here and in `update`: callers may write into what is theirs.
        x, y, g = map(namespace(x).copy, (x, y, g))
        self.trajectory = Trajectory.start(x, y, g, trust_region, capacity, descent)
        self._token, self._proposed = None, None

    def propose(self, action: Array) -> Array:
        """The next points (batch, dim) for actions (batch, dim) in [-1, 1], float64.

        An action that the token proposes leads to what is proposed exactly, which its logarithmic scale would round.
        """
        xp = namespace(action)
        x = self.step_rule.move(self.trajectory, action)
        proposals = self.tokens.proposals(self.trajectory)
        if proposals:
            proposed = self.token[..., [self.tokens.features.index(name) for name in proposals]]
            exact = (xp.float32(action)[..., None] == proposed).all(1)
            for chosen, point in zip(xp.unbind(exact, 1), proposals.values(), strict=True):
                x = xp.where(chosen[:, None], point, x)
        self._proposed = action, x
        return xp.copy(x)

    def update(self, y: Array, g: Array, x: Array | None = None) -> None:
        """Takes values (batch,) and gradients (batch, dim) at the points that were proposed, or at ``x`` (batch, dim).

        Raises:
            RuntimeError: If there are none.
        """
        if self._proposed is None:
            raise RuntimeError("there are no points that values could belong to: propose comes before update")
        action, proposed = self._proposed
        copy = namespace(y).copy
        self.trajectory.update(action, proposed if x is None else copy(x), copy(y), copy(g))
        self._token, self._proposed = None, None

    @property
    def token(self) -> Array:
        """The token (batch, dim, num_features) of each run's newest point, float32."""
        if self._token is None:
            self._token = self.tokens(self.trajectory, self.step_rule, self.budget)
        return self._token

    @property
    def done(self) -> Array:
        """Which runs (batch,) have spent their budget."""
        return self.trajectory.t >= self.budget

    def extend(self, steps: int) -> None:
        """Makes the budget larger by so many steps."""
        self.budget += steps
        self._token = None

    def put(self, index: Array, other: Search) -> None:
        """Replaces the runs at ``index`` (n,) by the n runs of ``other``."""
        token = replaced(self.token, index, other.token)
        self.trajectory.put(index, other.trajectory)
        self._token, self._proposed = token, None
