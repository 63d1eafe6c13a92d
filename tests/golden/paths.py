"""Paths that must not move: ``python tests/golden/paths.py`` writes them anew.

The shipped weights run on six functions, and each preset's untrained policy on two. Kept are the first points of
each path and the best value.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch

import pop_optimizer
from agents.training.config import PRESETS
from pop_envs.objectives import vlse
from pop_optimizer.ask_tell import POPPolicy, run
from pop_optimizer.checkpoint import Card

FILE = Path(__file__).with_name("paths.json")
BUDGET, KEPT = 50, 20
SHIPPED = (
    ("gramacy_lee_2012", 1),
    ("six_hump_camel", 2),
    ("rastrigin", 2),
    ("hartmann_6d", 6),
    ("levy", 20),
    ("rosenbrock", 20),
)
UNTRAINED = (("six_hump_camel", 2), ("hartmann_6d", 6))


def arithmetic():
    """A fingerprint of this machine's single precision: processors round sums in orders of their own."""
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 20, 64)).astype(np.float32))
    y = torch.nn.functional.linear(x, x[0], x[1, :, 0])
    z = torch.nn.functional.scaled_dot_product_attention(x, x, x) @ torch.nn.functional.gelu(x, approximate="tanh").mT
    return hashlib.sha256(y.softmax(-1).numpy().tobytes() + z.numpy().tobytes()).hexdigest()


def record(points, values):
    return {"points": np.asarray(points)[:KEPT].tolist(), "best": float(np.min(values))}


def shipped(name, dim):
    """The path of ``minimize``, in the function's own coordinates."""
    problem = vlse.problem(name, dim)
    x0 = np.random.default_rng(dim).uniform(problem.lower, problem.upper)

    def fun(x):
        y, g = problem.value_and_grad(x[None])
        return y[0], g[0]

    bounds = list(zip(problem.lower, problem.upper, strict=True))
    result = pop_optimizer.minimize(fun, x0, bounds=bounds, jac=True, budget=BUDGET)
    return record(result.x_iters, result.func_vals)


def untrained(preset, name, dim):
    """The path, in the unit box, of the policy that a training begins with."""
    config = PRESETS[preset][1]
    shape = {key: getattr(config, key) for key in ("head", "width", "depth", "heads", "mixing")}
    card = Card(preset, 0, 0, 0.0, config.task, {}, (dim,), shape, {})
    torch.manual_seed(0)
    policy = POPPolicy(card.network(), card.task)
    x0 = torch.from_numpy(np.random.default_rng(dim).uniform(-1, 1, (1, dim)))
    points, values = run(policy, vlse.problem(name, dim).objective(), x0, BUDGET, deterministic=True)
    return record(points[0].numpy(), values[0].numpy())


def paths():
    found = {f"shipped/{name}-{dim}d": shipped(name, dim) for name, dim in SHIPPED}
    for preset in PRESETS:
        found |= {f"{preset}/{name}-{dim}d": untrained(preset, name, dim) for name, dim in UNTRAINED}
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    kept = {"arithmetic": arithmetic(), "paths": paths()}
    FILE.write_text(json.dumps(kept, indent=1) + "\n")
