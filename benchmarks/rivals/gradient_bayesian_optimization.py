"""Bayesian optimization with values and gradients (Wu et al., 2017): GPyTorch's process, BoTorch's acquisition."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch.quasirandom import SobolEngine

from benchmarks.budget import Array, Evaluate
from benchmarks.rivals.bayesian_optimization import botorch_unwarned, reproducible

_ITERATIONS = 30


def gradient_bayesian_optimization(
    evaluate: Evaluate,
    x0: Array,
    budget: int,
    rng: np.random.Generator,
    *,
    num_restarts: int = 2,
    raw_samples: int = 64,
) -> None:
    """As ``bayesian_optimization``, but that the process (``RBFKernelGrad``) is fitted to the gradients, too.

    An evaluation tells dim + 1 numbers, so that half as many points as there come before the first fit, and takes so
    much longer that fits and ascents have at most thirty iterations. The smallest noise that the process may hold is
    a thousandth of the values' deviation: less, and points that lie close together, as those of a descent, make its
    matrix singular. Where it is so all the same, a random point follows.
    """
    dim = len(x0)
    first = max(3, min(dim, (budget + 1) // 10))
    sobol = SobolEngine(dim, scramble=True, seed=int(rng.integers(2**31))).draw(first - 1, dtype=torch.float64)
    points = [torch.from_numpy((x0 + 1.0) / 2.0), *sobol]  # of [0, 1]^dim, which BoTorch expects
    seen = [evaluate(2.0 * point.numpy() - 1.0) for point in points]
    hyperparameters: dict[str, torch.Tensor] = {}
    while True:  # ends with BudgetExhausted
        with reproducible(int(rng.integers(2**31))):
            point, hyperparameters = _next_point(
                torch.stack(points), _targets(seen), hyperparameters, num_restarts, raw_samples
            )
        points.append(point)
        seen.append(evaluate(2.0 * point.numpy() - 1.0))


def _targets(seen: list[tuple[float, Array]]) -> torch.Tensor:
    """Negated values and gradients (n, 1 + dim), the values standardized, for BoTorch maximizes."""
    values, gradients = np.array([y for y, _ in seen]), np.stack([g for _, g in seen])
    finite = np.isfinite(values)  # an infinite value counts as the highest
    values = np.where(finite, values, max(values[finite], default=0.0))
    scale = values.std() or 1.0
    # The unit cube's coordinates are half those of the box: its slopes are twice as steep.
    return -torch.from_numpy(np.column_stack([(values - values.mean()) / scale, 2.0 * gradients / scale]))


def _next_point(
    points: torch.Tensor,
    targets: torch.Tensor,
    hyperparameters: dict[str, torch.Tensor],
    num_restarts: int,
    raw_samples: int,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The next point (dim,) after points (n, dim), and the process' fitted hyperparameters."""
    with botorch_unwarned():
        # Here, because the import takes more than half a second.
        from botorch.acquisition.analytic import LogExpectedImprovement
        from botorch.acquisition.objective import ScalarizedPosteriorTransform
        from botorch.exceptions.errors import ModelFittingError
        from botorch.fit import fit_gpytorch_mll
        from botorch.optim.optimize import optimize_acqf
        from gpytorch.mlls import ExactMarginalLogLikelihood  # type: ignore[import-untyped]
        from linear_operator.utils.errors import NotPSDError  # type: ignore[import-untyped]

        process = _process(points, targets)
        process.load_state_dict(hyperparameters, strict=False)
        with suppress(ModelFittingError):  # it is as it was before, then
            likelihood = ExactMarginalLogLikelihood(process.likelihood, process)
            fit_gpytorch_mll(likelihood, optimizer_kwargs={"options": {"maxiter": _ITERATIONS}}, max_attempts=1)
        process.eval()
        value = torch.zeros(targets.shape[1], dtype=torch.float64)
        value[0] = 1.0
        improvement = LogExpectedImprovement(
            process, best_f=targets[:, 0].max(), posterior_transform=ScalarizedPosteriorTransform(value)
        )
        try:
            candidates, _ = optimize_acqf(
                improvement,
                bounds=torch.tensor([[0.0], [1.0]], dtype=torch.float64).expand(2, points.shape[1]),
                q=1,
                num_restarts=num_restarts,
                raw_samples=raw_samples,
                options={"maxiter": _ITERATIONS},
                retry_on_optimization_warning=False,
            )
        except NotPSDError:
            candidates = torch.rand_like(points[:1])
    return candidates[0], {name: found.detach().clone() for name, found in process.named_parameters()}


def _process(points: torch.Tensor, targets: torch.Tensor) -> Any:
    """A Gaussian process with derivatives, as BoTorch takes it."""
    from botorch.models.gpytorch import GPyTorchModel
    from gpytorch.constraints import GreaterThan  # type: ignore[import-untyped]
    from gpytorch.distributions import MultitaskMultivariateNormal  # type: ignore[import-untyped]
    from gpytorch.kernels import RBFKernelGrad, ScaleKernel  # type: ignore[import-untyped]
    from gpytorch.likelihoods import MultitaskGaussianLikelihood  # type: ignore[import-untyped]
    from gpytorch.means import ConstantMeanGrad  # type: ignore[import-untyped]
    from gpytorch.models import ExactGP  # type: ignore[import-untyped]
    from gpytorch.priors import LogNormalPrior  # type: ignore[import-untyped]

    class Process(ExactGP, GPyTorchModel):  # type: ignore[misc]
        _num_outputs = targets.shape[1]

        def __init__(self) -> None:
            likelihood = MultitaskGaussianLikelihood(
                num_tasks=targets.shape[1], rank=0, has_task_noise=False, noise_constraint=GreaterThan(1e-6)
            )
            super().__init__(points, targets, likelihood)
            dim = points.shape[1]
            self.mean_module = ConstantMeanGrad()
            # BoTorch's own prior for lengths in so many dimensions (Hvarfner et al., 2024).
            lengths = LogNormalPrior(2.0**0.5 + 0.5 * np.log(dim), 3.0**0.5)
            self.covar_module = ScaleKernel(RBFKernelGrad(ard_num_dims=dim, lengthscale_prior=lengths))
            self.to(points)

        def forward(self, x: torch.Tensor) -> Any:
            return MultitaskMultivariateNormal(self.mean_module(x), self.covar_module(x))

    return Process()
