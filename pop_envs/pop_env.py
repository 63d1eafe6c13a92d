"""``POP-v0``: optimizing a random function, as a Gymnasium environment and as a natively batched one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from pop_envs.core import Core, PriorName, RewardName, StepRuleName, TokensName, one_of
from pop_envs.objective import BoxObjective, Objective
from pop_envs.prior import GPPrior
from pop_envs.rendering import EpisodePainter

ObservationName = Literal["trajectory", "token"]
Observation = NDArray[np.float32]
Mask = NDArray[np.bool_]

OBSERVATIONS = ("trajectory", "token")
RENDER_MODES = ("rgb_array",)


class POPEnv(gym.Env[Observation, NDArray[np.float32]]):
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
    | `"quasi_newton"` | $x + \eta \circ \operatorname{sign}(p)$, $p$ the quasi-Newton step | 1e-8, 2e-4, 4         |

    Eq. 4 stops at the walls of the box. Under the other two walls reflect, and a coordinate whose sign is 0
    keeps its direction: every point of the box can be reached from every other.

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
    | 20  | `descent outcome`            | The descent's newest point: better, not, or a departure       | 1, 0, -1 |
    | 21  | `log descent gap`            | Log of the descent's best value minus $\min y$ over $S$       | [0, 2]   |
    | 22  | `log descent gain`           | Log of the fall over $S$ that slope and next step promise     | [-2, 2]  |
    | 23  | `log descent promise`        | Log of gap minus gain over $S$; negative is a new best        | [-2, 2]  |
    | 24  | `log newton step`            | Log of the quasi-Newton step, positive where it goes ahead    | [-2, 2]  |
    | 25  | `forecast`                   | The scout's forecast at its target, less $\min y$             | [-2, 2]  |
    | 26  | `doubt`                      | The deviation of that forecast                                | [0, 1]   |
    | 27  | `inverse dim`                | One over the number of coordinates                            | (0, 1]   |
    | 28  | `scout`                      | The action that leads to the scout's target                   | [-1, 1]  |
    | 29  | `newton`                     | The action that makes the quasi-Newton step                   | [-1, 1]  |

    The quasi-Newton step leads to the target of a descent by limited-memory BFGS in a trust region. The descent
    goes along with the run: a point near its target is one of its own, better or not, and a point far from it is
    a departure, from which it begins anew.

    The scout looks at the whole box, at 64 spread-out points of which the start is one. At each of them a Gaussian
    process, fitted to the values seen, forecasts the value, and has a deviation; both are in units of the process'
    own deviation. The target is the point that is most probably one of these below $\min y$: where values are low,
    little is known, or both. The action goes to a target that lies behind off the wall ahead; eq. 4, whose walls do
    not reflect, gets as far as its signs allow. The process keeps a matrix of `budget + 1` rows and columns for each
    run.

    ## Rewards

    With $y^*_t$ the best value after $t$ steps, $\sigma_f$ the function's spread (mean minus minimum of 64
    fixed points of the box), and $f_{ref}$ its known minimum or the outcome of a multi-start descent:

    - `reward="improvement"`: $r_t = \max(0, y^*_{t-1} - y_t) / \sigma_f$ (eq. 6 of POP);
    - `reward="log_gap"`: the same, but at most 1, plus $\frac{1}{4} (d(y^*_{t-1}) - d(y^*_t))$ with
      $d(y) = \log_{10} \max(10^{-8}, (y - f_{ref}) / \sigma_f)$, which pays for every digit alike.

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
    | `prior`       | `"gp"`, `"wide"`, `GPPrior` | `"gp"`          | What functions are drawn from (eq. 8-10)         |
    | `objective`   | `Objective`                 | `None`          | A fixed objective, instead of the prior          |
    | `reward`      | `str`                       | `"improvement"` | `"improvement"` or `"log_gap"`                   |
    | `step_rule`   | `str`                       | `"gradient"`    | `"gradient"`, `"signed"` or `"quasi_newton"`     |
    | `observation` | `str`                       | `"trajectory"`  | `"trajectory"` or `"token"`                      |
    | `tokens`      | `str`                       | `"paper"`       | `"paper"` or `"full"`                            |
    | `render_mode` | `str`                       | `None`          | `"rgb_array"`: contour, path and value curve     |

    `POPVectorEnv`, which `gymnasium.make_vec` gives, takes `num_envs`, `autoreset_mode` and `device` as well.

    ## References

    - Prior-fitted Optimizer Policies, [arXiv:2602.15473](https://arxiv.org/abs/2602.15473).
    - Nocedal and Wright, Numerical Optimization, section 7.2 (the quasi-Newton step).
    - Rasmussen & Williams, Gaussian processes for machine learning, 2006 (the scout's model).
    - Kushner, A new method of locating the maximum point of an arbitrary multipeak curve, 1964 (its target).

    ## Version History

    * v0: Initial version.
    """

    metadata: dict[str, Any] = {"render_modes": list(RENDER_MODES), "render_fps": 10}  # noqa: RUF012 - Gymnasium's

    def __init__(
        self,
        dim: int | None = None,
        budget: int = 50,
        prior: PriorName | GPPrior = "gp",
        objective: Objective | None = None,
        reward: RewardName = "improvement",
        step_rule: StepRuleName = "gradient",
        observation: ObservationName = "trajectory",
        tokens: TokensName = "paper",
        render_mode: str | None = None,
    ) -> None:
        self.core = Core(
            1,
            dim=dim,
            budget=budget,
            prior=prior,
            objective=objective,
            reward=reward,
            step_rule=step_rule,
            tokens=tokens,
        )
        self.budget = self.core.budget
        self._view = _View(self.core, observation, render_mode)
        self.render_mode = render_mode
        self.observation_space = self._view.space
        self.action_space = Box(-1.0, 1.0, (self.core.dim,), np.float32)
        self._running = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draws a function and a start; see ``gymnasium.Env``."""
        super().reset(seed=seed)
        self._view.reset([self.np_random])
        self._running = True
        return self._view.observe()[0], self._info()

    def step(self, action: NDArray[np.float32]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Evaluates one more point; see ``gymnasium.Env``.

        Raises:
            ValueError: If the action is not of the shape (dim,) or not finite.
            ResetNeeded: If there is no running episode.
        """
        if not self._running:
            raise ResetNeeded("the episode has ended or not begun: call reset() before step()")
        reward = self._view.step(_actions(action, self.action_space)[None])
        terminated = bool(self.core.done)
        self._running = not terminated
        return self._view.observe()[0], float(reward[0]), terminated, False, self._info()

    def render(self) -> NDArray[np.uint8] | None:
        """The episode so far as a frame (height, width, 3).

        Raises:
            DependencyNotInstalled: If matplotlib is missing.
        """
        if self.render_mode is None:
            gym.logger.warn('render() shows nothing without a render mode: make the environment with "rgb_array"')
            return None
        return self._view.frames()[0]

    def _info(self) -> dict[str, Any]:
        return {key: fact[0] if fact.ndim > 1 else fact[0].item() for key, fact in self._view.facts().items()}


