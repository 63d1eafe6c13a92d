"""POP as a ``torch.optim.Optimizer``, for fits and small models in full batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import Bounds
from torch import Tensor
from torch.optim.optimizer import ParamsT

from pop_envs.checks import positive_int
from pop_optimizer.function import number
from pop_optimizer.optimizer import Optimizer


class _Slot(NamedTuple):
    """A parameter with the settings of its group."""

    parameter: Tensor
    group: dict[str, Any]


class POP(torch.optim.Optimizer):
    """A trained policy on the parameters of a model, whose loss must be the same at every call: no minibatches.

    Each ``step`` evaluates the loss at one new point and leaves the parameters at the best one so far; the first step
    evaluates it at the start too. All parameters are searched together, in double precision.

    >>> optimizer = POP(model.parameters(), budget=200)
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = loss_of(model)
    ...     loss.backward()
    ...     return loss
    >>> for _ in range(200):
    ...     loss = optimizer.step(closure)

    Args:
        params: Parameters or groups of them. A group has settings of its own by the names ``region``, ``lower`` and
            ``upper``.
        budget: Steps. The policy plans with it; more steps extend it by as many once it is spent.
        region: Half-width of the region around a parameter's start that is searched; it moves and grows when the best
            point lies at its edge. The larger of the start and 1 if None.
        lower: Lower bound of all entries of a parameter.
        upper: Upper bound.
        seed: Of the policy's draws, where there are any.
        checkpoint: Folder of a checkpoint; the one that ships if None.
        deterministic: Whether the policy takes the modes of its actions, and draws nothing.

    Raises:
        ValueError: If a setting does not fit, or a parameter is not real.
    """

    def __init__(
        self,
        params: ParamsT,
        budget: int = 50,
        region: float | None = None,
        lower: float = -float("inf"),
        upper: float = float("inf"),
        seed: int | None = 0,
        checkpoint: Path | str | None = None,
        deterministic: bool = True,
    ) -> None:
        super().__init__(params, {"region": region, "lower": lower, "upper": upper})
        self._make = partial(Optimizer, rng=seed, checkpoint=checkpoint, deterministic=deterministic)
        self._budget = positive_int("budget", budget)
        for slot in self._slots():
            if not slot.parameter.is_floating_point():
                raise ValueError(f"parameters must be real floating-point tensors, got {slot.parameter.dtype}")
        self._optimizer: Optimizer | None = None
        self._told: list[tuple[Tensor, Tensor, Tensor]] = []

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Evaluates one new point.

        Args:
            closure: Clears the gradients, computes the loss, calls ``backward`` and returns the loss.

        Returns:
            The lowest loss so far, that of the parameters as they are now.

        Raises:
            ValueError: If there is no closure.
        """
        if closure is None:
            raise ValueError("POP evaluates the loss itself: give step a closure that computes it and its gradients")
        if self._optimizer is None:
            self._begin()
            self._evaluate(closure)
        assert self._optimizer is not None
        if self._optimizer.done:
            self._optimizer.budget += self._budget
        self._evaluate(closure)
        return self._optimizer.fun

    def __getstate__(self) -> dict[str, Any]:
        """What is copied and pickled: PyTorch's optimizers leave out what they do not know."""
        names = "_make", "_budget", "_optimizer", "_told"
        return super().__getstate__() | {name: getattr(self, name) for name in names}

    def state_dict(self) -> dict[str, Any]:
        """As PyTorch's, with the path so far, from which a run goes on bit for bit."""
        told = [torch.stack(part) for part in zip(*self._told, strict=True)]
        return super().state_dict() | {"path": told, "budget": self._budget}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on where the optimizer of ``state_dict`` was, and sets the parameters to its best point."""
        super().load_state_dict({name: state_dict[name] for name in ("state", "param_groups")})
        self._budget, self._optimizer, self._told = state_dict["budget"], None, []
        told = list(zip(*state_dict["path"], strict=True))
        if told:
            self._begin(told[0][0].numpy())
        for x, y, g in told:
            self._tell(x, y, g)

    def _begin(self, start: NDArray[np.float64] | None = None) -> None:
        lower, upper, region = (
            np.concatenate([np.full(p.numel(), group[name], dtype=object) for p, group in self._slots()])
            for name in ("lower", "upper", "region")
        )
        start = self._gathered(lambda p: p) if start is None else start
        widths = np.array(
            [max(abs(x), 1.0) if width is None else width for x, width in zip(start, region, strict=True)]
        )
        bounds = Bounds(lower.astype(np.float64), upper.astype(np.float64))
        self._optimizer = self._make(bounds, start, budget=self._budget, region=widths)

    def _evaluate(self, closure: Callable[[], Any]) -> None:
        assert self._optimizer is not None
        x = self._optimizer.ask()
        self._scatter(x)
        with torch.enable_grad():
            loss = closure()
        self._tell(
            torch.from_numpy(x),
            torch.tensor(number(loss, "the closure must return"), dtype=torch.float64),
            torch.from_numpy(self._gathered(_slope)),
        )

    def _tell(self, x: Tensor, y: Tensor, g: Tensor) -> None:
        assert self._optimizer is not None
        if self._optimizer.done:
            self._optimizer.budget += self._budget
        self._optimizer.ask()
        self._optimizer.tell(x.numpy(), y.item(), g.numpy())
        self._told.append((x, y, g))
        self._scatter(self._optimizer.x)

    def _slots(self) -> Iterator[_Slot]:
        for group in self.param_groups:
            for parameter in group["params"]:
                yield _Slot(parameter, group)

    def _gathered(self, part: Callable[[Tensor], Tensor]) -> NDArray[np.float64]:
        """All entries in one vector (dim,)."""
        parts = [part(slot.parameter).detach().to("cpu", torch.float64).reshape(-1) for slot in self._slots()]
        return torch.cat(parts).numpy()

    def _scatter(self, x: NDArray[np.float64]) -> None:
        with torch.no_grad():
            rest = torch.from_numpy(x)
            for parameter, _ in self._slots():
                parameter.copy_(rest[: parameter.numel()].view_as(parameter))
                rest = rest[parameter.numel() :]


def _slope(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
