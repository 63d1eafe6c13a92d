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

    def __init__(self, budget: int, step_rule: StepRule) -> None:
        self.budget = budget
        self.step_rule = step_rule

    @abstractmethod
    def __call__(self, run: Trajectory) -> Tensor:
        """The token of ``run``'s newest point."""


class PaperTokens(Tokens):
    """The paper's four quantities (eq. 1), scaled: t/T, x in the unit box, y standardized, g scaled."""

    name = "paper"
    features = ("time", "x", "value", "gradient")

    def __call__(self, run: Trajectory) -> Tensor:
        """See ``Tokens``."""
        slope = run.g / run.scale.clamp(min=1e-300)[:, None]
        columns = (run.t[:, None] / self.budget, run.x, _z_score(run)[:, None], slope)
        return _stack(columns, run.x)


class FullTokens(Tokens):
    """The paper's quantities and their logarithms, differences, and the quasi-Newton read-out.

    Signed logarithms make a precise step a linear function of the token. The last feature, ``newton``,
    is the action that makes the quasi-Newton step under the environment's step rule.
    """

    name = "full"
    features = (
        "time",
        "x",
        "value",
        "gradient",
        "direction",
        "room ahead",
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
        "log newton step",
        "newton",
    )

    def __call__(self, run: Trajectory) -> Tensor:
        """See ``Tokens``."""
        unit = run.scale.clamp(min=1e-300)[:, None]
        direction = self.step_rule.direction(run)
        slope = run.g / unit
        bend = run.dg / unit
        ahead = (run.best_x - run.x) * direction
        gap = run.y - run.best_y.where(run.best_y.isfinite(), run.y)
        # What points along the direction of the coming move is positive, so that mirror images look alike.
        log_move, log_bend, log_ahead, log_newton = _signed_log(
            torch.stack([run.dx * direction, bend * direction, ahead, run.newton * direction])
        )
        log_change, log_gap = _signed_log(torch.stack([run.dy, gap]) / unit[:, 0])
        secant = (run.dx.abs().clamp(min=_TINY) / bend.abs().clamp(min=_TINY)).log() / 10
        later = (run.t > 0)[:, None]
        columns = (
            run.t[:, None] / self.budget,
            run.x,
            _z_score(run)[:, None],
            slope,
            direction,
            1 - run.x * direction,
            _signed_log(slope.abs()),
            log_move,
            log_bend,
            secant.clamp(-2, 2) * later,
            (run.dx * run.dg).sign(),
            (run.g * (run.g - run.dg)).sign() * later,
            log_change[:, None],
            log_gap[:, None],
            run.growth.clamp(max=10)[:, None] / 2,
            (run.y <= run.best_y)[:, None],
            ahead,
            log_ahead,
            run.action,
            log_newton,
            self.step_rule.read_out(run),
        )
        return _stack(columns, run.x)


def _stack(columns: tuple[Tensor, ...], like: Tensor) -> Tensor:
    return torch.stack([column.to(torch.float32).expand_as(like) for column in columns], -1)


def _z_score(run: Trajectory) -> Tensor:
    """The newest value against the mean and deviation of all so far; 0 at the start."""
    deviation = (run.m2 / (run.t + 1)).sqrt()
    return torch.where(deviation > 0, (run.y - run.mean) / deviation.clamp(min=1e-300), 0.0)


def _signed_log(v: Tensor) -> Tensor:
    """Odd logarithm: 0 below 1e-12, plus or minus 1 at 1, one twelfth a decade."""
    return v.sign() * (v.abs().clamp(min=_TINY).log() / -math.log(_TINY) + 1)


TOKENS: dict[str, type[Tokens]] = {tokens.name: tokens for tokens in (PaperTokens, FullTokens)}
