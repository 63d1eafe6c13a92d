"""What a run of Rover Descent is about: one configuration for environment, training, validation and checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from pop_envs.checks import made, positive_int
from pop_envs.objectives.landscapes import FAMILIES, Family, LandscapePrior
from pop_envs.rover.directions import Best, Direction, Gradient, Newton, Seeing
from pop_envs.rover.network import shipped_direction
from pop_envs.rover.rewards import REWARDS, Reward

DIRECTIONS: dict[str, Callable[[], Direction]] = {
    "learned": lambda: Seeing(shipped_direction()),
    "gradient": Gradient,
    "newton": Newton,
    "best": Best,
}
"""By the names that environments and command lines know them by."""

if TYPE_CHECKING:
    RewardLike = str | Reward
    DirectionLike = str | Direction | Callable[[Tensor], Tensor]
else:  # what a command line offers
    RewardLike = Literal[*REWARDS]
    DirectionLike = Literal[*DIRECTIONS]

Bounds = tuple[float, float]


@dataclass(frozen=True)
class RoverTask:
    """The settings of ``RoverDescent-v0``.

    Raises:
        ValueError: If a setting cannot be.
    """

    budget: int = 30
    """Steps of a run, T."""
    n: int = 5
    """Points of a side of the grid, odd."""
    families: tuple[Family, ...] = FAMILIES
    """Landscapes that functions are drawn from, in equal shares."""
    noise: float = 0.0
    """Of the landscapes but for bowls; 1 draws from the field's conditional distribution, as the paper does."""
    reward: RewardLike = "from_recent"
    """What a step is worth: the value (eq. 5), or the gap over the start's (eq. 6) or the recent ones' (eq. 7)."""
    direction: DirectionLike = "learned"
    """Where the rover goes: as the shipped network says, or the gradient, Newton's step, or the better of the two."""
    alpha: Bounds = (0.0005, 0.5)
    """First step sizes are log-uniform between these, in half widths of the landscapes' box."""
    delta: Bounds = (0.02, 20.0)
    """First resolutions likewise."""

    def __post_init__(self) -> None:
        positive_int("budget", self.budget)
        if positive_int("n", self.n) % 2 == 0 or self.n < 3:
            raise ValueError(f"n must be odd and at least 3, for the middle of the grid to be the point, got {self.n}")
        if not self.noise >= 0:
            raise ValueError(f"noise must be at least 0, got {self.noise}")
        for name in ("alpha", "delta"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name} must be two positive numbers in order, got {getattr(self, name)}")
        self.make_prior()
        self.make_reward()
        self.make_direction()

    def make_prior(self) -> LandscapePrior:
        """What functions are drawn from."""
        return LandscapePrior(tuple(self.families))

    def make_reward(self) -> Reward:
        """The reward."""
        return made("reward", self.reward, REWARDS, Reward)  # type: ignore[type-abstract]

    def make_direction(self) -> Direction:
        """The direction."""
        if callable(self.direction) and not isinstance(self.direction, Direction):
            return Seeing(self.direction)
        direction = made("direction", self.direction, DIRECTIONS, Direction)  # type: ignore[type-abstract]
        known = getattr(getattr(direction, "network", None), "n", self.n)
        if known != self.n:
            raise ValueError(f"the direction network sees grids of {known} x {known}, got n={self.n}")
        return direction

    def record(self) -> dict[str, Any]:
        """The settings as plain JSON values; an object of one's own is its class's name."""
        told = {each.name: getattr(self, each.name) for each in fields(self)}
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in told.items()}
        return {n: v if isinstance(v, str | int | float | list) else type(v).__name__ for n, v in plain.items()}
