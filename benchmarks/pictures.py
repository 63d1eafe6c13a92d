"""The documentation's pictures of how things work: ``python -m benchmarks.pictures``, into docs/pictures.

A film of each environment, played by the policy that ships for it, and figures of POP's policy at work.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import norm

import pop_envs  # noqa: F401 - registers the environments
from pop_envs.objectives.base import FunctionBatch, evaluate
from pop_envs.objectives.priors import PRIORS, validation_functions, validation_starts
from pop_envs.pop.search import Search
from pop_envs.rendering import PALETTE, draw_landscape, dress
from pop_envs.search.surrogate import LENGTHSCALE, NOISE, XI
from pop_optimizer.ask_tell import POPPolicy
from pop_optimizer.checkpoint import load_checkpoint
from pop_optimizer.lto import POLICIES, load_policy
from pop_optimizer.networks.distributions import OptionsDistribution
from pop_optimizer.rover import load_rover

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
SHIPPED = Path(__file__).parents[1] / "pop_optimizer" / "weights" / "pop"
BUDGET = 50
OPTIONS = ("the present descent", "the lowest descent", "a jump")
COLORS = (PALETTE[0], PALETTE[2], PALETTE[1])

_WIDTH, _COLORS = 560, 40  # of a film: pixels, and colours of its palette
_FRAME, _LAST = 160, 1600  # milliseconds
_GRID = 81  # points of a side of the surrogate's pictures

Policy = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class Film(NamedTuple):
    """An environment to show, its keyword arguments, the seed of the episode, and who plays it."""

    env_id: str
    settings: dict[str, Any]
    seed: int
    policy: Callable[[], Policy]


def play_pop() -> Policy:
    """POP's policy on ``"token"`` observations in 2-D."""
    network = load_checkpoint(SHIPPED)[0].network
    cache = network.new_cache(1, 2, BUDGET)
    return lambda seen: network.act(torch.from_numpy(seen)[None], cache).mode()[0].numpy().clip(-1, 1)


def play_rover() -> Policy:
    """The rover's, which has a memory."""
    network = load_rover().network
    memory = [network.new_state(1)]

    def act(seen: NDArray[np.float32]) -> NDArray[np.float32]:
        action, memory[0] = network(torch.from_numpy(seen)[None], memory[0])
        return np.asarray(action[0], np.float32)

    return act


def play_lto() -> Policy:
    """Learning to Optimize's for logistic regressions in the plane."""
    network, _ = load_policy(POLICIES / "logistic_2d")
    return lambda seen: np.asarray(network(torch.from_numpy(seen)[None])[0], np.float32)


_AS_TRAINED = {"budget": BUDGET, "observation": "token", "step_rule": "quasi_newton", "tokens": "options"}
FILMS = {
    "pop_v0": Film("POP-v0", {"prior": "wide", **_AS_TRAINED}, 4, play_pop),
    "rover_v0": Film("RoverDescent-v0", {"families": ("quadratic",), "budget": 30}, 1, play_rover),
    "lto_v0": Film("LearningToOptimize-v0", {"task": "logistic_2d", "budget": 40}, 0, play_lto),
    "vlse": Film("VLSE/SixHumpCamel-v0", _AS_TRAINED, 2, play_pop),
}


def frames(film: Film) -> Iterator[NDArray[np.uint8]]:
    """The pictures (height, width, 3) of an episode."""
    env = gymnasium.make(film.env_id, render_mode="rgb_array", **film.settings)
    policy = film.policy()
    seen, _ = env.reset(seed=film.seed)
    ended = False
    with torch.no_grad():
        while not ended:
            yield np.asarray(env.render())
            seen, _, ended, _, _ = env.step(policy(seen))
    yield np.asarray(env.render())
    env.close()


