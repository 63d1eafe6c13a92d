import contextlib

import numpy as np
import pytest
import torch

import agents
from benchmarks.budget import BudgetExhausted, Evaluator
from benchmarks.problems import vlse_problem
from benchmarks.rivals import RIVALS, tuned
from pop_envs.objective import BoxObjective

BUDGET = 30
CLASSICAL = [name for name in RIVALS if name != "pop"]


class Recorder(Evaluator):
    """Keeps what was asked for, before any clipping."""

    def __init__(self, objective, x0, budget):
        super().__init__(objective, x0, budget)
        self.points = []

    def __call__(self, x):
        result = super().__call__(x)
        self.points.append(np.array(x))
        return result


def trajectory(name, objective, x0, budget=BUDGET, seed=0):
    """The points (evaluations, dim) that a rival asks for, and its trace."""
    evaluate = Recorder(objective, x0, budget)
    with contextlib.suppress(BudgetExhausted):
        RIVALS[name](evaluate, np.array(x0), budget, np.random.default_rng(seed), **tuned(name))
    return np.array(evaluate.points), evaluate.trace


def sphere(dim):
    return vlse_problem("sphere").objective if dim == 2 else BoxObjective(lambda x: ((x**2).sum(-1), 2 * x), *BOX[dim])


BOX = {1: ([-1.0], [1.0]), 6: ([-1.0] * 6, [1.0] * 6)}
START = {1: [0.6], 2: [0.6, -0.9], 6: [0.6, -0.9, 0.3, -0.2, 0.8, 0.7]}


@pytest.mark.parametrize("dim", [1, 2, 6])
@pytest.mark.parametrize("name", CLASSICAL)
def test_a_rival_starts_at_the_start_stays_in_the_box_and_improves(name, dim):
    points, trace = trajectory(name, sphere(dim), START[dim])
    np.testing.assert_allclose(points[0], START[dim], atol=1e-12)
    assert len(points) <= BUDGET + 1
    assert np.abs(points).max() <= 1.0
    assert trace[-1] < trace[0]


@pytest.mark.parametrize("name", CLASSICAL)
def test_a_run_is_a_function_of_its_seed_and_leaves_global_generators_alone(name):
    objective = vlse_problem("rastrigin").objective
    np.random.seed(3)  # noqa: NPY002 - the global generator is what is tested
    torch.manual_seed(3)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    first, _ = trajectory(name, objective, START[2], seed=1)
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])

    np.random.seed(4)  # noqa: NPY002
    torch.manual_seed(4)
    again, _ = trajectory(name, objective, START[2], seed=1)
    np.testing.assert_array_equal(first, again)
    if name not in ("gradient_descent", "adam", "lbfgsb"):
        other, _ = trajectory(name, objective, START[2], seed=2)
        assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", ["random_search", "lbfgsb_restarts", "cma_es", "differential_evolution"])
@pytest.mark.parametrize("budget", [3, 60])
def test_a_restarting_rival_spends_the_whole_budget(name, budget):
    points, _ = trajectory(name, vlse_problem("rastrigin").objective, START[2], budget)
    assert len(points) == budget + 1


def test_lbfgsb_reaches_the_floor_on_a_quadratic():
    curvature = np.array([1.0, 30.0])
    objective = BoxObjective(lambda x: ((curvature * x**2).sum(-1), 2 * curvature * x), [-1, -1], [1, 1])
    for name in ("lbfgsb", "lbfgsb_restarts"):
        assert trajectory(name, objective, START[2])[1][-1] < 1e-8


def test_lbfgsb_restarts_where_a_gradient_vanishes():
    """On a plateau each descent ends at once, and the next one begins elsewhere."""
    points, _ = trajectory("lbfgsb_restarts", BoxObjective(lambda x: (np.ones(len(x)), 0 * x), *BOX[1]), [0.5])
    assert len(np.unique(points)) == BUDGET + 1


def test_gradient_descent_is_scale_free():
    small = BoxObjective(lambda x: (1e-9 * (x**2).sum(-1), 2e-9 * x), *BOX[1])
    large = BoxObjective(lambda x: (1e9 * (x**2).sum(-1), 2e9 * x), *BOX[1])
    np.testing.assert_allclose(
        trajectory("gradient_descent", small, [0.9])[0], trajectory("gradient_descent", large, [0.9])[0], rtol=1e-9
    )


def test_gradient_descent_and_adam_follow_their_formulas():
    objective = BoxObjective(lambda x: ((x**2).sum(-1), 2 * x), *BOX[1])
    points, _ = trajectory("gradient_descent", objective, [0.8])
    rate = tuned("gradient_descent")["learning_rate"]
    np.testing.assert_allclose(points[1:3, 0], [0.8 - rate, (0.8 - rate) * (1 - rate / 0.8)])
    points, _ = trajectory("adam", objective, [0.8])
    np.testing.assert_allclose(points[1, 0], 0.8 - tuned("adam")["learning_rate"], rtol=1e-6)


@pytest.mark.parametrize("name", CLASSICAL)
def test_a_rival_survives_a_function_with_a_hole(name):
    def function(x):
        hole = x[:, 0] < 0
        return np.where(hole, np.nan, (x**2).sum(-1)), np.where(hole[:, None], np.nan, 2 * x)

    _, trace = trajectory(name, BoxObjective(function, [-1, -1], [1, 1]), [0.9, 0.9])
    assert trace[-1] <= trace[0] == pytest.approx(1.62)


def test_pop_goes_through_agents_minimize(monkeypatch):
    asked = {}

    def minimize(fun, x0=None, bounds=None, jac=None, budget=50, seed=None, checkpoint=None):
        asked.update(bounds=bounds, jac=jac, budget=budget, checkpoint=checkpoint)
        rng = np.random.default_rng(seed)
        fun(x0)
        for _ in range(budget):
            value, gradient = fun(rng.uniform(-1, 1, len(x0)))
            assert np.isscalar(value)
            assert gradient.shape == (2,)

    monkeypatch.setattr(agents, "minimize", minimize, raising=False)
    evaluate = Evaluator(sphere(2), START[2], BUDGET)
    RIVALS["pop"](evaluate, np.array(START[2]), BUDGET, np.random.default_rng(0), checkpoint="somewhere")
    assert evaluate.evaluations == BUDGET + 1
    assert asked == {"bounds": [(-1.0, 1.0)] * 2, "jac": True, "budget": BUDGET, "checkpoint": "somewhere"}
