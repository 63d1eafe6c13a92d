"""NIST's 27 nonlinear regressions, each from both published starts: POP beside SciPy's L-BFGS-B and least_squares.

NIST certifies eleven digits of each residual sum of squares; a method is judged by how many of them it reaches.
``least_squares`` sees the residuals and their Jacobian, the other two only their sum of squares and its gradient.
All three search the same box, scaled to [-1, 1] in each parameter: without scaling, L-BFGS-B solves fewer.
"""

import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.optimize import least_squares, minimize

import pop_optimizer
from benchmarks.plain import nist
from pop_envs.rendering import PALETTE, dress

FIGURE = Path(__file__).with_suffix(".png")
BUDGET = 100  # evaluations of value and gradient, or of residuals and Jacobian, after the start's
DIGITS = 4  # that count as solved: what NIST asks of a program by default


def pop(objective, u0):
    """The lowest sum of squares that POP finds in the unit box."""
    bounds = [(-1, 1)] * len(u0)
    return pop_optimizer.minimize(one(objective), u0, jac=True, bounds=bounds, budget=BUDGET, seed=0).fun


def lbfgsb(objective, u0):
    """The same of one descent of L-BFGS-B."""
    bounds = [(-1, 1)] * len(u0)
    options = {"maxfun": BUDGET + 1, "maxiter": BUDGET}
    return minimize(one(objective), u0, jac=True, bounds=bounds, method="L-BFGS-B", options=options).fun


def trust_region(objective, u0):
    """The same of SciPy's method for residuals."""
    residuals = lru_cache(lambda u: objective.residuals(np.array(u)))
    found = least_squares(
        lambda u: residuals(tuple(u))[0],
        u0,
        jac=lambda u: residuals(tuple(u))[1],
        bounds=(-1, 1),
        x_scale="jac",
        max_nfev=BUDGET + 1,
    )
    return 2 * found.cost  # SciPy minimizes half the sum


METHODS = {"POP": pop, "L-BFGS-B": lbfgsb, "least_squares": trust_region}


def one(objective):
    """The sum of squares and its gradient at one point; infinity where the model overflows."""

    def fun(u):
        values, gradients = objective.value_and_grad(torch.from_numpy(u)[None])
        value, gradient = values[0].item(), gradients[0].numpy()
        return (value, gradient) if np.isfinite(value) else (np.inf, np.zeros_like(gradient))

    return fun


def digits(value, certified):
    """How many digits of the certified value are right, from 0 to 11."""
    return float(np.clip(-np.log10(max(abs(value - certified) / certified, 1e-300)), 0, 11))


def main(figure=FIGURE):
    """Prints the table, draws the figure, and returns the digits: dataset -> method -> one for each start."""
    found = {}
    print(f"{'digits from either start':26}" + "".join(f"{name:>16}" for name in METHODS))
    with np.errstate(all="ignore"):
        for dataset in nist.MODELS:
            fit = nist.fit(dataset)
            objective = fit.objective()
            found[dataset] = {
                name: [digits(method(objective, objective.to_unit(x0)), fit.f_min) for x0 in fit.starts]
                for name, method in METHODS.items()
            }
            cells = (" ".join(f"{d:5.1f}" for d in found[dataset][name]) for name in METHODS)
            print(f"{dataset:26}" + "".join(f"{cell:>16}" for cell in cells))
    shares = (f"{solved(found, name):.0%}" for name in METHODS)
    print(f"{f'runs with {DIGITS} digits':26}" + "".join(f"{share:>16}" for share in shares))
    draw(found).savefig(figure, dpi=100)
    return found


def solved(found, method):
    """The share of runs that reach four digits."""
    return np.mean([d >= DIGITS for row in found.values() for d in row[method]])


def draw(found):
    """A row for each dataset, in NIST's order of difficulty; a dot for each method and start."""
    chart = Figure(figsize=(7, 6), layout="constrained")
    ax = chart.subplots()
    rows = np.arange(len(found))
    for k, (name, color) in enumerate(zip(METHODS, PALETTE, strict=False)):
        for start in range(2):
            x = [row[name][start] for row in found.values()]
            label = name if start == 0 else None
            ax.scatter(x, rows + 0.25 * (k - 1), s=22, color=color, alpha=0.75, linewidths=0, label=label)
    ax.axvline(DIGITS, color="0.4", lw=0.8, ls="--")
    ax.set(xlabel="digits of the certified sum of squares", ylim=(len(found) - 0.5, -0.5))
    ax.set_yticks(rows, list(found), fontsize="small")
    dress(ax)
    chart.legend(loc="outside upper center", ncols=3, frameon=False)
    return chart


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
