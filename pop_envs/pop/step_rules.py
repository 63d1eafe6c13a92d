"""From an action in [-1, 1] per coordinate to a displacement: eq. 4 of POP and its relatives."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

from pop_envs.arrays import Array, namespace
from pop_envs.search.trajectory import Trajectory


class StepRule(ABC):
    """Maps an action to a move in the unit box; an action is a step size on a logarithmic scale."""

    needs_trust_region: ClassVar[bool] = False
    """Whether it reads the trajectory's trust region."""

    def move(self, run: Trajectory, action: Array) -> Array:
        """The next point (batch, dim) for actions (batch, dim), in the box."""
        return namespace(action).clip(run.x + self.displacement(run, action), -1.0, 1.0)

    @abstractmethod
    def size(self, action: Array) -> Array:
        """The step sizes eta that actions (any shape) stand for."""

    @abstractmethod
    def displacement(self, run: Trajectory, action: Array) -> Array:
        """The move (batch, dim), were there no walls."""

    @abstractmethod
    def direction(self, run: Trajectory) -> Array:
        """Signs (batch, dim) of the move."""

    @abstractmethod
    def action_to(self, run: Trajectory, target: Array, bounce: bool = False) -> Array:
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

    def size(self, action: Array) -> Array:
        """See ``StepRule``."""
        return namespace(action).exp(action * self._HALF_RANGE)

    def displacement(self, run: Trajectory, action: Array) -> Array:
        """See ``StepRule``."""
        return -self.size(action) * run.slope

    def direction(self, run: Trajectory) -> Array:
        """See ``StepRule``; 0 where the slope is."""
        return -namespace(run.g).sign(run.g)

    def action_to(self, run: Trajectory, target: Array, bounce: bool = False) -> Array:
        """See ``StepRule``; walls do not reflect."""
        xp, slope = namespace(target), run.slope
        downhill = xp.at_least((run.x - target) * xp.sign(slope), 1e-300)
        return xp.clip(xp.log(downhill / xp.at_least(abs(slope), 1e-300)) / self._HALF_RANGE, -1.0, 1.0)


class SignedStep(StepRule):
    """A move of ``r`` in [1e-8, 4] half-widths downhill: eq. 4 with the step size ``r / |g|``.

    Where the slope is zero it goes straight on. Walls reflect it, so that every point of the box can be
    reached from every other.
    """

    _CENTER = (math.log(4) + math.log(1e-8)) / 2
    _HALF_RANGE = (math.log(4) - math.log(1e-8)) / 2

    def move(self, run: Trajectory, action: Array) -> Array:
        """See ``StepRule``."""
        x = run.x + self.displacement(run, action)
        reflected = 1 - abs((x + 1) % 4 - 2)  # a triangle wave
        return namespace(x).where(abs(x) <= 1, x, reflected)

    def size(self, action: Array) -> Array:
        """See ``StepRule``; in half-widths of the box."""
        return namespace(action).exp(action * self._HALF_RANGE + self._CENTER)

    def displacement(self, run: Trajectory, action: Array) -> Array:
        """See ``StepRule``."""
        return self.direction(run) * self.size(action)

    def action_to(self, run: Trajectory, target: Array, bounce: bool = False) -> Array:
        """See ``StepRule``."""
        xp, direction = namespace(target), self.direction(run)
        length = (target - run.x) * direction
        if bounce:
            length = xp.where(length < 0, 2 - (run.x + target) * direction, length)
        length = xp.at_least(length, 1e-300)
        return xp.clip((xp.log(length) - self._CENTER) / self._HALF_RANGE, -1.0, 1.0)

    def direction(self, run: Trajectory) -> Array:
        """See ``StepRule``; never 0."""
        return run.downhill


class QuasiNewtonStep(SignedStep):
    """As the signed step, but in the orthant of the trust region's proposal instead of the gradient's."""

    needs_trust_region = True

    def direction(self, run: Trajectory) -> Array:
        """See ``StepRule``; never 0."""
        return run.proposed


STEP_RULES: dict[str, type[StepRule]] = {
    "gradient": GradientStep,
    "signed": SignedStep,
    "quasi_newton": QuasiNewtonStep,
}
"""By the names that environments, command lines and checkpoints know them by."""
