"""Trajectory -> one token per step and coordinate: causal, and free of the objective's scale."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from gymnasium.spaces import Box

from pop_envs.arrays import Array, namespace
from pop_envs.pop.step_rules import StepRule
from pop_envs.search.trajectory import Trajectory

TIME = "time"
"""The feature t/T: 0 at the start and in the padding only."""
SURROGATE, TRUST_REGION, LOWEST = "surrogate proposal", "trust-region proposal", "lowest-descent proposal"
"""The features that are actions: those that lead to the proposals of the surrogate, of the present descent, and of the
lowest one that was left, if it is lower than the present."""

EXHAUSTED = "descent exhausted"
"""The feature that is 1 where the present descent promises no new best value, or next to no fall."""

_TINY = 1e-12
_NEGLIGIBLE = 1e-8  # share of the values' range, of which a fall is next to none
_LOG_COUNT = math.log(500)  # the longest budget of the shipped policy's training


class Tokens(ABC):
    """Turns the newest point of each run into a token (batch, dim, num_features), float32."""

    features: ClassVar[tuple[str, ...]]
    """Names of the columns; ``TIME`` is among them."""
    needs_trust_region: ClassVar[bool] = False
    """Whether they read the trajectory's trust region."""
    needs_surrogate: ClassVar[bool] = False
    """Whether they read the trajectory's surrogate."""

    def proposals(self, run: Trajectory) -> dict[str, Array]:
        """The points (batch, dim) that features which are actions lead to, by their names."""
        return {}

    @abstractmethod
    def __call__(self, run: Trajectory, step_rule: StepRule, budget: int) -> Array:
        """The token of ``run``'s newest point, for steps by ``step_rule``, of which there are ``budget``."""

    @abstractmethod
    def limits(self, budget: int) -> tuple[float, ...]:
        """The largest size that each feature can have, whatever the objective does."""


class PaperTokens(Tokens):
    """The paper's four quantities (eq. 1), scaled: t/T, x in the unit box, y standardized, g scaled."""

    features = (TIME, "x", "value", "gradient")

    def __call__(self, run: Trajectory, step_rule: StepRule, budget: int) -> Array:
        """See ``Tokens``."""
        return _stack((_time(run, budget), run.x, _z_score(run)[:, None], run.slope), run.x)

    def limits(self, budget: int) -> tuple[float, ...]:
        """See ``Tokens``."""
        return (1.0, 1.0, _z_limit(budget), 1.0)


