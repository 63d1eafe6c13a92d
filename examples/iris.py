"""A small network on Iris in full batch: POP as a ``torch.optim.Optimizer``, beside PyTorch's Adam and LBFGS.

All three begin at the same five initializations and evaluate the loss and its gradient equally often. This is what
``POP`` is for: a few hundred parameters and a loss that is the same at every call. It is not meant for minibatches,
whose noise it would take for the function, nor for large networks, where a step of its own costs more than the loss.
On a loss as smooth as this one LBFGS is as good and cheaper a step: POP's gain is where there are several minima.
"""

import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_iris
from sklearn.preprocessing import StandardScaler

from pop_envs.rendering import PALETTE, dress
from pop_optimizer import POP

FIGURE = Path(__file__).with_suffix(".png")
BUDGET = 200  # evaluations of the loss and its gradient
SEEDS = 5
DECAY = 1e-3  # of the weights: with it, the lowest loss is where the weights stay finite

OPTIMIZERS = {
    "POP": lambda p: POP(p, budget=BUDGET - 1),  # its first step evaluates the start too
    "LBFGS": lambda p: torch.optim.LBFGS(p, max_iter=BUDGET, max_eval=BUDGET, line_search_fn="strong_wolfe"),
    "Adam, 0.1": lambda p: torch.optim.Adam(p, lr=0.1),
    "Adam, 0.01": lambda p: torch.optim.Adam(p, lr=0.01),
}


class Spent(Exception):  # noqa: N818 - the normal end of a fit
    """All evaluations are spent."""


def fit(make, seed, x, y):
    """Lowest loss after each evaluation (BUDGET,)."""
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3)).double()
    optimizer, losses = make(model.parameters()), []

    def closure():
        if len(losses) == BUDGET:
            raise Spent
        optimizer.zero_grad()
        penalty = sum((p**2).sum() for p in model.parameters())
        loss = torch.nn.functional.cross_entropy(model(x), y) + DECAY * penalty
        loss.backward()
        losses.append(loss.item())
        return loss

    with suppress(Spent):
        for _ in range(BUDGET):
            optimizer.step(closure)
    losses += [losses[-1]] * (BUDGET - len(losses))  # LBFGS may end early
    return np.minimum.accumulate(losses)


def main(figure=FIGURE):
    """Prints the table, draws the figure, and returns the losses: optimizer -> (SEEDS, BUDGET)."""
    data, kinds = load_iris(return_X_y=True)
    x, y = torch.from_numpy(StandardScaler().fit_transform(data)), torch.from_numpy(kinds)
    found = {}
    print(f"{'lowest loss after':16}{'50':>18}{BUDGET:>18} evaluations")
    for name, make in OPTIMIZERS.items():
        found[name] = np.array([fit(make, seed, x, y) for seed in range(SEEDS)])
        cells = (f"{found[name][:, n - 1].mean():.4f} ± {found[name][:, n - 1].std(ddof=1):.4f}" for n in (50, BUDGET))
        print(f"{name:16}" + "".join(f"{c:>18}" for c in cells))
    draw(found).savefig(figure, dpi=100)
    return found


def draw(found):
    """The mean over seeds of the lowest loss so far, with all seeds behind it."""
    chart = Figure(figsize=(6.5, 4), layout="constrained")
    ax = chart.subplots()
    for (name, losses), color in zip(found.items(), PALETTE, strict=False):
        ax.plot(np.arange(1, BUDGET + 1), losses.T, color=color, lw=0.6, alpha=0.35)
        ax.plot(np.arange(1, BUDGET + 1), losses.mean(0), color=color, lw=1.8, label=name)
    ax.set(xlabel="evaluations of loss and gradient", ylabel="lowest loss so far", yscale="log", xlim=(1, BUDGET))
    dress(ax)
    ax.legend(frameon=False)
    return chart


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