class POPVectorEnv(VectorEnv[Observation, NDArray[np.float32], NDArray[Any]]):
    """``POPEnv``, natively batched: all runs are stepped in one call.

    Sub-environment ``i`` of an environment that was reset with the seed ``s`` does what a ``POPEnv`` reset
    with the seed ``s + i`` does, episode after episode.

    Args:
        num_envs: Number of sub-environments.
        dim: See ``POPEnv``, as for all that is not explained here.
        budget: Number of steps T.
        prior: What functions are drawn from.
        objective: A fixed objective. It holds one function for all, or one for each sub-environment.
        reward: "improvement" or "log_gap".
        step_rule: "gradient", "signed" or "quasi_newton".
        observation: "trajectory" or "token".
        tokens: "paper" or "full".
        render_mode: None or "rgb_array".
        autoreset_mode: When a sub-environment that has ended restarts: in the same step (the last
            observation and info are in ``final_obs`` and ``final_info``), in the next step (whose action it
            ignores), or when ``reset(options={"reset_mask": mask})`` asks for it.
        device: Where the computation is done; observations are NumPy arrays in any case.

    Raises:
        ValueError: If an argument is not one of the above.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - Gymnasium's
        "render_modes": list(RENDER_MODES),
        "render_fps": 10,
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        dim: int | None = None,
        budget: int = 50,
        prior: PriorName | GPPrior = "gp",
        objective: Objective | None = None,
        reward: RewardName = "improvement",
        step_rule: StepRuleName = "gradient",
        observation: ObservationName = "trajectory",
        tokens: TokensName = "paper",
        render_mode: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        device: torch.device | str = "cpu",
    ) -> None:
        self.core = Core(
            num_envs,
            dim=dim,
            budget=budget,
            prior=prior,
            objective=objective,
            reward=reward,
            step_rule=step_rule,
            tokens=tokens,
            device=device,
        )
        self.num_envs = self.core.num_envs
        self.budget = self.core.budget
        self._view = _View(self.core, observation, render_mode)
        self.render_mode = render_mode
        if not isinstance(autoreset_mode, AutoresetMode):
            modes = {mode.value: mode for mode in AutoresetMode}
            autoreset_mode = modes[one_of("autoreset_mode", autoreset_mode, tuple(modes))]
        self.metadata = {**self.metadata, "autoreset_mode": autoreset_mode}
        self._autoreset_mode = autoreset_mode
        self.single_observation_space = self._view.space
        self.single_action_space = Box(-1.0, 1.0, (self.core.dim,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._rngs, self._seeds = map(list, zip(*(seeding.np_random() for _ in range(self.num_envs)), strict=True))
        self._ended: Mask | None = None  # which sub-environments wait for a restart; None before the first reset

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """The generator of each sub-environment."""
        return tuple(self._rngs)

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """The seed of each sub-environment."""
        return tuple(self._seeds)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observation, dict[str, Any]]:
        """Draws functions and starts.

        Args:
            seed: The first sub-environment's seed, of which the others' count on, or one for each; those
                without one go on with their generators.
            options: ``{"reset_mask": mask}`` restarts only those sub-environments where the array (num_envs,)
                of bools is True.

        Returns:
            Observations (num_envs, ...), also of those that were not restarted, and infos of those that were.

        Raises:
            ValueError: If the number of seeds or the mask does not fit.
            ResetNeeded: If a mask comes before the first reset.
        """
        seeds: Sequence[int | None]
        if seed is None or isinstance(seed, int | np.integer):
            seeds = [None if seed is None else int(seed) + i for i in range(self.num_envs)]
        else:
            seeds = seed
        if len(seeds) != self.num_envs:
            raise ValueError(f"expected one seed for each of the num_envs={self.num_envs}, got {len(seeds)}")
        mask = self._reset_mask(options)
        for i, (own, asked) in enumerate(zip(seeds, mask, strict=True)):
            if asked and own is not None:
                self._rngs[i], self._seeds[i] = seeding.np_random(own)
        self._restart(mask)
        self._ended = ~mask if self._ended is None else self._ended & ~mask
        return self._view.observe(), self._infos(mask)

    def step(self, actions: NDArray[np.float32]) -> tuple[Observation, NDArray[np.float64], Mask, Mask, dict[str, Any]]:
        """Evaluates one more point in each sub-environment; see ``gymnasium.vector.VectorEnv``.

        Raises:
            ValueError: If the actions are not of the shape (num_envs, dim) or not finite.
            ResetNeeded: If there was no reset, or a sub-environment that has ended was not restarted while
                autoreset is disabled.
        """
        if self._ended is None:
            raise ResetNeeded("call reset() before step()")
        waiting = self._ended
        if waiting.any() and self._autoreset_mode is AutoresetMode.DISABLED:
            raise ResetNeeded(
                f"{waiting.sum()} sub-environments have ended: with autoreset disabled, restart them by "
                'reset(options={"reset_mask": terminated}) before step()'
            )
        checked = _actions(actions, self.action_space)
        rewards = np.zeros(self.num_envs) if waiting.all() else self._view.step(checked)
        if waiting.any():
            self._restart(waiting)
            rewards[waiting] = 0.0
        terminated = self.core.done.cpu().numpy()
        everyone = np.ones(self.num_envs, dtype=np.bool_)
        observations, infos = self._view.observe(), self._infos(everyone)
        if self._autoreset_mode is AutoresetMode.SAME_STEP and terminated.any():
            final = self._final(terminated, observations)
            self._restart(terminated)
            observations, infos = self._view.observe(), {**self._infos(everyone), **final}
        else:
            self._ended = terminated.copy()
        return observations, rewards, terminated, ~everyone, infos

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """The episodes so far, a frame (height, width, 3) for each sub-environment.

        Raises:
            DependencyNotInstalled: If matplotlib is missing.
        """
        if self.render_mode is None:
            gym.logger.warn('render() shows nothing without a render mode: make the environment with "rgb_array"')
            return None
        return self._view.frames()

    def _restart(self, mask: Mask) -> None:
        self._view.reset([self._rngs[i] for i in np.flatnonzero(mask)], None if mask.all() else mask)

    def _reset_mask(self, options: dict[str, Any] | None) -> Mask:
        mask = (options or {}).get("reset_mask")
        if mask is None:
            return np.ones(self.num_envs, dtype=np.bool_)
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (self.num_envs,):
            got = f"{mask.dtype} {mask.shape}" if isinstance(mask, np.ndarray) else type(mask).__name__
            raise ValueError(f'options["reset_mask"] must be a NumPy array ({self.num_envs},) of bools, got {got}')
        if not mask.any():
            raise ValueError('options["reset_mask"] must be True somewhere')
        if self._ended is None and not mask.all():
            raise ResetNeeded("reset all sub-environments once before restarting some of them")
        return mask

    def _infos(self, mask: Mask) -> dict[str, Any]:
        """The facts of those in ``mask``, in Gymnasium's format: batches, and masks that tell where they hold."""
        facts: dict[str, Any] = self._view.facts()
        known = mask.copy()
        if not mask.all():
            for fact in facts.values():
                fact[~mask] = 0
        return facts | {f"_{key}": known for key in facts}

    def _final(self, ended: Mask, observations: Observation) -> dict[str, Any]:
        """The last observations and infos of those that ``ended``, in Gymnasium's format."""
        last = np.full(self.num_envs, None, dtype=object)
        for i in np.flatnonzero(ended):
            last[i] = observations[i]
        known = ended.copy()
        return {"final_obs": last, "_final_obs": known, "final_info": self._infos(ended), "_final_info": known}


