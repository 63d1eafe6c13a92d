"""Bayesian optimization with a Gaussian process (Jones et al., 1998), BoTorch's implementation."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch.quasirandom import SobolEngine

from benchmarks.budget import Array, Evaluate


def bayesian_optimization(
    evaluate: Evaluate,
    x0: Array,
    budget: int,
    rng: np.random.Generator,
    *,
    num_restarts: int = 4,
    raw_samples: int = 64,
) -> None:
    """BoTorch's default process, fitted to all values, and its log expected improvement (Ament et al., 2023).

    The start and Sobol points come first, as many as Ax takes: twice the coordinates, at most a fifth of
    the budget and at least five. As in Ax, a fit begins where the last one ended, which halves its time.

    ``num_restarts`` ascents to the highest improvement start from the best of ``raw_samples`` points.
    """
    dim = len(x0)
    first = max(5, min(2 * dim, (budget + 1) // 5))
    sobol = SobolEngine(dim, scramble=True, seed=int(rng.integers(2**31))).draw(first - 1, dtype=torch.float64)
    points = [torch.from_numpy((x0 + 1.0) / 2.0), *sobol]  # of [0, 1]^dim, which BoTorch expects
    values = [evaluate(x0)[0]]
    values += [evaluate(2.0 * point.numpy() - 1.0)[0] for point in sobol]
    hyperparameters: dict[str, torch.Tensor] = {}
    while True:  # ends with BudgetExhausted
        finite = np.array(values)  # an infinite value counts as the highest
        finite[~np.isfinite(finite)] = max(finite[np.isfinite(finite)], default=0.0)
        with reproducible(int(rng.integers(2**31))):
            point, hyperparameters = _next_point(
                torch.stack(points), torch.from_numpy(finite), hyperparameters, num_restarts, raw_samples
            )
        points.append(point)
        values.append(evaluate(2.0 * point.numpy() - 1.0)[0])


def _next_point(
    points: torch.Tensor,
    values: torch.Tensor,
    hyperparameters: dict[str, torch.Tensor],
    num_restarts: int,
    raw_samples: int,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The next point (dim,) after points (n, dim) with values (n,), and the process' fitted hyperparameters."""
    with botorch_unwarned():
        # Here, because the import takes more than half a second.
        from botorch.acquisition.analytic import LogExpectedImprovement
        from botorch.fit import fit_gpytorch_mll
        from botorch.models.gp_regression import SingleTaskGP
        from botorch.optim.optimize import optimize_acqf
        from gpytorch.mlls import ExactMarginalLogLikelihood  # type: ignore[import-untyped]

        targets = -values[:, None]  # BoTorch maximizes
        process = SingleTaskGP(points, targets)  # it standardizes the targets
        likelihood = ExactMarginalLogLikelihood(process.likelihood, process)
        process.load_state_dict(hyperparameters, strict=False)
        fit_gpytorch_mll(likelihood)
        candidates, _ = optimize_acqf(
            LogExpectedImprovement(process, best_f=targets.max()),
            bounds=torch.tensor([[0.0], [1.0]], dtype=torch.float64).expand(2, points.shape[1]),
            q=1,
            num_restarts=num_restarts,
            raw_samples=raw_samples,
        )
    return candidates[0], {name: value.detach().clone() for name, value in process.named_parameters()}


@contextmanager
def botorch_unwarned() -> Iterator[None]:
    """Imports BoTorch, and keeps quiet what it sees to itself: jitter that factors need, ascents tried again."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit.script", DeprecationWarning)  # in GPyTorch
        from botorch.exceptions.warnings import BotorchWarning
        from linear_operator.utils.warnings import NumericalWarning  # type: ignore[import-untyped]

        warnings.simplefilter("ignore", NumericalWarning)
        warnings.simplefilter("ignore", BotorchWarning)
        warnings.filterwarnings("ignore", "Optimization failed", RuntimeWarning)
        yield


@contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Lends PyTorch a seed and a single thread: more could round differently."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)
