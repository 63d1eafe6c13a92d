"""``POP-v0``: optimizing a random function, as a Gymnasium environment and as a natively batched one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from pop_envs.checks import one_of
from pop_envs.objectives.base import Objective
from pop_envs.pop.core import Core
from pop_envs.pop.task import POPTask, PriorLike, RewardLike, StepRuleLike, TokensLike
from pop_envs.pop.tokens import TokenSpace
from pop_envs.rendering import EpisodePainter
from pop_envs.vector import BatchOfOneEnv, BatchVectorEnv, CoreEpisodes, Mask, Observation, copied

ObservationName = Literal["trajectory", "token"]

OBSERVATIONS = ("trajectory", "token")


class POPEnv(BatchOfOneEnv["POPEpisodes"]):
    r"""Minimize a function that was drawn at random, within a budget of evaluations.

    ## Description

    Each episode is one optimization run, as in "Prior-fitted Optimizer Policies" (POP): `reset` draws a
    function $f$ from a prior and a start $x_0$ from its box, and each of the $T$ steps evaluates $f$ and its
    gradient at one more point. The agent chooses how far to go in each coordinate; it sees everything that
    the run has seen so far. What it learns is an optimizer.

    The box is scaled to $[-1, 1]^D$. Adding a constant to $f$, multiplying it by a positive number, or moving
    and stretching its box changes no observation and no step.

    ## Action Space

    A `Box(-1, 1, (dim,), float32)`: the logarithm of a step size $\eta_d$ for each coordinate, scaled to
    $[-1, 1]$; what lies outside is clipped. With the gradient $g$ in units of the largest gradient entry seen
    in the episode:

    | `step_rule`      | Next point                                                         | Step size at -1, 0, 1 |
    |------------------|--------------------------------------------------------------------|-----------------------|
    | `"gradient"`     | $x - \eta \circ g$ (eq. 4 of POP)                                  | 1e-6, 1, 1e6          |
    | `"signed"`       | $x - \eta \circ \operatorname{sign}(g)$                            | 1e-8, 2e-4, 4         |
    | `"quasi_newton"` | $x + \eta \circ \operatorname{sign}(p)$, $p$ the proposed step     | 1e-8, 2e-4, 4         |

    The proposed step is the trust region's, see below. Eq. 4 stops at the walls of the box. Under the other two
    walls reflect, and a coordinate whose sign is 0 keeps its direction: every point of the box can be reached.

    ## Observation Space

    Each point of the run has one token: a row of features for each coordinate. With
    `observation="trajectory"` the observation has the shape `(budget + 1, dim, features)`: row $i$ is the token
    of step $i$, and rows that are still to come are zero. It is Markov. With `observation="token"` it is the
    newest token only, `(dim, features)`, for policies with a memory of their own. A token depends on its own
    and earlier steps only. The type is float32; the space is bounded, and its bounds always hold.

    `tokens="paper"`, the quantities of eq. 1 of POP:

    | Num | Feature    | Meaning                                                             | Range             |
    |-----|------------|---------------------------------------------------------------------|-------------------|
    | 0   | `time`     | $t / T$                                                             | [0, 1]            |
    | 1   | `x`        | The coordinate, in the unit box                                     | [-1, 1]           |
    | 2   | `value`    | $y$, standardized by mean and deviation of the values so far        | $\pm\sqrt{T + 1}$ |
    | 3   | `gradient` | $\partial f / \partial x_d$ over $S$, the largest entry seen so far | [-1, 1]           |

    `tokens="full"` goes on from there. Logarithms are odd, $\operatorname{sign}(v)(1 + \log_{10}|v| / 12)$, 0 up
    to 1e-12 and 2 from 1e12 on; "ahead" is the direction in which the step rule will move the coordinate.

    | Num | Feature                      | Meaning                                                       | Range    |
    |-----|------------------------------|---------------------------------------------------------------|----------|
    | 4   | `direction`                  | Sign of the coming move                                       | -1, 0, 1 |
    | 5   | `room ahead`                 | Distance to the wall ahead                                    | [0, 2]   |
    | 6   | `log room ahead`             | Its log                                                       | [0, 2]   |
    | 7   | `log gradient`               | Log of feature 3's size                                       | [0, 1]   |
    | 8   | `log move`                   | Log of the last move, positive where it went ahead            | [-2, 2]  |
    | 9   | `log gradient change`        | Log of the last change of the gradient over $S$, signed alike | [-2, 2]  |
    | 10  | `log secant step`            | Log of last move over last gradient change, a tenth an e-fold | [-2, 2]  |
    | 11  | `secant sign`                | Whether the slope rose along the last move                    | -1, 0, 1 |
    | 12  | `gradient turned`            | Sign of the product of the last two gradient entries          | -1, 0, 1 |
    | 13  | `log value change`           | Log of the last change of $y$ over $S$                        | [-2, 2]  |
    | 14  | `log distance to best value` | Log of $y - \min y$ over $S$                                  | [0, 2]   |
    | 15  | `log scale growth`           | Half the log of the factor by which $S$ just grew             | [0, 5]   |
    | 16  | `is best`                    | Whether no point is better                                    | 0, 1     |
    | 17  | `best ahead`                 | Displacement to the best point, positive where it is ahead    | [-2, 2]  |
    | 18  | `log best ahead`             | Its log                                                       | [-2, 2]  |
    | 19  | `action`                     | The last action                                               | [-1, 1]  |
    | 20  | `trust-region outcome`       | The newest point: accepted, rejected, or a restart            | 1, 0, -1 |
    | 21  | `log iterate gap`            | Log of the trust region's best value minus $\min y$ over $S$  | [0, 2]   |
    | 22  | `log predicted reduction`    | Log of the fall over $S$ that slope and proposal predict      | [-2, 2]  |
    | 23  | `log predicted gap`          | Log of 21 minus 22 over $S$; negative is a new best           | [-2, 2]  |
    | 24  | `log proposed step`          | Log of the way to the proposal, positive where it goes ahead  | [-2, 2]  |
    | 25  | `posterior mean`             | Of the surrogate at its proposal, less $\min y$               | [-2, 2]  |
    | 26  | `posterior deviation`        | Its standard deviation there                                  | [0, 1]   |
    | 27  | `inverse dim`                | One over the number of coordinates                            | (0, 1]   |
    | 28  | `surrogate proposal`         | The action that leads to the surrogate's proposal             | [-1, 1]  |
    | 29  | `trust-region proposal`      | The action that leads to the trust region's proposal          | [-1, 1]  |

    `tokens="options"` has these instead of features 28 and 29, for policies that choose between going on with the
    present descent, going on with the lowest one, and a jump. Counts $n$ are $\ln(1 + n) / \ln 500$; falls are logs as
    above, but over the range of values so far.

    | Num | Feature                      | Meaning                                                       | Range    |
    |-----|------------------------------|---------------------------------------------------------------|----------|
    | 28  | `log steps left`             | Count of the steps that are left                              | [0, 2]   |
    | 29  | `log relative reduction`     | Log of the fall predicted for the trust region's proposal     | [-2, 2]  |
    | 30  | `log relative gap`           | Log of the trust region's best value minus $\min y$           | [0, 2]   |
    | 31  | `log lowest reduction`       | Log of the fall predicted for the lowest descent's proposal   | [-2, 2]  |
    | 32  | `log accepts`                | Count of points that the present descent has accepted         | [0, 2]   |
    | 33  | `log rejects`                | Count of points that it has rejected since                    | [0, 2]   |
    | 34  | `log since best`             | Count of steps since $\min y$ fell                            | [0, 2]   |
    | 35  | `log jumps`                  | Count of descents that were left for new ones                 | [0, 2]   |
    | 36  | `descent exhausted`          | Whether 29 is below 1e-8, or 30 above 29: no new best         | 0, 1     |
    | 37  | `surrogate proposal`         | The action that leads to the surrogate's proposal             | [-1, 1]  |
    | 38  | `trust-region proposal`      | The action that leads to the trust region's proposal          | [-1, 1]  |
    | 39  | `lowest-descent proposal`    | The action that leads to the lowest descent's proposal        | [-1, 1]  |

    The trust region is that of a descent by limited-memory BFGS, which goes along with the run and makes a
    proposal. A point near the proposal is accepted or rejected, by its value, or by the slopes where short steps show
    that values are noisy; from a point far from it the descent is restarted.
    The lowest of the descents that were left is kept, and gone on with where a step leads to its proposal: the lowest
    descent is this one or the present one. An action that is equal, in single precision and in all coordinates, to one
    that the token proposes leads to what is proposed exactly, even closer than the smallest step.

    The surrogate is a Gaussian process, fitted to the values seen. Its candidates are 64 spread-out points of the
    box, of which the start is one, and its proposal is the candidate that most probably improves on $\min y$ by one
    deviation of the process, the unit of posterior mean and deviation. The action goes to a proposal that lies behind
    off the wall ahead; eq. 4, whose walls do not reflect, gets as far as its signs allow. The surrogate keeps a matrix
    of at most 256 rows and columns for each run: of more points it forgets the half that the others tell most about.
    The space, a `TokenSpace`, names the features.

    ## Rewards

    With $y^*_t$ the best value after $t$ steps, $\sigma_f$ the function's spread (mean minus minimum of 64
    fixed points of the box), and $f_{ref}$ its known minimum or the outcome of a multi-start descent:

    - `reward="improvement"`: $r_t = \max(0, y^*_{t-1} - y_t) / \sigma_f$ (eq. 6 of POP);
    - `reward="log_gap"`: the same, but at most 1, plus $\frac{1}{4} (d(y^*_{t-1}) - d(y^*_t))$ with
      $d(y) = \log_{10} \max(10^{-10}, (y - f_{ref}) / \sigma_f)$, which pays for every digit alike.

    A step that does not improve costs nothing.

    ## Starting State

    A function from the prior (unless `objective` fixes it) and a uniform point of its box.

    ## Episode End

    The episode terminates after `budget` steps. The budget is part of the state, so this is a termination, and
    `truncated` is always False.

    ## Info

    | Key          | Meaning                                                                                |
    |--------------|----------------------------------------------------------------------------------------|
    | `x`          | The newest point, in a `BoxObjective`'s own coordinates or else in the unit box        |
    | `value`      | Its value                                                                              |
    | `best_x`     | The best point                                                                         |
    | `best_value` | Its value; infinite while no value was finite                                          |
    | `valid`      | False where the objective returned no finite value: the point counts as the worst seen |

    ## Arguments

    ```python
    >>> import gymnasium as gym
    >>> import pop_envs
    >>> env = gym.make("POP-v0", dim=3, budget=20, step_rule="signed")
    >>> env.observation_space.shape
    (21, 3, 4)
    >>> gym.make_vec("POP-v0", num_envs=1024, observation="token").observation_space.shape
    (1024, 2, 4)

    ```

    A function of one's own, batched over rows of points:

    ```python
    >>> sphere = pop_envs.BoxObjective(lambda x: ((x**2).sum(-1), 2 * x), lower=[-5, -5], upper=[5, 5])
    >>> env = gym.make("POP-v0", objective=sphere)

    ```

    | Parameter     | Type                        | Default         | Description                                      |
    |---------------|-----------------------------|-----------------|--------------------------------------------------|
    | `dim`         | `int`                       | `2`             | Number of coordinates; the objective's if given  |
    | `budget`      | `int`                       | `50`            | Number of steps $T$; the start is not counted    |
    | `prior`       | `str`, `Prior`              | `"gp"`          | `"gp"`, `"wide"`, `"plain"`, `"kernels"`, own   |
    | `objective`   | `Objective`                 | `None`          | A fixed objective, instead of the prior          |
    | `reward`      | `str`, `Reward`             | `"improvement"` | `"improvement"`, `"log_gap"` or your own         |
    | `step_rule`   | `str`, `StepRule`           | `"gradient"`    | `"gradient"`, `"signed"`, `"quasi_newton"`, own  |
    | `observation` | `str`                       | `"trajectory"`  | `"trajectory"` or `"token"`                      |
    | `tokens`      | `str`, `Tokens`             | `"paper"`       | `"paper"`, `"full"`, `"options"` or your own     |
    | `render_mode` | `str`                       | `None`          | `"rgb_array"`: contour, path and value curve     |

    The defaults are the paper's. `POP-full-v0` is the same environment with the arguments that learn best,
    `prior="wide"`, `reward="log_gap"`, `step_rule="quasi_newton"` and `tokens="options"`.

    `POPVectorEnv`, which `gymnasium.make_vec` gives, takes `num_envs`, `autoreset_mode` and `device` as well.

    ## References

    - Prior-fitted Optimizer Policies, [arXiv:2602.15473](https://arxiv.org/abs/2602.15473).
    - Nocedal and Wright, Numerical Optimization, chapters 4 and 7 (the trust region).
    - Rasmussen & Williams, Gaussian processes for machine learning, 2006 (the surrogate).
    - Kushner, A new method of locating the maximum point of an arbitrary multipeak curve, 1964 (its acquisition).

    ## Version History

    * v0: Initial version.
    """

    def __init__(
        self,
        dim: int | None = None,
        budget: int = POPTask.budget,
        prior: PriorLike = POPTask.prior,
        objective: Objective | None = None,
        reward: RewardLike = POPTask.reward,
        step_rule: StepRuleLike = POPTask.step_rule,
        observation: ObservationName = "trajectory",
        tokens: TokensLike = POPTask.tokens,
        render_mode: str | None = None,
    ) -> None:
        core = Core(1, POPTask(budget, prior, reward, step_rule, tokens), dim=dim, objective=objective)
        super().__init__(POPEpisodes(core, observation, paint=render_mode is not None), render_mode)


class POPVectorEnv(BatchVectorEnv["POPEpisodes"]):
    """``POPEnv``, natively batched: all runs are stepped in one call.

    Sub-environment ``i`` of an environment that was reset with the seed ``s`` does what a ``POPEnv`` reset
    with the seed ``s + i`` does, episode after episode.

    Args:
        num_envs: Number of sub-environments.
        dim: See ``POPEnv``, as for all that is not explained here.
        budget: Number of steps T.
        prior: What functions are drawn from.
        objective: A fixed objective. It holds one function for all, or one for each sub-environment.
        reward: "improvement", "log_gap" or a ``Reward``.
        step_rule: "gradient", "signed", "quasi_newton" or a ``StepRule``.
        observation: "trajectory" or "token".
        tokens: "paper", "full" or ``Tokens``.
        render_mode: None or "rgb_array".
        autoreset_mode: When a sub-environment that has ended restarts: in the same step (the last
            observation and info are in ``final_obs`` and ``final_info``), in the next step (whose action it
            ignores), or when ``reset(options={"reset_mask": mask})`` asks for it.
        device: Where the computation is done; observations are NumPy arrays in any case.

    Raises:
        ValueError: If an argument is not one of the above.
    """

    def __init__(
        self,
        num_envs: int = 1,
        dim: int | None = None,
        budget: int = POPTask.budget,
        prior: PriorLike = POPTask.prior,
        objective: Objective | None = None,
        reward: RewardLike = POPTask.reward,
        step_rule: StepRuleLike = POPTask.step_rule,
        observation: ObservationName = "trajectory",
        tokens: TokensLike = POPTask.tokens,
        render_mode: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        device: torch.device | str = "cpu",
    ) -> None:
        task = POPTask(budget, prior, reward, step_rule, tokens)
        core = Core(num_envs, task, dim=dim, objective=objective, device=device)
        episodes = POPEpisodes(core, observation, paint=render_mode is not None)
        super().__init__(episodes, render_mode, autoreset_mode)


class POPEpisodes(CoreEpisodes[Core, EpisodePainter]):
    """What is seen of a core's runs: observations, facts and frames."""

    def __init__(self, core: Core, observation: ObservationName, paint: bool) -> None:
        one_of("observation", observation, OBSERVATIONS)
        self._every = np.arange(core.num_envs)
        budget = core.task.budget
        super().__init__(core, budget, [EpisodePainter(budget) for _ in self._every] if paint else [])
        tokens, shape = core.search.tokens, core.tokens_shape
        self._tokens: Observation | None = None  # (num_envs, budget + 1, dim, features), of all points so far
        if observation == "trajectory":
            self._tokens = np.zeros((core.num_envs, self.budget + 1, *shape), np.float32)
        self.observation_space = TokenSpace(
            tokens,
            core.search.step_rule,
            self.budget,
            (core.dim,) if self._tokens is None else (self.budget + 1, core.dim),
        )
        self.action_space = Box(-1.0, 1.0, (core.dim,), np.float32)

    def reset(self, rngs: Sequence[np.random.Generator], mask: Mask | None = None) -> None:
        """See ``EpisodeBatch``."""
        super().reset(rngs, mask)
        if self._tokens is not None:
            self._tokens[... if mask is None else mask] = 0

    def observe(self) -> Observation:
        """The newest tokens (num_envs, dim, features), or all of them (num_envs, budget + 1, dim, features)."""
        newest: Observation = self.core.search.token.cpu().numpy()
        if self._tokens is None:
            return newest.copy()
        self._tokens[self._every, self.core.search.trajectory.t.cpu().numpy()] = newest
        return self._tokens.copy()

    def facts(self) -> dict[str, NDArray[Any]]:
        """See ``EpisodeBatch``."""
        run = self.core.search.trajectory
        return {
            "x": self._own(run.x),
            "value": copied(run.y),
            "best_x": self._own(run.best_x),
            "best_value": copied(run.best_y),
            "valid": copied(run.valid),
        }

    def _begin_picture(self, painter: EpisodePainter, i: int) -> None:
        painter.restart(self.core.functions.rows(self._row(i)), self.core.minimum[i].item())

    def _record(self, painter: EpisodePainter, i: int) -> None:
        run = self.core.search.trajectory
        painter.record(run.x[i], run.y[i])