class _View:
    """What is seen of a core's runs: observations, facts and frames. Every array it gives is fresh."""

    def __init__(self, core: Core, observation: ObservationName, render_mode: str | None) -> None:
        one_of("observation", observation, OBSERVATIONS)
        if render_mode is not None:
            one_of("render_mode", render_mode, RENDER_MODES)
        self.core = core
        self._every = np.arange(core.num_envs)
        shape: tuple[int, ...] = (core.dim, core.num_features)
        self._tokens: Observation | None = None  # (num_envs, budget + 1, dim, features), of all points so far
        if observation == "trajectory":
            shape = (core.budget + 1, *shape)
            self._tokens = np.zeros((core.num_envs, *shape), np.float32)
        high = np.tile(np.asarray(core.tokens.limits(), np.float32), (*shape[:-1], 1))
        self.space = Box(-high, high, dtype=np.float32)
        self._painters = [EpisodePainter(core.budget) for _ in self._every] if render_mode else []

    def reset(self, rngs: Sequence[np.random.Generator], mask: Mask | None = None) -> None:
        """Starts the runs in ``mask`` (all by default) anew."""
        self.core.reset(rngs, None if mask is None else torch.from_numpy(np.flatnonzero(mask)).to(self.core.device))
        if self._tokens is not None:
            self._tokens[... if mask is None else mask] = 0
        for i, painter in enumerate(self._painters):
            if mask is None or mask[i]:
                painter.restart(self.core.functions.rows(torch.tensor([i])), self.core.minimum[i].item())
                painter.record(self.core.run, i)

    def step(self, actions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Makes one step with ``actions`` (num_envs, dim); returns rewards (num_envs,)."""
        rewards: NDArray[np.float64] = self.core.step(torch.from_numpy(actions)).cpu().numpy()
        for i, painter in enumerate(self._painters):
            painter.record(self.core.run, i)
        return rewards

    def observe(self) -> Observation:
        """The newest tokens (num_envs, dim, features), or all of them (num_envs, budget + 1, dim, features)."""
        newest: Observation = self.core.token.cpu().numpy()
        if self._tokens is None:
            return newest.copy()
        self._tokens[self._every, self.core.run.t.cpu().numpy()] = newest
        return self._tokens.copy()

    def facts(self) -> dict[str, NDArray[Any]]:
        """What ``info`` tells, as arrays (num_envs, ...)."""
        run = self.core.run
        return {
            "x": self._own(run.x),
            "value": _copy(run.y),
            "best_x": self._own(run.best_x),
            "best_value": _copy(run.best_y),
            "valid": _copy(run.valid),
        }

    def frames(self) -> tuple[NDArray[np.uint8], ...]:
        """A picture (height, width, 3) of each run."""
        return tuple(painter.frame() for painter in self._painters)

    def _own(self, x: torch.Tensor) -> NDArray[np.float64]:
        objective = self.core.objective
        return objective.from_unit(x.cpu().numpy()) if isinstance(objective, BoxObjective) else _copy(x)


def _copy(tensor: torch.Tensor) -> NDArray[Any]:
    return np.array(tensor.cpu().numpy())


def _actions(actions: ArrayLike, space: gym.Space[Any]) -> NDArray[np.float64]:
    """A copy of the actions, of the space's shape."""
    checked = np.array(actions, dtype=np.float64)
    if checked.shape != space.shape:
        raise ValueError(f"actions must have the shape {space.shape}, got {checked.shape}")
    if not np.isfinite(checked).all():
        raise ValueError("actions must be finite, got NaN or infinity")
    return checked
