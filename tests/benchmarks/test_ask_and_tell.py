"""The rivals of libraries that ask for a point and are told its value."""

import contextlib
import sys
import threading

import numpy as np
import optuna
import pytest
import torch
from cma.options_parameters import cma_default_options

from benchmarks.budget import BudgetExhausted, Evaluator
from benchmarks.problems import vlse_problem
from benchmarks.rivals import RIVALS, SLOW
from pop_envs.objectives.base import BoxObjective

ASK_AND_TELL = ("genetic_algorithm", "tpe", "ngopt", "bayesian_optimization")


def trajectory(name, objective, x0, budget, seed=0, allowed=None, **settings):
    """The points (evaluations, dim) that a rival evaluates, and its trace; fewer may be allowed than it is told."""
    evaluate = Evaluator(objective, x0, allowed or budget)
    with contextlib.suppress(BudgetExhausted):
        RIVALS[name](evaluate, np.array(x0), budget, np.random.default_rng(seed), **settings)
    return np.array(evaluate.points), evaluate.trace


def quadratic(dim):
    """Its minimum of 0 is at 0.3 in all coordinates."""
    return BoxObjective(lambda x: (((x - 0.3) ** 2).sum(-1), 2 * (x - 0.3)), -np.ones(dim), np.ones(dim))


def rastrigin():
    return vlse_problem("rastrigin").objective


@pytest.mark.parametrize("name", ASK_AND_TELL)
@pytest.mark.parametrize("hole", [0.0, 2.0], ids=["half", "all"])
def test_infinite_values_are_survived_from_the_start_on(name, hole):
    def function(x):
        return np.where(x[:, 0] < hole, np.inf, (x**2).sum(-1)), np.zeros_like(x)

    budget = 8 if name in SLOW else 30
    points, trace = trajectory(name, BoxObjective(function, [-1, -1], [1, 1]), [-0.5, 0.4], budget)
    assert len(points) == budget + 1
    assert trace[0] == np.inf
    if hole == 0.0 and name != "ngopt":  # its COBYLA looks nowhere but near the start
        assert trace[-1] < np.inf


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_a_generation_of_the_genetic_algorithm_is_a_share_of_the_budget(share):
    settings = {"budget": 39, "share": share}
    near, _ = trajectory("genetic_algorithm", rastrigin(), [0.6, -0.9], **settings, mutation_eta=30.0)
    far, _ = trajectory("genetic_algorithm", rastrigin(), [0.6, -0.9], **settings, mutation_eta=1.0)
    members = int(share * 40)
    np.testing.assert_array_equal(near[:members], far[:members])
    assert not np.array_equal(near[members : 2 * members], far[members : 2 * members])


def test_children_of_a_high_eta_are_near_their_parents():
    def distance(eta):
        settings = {"share": 0.0, "crossover_eta": eta, "mutation_eta": eta}  # generations of four
        runs = [trajectory("genetic_algorithm", rastrigin(), [0.6, -0.9], 7, seed, **settings) for seed in range(30)]
        return np.mean([np.abs(points[4:, None] - points[:4]).min(1).mean() for points, _ in runs])

    assert 0 < distance(30.0) < 0.5 * distance(1.0)


def test_tpe_is_optunas_own_study():
    points, _ = trajectory("tpe", rastrigin(), [0.6, -0.9], 25, seed=3)

    def objective(trial):
        x = [trial.suggest_float(name, -1.0, 1.0) for name in ("x0", "x1")]
        return Evaluator(rastrigin(), x, 1)(np.array(x))[0]

    seed = int(np.random.default_rng(3).integers(2**31))
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.enqueue_trial({"x0": 0.6, "x1": -0.9})
    study.optimize(objective, n_trials=26)
    np.testing.assert_array_equal(points, [[trial.params["x0"], trial.params["x1"]] for trial in study.trials])


def test_the_trials_before_tpe_takes_over():
    few, _ = trajectory("tpe", rastrigin(), [0.6, -0.9], 20, n_startup_trials=5)
    many, _ = trajectory("tpe", rastrigin(), [0.6, -0.9], 20, n_startup_trials=8)
    np.testing.assert_array_equal(few[:5], many[:5])
    assert not np.array_equal(few[5:8], many[5:8])


def test_the_metamodel_of_ngopt_solves_a_quadratic():
    """In two dimensions with more than 100 evaluations: it fails under NumPy 2.4 as it is published."""
    assert trajectory("ngopt", quadratic(2), [0.9, -0.4], 101, allowed=80)[1][-1] < 1e-12


