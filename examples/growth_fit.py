"""A pharmacokinetic fit with several minima: POP, from twenty starts, beside local methods from the same ones.

Theophylline in the blood after a dose by mouth, one subject of Upton's study (Boeckmann, Sheiner and Beal, 1994, NONMEM
Users Guide V): a compartment that is filled at the rate ka after a lag and emptied at the rate ke. A fit in which
absorption is the slow part ("flip-flop"), and one for each interval between samples that the lag may lie in, are local
minima of the sum of squares. One evaluation is a sum with its gradient; ``least_squares`` sees residuals and their
Jacobian.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.optimize import least_squares, minimize

import pop_optimizer
from pop_envs.rendering import PALETTE, dress

FIGURE = Path(__file__).with_suffix(".png")
DOSE = 4.02  # mg/kg
HOURS = torch.tensor([0.25, 0.57, 1.12, 2.02, 3.82, 5.10, 7.03, 9.05, 12.12, 24.37], dtype=torch.float64)
CONCENTRATION = torch.tensor([2.84, 6.57, 10.50, 9.66, 8.58, 8.36, 7.47, 6.89, 5.94, 3.28], dtype=torch.float64)  # mg/l
LOWER = np.array([*np.log([0.05, 0.01, 0.05]), 0.0])  # of log ka and log ke (1/h), log volume (l/kg), and the lag (h)
UPPER = np.array([*np.log([10.0, 2.0, 2.0]), 1.0])
BUDGET = 60  # evaluations after the start's
STARTS = 20
NEAR = 0.01  # mg^2/l^2 above the lowest sum: the same minimum


def curve(p, hours):
    """The concentration at so many hours after the dose."""
    ka, ke, volume = torch.exp(p[:3])
    since = (hours - p[3]).clamp(min=0)
    # (exp(-ke t) - exp(-ka t)) / (ka - ke), which has a limit where both rates are equal.
    apart = ka - ke
    ratio = torch.where(apart.abs() < 1e-9, since, -torch.expm1(-apart * since) / apart)
    return DOSE * ka / volume * torch.exp(-ke * since) * ratio


def residuals(p):
    """Observed minus predicted, of a tensor (4,)."""
    return CONCENTRATION - curve(p, HOURS)


def sum_of_squares(x):
    """The sum and its gradient."""
    p = torch.tensor(x, requires_grad=True)
    value = (residuals(p) ** 2).sum()
    return value.item(), torch.autograd.grad(value, p)[0].numpy()


def pop(x0):
    """Where POP ends, and its evaluations."""
    result = pop_optimizer.minimize(sum_of_squares, x0, jac=True, bounds=BOUNDS, budget=BUDGET, seed=0)
    return result.x, result.fun, result.nfev


def lbfgsb(x0):
    """The same of one descent of L-BFGS-B."""
    result = minimize(sum_of_squares, x0, jac=True, bounds=BOUNDS, method="L-BFGS-B", options={"maxfun": BUDGET + 1})
    return result.x, result.fun, result.nfev


def trust_region(x0):
    """The same of ``least_squares``."""

    def jacobian(x):
        return torch.autograd.functional.jacobian(residuals, torch.tensor(x)).numpy()

    result = least_squares(
        lambda x: residuals(torch.tensor(x)).numpy(), x0, jacobian, (LOWER, UPPER), max_nfev=BUDGET + 1
    )
    return result.x, 2 * result.cost, result.nfev  # SciPy minimizes half the sum


BOUNDS = list(zip(LOWER, UPPER, strict=True))
METHODS = {"POP": pop, "L-BFGS-B": lbfgsb, "least_squares": trust_region}


def main(figure=FIGURE):
    """Prints the table, draws the figure, and returns the runs: method -> (point, sum of squares, evaluations) each."""
    starts = np.random.default_rng(0).uniform(LOWER, UPPER, (STARTS, 4))
    found = {name: [method(x0) for x0 in starts] for name, method in METHODS.items()}
    lowest = min(value for runs in found.values() for _, value, _ in runs)
    print(f"{'':16}{'at the best minimum':>22}{'median sum of squares':>24}{'evaluations a run':>20}")
    for name, runs in found.items():
        values, spent = np.array([value for _, value, _ in runs]), np.mean([n for _, _, n in runs])
        print(f"{name:16}{np.sum(values <= lowest + NEAR):>19}/{STARTS}{np.median(values):>24.3f}{spent:>20.0f}")
    draw(found).savefig(figure, dpi=100)
    return found


def draw(found):
    """Left, the data with the curves of the local minima; right, where the runs of each method end."""
    chart = Figure(figsize=(10, 4), layout="constrained")
    left, right = chart.subplots(1, 2)
    runs = sorted((run for runs in found.values() for run in runs), key=lambda run: run[1])
    hours, last, shown = torch.linspace(0, 25, 400, dtype=torch.float64), -np.inf, 0
    for x, value, _ in runs:
        if value > last + 1 and shown < 4:  # another minimum
            left.plot(hours, curve(torch.tensor(x), hours), color=PALETTE[shown], label=f"sum of squares {value:.2f}")
            last, shown = value, shown + 1
    left.scatter(HOURS, CONCENTRATION, color="black", s=18, zorder=3)
    left.set(xlabel="hours after the dose", ylabel="theophylline, mg/l", title="local minima")
    left.legend(frameon=False, fontsize="small")
    for (name, runs), color in zip(found.items(), PALETTE, strict=False):
        right.plot(range(1, STARTS + 1), sorted(value for _, value, _ in runs), "o-", ms=4, color=color, label=name)
    right.set(xlabel="run, the best first", ylabel="sum of squares", yscale="log", title=f"{STARTS} starts")
    right.legend(frameon=False, fontsize="small")
    for ax in (left, right):
        dress(ax)
    return chart


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
