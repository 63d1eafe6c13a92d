"""The batched Markov decision process behind every face of the suite (POP, section 2)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from pop_envs import reward as rewards
from pop_envs.objective import Objective
from pop_envs.prior import PRIORS, GPPrior, PriorFunctions
from pop_envs.reference import reference_minimum, spread
from pop_envs.step_rule import STEP_RULES
from pop_envs.tokens import TOKENS
from pop_envs.trajectory import Trajectory

PriorName = Literal["gp", "wide"]
RewardName = Literal["improvement", "log_gap"]
StepRuleName = Literal["gradient", "signed", "quasi_newton"]
TokensName = Literal["paper", "full"]


class Core:
    """A batch of optimization runs, each on an objective of its own, stepped together.

    Each run draws its function and its start from its own generator, one row of uniform numbers a
    reset, so that a batch of N equals N batches of one.

    Args:
        num_envs: Number of runs.
        dim: Number of coordinates; taken from ``objective`` where one is given.
        budget: Steps T per run; the start is not counted.
        prior: "gp", "wide" or a configured prior.
        objective: A fixed objective for every run, instead of the prior.
        reward: "improvement" (eq. 6) or "log_gap".
        step_rule: "gradient" (eq. 4), "signed" or "quasi_newton".
        tokens: "paper" (its four quantities) or "full".
        device: Where the tensors live.

    Raises:
        ValueError: If an argument is not one of the above.
    """

    run: Trajectory
    token: Tensor  # (num_envs, dim, num_features) float32, of the newest point
    functions: Objective

    def __init__(
        self,
        num_envs: int = 1,
        *,
        dim: int | None = None,
        budget: int = 50,
        prior: PriorName | GPPrior = "gp",
        objective: Objective | None = None,
        reward: RewardName = "improvement",
        step_rule: StepRuleName = "gradient",
        tokens: TokensName = "paper",
        device: torch.device | str = "cpu",
    ) -> None:
        self.num_envs = positive_int("num_envs", num_envs)
        self.budget = positive_int("budget", budget)
        if objective is not None and not isinstance(objective, Objective):
            raise ValueError(
                f"objective must be a pop_envs.Objective, got {type(objective).__name__}; "
                "wrap a function of your own in pop_envs.BoxObjective(value_and_grad, lower, upper)"
            )
        if objective is not None and dim not in (None, objective.dim):
            raise ValueError(f"dim={dim} contradicts the objective's {objective.dim}; leave dim out")
        self.dim = objective.dim if objective is not None else positive_int("dim", 2 if dim is None else dim)
        self.objective = self._one_per_run(objective)
        self.prior = prior if isinstance(prior, GPPrior) else PRIORS[one_of("prior", prior, PRIORS)]()
        self.reward = one_of("reward", reward, rewards.REWARDS)
        self.step_rule = STEP_RULES[one_of("step_rule", step_rule, STEP_RULES)]()
        self.tokens = TOKENS[one_of("tokens", tokens, TOKENS)](self.budget, self.step_rule)
        self.device = torch.device(device)

    @property
    def num_features(self) -> int:
        """Features of a token."""
        return len(self.tokens.features)

    def reset(self, rngs: Sequence[np.random.Generator], index: Tensor | None = None) -> None:
        """Starts the runs at ``index`` (all by default) anew, the i-th with ``rngs[i]``."""
        functions, run, scale, minimum = self._begin(rngs, index)
        token = self.tokens(run)
        if index is None:
            self.functions, self.run, self.token = functions, run, token
            self.spread, self.minimum = scale, minimum
            return
        if self.objective is None:
            assert isinstance(self.functions, PriorFunctions)
            assert isinstance(functions, PriorFunctions)
            self.functions.put(index, functions)
        self.run.put(index, run)
        self.token = self.token.index_copy(0, index, token)
        self.spread = self.spread.index_copy(0, index, scale)
        self.minimum = self.minimum.index_copy(0, index, minimum)

    def step(self, action: Tensor) -> Tensor:
        """Makes one step with actions (num_envs, dim) in [-1, 1]; returns rewards (num_envs,), float64."""
        action = action.to(self.device, torch.float64).clamp(-1, 1)
        x = self.step_rule.move(self.run, action)
        y, g = self.functions.value_and_grad(x)
        self.run.observe(action, x, y, g)
        self.token = self.tokens(self.run)
        if self.reward == "log_gap":
            return rewards.log_gap(self.run, self.spread, self.minimum)
        return rewards.improvement(self.run, self.spread)

    @property
    def done(self) -> Tensor:
        """Which runs (num_envs,) have spent their budget."""
        return self.run.t >= self.budget

    def _one_per_run(self, objective: Objective | None) -> Objective | None:
        if not isinstance(objective, PriorFunctions) or len(objective) == self.num_envs:
            return objective
        if len(objective) != 1:
            raise ValueError(
                f"objective must hold one function, or one for each of the num_envs={self.num_envs} runs, "
                f"got {len(objective)}"
            )
        return objective.rows(torch.zeros(self.num_envs, dtype=torch.int64))

    def _begin(
        self, rngs: Sequence[np.random.Generator], index: Tensor | None
    ) -> tuple[Objective, Trajectory, Tensor, Tensor]:
        """New functions, the runs' starts, spreads and reference minima, one for each generator."""
        num_uniforms = 0 if self.objective is not None else self.prior.num_uniforms(self.dim)
        rows = np.empty((len(rngs), num_uniforms + self.dim))
        for rng, row in zip(rngs, rows, strict=True):
            rng.random(out=row)
        uniforms = torch.from_numpy(rows).to(self.device)
        x = 2 * uniforms[:, num_uniforms:] - 1
        functions: Objective
        if self.objective is None:
            functions = self.prior.build(uniforms[:, :num_uniforms], self.dim)
            scale, minimum = self._measure(functions)
        elif index is None:
            functions, (scale, minimum) = self.objective, self._fixed_measures
        else:
            functions = self.objective.rows(index)
            scale, minimum = (measure[index] for measure in self._fixed_measures)
        return functions, self.tokens.start(x, *functions.value_and_grad(x)), scale, minimum

    @cached_property
    def _fixed_measures(self) -> tuple[Tensor, Tensor]:
        """Those of the fixed objective, which need not be found again at every reset."""
        assert self.objective is not None
        scale, minimum = self._measure(self.objective)
        return scale.expand(self.num_envs), minimum.expand(self.num_envs)

    def _measure(self, functions: Objective) -> tuple[Tensor, Tensor]:
        """What rewards are measured in: spreads and reference minima (batch or 1,)."""
        scale = spread(functions, self.device)
        if functions.minimum is not None:
            return scale, torch.full_like(scale, functions.minimum)
        if self.reward != "log_gap":  # nobody asks
            return scale, torch.full_like(scale, torch.nan)
        return scale, reference_minimum(functions, self.device)


def positive_int(name: str, value: int) -> int:
    """``value``, if it is a positive integer.

    Raises:
        ValueError: If it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}")
    return int(value)


def one_of(name: str, value: str, allowed: Collection[str]) -> str:
    """``value``, if it is among ``allowed``.

    Raises:
        ValueError: If it is not.
    """
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
    return value
