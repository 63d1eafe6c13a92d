"""Trajectory -> one token per step and coordinate: causal, and free of the objective's scale."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from pop_envs.step_rule import StepRule
from pop_envs.trajectory import Trajectory

TIME = 0  # the feature t/T, first in every kind of token: 0 at the start and in the padding only

_TINY = 1e-12


class Tokens(ABC):
    """Turns the newest point of each run into a token (batch, dim, num_features), float32."""

    name: ClassVar[str]
    features: ClassVar[tuple[str, ...]]
    descends: ClassVar[bool] = False
    """Whether they read the trajectory's quasi-Newton descent."""
    scouts: ClassVar[bool] = False
    """Whether they read the trajectory's scout."""

    def __init__(self, budget: int, step_rule: StepRule) -> None:
        self.budget = budget
        self.step_rule = step_rule

    def start(self, x: Tensor, y: Tensor, g: Tensor) -> Trajectory:
        """Runs as in ``Trajectory.start``, with a descent and a scout if tokens or step rule read them."""
        descend, scouted = self.descends or self.step_rule.descends, self.budget if self.scouts else 0
        return Trajectory.start(x, y, g, descend, scouted)

    @abstractmethod
    def __call__(self, run: Trajectory) -> Tensor:
        """The token of ``run``'s newest point."""

    @abstractmethod
    def limits(self) -> tuple[float, ...]:
        """The largest size that each feature can have, whatever the objective does."""


class PaperTokens(Tokens):
    """The paper's four quantities (eq. 1), scaled: t/T, x in the unit box, y standardized, g scaled."""

    name = "paper"
    features = ("time", "x", "value", "gradient")

    def __call__(self, run: Trajectory) -> Tensor:
        """See ``Tokens``."""
        columns = (run.t[:, None] / self.budget, run.x, _z_score(run)[:, None], run.slope)
        return _stack(columns)

    def limits(self) -> tuple[float, ...]:
        """See ``Tokens``."""
        return (1.0, 1.0, _z_limit(self.budget), 1.0)


class FullTokens(Tokens):
    """The paper's quantities, their logarithms and differences, the number of coordinates, and two read-outs.

    Signed logarithms make a precise step a linear function of the token. The last two features,
    ``scout`` and ``newton``, are the actions that lead to the scout's target and that make the
    quasi-Newton step under the environment's step rule.
    """

    name = "full"
    descends = True
    scouts = True
    features = (
        "time",
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
        "descent outcome",
        "log descent gap",
        "log descent gain",
        "log descent promise",
        "log newton step",
        "forecast",
        "doubt",
        "inverse dim",
        "scout",
        "newton",
    )

    def __call__(self, run: Trajectory) -> Tensor:
        """See ``Tokens``."""
        assert run.descent is not None
        assert run.scout is not None
        x, unit = run.x, run.unit
        direction = self.step_rule.direction(run)
        slope, bend = run.slope, run.dg / unit
        ahead = (run.best_x - x) * direction
        room = 1 - x * direction
        change = (run.dy[:, None] / unit).expand_as(x)
        best_y = run.best_y.where(run.best_y.isfinite(), run.y)
        descent_gap, gain = run.descent.y - best_y, run.descent.gain
        gaps = torch.stack([run.y - best_y, descent_gap, gain, descent_gap - gain])[..., None] / unit
        # What points along the direction of the coming move is positive, so that mirror images look alike.
        along = torch.stack([run.dx, bend, run.newton]) * direction
        sizes = torch.stack([slope.abs(), change, ahead, room])
        logs = _signed_log(torch.cat([sizes, gaps.expand(-1, *x.shape), along])).unbind()
        log_slope, log_change, log_ahead, log_room = logs[:4]
        log_gap, log_descent, log_gain, log_promise, log_move, log_bend, log_newton = logs[4:]
        secant = (run.dx.abs().clamp(min=_TINY) / bend.abs().clamp(min=_TINY)).log() / 10
        later = (run.t > 0)[:, None]
        columns = (
            run.t[:, None] / self.budget,
            x,
            _z_score(run)[:, None],
            slope,
            direction,
            room,
            log_room,
            log_slope,
            log_move,
            log_bend,
            secant.clamp(-2, 2) * later,
            (run.dx * run.dg).sign(),
            (run.g * (run.g - run.dg)).sign() * later,
            log_change,
            log_gap,
            run.growth.clamp(max=10)[:, None] / 2,
            (run.y <= run.best_y)[:, None].double(),
            ahead,
            log_ahead,
            run.action,
            run.descent.outcome[:, None],
            log_descent,
            log_gain,
            log_promise,
            log_newton,
            run.scout.forecast.clamp(-2, 2)[:, None],
            run.scout.doubt[:, None],
            x.new_full((1, 1), 1 / x.shape[1]),
            self.step_rule.read_out(run, run.scout.target, bounce=True),
            self.step_rule.read_out(run, run.descent.target),
        )
        return _stack(columns)

    def limits(self) -> tuple[float, ...]:
        """See ``Tokens``."""
        special = {"value": _z_limit(self.budget), "log scale growth": 5.0}
        wide = ("room ahead", "best ahead", "log secant step", "forecast")
        return tuple(
            special.get(name, 2.0 if name in wide or name.startswith("log ") else 1.0) for name in self.features
        )


def _stack(columns: tuple[Tensor, ...]) -> Tensor:
    return torch.stack(torch.broadcast_tensors(*columns), -1).float()


def _z_score(run: Trajectory) -> Tensor:
    """The newest value against the mean and deviation of all so far; 0 at the start."""
    deviation = (run.m2 / (run.t + 1)).sqrt()
    return ((run.y - run.mean) / deviation).masked_fill(deviation == 0, 0.0)


def _z_limit(budget: int) -> float:
    """Of n values none is further than sqrt(n - 1) deviations from the mean; sqrt(n) allows for rounding."""
    return math.sqrt(budget + 1)


def _signed_log(v: Tensor) -> Tensor:
    """Odd logarithm, one twelfth a decade: 0 up to 1e-12, plus or minus 1 at 1, 2 from 1e12 on."""
    return v.sign() * (v.abs().clamp(_TINY, 1 / _TINY).log() / -math.log(_TINY) + 1)


TOKENS: dict[str, type[Tokens]] = {tokens.name: tokens for tokens in (PaperTokens, FullTokens)}
