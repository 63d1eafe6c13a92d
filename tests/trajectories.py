"""What rivals do, evaluation by evaluation."""

import contextlib

import numpy as np

from benchmarks.budget import BudgetExhausted, Evaluator
from benchmarks.problems import vlse_problem
from benchmarks.rivals import RIVALS, SLOW
from pop_envs.objectives.base import BoxObjective


def budget_of(name):
    # So that a slow one fits its model twice, whose first points are five and three.
    return {"bayesian_optimization": 6, "gradient_bayesian_optimization": 4}.get(name, 6 if name in SLOW else 30)


class Recorder(Evaluator):
    """Keeps what was asked for, before any clipping, and counts the calls."""

    def __init__(self, objective, x0, budget, gradient=None):
        super().__init__(objective, x0, budget)
        self.asked = []
        self.calls = 0
        self.gradient = gradient

    def __call__(self, x):
        self.calls += 1
        asked = np.array(x)
        value, gradient = super().__call__(x)
        self.asked.append(asked)
        return value, gradient if self.gradient is None else self.gradient(asked)


def trajectory(name, objective, x0, budget=None, seed=0, gradient=None, **settings):
    """The points (evaluations, dim) that a rival asks for, and its trace."""
    budget = budget or budget_of(name)
    evaluate = Recorder(objective, x0, budget, gradient)
    with contextlib.suppress(BudgetExhausted):
        RIVALS[name](evaluate, np.array(x0), budget, np.random.default_rng(seed), **settings)
    return np.array(evaluate.asked), evaluate.trace


def quadratic(*curvatures):
    """The sum of curvatures * x^2 on the unit box."""
    c = np.array(curvatures)
    return BoxObjective(lambda x: ((c * x**2).sum(-1), 2 * c * x), -np.ones(len(c)), np.ones(len(c)))


def rastrigin():
    return vlse_problem("rastrigin").objective


START = {1: [0.6], 2: [0.6, -0.9], 6: [0.6, -0.9, 0.3, -0.2, 0.8, 0.7]}
