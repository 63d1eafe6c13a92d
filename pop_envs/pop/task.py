"""What a run of POP is about: one configuration for environment, training, validation and checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from pop_envs.checks import made, positive_int
from pop_envs.objectives.base import Prior
from pop_envs.objectives.priors import PRIORS
from pop_envs.pop.rewards import REWARDS, Reward
from pop_envs.pop.search import Search
from pop_envs.pop.step_rules import STEP_RULES, StepRule
from pop_envs.pop.tokens import TOKENS, Tokens

if TYPE_CHECKING:
    PriorLike = str | Prior
    RewardLike = str | Reward
    StepRuleLike = str | StepRule
    TokensLike = str | Tokens
else:  # what a command line offers
    PriorLike = Literal[*PRIORS]
    RewardLike = Literal[*REWARDS]
    StepRuleLike = Literal[*STEP_RULES]
    TokensLike = Literal[*TOKENS]


@dataclass(frozen=True)
class POPTask:
    """The settings of ``POP-v0`` that do not depend on its size; the defaults are the paper's.

    Each of the four parts is a name in its registry or an object of one's own.

    Raises:
        ValueError: If a setting is neither.
    """

    budget: int = 50
    """Steps of a run: evaluations after the one at its start."""
    prior: PriorLike = "gp"
    """What functions are drawn from: the paper's Gaussian-process prior, or one with harder functions as well."""
    reward: RewardLike = "improvement"
    """What a step is worth: the fall of the best value, or also the decades gained in the gap to the minimum."""
    step_rule: StepRuleLike = "gradient"
    """How an action becomes a step: along the gradient, its signs, or the signs of the quasi-Newton step."""
    tokens: TokensLike = "paper"
    """What the policy sees of each point: the paper's four quantities, or thirty and more with proposed actions."""

    def __post_init__(self) -> None:
        positive_int("budget", self.budget)
        for make in (self.make_prior, self.make_reward, self.make_step_rule, self.make_tokens):
            make()

    def make_prior(self) -> Prior:
        """The prior."""
        return made("prior", self.prior, PRIORS, Prior)  # type: ignore[type-abstract]

    def make_reward(self) -> Reward:
        """The reward."""
        return made("reward", self.reward, REWARDS, Reward)  # type: ignore[type-abstract]

    def make_step_rule(self) -> StepRule:
        """The step rule."""
        return made("step_rule", self.step_rule, STEP_RULES, StepRule)  # type: ignore[type-abstract]

    def make_tokens(self) -> Tokens:
        """The tokens."""
        return made("tokens", self.tokens, TOKENS, Tokens)  # type: ignore[type-abstract]

    def make_search(self, budget: int | None = None) -> Search:
        """A search of this task's step rule and tokens, of this task's budget or another."""
        return Search(self.make_step_rule(), self.make_tokens(), budget or self.budget)

    def record(self) -> dict[str, Any]:
        """The settings as plain JSON values; an object of one's own is its class's name."""
        named = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value if isinstance(value, str | int) else type(value).__name__ for name, value in named.items()}


FULL = POPTask(prior="wide", reward="log_gap", step_rule="quasi_newton", tokens="options")
"""What learns best (``python -m benchmarks.ablations``), which training starts from: ``POP-full-v0``."""