class FullTokens(Tokens):
    """The paper's quantities, their logarithms and differences, the number of coordinates, and two proposals.

    Signed logarithms make a precise step a linear function of the token. The last two features are the
    actions that lead to the proposals of surrogate and trust region under the environment's step rule.
    """

    needs_trust_region = True
    needs_surrogate = True
    features: ClassVar[tuple[str, ...]] = (
        TIME,
        "x",
        "value",
        "gradient",
        "direction",
        "room ahead",
        "log room ahead",
        "log gradient",
        "log move",
        "log gradient change",
        "log secant step",
        "secant sign",
        "gradient turned",
        "log value change",
        "log distance to best value",
        "log scale growth",
        "is best",
        "best ahead",
        "log best ahead",
        "action",
        "trust-region outcome",
        "log iterate gap",
        "log predicted reduction",
        "log predicted gap",
        "log proposed step",
        "posterior mean",
        "posterior deviation",
        "inverse dim",
        SURROGATE,
        TRUST_REGION,
    )

    def proposals(self, run: Trajectory) -> dict[str, Array]:
        """See ``Tokens``."""
        assert run.trust_region is not None
        assert run.surrogate is not None
        return {SURROGATE: run.surrogate.proposal, TRUST_REGION: run.trust_region.proposal}

    def __call__(self, run: Trajectory, step_rule: StepRule, budget: int) -> Array:
        """See ``Tokens``."""
        return _stack((*self._columns(run, step_rule, budget), *self._actions(run, step_rule)), run.x)

    def _actions(self, run: Trajectory, step_rule: StepRule) -> list[Array]:
        """The columns that are actions, the last ones."""
        return [
            step_rule.action_to(run, point, bounce=name == SURROGATE) for name, point in self.proposals(run).items()
        ]

    def _columns(self, run: Trajectory, step_rule: StepRule, budget: int) -> tuple[Array, ...]:
        """All others."""
        assert run.trust_region is not None
        assert run.surrogate is not None
        x, unit = run.x, run.unit
        xp = namespace(x)
        direction = step_rule.direction(run)
        slope, bend = run.g / unit, run.dg / unit
        ahead = (run.best_x - x) * direction
        room = 1 - x * direction
        best_y = xp.where(xp.isfinite(run.best_y), run.best_y, run.y)
        iterate_gap, reduction = run.trust_region.y - best_y, run.trust_region.predicted_reduction
        falls = xp.stack([run.dy, run.y - best_y, iterate_gap, reduction, iterate_gap - reduction])
        falls = falls[..., None] / (unit + xp.zeros(x.shape, x))  # (5, batch, dim)
        # What points along the direction of the coming move is positive, so that mirror images look alike.
        along = xp.stack([run.dx, bend, run.proposed_step]) * direction
        logs = _signed_log(xp.concat([falls, along, xp.stack([abs(slope), ahead, room])]))
        log_change, log_gap, log_iterate, log_reduction, log_predicted, *others = xp.unbind(logs, 0)
        log_move, log_bend, log_proposed, log_slope, log_ahead, log_room = others
        secant = xp.log(xp.at_least(abs(run.dx), _TINY) / xp.at_least(abs(bend), _TINY)) / 10
        later = (run.t > 0)[:, None]
        return (
            _time(run, budget),
            x,
            _z_score(run)[:, None],
            slope,
            direction,
            room,
            log_room,
            log_slope,
            log_move,
            log_bend,
            xp.clip(secant, -2.0, 2.0) * later,
            xp.sign(run.dx * run.dg),
            xp.sign(run.g * (run.g - run.dg)) * later,
            log_change,
            log_gap,
            xp.at_most(run.growth, 10.0)[:, None] / 2,
            (run.y <= run.best_y)[:, None],
            ahead,
            log_ahead,
            run.action,
            run.trust_region.outcome[:, None],
            log_iterate,
            log_reduction,
            log_predicted,
            log_proposed,
            xp.clip(run.surrogate.mean, -2.0, 2.0)[:, None],
            run.surrogate.deviation[:, None],
            1 / x.shape[1],
        )

    def limits(self, budget: int) -> tuple[float, ...]:
        """See ``Tokens``."""
        special = {"value": _z_limit(budget), "log scale growth": 5.0}
        wide = ("room ahead", "best ahead", "log secant step", "posterior mean")
        return tuple(
            special.get(name, 2.0 if name in wide or name.startswith("log ") else 1.0) for name in self.features
        )


class OptionTokens(FullTokens):
    """The full tokens, what tells whether a descent deserves patience, and a third proposal.

    The third proposal goes on with the lowest descent that was left, wherever the run has been since: what
    was left early can be finished later. Falls are seen against the range of values so far, and steps
    counted, on logarithmic scales.
    """

    features: ClassVar[tuple[str, ...]] = (
        *FullTokens.features[:-2],
        "log steps left",
        "log relative reduction",
        "log relative gap",
        "log lowest reduction",
        "log accepts",
        "log rejects",
        "log since best",
        "log jumps",
        EXHAUSTED,
        *FullTokens.features[-2:],
        LOWEST,
    )

    def proposals(self, run: Trajectory) -> dict[str, Array]:
        """See ``Tokens``."""
        return {**super().proposals(run), LOWEST: run.lowest_descent.proposal}

    def _columns(self, run: Trajectory, step_rule: StepRule, budget: int) -> tuple[Array, ...]:
        """See ``FullTokens``."""
        assert run.trust_region is not None
        xp = namespace(run.x)
        seen = xp.isfinite(run.best_y)
        best_y = xp.where(seen, run.best_y, run.y)
        extent = xp.where(seen, xp.at_least(run.worst_y - best_y, 1e-300), 1.0)
        falls = xp.stack(
            [
                run.trust_region.predicted_reduction,
                run.trust_region.y - best_y,
                run.lowest_descent.predicted_reduction,
            ]
        )
        counts = xp.stack(
            [budget - run.t, run.trust_region.accepts, run.trust_region.rejects, run.since_best, run.jumps]
        )
        left, *others = xp.at_most(xp.log1p(counts) / _LOG_COUNT, 2.0)[..., None]
        relative = _signed_log(falls / extent)[..., None]
        exhausted = (falls[0] < _NEGLIGIBLE * extent) | (falls[1] > falls[0])
        return (*super()._columns(run, step_rule, budget), left, *relative, *others, exhausted[:, None])


