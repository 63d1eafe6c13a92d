"""What a run of Learning to Optimize is about: one configuration for environment, training and checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pop_envs.checks import made, positive_int
from pop_envs.lto.rewards import REWARDS, Reward
from pop_envs.lto.search import Search
from pop_envs.objectives.learning_tasks import TASKS, LearningTask

if TYPE_CHECKING:
    TaskLike = str | LearningTask
    RewardLike = str | Reward
else:  # what a command line offers
    TaskLike = Literal[*TASKS]
    RewardLike = Literal[*REWARDS]


@dataclass(frozen=True)
class LTOTask:
    """The settings of ``LearningToOptimize-v0``; the defaults are the paper's where it has any.

    Raises:
        ValueError: If a setting is not a name in its registry, an object of its kind, or positive.
    """

    task: TaskLike = "logistic"
    """What functions are drawn from: losses of a logistic regression, a robust regression or a small network."""
    history: int = 25
    """Past iterates that the policy sees, H."""
    budget: int = 40
    """Steps of a run."""
    reward: RewardLike = "cost"
    """What a step is worth: minus the objective, or minus the objective over that at the start."""
    max_step: float = 4.0
    """Longest step in a coordinate: what an action of 1 stands for."""

    def __post_init__(self) -> None:
        positive_int("history", self.history)
        positive_int("budget", self.budget)
        if not 0 < self.max_step < float("inf"):
            raise ValueError(f"max_step must be positive and finite, got {self.max_step}")
        self.make_task()
        self.make_reward()

    def make_task(self) -> LearningTask:
        """The distribution over losses."""
        return made("task", self.task, TASKS, LearningTask)  # type: ignore[type-abstract]

    def make_reward(self) -> Reward:
        """The reward."""
        return made("reward", self.reward, REWARDS, Reward)  # type: ignore[type-abstract]

    def make_search(self) -> Search:
        """A search of this task's history and longest step."""
        return Search(self.history, self.max_step)

    def record(self) -> dict[str, Any]:
        """The settings as plain JSON values; an object of one's own is its class's name."""
        return {
            name: value if isinstance(value, str | int | float) else type(value).__name__
            for name, value in vars(self).items()
        }
