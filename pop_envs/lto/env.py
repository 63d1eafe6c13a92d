"""``LearningToOptimize-v0``: step vectors for a random loss, as a Gymnasium environment and as a batched one."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from pop_envs.lto.core import Core
from pop_envs.lto.search import LIMIT
from pop_envs.lto.task import LTOTask, RewardLike, TaskLike
from pop_envs.objectives.base import BoxObjective, Objective
from pop_envs.rendering import EpisodePainter
from pop_envs.vector import BatchOfOneEnv, BatchVectorEnv, CoreEpisodes, Observation, copied

_WINDOW = 6.0  # half the width of what is shown of a landscape, which has no box


class LearningToOptimizeEnv(BatchOfOneEnv["LTOEpisodes"]):
    r"""Minimize the loss of a small model on random data, by choosing the step vectors.

    ## Description

    Each episode is one optimization run, as in "Learning to Optimize" (Li and Malik, 2017): `reset` draws a
    dataset, whose loss $f$ is a function of a model's $D$ parameters, and standard normal parameters $x_0$. Each
    of the $T$ steps adds a step vector to the parameters. What the agent learns is an optimizer.

    | `task`       | Loss                                                          | $D$ |
    |--------------|---------------------------------------------------------------|-----|
    | `"logistic"` | Logistic regression in 3-D with an l2 penalty, on 100 points  | 4   |
    | `"robust"`   | Geman-McClure regression in 3-D, on 100 points                | 4   |
    | `"network"`  | A two-layer ReLU classifier with an l2 penalty, on 100 points | 12  |

    `pop_envs.objectives.learning_tasks` has the formulas, and the distributions of the data.

    ## Action Space

    A `Box(-1, 1, (D,), float32)`: the step vector in units of `max_step`, so that $x_{t+1} = x_t + 4 a_t$ by
    default; what lies outside is clipped.

    ## Observation Space

    A `Box(-10000, 10000, (H + H D,), float32)` with $H$ = `history`:

    | Num        | Observation                                                                                  |
    |------------|----------------------------------------------------------------------------------------------|
    | 0 to H - 1 | $f(x_t) - f(x_{t-i})$ for $i = 1, \dots, H$                                                  |
    | H and on   | $\nabla f(x_{t-i})$ for $i = 0, \dots, H - 1$, the $D$ entries of one after those of another |

    Both are zero where $t < i$, and clipped to the bounds. The point itself is not observed, nor is the time.

    ## Rewards

    - `reward="cost"`: $-f(x_t)$, the paper's;
    - `reward="relative"`: $-\min(10, f(x_t) / f(x_0))$.

    ## Starting State

    A dataset of the task (unless `objective` fixes the function), and standard normal parameters.

    ## Episode End

    The episode terminates after `budget` steps; `truncated` is always False.

    ## Info

    | Key          | Meaning          |
    |--------------|------------------|
    | `x`          | The newest point |
    | `value`      | Its value        |
    | `best_x`     | The best point   |
    | `best_value` | Its value        |

    ## Arguments

    ```python
    >>> import gymnasium as gym
    >>> import pop_envs
    >>> gym.make("LearningToOptimize-v0", task="network", history=10).observation_space.shape
    (130,)
    >>> gym.make_vec("LearningToOptimize-v0", num_envs=1024).action_space.shape
    (1024, 4)

    ```

    | Parameter     | Type                  | Default      | Description                                              |
    |---------------|-----------------------|--------------|----------------------------------------------------------|
    | `task`        | `str`, `LearningTask` | `"logistic"` | What losses are drawn from: a name above, or your own    |
    | `history`     | `int`                 | `25`         | Past iterates that are observed, $H$                     |
    | `budget`      | `int`                 | `40`         | Number of steps $T$; the start is not counted            |
    | `reward`      | `str`, `Reward`       | `"cost"`     | `"cost"`, `"relative"` or your own                       |
    | `max_step`    | `float`               | `4.0`        | Longest step in a coordinate                             |
    | `objective`   | `Objective`           | `None`       | A fixed function on $R^D$, instead of the task's         |
    | `render_mode` | `str`                 | `None`       | `"rgb_array"`: the value curve, with a contour if D = 2  |

    `LearningToOptimizeVectorEnv`, which `gymnasium.make_vec` gives, takes `num_envs`, `autoreset_mode` and `device`
    as well, and as an `objective` also one function for each sub-environment.

    ## References

    - Li and Malik, Learning to Optimize, ICLR 2017.

    ## Version History

    * v0: Initial version.
    """

    def __init__(
        self,
        task: TaskLike = LTOTask.task,
        history: int = LTOTask.history,
        budget: int = LTOTask.budget,
        reward: RewardLike = LTOTask.reward,
        max_step: float = LTOTask.max_step,
        objective: Objective | None = None,
        render_mode: str | None = None,
    ) -> None:
        core = Core(1, LTOTask(task, history, budget, reward, max_step), objective=objective)
        super().__init__(LTOEpisodes(core, paint=render_mode is not None), render_mode)


class LearningToOptimizeVectorEnv(BatchVectorEnv["LTOEpisodes"]):
    """``LearningToOptimizeEnv``, natively batched: all runs are stepped in one call.

    Sub-environment ``i`` of an environment that was reset with the seed ``s`` does what a single one
    reset with the seed ``s + i`` does, episode after episode.

    Args:
        num_envs: Number of sub-environments.
        task: See ``LearningToOptimizeEnv``, as for all that is not explained here.
        history: Past iterates that are observed, H.
        budget: Number of steps T.
        reward: "cost", "relative" or a ``Reward``.
        max_step: Longest step in a coordinate.
        objective: One function for all, or one for each sub-environment.
        render_mode: None or "rgb_array".
        autoreset_mode: When a sub-environment that has ended restarts, see ``POPVectorEnv``.
        device: Where the computation is done; observations are NumPy arrays in any case.

    Raises:
        ValueError: If an argument is not one of the above.
    """

    def __init__(
        self,
        num_envs: int = 1,
        task: TaskLike = LTOTask.task,
        history: int = LTOTask.history,
        budget: int = LTOTask.budget,
        reward: RewardLike = LTOTask.reward,
        max_step: float = LTOTask.max_step,
        objective: Objective | None = None,
        render_mode: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        device: torch.device | str = "cpu",
    ) -> None:
        core = Core(num_envs, LTOTask(task, history, budget, reward, max_step), objective=objective, device=device)
        super().__init__(LTOEpisodes(core, paint=render_mode is not None), render_mode, autoreset_mode)


class LTOEpisodes(CoreEpisodes[Core, EpisodePainter]):
    """What is seen of a core's runs: observations, facts and frames."""

    def __init__(self, core: Core, paint: bool) -> None:
        budget = core.task.budget
        super().__init__(core, budget, [EpisodePainter(budget) for _ in range(core.num_envs)] if paint else [])
        self.observation_space = Box(-LIMIT, LIMIT, (core.task.history * (1 + core.dim),), np.float32)
        self.action_space = Box(-1.0, 1.0, (core.dim,), np.float32)

    def observe(self) -> Observation:
        """See ``EpisodeBatch``."""
        return self.core.search.observe().cpu().numpy()

    def facts(self) -> dict[str, NDArray[Any]]:
        """See ``EpisodeBatch``."""
        return {
            "x": copied(self.core.search.x),
            "value": copied(self.core.search.y),
            "best_x": copied(self.core.best_x),
            "best_value": copied(self.core.best_y),
        }

    def _begin_picture(self, painter: EpisodePainter, i: int) -> None:
        painter.restart(self._window(i), np.nan)

    def _window(self, i: int) -> BoxObjective:
        """Function ``i`` in a box around its start."""
        function = self.core.functions.rows(self._row(i))
        start = self.core.search.x[i].cpu().numpy()

        def value_and_grad(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            y = function.values_on(torch.from_numpy(x).to(self.core.device))[0].cpu().numpy()
            return y, np.zeros_like(x)  # pictures need no gradients

        return BoxObjective(value_and_grad, start - _WINDOW, start + _WINDOW)

    def _record(self, painter: EpisodePainter, i: int) -> None:
        search = self.core.search
        assert isinstance(painter.objective, BoxObjective)
        painter.record(torch.from_numpy(painter.objective.to_unit(search.x[i].cpu().numpy())), search.y[i])