def save_film(film: Film, path: Path) -> None:
    """Writes the episode as a GIF, small enough for a page."""
    shown = []
    for frame in frames(film):
        picture = Image.fromarray(frame)
        shown.append(picture.resize((_WIDTH, _WIDTH * picture.height // picture.width), Image.Resampling.LANCZOS))
    palette = shown[-1].quantize(_COLORS, dither=Image.Dither.NONE)  # one for all: pixels that stay are left out
    first, *rest = (picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in shown)
    durations = [_FRAME] * len(rest) + [_LAST]
    first.save(path, save_all=True, append_images=rest, duration=durations, loop=0, optimize=True)


class Steps(NamedTuple):
    """What a batch of runs did.

    Attributes:
        points: (batch, T + 1, dim).
        values: (batch, T + 1).
        options: Index in ``OPTIONS`` of each step's choice (batch, T).
        chances: The policy's probabilities of them (batch, T, 3).
        search: The runs at their end.
    """

    points: NDArray[np.float64]
    values: NDArray[np.float64]
    options: NDArray[np.int64]
    chances: NDArray[np.float64]
    search: Search


def watch(policy: POPPolicy, functions: FunctionBatch, x: torch.Tensor, steps: int, budget: int = BUDGET) -> Steps:
    """Runs the policy's modes from ``x`` (batch, dim), and notes what it chooses."""
    search, cache = policy.task.make_search(budget), policy.network.new_cache(len(x), x.shape[1], budget)
    points, values, options, chances = [x], [], [], []
    y, g = evaluate(functions, x)
    with torch.no_grad():
        search.start(x, y, g)
        values.append(y)
        for _ in range(steps):
            choice = policy.network.act(search.token, cache)
            assert isinstance(choice, OptionsDistribution)
            action = choice.mode()
            stepped = (action == choice.step).all(-1)
            lowest = ~stepped & (action == choice.lowest).all(-1)
            options.append(torch.where(stepped, 0, torch.where(lowest, 1, 2)))
            # Where both descents are one, the chance of it counts once.
            logs = [choice.step_weight, choice.lowest_weight.masked_fill(choice.same, -torch.inf), choice.jump_weight]
            chances.append(torch.stack(logs, -1).exp())
            x = search.propose(action.double().clamp(-1, 1))
            y, g = evaluate(functions, x)
            search.update(y, g)
            points.append(x)
            values.append(y)
    arrays = {"points": points, "values": values, "options": options, "chances": chances}
    return Steps(**{name: torch.stack(each, 1).numpy() for name, each in arrays.items()}, search=search)


def draw_run(policy: POPPolicy) -> Figure:
    """One run: where each kind of choice led, and what it found."""
    functions, x = _validation("wide", 1 + _SHOWN)
    one, start = functions.rows(torch.tensor([_SHOWN])), x[_SHOWN:]
    run = watch(policy, one, start, BUDGET)
    points, values, options = run.points[0], run.values[0], run.options[0]
    figure = Figure((9.6, 4.2), dpi=100, layout="constrained")
    land, curve = figure.subplots(1, 2)
    draw_landscape(land, one)
    land.plot(*points.T, color="#3b4252", lw=0.6, alpha=0.5, zorder=2)
    land.plot(*points[0], "s", color="black", ms=6, zorder=4, label="the start")
    best = np.minimum.accumulate(values)
    gaps = np.maximum(best - values.min(), 1e-12)
    curve.plot(gaps, color="#3b4252", lw=1)
    for option, (name, color) in enumerate(zip(OPTIONS, COLORS, strict=True)):
        steps = 1 + np.flatnonzero(options == option)
        land.plot(*points[steps].T, ".", color=color, ms=9, zorder=3, label=name)
        curve.plot(steps, np.maximum(values[steps] - values.min(), 1e-12), ".", color=color, ms=8)
    land.plot(*points[values.argmin()], "*", color="#f5c211", ms=15, mec="black", zorder=5, label="the best point")
    curve.set(yscale="log", xlabel="step", ylabel="value above the lowest found")
    dress(curve)
    figure.legend(*land.get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    return figure


def draw_surrogate(policy: POPPolicy) -> Figure:
    """What the surrogate of one run believes after a few steps, and what is proposed."""
    functions, x = _validation("wide", 1 + _SHOWN)
    one, start = functions.rows(torch.tensor([_SHOWN])), x[_SHOWN:]
    run = watch(policy, one, start, _LOOK)
    surrogate = run.search.trajectory.surrogate
    assert surrogate is not None
    mean, deviation = posterior(run.points[0], run.values[0], surrogate_grid())
    chance = norm.cdf(-(mean + XI) / deviation)
    proposals = policy.task.make_search(BUDGET).tokens.proposals(run.search.trajectory)
    figure = Figure((12.6, 4.1), dpi=100, layout="constrained")
    axes = figure.subplots(1, 4)
    draw_landscape(axes[0], one)
    for ax, field, title in zip(
        axes[1:], (mean, deviation, chance), ("its mean", "its deviation", "chance to improve"), strict=True
    ):
        ticks = np.linspace(-1, 1, _GRID)
        ax.contourf(ticks, ticks, field.reshape(_GRID, _GRID).T, 16, cmap="bone")
        ax.set(title=title, xlabel="$x_1$", xlim=(-1, 1), ylim=(-1, 1))
        ax.set_box_aspect(1)
    axes[0].set(title="the function")
    for ax in axes:
        _mark(ax, run, surrogate.candidates[0].numpy(), {name: point[0].numpy() for name, point in proposals.items()})
    handles = dict(zip(*reversed(axes[0].get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=6, frameon=False)
    return figure


def surrogate_grid() -> NDArray[np.float64]:
    """The points (n, 2) at which the surrogate is drawn."""
    ticks = np.linspace(-1, 1, _GRID)
    return np.stack(np.meshgrid(ticks, ticks, indexing="ij"), -1).reshape(-1, 2)


def posterior(
    points: NDArray[np.float64], values: NDArray[np.float64], at: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean above the lowest value and deviation of the surrogate at ``at`` (n, dim), in the process's deviations.

    By the textbook's formulas (Rasmussen & Williams 2006, eq. 2.25 and 2.26, with a constant mean by generalized least
    squares); the ``Surrogate`` has the same at its candidates.
    """

    def kernel(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        squares = np.square(a[:, None] - b[None]).mean(-1)
        return np.asarray(np.exp(-0.5 * squares / LENGTHSCALE**2))

    solved = np.linalg.solve(
        kernel(points, points) + NOISE * np.eye(len(points)),
        np.column_stack([values, np.ones(len(points)), kernel(points, at)]),
    )
    constant = solved[:, 0].sum() / solved[:, 1].sum()
    left = values - constant
    unit = np.sqrt(left @ (solved[:, 0] - constant * solved[:, 1]) / len(points))
    cross = kernel(at, points)
    mean = constant + cross @ (solved[:, 0] - constant * solved[:, 1])
    variance = 1 - (cross * solved[:, 2:].T).sum(-1)
    return (mean - values.min()) / unit, np.sqrt(np.maximum(variance, 0))


def _mark(ax: Axes, run: Steps, candidates: NDArray[np.float64], proposals: dict[str, NDArray[np.float64]]) -> None:
    """Points seen, candidates and proposals."""
    ax.plot(*candidates.T, "+", color="#8a93a5", ms=4, label="candidates", zorder=2)
    ax.plot(*run.points[0].T, ".", color="white", mec="black", ms=7, label="points seen", zorder=3)
    for (name, point), color, marker in zip(proposals.items(), (COLORS[2], *COLORS[:2]), "^so", strict=True):
        ax.plot(*point, marker, color=color, mec="white", ms=9, label=name, zorder=4)
    ax.plot(*run.points[0, -1], "x", color="#f5c211", ms=8, mew=2.5, label="the newest point", zorder=5)


def draw_choices(policy: POPPolicy) -> Figure:
    """How probable each choice is at each step, over validation functions of three priors."""
    figure = Figure((9.6, 3.2), dpi=100, layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    for ax, prior in zip(axes, ("gp", "wide", "plain"), strict=True):
        chances = watch(policy, *_validation(prior, 256), BUDGET).chances.mean(0)
        ax.stackplot(np.arange(1, BUDGET + 1), *chances.T, labels=OPTIONS, colors=COLORS, alpha=0.85)
        ax.set(title=prior, xlim=(1, BUDGET), ylim=(0, 1), xlabel="step")
    axes[0].set_ylabel("mean probability")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure


_SHOWN, _LOOK = 3, 24  # which function of the prior is shown, and after how many steps its surrogate


def _validation(prior: str, batch: int) -> tuple[FunctionBatch, torch.Tensor]:
    """Functions of a prior that no training sees, in the plane, and starts."""
    return validation_functions(PRIORS[prior](), batch), torch.from_numpy(validation_starts(batch))


FIGURES: dict[str, Callable[[POPPolicy], Figure]] = {
    "run": draw_run,
    "surrogate": draw_surrogate,
    "choices": draw_choices,
}


def main(folder: Path = FOLDER) -> None:
    """Makes all pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, film in FILMS.items():
        save_film(film, folder / f"{name}.gif")
        print(f"{name}.gif: {(folder / f'{name}.gif').stat().st_size / 1e3:.0f} kB")
    policy, _ = load_checkpoint(SHIPPED)
    for name, draw in FIGURES.items():
        draw(policy).savefig(folder / f"{name}.png")
        print(f"{name}.png: {(folder / f'{name}.png').stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