def test_ngopt_is_reproducible_where_its_cma_es_runs_in_a_thread():
    """From three dimensions on, in a budget of more than 50 evaluations a dimension."""
    options = dict(cma_default_options)
    objective = vlse_problem("hartmann_3d").objective
    first, _ = trajectory("ngopt", objective, [0.9, -0.4, 0.1], 160, allowed=40)
    again, _ = trajectory("ngopt", objective, [0.9, -0.4, 0.1], 160, allowed=40)
    np.testing.assert_array_equal(first, again)
    assert dict(cma_default_options) == options


def test_ngopt_evaluates_the_start_once_and_leaves_no_thread_behind():
    """In two dimensions with a budget of 50 it is COBYLA, which begins at the start and runs in a thread."""
    before = set(threading.enumerate())
    points, _ = trajectory("ngopt", quadratic(2), [0.9, -0.4], 50)
    assert (points == [0.9, -0.4]).all(1).sum() == 1
    for thread in set(threading.enumerate()) - before:
        thread.join(5.0)
        assert not thread.is_alive()


class ProcessStandIn:
    """Takes the place of the Gaussian process and keeps what it is asked."""

    def __init__(self, monkeypatch):
        self.asked = []
        monkeypatch.setattr(sys.modules["benchmarks.rivals.bayesian_optimization"], "_next_point", self)

    def __call__(self, points, values, hyperparameters, num_restarts, raw_samples):
        self.asked.append((points.numpy(), values.numpy(), hyperparameters))
        return torch.full((points.shape[1],), 0.25, dtype=torch.float64), {"asked": torch.tensor(len(self.asked))}


@pytest.mark.parametrize(("dim", "budget", "first"), [(1, 50, 5), (2, 50, 5), (8, 50, 10), (8, 99, 16), (8, 200, 16)])
def test_bayesian_optimization_begins_with_the_start_and_sobol_points(monkeypatch, dim, budget, first):
    process = ProcessStandIn(monkeypatch)
    points, _ = trajectory("bayesian_optimization", quadratic(dim), [0.5] * dim, budget)
    units, _, hyperparameters = process.asked[0]
    assert len(units) == first
    assert hyperparameters == {}
    np.testing.assert_array_equal(units, (points[:first] + 1) / 2)
    quarters = np.sort(np.floor(4 * units[1:5]), axis=0)  # each of a net's first four points lies in another one
    np.testing.assert_array_equal(quarters, np.tile(np.arange(4.0)[:, None], (1, dim)))


def test_the_process_sees_all_values_and_infinite_ones_as_the_highest(monkeypatch):
    def function(x):
        return np.where(x[:, 0] < 0, np.inf, 10 + x[:, 0]), np.zeros_like(x)

    process = ProcessStandIn(monkeypatch)
    points, _ = trajectory("bayesian_optimization", BoxObjective(function, [-1], [1]), [0.5], 9)
    units, values, hyperparameters = process.asked[-1]
    assert points[5:].tolist() == [[-0.5]] * 5
    np.testing.assert_array_equal(2 * units - 1, points)
    expected = np.where(points[:, 0] < 0, np.nan, 10 + points[:, 0])
    np.testing.assert_array_equal(values, np.where(np.isnan(expected), np.nanmax(expected), expected))
    assert hyperparameters["asked"] == 5, "a fit should begin where the last one ended"


def test_bayesian_optimization_finds_the_minimum_of_a_quadratic_whatever_the_scale():
    ordinary, trace = trajectory("bayesian_optimization", quadratic(2), [0.9, -0.4], 10)
    assert trace[-1] < 1e-3 < trace[4]
    scaled = BoxObjective(lambda x: (2.0**40 * ((x - 0.3) ** 2).sum(-1), np.zeros_like(x)), [-1, -1], [1, 1])
    np.testing.assert_allclose(trajectory("bayesian_optimization", scaled, [0.9, -0.4], 10)[0], ordinary, atol=1e-3)


def test_bayesian_optimization_does_the_same_with_any_number_of_threads():
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one, _ = trajectory("bayesian_optimization", rastrigin(), [0.6, -0.9], 6)
        torch.set_num_threads(2)
        two, _ = trajectory("bayesian_optimization", rastrigin(), [0.6, -0.9], 6)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(one, two)
