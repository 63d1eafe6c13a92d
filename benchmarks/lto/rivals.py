"""The paper's rivals with their best settings on the training functions, and others by evaluations."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Self

import numpy as np
import torch
from torch import Tensor

from agents.lto.classical import Setting, costs, descend, grid
from pop_envs.objectives.base import FunctionBatch
from pop_envs.objectives.learning_tasks import LearningTask, Losses, functions_for
from pop_optimizer import RoverRun
from pop_optimizer.ask_tell import POPPolicy, run

LBFGS_STEPS = (0.05, 0.1, 0.2, 0.5, 1.0)
BOX = 10.0
"""Half the width of the box around the start that POP searches."""
ROVER_SCALES = (1.0, 3.0, 10.0)
RIVALS = ("gradient_descent", "momentum", "conjugate_gradient", "lbfgs")


@cache
def tuned(task: LearningTask, budget: int = 40) -> dict[str, Setting]:
    """The setting of each rival with the least mean value over the budget's steps, on the training functions."""
    functions, x0 = functions_for("training", task)
    found = {}
    for rule in RIVALS[:3]:
        settings = grid(rule)
        _, values = descend(functions, x0, budget, rule, settings)
        found[rule] = settings[int(costs(values).mean(0).argmin())]
    sizes = [Setting(size) for size in LBFGS_STEPS]
    cost = [float(costs(lbfgs(functions, x0, budget, size.step_size)[1]).mean()) for size in sizes]
    return found | {"lbfgs": sizes[int(np.argmin(cost))]}


def rival_values(functions: Losses, x0: Tensor, steps: int, settings: dict[str, Setting]) -> dict[str, Tensor]:
    """Values (batch, steps + 1) of each rival's iterates."""
    values = {rule: descend(functions, x0, steps, rule, [settings[rule]])[1][:, 0] for rule in RIVALS[:3]}
    return values | {"lbfgs": lbfgs(functions, x0, steps, settings["lbfgs"].step_size)[1]}


def lbfgs(functions: Losses, x0: Tensor, steps: int, step_size: float) -> tuple[Tensor, Tensor]:
    """Points (batch, steps + 1, dim) and values (batch, steps + 1) of PyTorch's L-BFGS with a fixed step size.

    It evaluates once an iteration.
    """
    runs = [_descend(functions, x0, i, steps, lr=step_size, max_iter=1) for i in range(len(functions))]
    points, values = (torch.stack(each) for each in zip(*runs, strict=True))
    return points, values


def wolfe_lbfgs(functions: Losses, x0: Tensor, steps: int) -> Tensor:
    """Values (batch, steps + 1) of PyTorch's L-BFGS with a strong Wolfe search, one for each evaluation."""
    options = {"lr": 1.0, "max_iter": steps, "max_eval": steps + 1, "line_search_fn": "strong_wolfe"}
    return torch.stack([_descend(functions, x0, i, 0, **options, length=steps)[1] for i in range(len(functions))])


def _descend(
    functions: Losses, x0: Tensor, i: int, steps: int, *, length: int | None = None, **options: object
) -> tuple[Tensor, Tensor]:
    """Points and values of all evaluations on function ``i``, as many as ``length`` or steps, and the start's."""
    function, x = functions.rows(torch.tensor([i])), x0[i : i + 1].clone()
    optimizer = torch.optim.LBFGS([x], tolerance_grad=0, tolerance_change=0, **options)  # type: ignore[arg-type]
    values, points = [], []

    def closure() -> Tensor:
        y, g = function.value_and_grad(x)
        values.append(y[0].clone())
        points.append(x[0].clone())
        x.grad = g
        return y[0]

    for _ in range(steps + 1):
        optimizer.step(closure)
    count = 1 + (steps if length is None else length)
    values += [values[-1]] * (count - len(values))
    points += [points[-1]] * (count - len(points))
    return torch.stack(points[:count]), torch.stack(values[:count])


@dataclass
class Boxed(FunctionBatch):
    """Losses in boxes around their starts, seen through the unit box.

    Attributes:
        losses: A batch.
        center: (batch, dim).
    """

    losses: Losses
    center: Tensor

    def __post_init__(self) -> None:
        self.dim = self.losses.dim

    def __len__(self) -> int:
        return len(self.losses)

    def rows(self, index: Tensor) -> Self:
        """See ``FunctionBatch``."""
        return type(self)(self.losses.rows(index), self.center[index])

    def put(self, index: Tensor, other: Self) -> None:
        """See ``FunctionBatch``."""
        self.losses.put(index, other.losses)
        self.center[index] = other.center

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Objective``."""
        y, g = self.losses.value_and_grad(self.center + BOX * x)
        return y, BOX * g

    def values_on(self, points: Tensor) -> Tensor:
        """See ``Objective``."""
        return self.losses.on(self.center[:, None] + BOX * points)[0]


def pop_values(policy: POPPolicy, functions: Losses, x0: Tensor, steps: int) -> Tensor:
    """Values (batch, steps + 1) of POP in a box around each start."""
    return run(policy, Boxed(functions, x0), torch.zeros_like(x0), steps, deterministic=True)[1]


@cache
def tuned_rover(task: LearningTask, evaluations: int = 100) -> float:
    """Rover Descent's scale with the least mean of best values over the evaluations, on the training functions."""
    functions, x0 = functions_for("training", task)
    found = {scale: best_so_far(rover_values(functions, x0, evaluations, scale)).mean() for scale in ROVER_SCALES}
    return min(found, key=lambda scale: float(found[scale]))


def rover_values(functions: Losses, x0: Tensor, evaluations: int, scale: float) -> Tensor:
    """Values (batch, evaluations + 1) that Rover Descent sees, the start's first.

    A step looks at the grid of one sampled pair of coordinates: there is no budget for more.
    """
    found = []
    for i in range(len(functions)):
        function = functions.rows(torch.tensor([i]))
        rover = RoverRun(x0[i].numpy(), scale=scale, pairs="sampled", k=2, seed=i)
        values = torch.empty(0, dtype=torch.float64)
        while len(values) <= evaluations:
            told = function.values_on(torch.from_numpy(rover.ask())[None])[0]
            rover.tell(told.numpy())
            values = torch.cat([values, told])
        found.append(values[: evaluations + 1])
    return torch.stack(found)


def best_so_far(values: Tensor) -> Tensor:
    """The least value up to each evaluation; what is not finite counts as infinite."""
    return values.nan_to_num(torch.inf).cummin(-1).values
