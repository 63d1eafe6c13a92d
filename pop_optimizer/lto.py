"""Predicted step descent: a learned policy chooses the step vectors (Li and Malik, Learning to Optimize, 2017)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.optimize import OptimizeResult

from pop_envs.checks import positive_int
from pop_envs.lto.rewards import REWARDS
from pop_envs.lto.task import LTOTask
from pop_envs.objectives.learning_tasks import TASKS
from pop_optimizer.checkpoint import WEIGHTS, read_weights, versions, write_weights
from pop_optimizer.function import Function, Jacobian, Vector
from pop_optimizer.networks.steps import StepNetwork
from pop_optimizer.threads import one_thread

FORMAT = 1
POLICIES = Path(__file__).parent / "weights" / "lto"


def _versions() -> dict[str, str]:
    return versions("pop-optimizer", "torch", "numpy", "gymnasium", "stable-baselines3", "sb3-contrib")


@dataclass(frozen=True)
class LTOCard:
    """How a policy was made, and what it takes to run it.

    Attributes:
        algorithm: That learned it.
        seed: Of the training.
        seconds: Wall time of the training.
        timesteps: Steps made in the environment.
        task: What it was trained on. A task or reward of one's own is read back as the default one.
        policy: Shape of the network: history, dim, hidden, squash.
        settings: Of the training.
        validation: Measures on the validation functions.
        versions: Of the libraries it was made with.
    """

    algorithm: str
    seed: int
    seconds: float
    timesteps: int
    task: LTOTask
    policy: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)
    validation: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=_versions)

    def record(self) -> dict[str, Any]:
        """The card as plain JSON values."""
        return asdict(self) | {"task": self.task.record()}


def save_policy(folder: Path, network: StepNetwork, card: LTOCard) -> None:
    """Writes weights and card into ``folder``; a kill at any point leaves the old or the new checkpoint."""
    write_weights(folder, network.state_dict(), card.record(), kind="lto", written_in=FORMAT)


def load_policy(path: Path | str) -> tuple[StepNetwork, LTOCard]:
    """The network in a checkpoint folder, and its card.

    Raises:
        FileNotFoundError: If there is no checkpoint.
        CheckpointError: If it is damaged, not one of Learning to Optimize's, or of another format.
    """

    def build(told: Any, written_in: str) -> tuple[LTOCard, StepNetwork]:
        named: dict[str, Collection[str]] = {"task": TASKS, "reward": REWARDS}
        task = {key: value for key, value in told["task"].items() if value in named.get(key, (value,))}
        card = LTOCard(**told | {"task": LTOTask(**task)})
        with torch.device("meta"):
            return card, StepNetwork(**card.policy)

    card, network = read_weights(path, build, kind="lto", policy="a step policy", readable=(str(FORMAT),))
    return network, card


def predicted_step_descent(
    fun: Callable[..., Any],
    x0: ArrayLike,
    jac: Jacobian = None,
    budget: int = 40,
    policy: str | Path = "logistic",
    args: tuple[Any, ...] = (),
    callback: Callable[[Vector], Any] | None = None,
) -> OptimizeResult:
    """Minimizes a loss with a policy that was trained on losses of its kind.

    Args:
        fun: The objective, ``fun(x, *args)`` with ``x`` (dim,); returns the value, or the value and the gradient
            (dim,) if ``jac`` is True.
        x0: Start (dim,); training's starts are standard normal.
        jac: True, a function for the gradient, or as ``minimize`` takes it for finite differences, which is None.
        budget: Steps, each of which takes one value and gradient, as the start does. Training's runs have 40.
        policy: Name of a policy that ships ("logistic", "robust", "network", "logistic_2d"), or a checkpoint's folder.
        args: Further arguments of ``fun`` and ``jac``.
        callback: Called with the newest point (dim,) after each step; may raise ``StopIteration``.

    Returns:
        scipy's ``OptimizeResult`` with ``x, fun, jac`` of the best point, ``nit, nfev, njev, success, message``, and
        the whole path: ``x_iters`` (nit + 1, dim) and ``func_vals`` (nit + 1,). The policy has no test of convergence:
        it is a success if the budget was spent, and the value fell and stayed finite.

    Raises:
        TypeError: If ``fun`` returns no number.
        ValueError: If the policy is for another number of coordinates, or an argument does not fit.
        FileNotFoundError: If there is no such policy.
        CheckpointError: If the checkpoint cannot be used.
    """
    budget = positive_int("budget", budget)
    network, task, dim = _policy(policy)
    x = np.atleast_1d(np.array(x0, dtype=np.float64))
    if x.shape != (dim,):
        raise ValueError(
            f"the policy {str(policy)!r} chooses steps of {dim} coordinates, got x0 of shape {x.shape}: take a policy "
            "that was trained on as many, or train one (make train FAMILY=lto)"
        )
    function = Function(fun, jac, args, np.full(dim, -np.inf), np.full(dim, np.inf))
    value, gradient = function(x)
    points, values, gradients = [x], [value], [gradient]
    search, message = task.make_search(), ""
    search.start(*_tensors(x, value, gradient))
    for _ in range(budget):
        if not np.isfinite(values[-1]):
            message = "The objective is not finite, and the policy knows no way back."
            break
        with torch.no_grad(), one_thread(1):
            x = search.propose(network(search.observe()).double())[0].numpy()
        value, gradient = function(x)
        search.update(*_tensors(x, value, gradient))
        points.append(x)
        values.append(value)
        gradients.append(gradient)
        if callback is not None:
            try:
                callback(x.copy())
            except StopIteration:
                message = "The callback asked to stop."
                break
    best = int(np.argmin(np.where(np.isfinite(values), values, np.inf)))
    success = not message and values[best] < values[0]
    fields = {
        "x": points[best],
        "fun": values[best],
        "jac": gradients[best],
        "nit": len(values) - 1,
        "nfev": function.nfev,
        "njev": function.njev,
        "success": success,
        "status": 0 if success else 1,
        "message": message or ("The budget is spent." if success else "The value did not fall below the start's."),
        "x_iters": np.array(points),
        "func_vals": np.array(values),
    }
    return OptimizeResult(**fields)


def _tensors(x: Vector, value: float, gradient: Vector) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.from_numpy(x)[None], torch.tensor([value], dtype=torch.float64), torch.from_numpy(gradient)[None]


def _policy(policy: str | Path) -> tuple[StepNetwork, LTOTask, int]:
    """The network of a name or a folder, its task, and its number of coordinates."""
    shipped = POLICIES / policy
    folder = shipped if isinstance(policy, str) and shipped.is_dir() else Path(policy)
    if not (folder / WEIGHTS).is_file():
        names = ", ".join(sorted(each.name for each in POLICIES.iterdir()))
        raise FileNotFoundError(f"no policy {str(policy)!r}: expected a folder with {WEIGHTS}, or one of {names}")
    network, card = _load(folder, (folder / WEIGHTS).stat().st_mtime_ns)
    return network, card.task, card.policy["dim"]


@lru_cache(maxsize=8)
def _load(folder: Path, written: int) -> tuple[StepNetwork, LTOCard]:
    """The policy in ``folder``, read once as long as the file stays as it was ``written``."""
    return load_policy(folder)
