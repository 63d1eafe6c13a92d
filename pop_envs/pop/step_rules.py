"""From an action in [-1, 1] per coordinate to a displacement: eq. 4 of POP and its relatives."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from pop_envs.search.trajectory import Trajectory


class StepRule(ABC):
    """Maps an action to a move in the unit box; an action is a step size on a logarithmic scale."""

    needs_trust_region: ClassVar[bool] = False
    """Whether it reads the trajectory's trust region."""

    def move(self, run: Trajectory, action: Tensor) -> Tensor:
        """The next point (batch, dim) for actions (batch, dim), in the box."""
        return (run.x + self.displacement(run, action)).clamp(-1, 1)

    @abstractmethod
    def size(self, action: Tensor) -> Tensor:
        """The step sizes eta that actions (any shape) stand for."""

    @abstractmethod
    def displacement(self, run: Trajectory, action: Tensor) -> Tensor:
        """The move (batch, dim), were there no walls."""

    @abstractmethod
    def direction(self, run: Trajectory) -> Tensor:
        """Signs (batch, dim) of the move."""

    @abstractmethod
    def action_to(self, run: Trajectory, target: Tensor, bounce: bool = False) -> Tensor:
        """The action (batch, dim) that leads to ``target`` (batch, dim) as far as the rule can make it.

        Args:
            run: The runs.
            target: Points of the box.
            bounce: Whether what lies behind may be reached off the wall ahead, where walls reflect. Such
                a way is long, and noise in the action moves its end by much.
        """


class GradientStep(StepRule):
    """Eq. 4, ``x - eta * g``, with the gradient in units of the largest entry seen: eta in [1e-6, 1e6]."""

    _HALF_RANGE = math.log(1e6)

    def size(self, action: Tensor) -> Tensor:
        """See ``StepRule``."""
        return (action * self._HALF_RANGE).exp()

    def displacement(self, run: Trajectory, action: Tensor) -> Tensor:
        """See ``StepRule``."""
        return -self.size(action) * run.slope

    def direction(self, run: Trajectory) -> Tensor:
        """See ``StepRule``; 0 where the slope is."""
        return -run.g.sign()

    def action_to(self, run: Trajectory, target: Tensor, bounce: bool = False) -> Tensor:
        """See ``StepRule``; walls do not reflect."""
        slope = run.slope
        downhill = ((run.x - target) * slope.sign()).clamp(min=1e-300)
        return ((downhill / slope.abs().clamp(min=1e-300)).log() / self._HALF_RANGE).clamp(-1, 1)


class SignedStep(StepRule):
    """A move of ``r`` in [1e-8, 4] half-widths downhill: eq. 4 with the step size ``r / |g|``.

    Where the slope is zero it goes straight on. Walls reflect it, so that every point of the box can be
    reached from every other.
    """

    _CENTER = (math.log(4) + math.log(1e-8)) / 2
    _HALF_RANGE = (math.log(4) - math.log(1e-8)) / 2

    def move(self, run: Trajectory, action: Tensor) -> Tensor:
        """See ``StepRule``."""
        x = run.x + self.displacement(run, action)
        reflected = 1 - ((x + 1).remainder(4) - 2).abs()  # a triangle wave
        return torch.where(x.abs() <= 1, x, reflected)

    def size(self, action: Tensor) -> Tensor:
        """See ``StepRule``; in half-widths of the box."""
        return (action * self._HALF_RANGE + self._CENTER).exp()

    def displacement(self, run: Trajectory, action: Tensor) -> Tensor:
        """See ``StepRule``."""
        return self.direction(run) * self.size(action)

    def action_to(self, run: Trajectory, target: Tensor, bounce: bool = False) -> Tensor:
        """See ``StepRule``."""
        direction = self.direction(run)
        length = (target - run.x) * direction
        if bounce:
            length = torch.where(length < 0, 2 - (run.x + target) * direction, length)
        length = length.clamp(min=1e-300)
        return ((length.log() - self._CENTER) / self._HALF_RANGE).clamp(-1, 1)

    def direction(self, run: Trajectory) -> Tensor:
        """See ``StepRule``; never 0."""
        return run.downhill


class QuasiNewtonStep(SignedStep):
    """As the signed step, but in the orthant of the trust region's proposal instead of the gradient's."""

    needs_trust_region = True

    def direction(self, run: Trajectory) -> Tensor:
        """See ``StepRule``; never 0."""
        return run.proposed


STEP_RULES: dict[str, type[StepRule]] = {
    "gradient": GradientStep,
    "signed": SignedStep,
    "quasi_newton": QuasiNewtonStep,
}
"""By the names that environments, command lines and checkpoints know them by."""
