"""Maximising an acquisition function in BoTorch: POP in place of its multi-start L-BFGS-B, as ``gen_candidates``.

Eight Gaussian processes, each fitted to 80 random values of the Hartmann function in six dimensions; of each, the
logarithm of the expected improvement is maximised. Both optimizers begin at the starts that BoTorch chooses from 128
raw samples. One evaluation is a value with its gradient at one point, those of the raw samples not counted.
"""

import sys
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import torch
from botorch.acquisition import LogExpectedImprovement
from botorch.fit import fit_gpytorch_mll
from botorch.generation import gen_candidates_scipy
from botorch.models import SingleTaskGP
from botorch.optim import optimize_acqf
from botorch.test_functions import Hartmann
from gpytorch.mlls import ExactMarginalLogLikelihood
from matplotlib.figure import Figure

import pop_optimizer
from pop_envs.rendering import PALETTE, dress

FIGURE = Path(__file__).with_suffix(".png")
MODELS = 8
POINTS = 80
RAW_SAMPLES = 128
NEAR = 0.01  # of the best logarithm that any method found


def gen_candidates_pop(starts, acquisition, lower_bounds, upper_bounds, budget, **unused):
    """Candidates (n, 1, dim) and their values (n,), from as many starts in one batched run of POP."""
    n, q, dim = starts.shape

    def negative(x):
        return -acquisition(x.reshape(n, q, dim))

    bounds = torch.stack([torch.as_tensor(b, dtype=starts.dtype).expand(q * dim) for b in (lower_bounds, upper_bounds)])
    result = pop_optimizer.minimize_batch(
        negative, starts.reshape(n, q * dim), bounds=bounds.T.numpy(), jac="autodiff", budget=budget
    )
    return torch.tensor(result.x, dtype=starts.dtype).reshape(n, q, dim), torch.tensor(-result.fun, dtype=starts.dtype)


METHODS = {
    "L-BFGS-B, 10 starts": (10, gen_candidates_scipy),
    "L-BFGS-B, 2 starts": (2, gen_candidates_scipy),
    "POP, 2 starts": (2, partial(gen_candidates_pop, budget=50)),
    "POP, 1 start": (1, partial(gen_candidates_pop, budget=100)),
}


def fitted(seed):
    """The acquisition function of a process with its own data."""
    torch.manual_seed(seed)
    hartmann = Hartmann(dim=6, negate=True)
    x = torch.rand(POINTS, 6, dtype=torch.float64)
    y = hartmann(x)[:, None]
    model = SingleTaskGP(x, (y - y.mean()) / y.std(), outcome_transform=None)
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    return LogExpectedImprovement(model, best_f=model.train_targets.max())


def maximise(acquisition, starts, gen_candidates):
    """The best value found, and the evaluations that it took."""
    spent = 0

    def count(_, inputs):
        nonlocal spent
        if inputs[0].requires_grad:
            spent += len(inputs[0])

    hook = acquisition.register_forward_pre_hook(count)
    torch.manual_seed(0)  # of the raw samples
    unit_cube = torch.tensor([[0.0] * 6, [1.0] * 6], dtype=torch.float64)
    _, value = optimize_acqf(
        acquisition, unit_cube, 1, num_restarts=starts, raw_samples=RAW_SAMPLES, gen_candidates=gen_candidates
    )
    hook.remove()
    return value.item(), spent


def main(figure=FIGURE):
    """Prints the table, draws the figure, and returns values and evaluations: method -> (MODELS, 2)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        functions = [fitted(seed) for seed in range(MODELS)]
        found = {name: np.array([maximise(f, *how) for f in functions]) for name, how in METHODS.items()}
    below = shortfalls(found)
    print(f"{'log expected improvement':26}{'mean below the best':>22}{'best found':>14}{'evaluations':>14}")
    for name, runs in found.items():
        best = f"{np.sum(below[name] <= NEAR)}/{MODELS}"
        print(f"{name:26}{below[name].mean():>22.3f}{best:>14}{runs[:, 1].mean():>14.0f}")
    draw(found).savefig(figure, dpi=100)
    return found


def shortfalls(found):
    """How far each method stays below the best value that any of them found: method -> (MODELS,)."""
    best = np.max([runs[:, 0] for runs in found.values()], axis=0)
    return {name: best - runs[:, 0] for name, runs in found.items()}


def draw(found):
    """A dot for each method and model: evaluations spent, and how far the value is below the best."""
    chart = Figure(figsize=(6.5, 4), layout="constrained")
    ax = chart.subplots()
    below = shortfalls(found)
    for (name, runs), color in zip(found.items(), PALETTE, strict=False):
        ax.scatter(runs[:, 1], below[name], s=22, color=color, alpha=0.45, linewidths=0)
        ax.scatter(runs[:, 1].mean(), below[name].mean(), s=110, color=color, marker="D", label=name)
    ax.set(xscale="log", xlabel="evaluations of value and gradient", ylabel="log EI below the best found")
    dress(ax)
    ax.legend(frameon=False, title="means as diamonds", fontsize="small")
    return chart


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
