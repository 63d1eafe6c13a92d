"""``RoverDescent-v0``: step sizes and resolutions on an error surface, as a Gymnasium and a vector environment."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from pop_envs.objectives.base import Objective
from pop_envs.objectives.landscapes import Family
from pop_envs.rover.core import Core
from pop_envs.rover.painter import RoverPainter
from pop_envs.rover.search import HIGHEST_CHANGE, LOWEST_CHANGE
from pop_envs.rover.task import Bounds, DirectionLike, RewardLike, RoverTask
from pop_envs.vector import BatchOfOneEnv, BatchVectorEnv, CoreEpisodes, Observation, copied


class RoverEnv(BatchOfOneEnv["RoverEpisodes"]):
    r"""Descend an error surface of which only a grid of values around the present point is seen.

    ## Description

    The environment of "Rover Descent: Learning to optimize by learning to navigate on prototypical loss surfaces":
    a rover stands at $\theta_0$ on a surface that was drawn at random. In each of $T$ steps it goes a step of length
    $\alpha_t$ in the direction that a predictor $\Delta$ reads off the grid, and the agent changes the step size and
    the resolution of the grid (eq. 4):

    $$\theta_{t+1} = \theta_t + \alpha_t \Delta(s_t), \quad
      \alpha_{t+1} = \alpha_t (1 + \Delta\alpha_t), \quad \delta_{t+1} = \delta_t (1 + \Delta\delta_t)$$

    It sees neither where it is nor its step size nor its resolution: what it learns holds for surfaces of any scale,
    at any place.

    ## Action Space

    A `Box(-0.5, 1, (2,), float32)`: $(\Delta\alpha_t, \Delta\delta_t)$; what lies outside is clipped.

    ## Observation Space

    A `Box(0, 1, (n, n), float32)`: the values at $\theta_t - \delta_t (i - \frac{n+1}{2}, j - \frac{n+1}{2})$ for
    $i, j = 1, \dots, n$ (eq. 1, whose $n/2$ would put the point beside the middle), rescaled to [0, 1]. A value that
    is not finite counts as the worst one that is; a constant grid is 0.

    ## Rewards

    With $f^*$ the minimum and ${\bar f}_k$ the mean of the newest $k$ iterates' values, $\theta_t$ among them:

    | `reward`        | $r_t$                                                                      |
    |-----------------|----------------------------------------------------------------------------|
    | `"value"`       | $-f(\theta_t)$ (eq. 5)                                                     |
    | `"from_start"`  | $-(f(\theta_t) - f^*) / (f(\theta_0) - f^*)$ (eq. 6)                       |
    | `"from_recent"` | $-(f(\theta_t) - f^*) / ({\bar f}_5 - f^*)$ (eq. 7), which lies in [-5, 0]   |

    Gaps below 1e-10 of the start's count as zero, and a ratio of two such as zero. Returns are undiscounted.

    ## Starting State

    A landscape of one of the `families` (see `pop_envs.Landscapes`), a start at least half a standard deviation of its
    kernel away from its minimum (see `Landscapes.starts`), a step size and a resolution.

    ## Episode End

    The episode terminates after `budget` steps, and `truncated` is always False.

    ## Info

    | Key           | Meaning                                                                            |
    |---------------|------------------------------------------------------------------------------------|
    | `x`           | The point, in a `BoxObjective`'s own coordinates or else in the unit box           |
    | `value`       | Its value                                                                          |
    | `best_value`  | The lowest value of the iterates so far                                            |
    | `alpha`       | The step size                                                                      |
    | `delta`       | The resolution                                                                     |
    | `evaluations` | Values that the grids have taken                                                   |

    ## Arguments

    ```python
    >>> import gymnasium as gym
    >>> import pop_envs
    >>> env = gym.make("RoverDescent-v0", families=("valley",), direction="best", budget=20)
    >>> env.observation_space.shape
    (5, 5)
    >>> gym.make_vec("RoverDescent-v0", num_envs=1024).observation_space.shape
    (1024, 5, 5)

    ```

    | Parameter     | Type                         | Default         | Description                                     |
    |---------------|------------------------------|-----------------|-------------------------------------------------|
    | `budget`      | `int`                        | `30`            | Number of steps $T$                             |
    | `n`           | `int`                        | `5`             | Points of a side of the grid, odd               |
    | `families`    | `tuple[str, ...]`            | all             | Names in `pop_envs.objectives.landscapes`       |
    | `objective`   | `Objective`                  | `None`          | A fixed function of 2 coordinates instead       |
    | `noise`       | `float`                      | `0.0`           | Of the landscapes; 1 is the paper's (eq. 12)    |
    | `reward`      | `str`, `Reward`              | `"from_recent"` | See above                                       |
    | `direction`   | `str`, `Direction`, callable | `"learned"`     | `"learned"`, `"gradient"`, `"newton"`, `"best"` |
    | `alpha`       | `tuple[float, float]`        | `(0.0005, 0.5)` | Bounds of the log-uniform first step size       |
    | `delta`       | `tuple[float, float]`        | `(0.02, 20.0)`  | Bounds of the log-uniform first resolution      |
    | `render_mode` | `str`                        | `None`          | `"rgb_array"`: contour, path, grids and values  |

    A direction of one's own is a `Direction`, or any map from grids (batch, n, n) to vectors (batch, 2) of any length.
    Lengths are in half widths of the box: 5 of the paper's units. `RoverVectorEnv`, which `gymnasium.make_vec` gives,
    takes `num_envs`, `autoreset_mode` and `device` as well.

    ## References

    - Faury and Vasile, Rover Descent: Learning to optimize by learning to navigate on prototypical loss surfaces,
      [arXiv:1801.07222](https://arxiv.org/abs/1801.07222).

    ## Version History

    * v0: Initial version.
    """

    def __init__(
        self,
        budget: int = RoverTask.budget,
        n: int = RoverTask.n,
        families: tuple[Family, ...] = RoverTask.families,
        objective: Objective | None = None,
        noise: float = RoverTask.noise,
        reward: RewardLike = RoverTask.reward,
        direction: DirectionLike = RoverTask.direction,
        alpha: Bounds = RoverTask.alpha,
        delta: Bounds = RoverTask.delta,
        render_mode: str | None = None,
    ) -> None:
        core = Core(1, RoverTask(budget, n, families, noise, reward, direction, alpha, delta), objective=objective)
        super().__init__(RoverEpisodes(core, paint=render_mode is not None), render_mode)


class RoverVectorEnv(BatchVectorEnv["RoverEpisodes"]):
    """``RoverEnv``, natively batched: all rovers are stepped in one call.

    Sub-environment ``i`` of an environment that was reset with the seed ``s`` does what a ``RoverEnv`` reset with the
    seed ``s + i`` does, episode after episode.

    Args:
        num_envs: Number of sub-environments.
        budget: See ``RoverEnv``, as for all that is not explained here.
        n: Points of a side of the grid.
        families: Landscapes.
        objective: A fixed objective. It holds one function for all, or one for each sub-environment.
        noise: Of the landscapes.
        reward: "value", "from_start", "from_recent" or a ``Reward``.
        direction: "learned", "gradient", "newton", "best", or a predictor.
        alpha: Bounds of the first step size.
        delta: Bounds of the first resolution.
        render_mode: None or "rgb_array".
        autoreset_mode: When a sub-environment that has ended restarts; see ``POPVectorEnv``.
        device: Where the computation is done; observations are NumPy arrays in any case.

    Raises:
        ValueError: If an argument is not one of the above.
    """

    def __init__(
        self,
        num_envs: int = 1,
        budget: int = RoverTask.budget,
        n: int = RoverTask.n,
        families: tuple[Family, ...] = RoverTask.families,
        objective: Objective | None = None,
        noise: float = RoverTask.noise,
        reward: RewardLike = RoverTask.reward,
        direction: DirectionLike = RoverTask.direction,
        alpha: Bounds = RoverTask.alpha,
        delta: Bounds = RoverTask.delta,
        render_mode: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        device: torch.device | str = "cpu",
    ) -> None:
        task = RoverTask(budget, n, families, noise, reward, direction, alpha, delta)
        core = Core(num_envs, task, objective=objective, device=device)
        super().__init__(RoverEpisodes(core, paint=render_mode is not None), render_mode, autoreset_mode)


class RoverEpisodes(CoreEpisodes[Core, RoverPainter]):
    """What is seen of a core's rovers: observations, facts and frames."""

    def __init__(self, core: Core, paint: bool) -> None:
        n, budget = core.task.n, core.task.budget
        super().__init__(core, budget, [RoverPainter(budget, n) for _ in range(core.num_envs)] if paint else [])
        self.observation_space = Box(0.0, 1.0, (n, n), np.float32)
        self.action_space = Box(LOWEST_CHANGE, HIGHEST_CHANGE, (2,), np.float32)

    def observe(self) -> Observation:
        """The grids (num_envs, n, n)."""
        return copied(self.core.search.seen)

    def facts(self) -> dict[str, NDArray[Any]]:
        """See ``EpisodeBatch``."""
        search, task = self.core.search, self.core.task
        return {
            "x": self._own(search.x),
            "value": copied(search.y),
            "best_value": copied(self.core.best),
            "alpha": copied(search.scales.alpha),
            "delta": copied(search.scales.delta),
            "evaluations": copied((self.core.path.t + 1) * task.n**2),
        }

    def _begin_picture(self, painter: RoverPainter, i: int) -> None:
        painter.restart(self.core.functions.rows(self._row(i)), self.core.path.minimum[i].item())

    def _record(self, painter: RoverPainter, i: int) -> None:
        search = self.core.search
        painter.sense(search.x[i], search.y[i], search.scales.delta[i])
