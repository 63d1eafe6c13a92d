"""Hyper-parameters of a Gaussian process, whose marginal likelihood has several maxima: POP inside scikit-learn.

The data are Linnerud's, which come with scikit-learn: three exercises and three measurements of twenty athletes. The
kernel has five hyper-parameters, and ``GaussianProcessRegressor`` takes any optimizer of them. POP, L-BFGS-B restarted
at random points, and scikit-learn's default, one descent of L-BFGS-B, begin at the same random points; the
first two have the same number of evaluations.
"""

import sys
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import fmin_l_bfgs_b
from sklearn.datasets import load_linnerud
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.preprocessing import StandardScaler

import pop_optimizer
from pop_envs.objectives.base import BoxObjective
from pop_envs.rendering import PALETTE, draw_landscape, draw_path, dress

FIGURE = Path(__file__).with_suffix(".png")
BUDGET = 50  # evaluations of the likelihood and its gradient, after the start's
STARTS = 12
NEAR = 0.01  # of the best log likelihood that any run found: the same maximum


def pop(objective, theta, bounds):
    """POP, as scikit-learn calls an optimizer: the best logarithms of the hyper-parameters, and their value."""
    result = pop_optimizer.minimize(objective, theta, bounds=bounds, jac=True, budget=BUDGET, seed=0)
    return result.x, result.fun


def lbfgsb(objective, theta, bounds):
    """One descent, which is scikit-learn's default."""
    return fmin_l_bfgs_b(objective, theta, bounds=bounds)[:2]


def lbfgsb_restarts(objective, theta, bounds):
    """Descents from random points until as many evaluations are spent as POP has."""
    best, rng, left = (theta, np.inf), np.random.default_rng(0), BUDGET + 1

    def counted(theta):
        nonlocal best, left
        if left == 0:
            raise StopIteration
        left -= 1
        value, gradient = objective(theta)
        if value < best[1]:
            best = theta.copy(), value
        return value, gradient

    with suppress(StopIteration):
        while True:
            lbfgsb(counted, theta, bounds)
            theta = rng.uniform(*bounds.T)
    return best


METHODS = {"POP": pop, "L-BFGS-B, restarted": lbfgsb_restarts, "L-BFGS-B": lbfgsb}


def likelihood(x, y, theta, optimizer):
    """The log marginal likelihood of the process that is fitted from ``theta``."""
    kernel = ConstantKernel(1.0, (1e-2, 1e2)) * RBF(np.ones(x.shape[1]), (1e-2, 1e2)) + WhiteKernel(0.1, (1e-4, 1e1))
    process = GaussianProcessRegressor(kernel.clone_with_theta(theta), optimizer=optimizer)
    return process.fit(x, y).log_marginal_likelihood_value_


def main(figure=FIGURE):
    """Prints the table, draws the figure, and returns the log likelihoods: measurement -> method -> (STARTS,)."""
    data = load_linnerud()
    x, targets = (StandardScaler().fit_transform(part) for part in (data.data, data.target))
    bounds = np.log([(1e-2, 1e2)] * 4 + [(1e-4, 1e1)])
    starts = np.random.default_rng(0).uniform(*bounds.T, (STARTS, len(bounds)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of hyper-parameters at their bounds
        found = {
            name: {method: [likelihood(x, y, theta, f) for theta in starts] for method, f in METHODS.items()}
            for name, y in zip(data.target_names, targets.T, strict=True)
        }
    print(f"{'log likelihood, mean (runs at the best)':40}" + "".join(f"{method:>22}" for method in METHODS))
    for name, row in found.items():
        cells = (f"{np.mean(values):.2f} ({at_best(row, method)}/{STARTS})" for method, values in row.items())
        print(f"{name:40}" + "".join(f"{cell:>22}" for cell in cells))
    draw(x[:, [1]], targets[:, 1], found).savefig(figure, dpi=100)
    return found


def at_best(row, method):
    """How many runs end at the best maximum that any run of any method found."""
    return int(np.sum(np.array(row[method]) >= max(map(max, row.values())) - NEAR))


def draw(x, y, found):
    """Left, two maxima of the waist's likelihood given sit-ups alone, and POP's path; right, all runs."""
    chart = Figure(figsize=(10, 4), layout="constrained")
    left, right = chart.subplots(1, 2)
    kernel = RBF(1.0, (1e-2, 1e2)) + WhiteKernel(0.1, (1e-4, 1e1))
    process = GaussianProcessRegressor(kernel, optimizer=None).fit(x, y)

    def value_and_grad(thetas):
        pairs = [process.log_marginal_likelihood(theta, eval_gradient=True) for theta in thetas]
        values, gradients = map(np.array, zip(*pairs, strict=True))
        return -values, -gradients

    objective = BoxObjective(value_and_grad, *process.kernel_.bounds.T)
    run = pop_optimizer.Optimizer(process.kernel_.bounds, [-4.0, 1.0], budget=BUDGET, rng=0)
    while not run.done:
        theta = run.ask()
        values, gradients = value_and_grad(theta[None])
        run.tell(theta, values[0], gradients[0])
    result = run.result()
    draw_landscape(left, objective)
    draw_path(left, objective, objective.to_unit(result.x_iters), result.func_vals)
    left.set(xlabel="log length scale", ylabel="log noise variance", title="waist given sit-ups: POP's path")
    for k, (method, color) in enumerate(zip(METHODS, PALETTE, strict=False)):
        for i, row in enumerate(found.values()):
            height = i + 0.25 * (k - 1) + np.linspace(-0.08, 0.08, STARTS)
            gap = max(map(max, row.values())) - np.array(row[method])
            right.scatter(gap, height, s=16, color=color, linewidths=0, alpha=0.7, label=method if i == 0 else None)
    right.set_yticks(range(len(found)), list(found))
    right.set(xlabel="below the best log likelihood", ylim=(len(found) - 0.5, -0.5))
    dress(right)
    right.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False, fontsize="small")
    return chart


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