class TokenSpace(Box):
    """A box of tokens (dim, features), or of a trajectory of them (budget + 1, dim, features), that names its columns.

    What a model was trained on can be read off its space: the tokens, and the steps that its actions stand for.

    Args:
        tokens: What the columns are.
        step_rule: What follows an action.
        budget: Steps of an episode.
        shape: The dimensions before the features.
        seed: Of samples.
    """

    def __init__(
        self, tokens: Tokens, step_rule: StepRule, budget: int, shape: tuple[int, ...], seed: int | None = None
    ) -> None:
        self.tokens, self.step_rule = tokens, step_rule
        high = np.tile(np.asarray(tokens.limits(budget), np.float32), (*shape, 1))
        super().__init__(-high, high, dtype=np.float32, seed=seed)

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the columns."""
        return self.tokens.features

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return int(self.shape[-2])


def columns(space: Any, *names: str) -> list[int]:
    """Which columns of the observations in ``space`` have these names.

    Raises:
        ValueError: If the space does not name its columns, or has none of a name.
    """
    if not isinstance(space, TokenSpace):
        raise ValueError(
            f"expected the tokens of POP-v0, whose space names its features, got {space}; a wrapper that replaces the "
            "observation space, as one that scales observations does, changes proposed actions too: leave it out"
        )
    missing = [name for name in names if name not in space.features]
    if missing:
        raise ValueError(
            f"the tokens have no {' and no '.join(map(repr, missing))}, only {', '.join(map(repr, space.features))}; "
            'make the environment with tokens="full"'
        )
    return [space.features.index(name) for name in names]


def _stack(columns: tuple[Array, ...], like: Array) -> Array:
    """A token (batch, dim, len(columns)) of columns that broadcast to ``like`` (batch, dim)."""
    token = namespace(like).empty_float32((*like.shape, len(columns)), like)
    for i, column in enumerate(columns):
        token[..., i] = column
    return token


def _time(run: Trajectory, budget: int) -> Array:
    return namespace(run.t).float64(run.t)[:, None] / budget


def _z_score(run: Trajectory) -> Array:
    """The newest value against the mean and deviation of all so far; 0 at the start."""
    xp = namespace(run.y)
    deviation = xp.sqrt(run.m2 / (run.t + 1))
    return xp.where(deviation == 0, 0.0, (run.y - run.mean) / deviation)


def _z_limit(budget: int) -> float:
    """Of n values none is further than sqrt(n - 1) deviations from the mean; sqrt(n) allows for rounding."""
    return math.sqrt(budget + 1)


def _signed_log(v: Array) -> Array:
    """Odd logarithm, one twelfth a decade: 0 up to 1e-12, plus or minus 1 at 1, 2 from 1e12 on."""
    xp = namespace(v)
    return xp.sign(v) * (xp.log(xp.clip(abs(v), _TINY, 1 / _TINY)) / -math.log(_TINY) + 1)


TOKENS: dict[str, type[Tokens]] = {
    "paper": PaperTokens,
    "full": FullTokens,
    "options": OptionTokens,
}
"""By the names that environments, command lines and checkpoints know them by."""
