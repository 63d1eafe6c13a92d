"""What every rival must do: whoever joins ``RIVALS`` is tested here by that alone."""

import contextlib
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks import run as runner
from benchmarks.budget import BudgetExhausted, Evaluator
from benchmarks.problems import block_problems
from benchmarks.rivals import GRADIENT_FREE, LEAST_SQUARES, RIVALS, SLOW
from benchmarks.sweep import Sweep
from pop_envs.objectives.base import BoxObjective
from trajectories import START, Recorder, budget_of, quadratic, rastrigin, trajectory

# For two coordinates NGOpt chooses a method that draws nothing; the points of MLSL are Sobol's, and Py-BOBYQA
# restarts from where it is.
DRAWS_NOTHING = {
    *("gradient_descent", "momentum", "rmsprop", "adam", "lbfgsb", "direct", "direct_l", "mlsl", "pop", "ngopt"),
    *("rover_descent", "bobyqa"),
}
CONVERGES = {"lbfgsb"}  # and then stops, with budget left
DRAWS_LATE = {"nelder_mead": 200}  # when the first descent has converged

EXACTLY, NEARLY, ROUGHLY = 1e-6, 1e-3, 0.1
REACHES = {  # regret relative to the start's, on a quadratic, after 100 steps; EXACTLY where nothing is said
    **dict.fromkeys(("gradient_descent", "momentum", "rmsprop", "adam", "direct", "direct_l", "cma_es"), NEARLY),
    **dict.fromkeys(("differential_evolution", "tpe"), NEARLY),
    **dict.fromkeys(("random_search", "genetic_algorithm", "bayesian_optimization", "rover_descent"), ROUGHLY),
}
SETTINGS = {  # without which a default is too cautious for 100 steps
    name: {"learning_rate": 0.1} for name in ("gradient_descent", "momentum", "rmsprop", "adam")
}


@cache
def points(name, seed):
    """Where a rival goes, run once for the tests that compare with it."""
    return trajectory(name, rastrigin(), START[2], DRAWS_LATE.get(name), seed=seed)[0]


def each(*values, slow):
    """Every rival with every value, and a slow one with one of them."""
    return [(name, value) for name in RIVALS for value in ((slow,) if name in SLOW else values)]


@pytest.mark.parametrize(("name", "dim"), each(1, 2, 6, slow=2))
def test_a_rival_starts_at_the_start_stays_in_the_box_and_improves(name, dim):
    points, trace = trajectory(name, quadratic(*[1.0] * dim), START[dim])
    np.testing.assert_allclose(points[0], START[dim], atol=1e-9)
    assert np.abs(points).max() <= 1.0
    assert trace[-1] < trace[0]


@pytest.mark.parametrize("name", RIVALS)
def test_a_run_is_a_function_of_its_seed_and_leaves_global_generators_alone(name):
    np.random.seed(3)  # noqa: NPY002 - the global generator is what is tested
    torch.manual_seed(3)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    first, _ = trajectory(name, rastrigin(), START[2], seed=1)
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])

    np.random.seed(4)  # noqa: NPY002
    torch.manual_seed(4)
    again, _ = trajectory(name, rastrigin(), START[2], seed=1)
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("name", RIVALS)
def test_another_seed_is_another_run_where_anything_is_drawn(name):
    assert np.array_equal(points(name, 1), points(name, 2)) == (name in DRAWS_NOTHING)


@pytest.mark.parametrize(("name", "budget"), [case for case in each(3, 60, slow=5) if case[0] not in CONVERGES])
def test_a_rival_spends_the_whole_budget(name, budget):
    points, _ = trajectory(name, rastrigin(), START[2], budget)
    assert len(points) == budget + 1


@pytest.mark.parametrize(("name", "allowed"), each(1, 2, 6, slow=2))
def test_a_rival_lets_the_end_of_the_budget_out_at_once(name, allowed):
    """Also where it comes sooner than the rival was told."""
    evaluate = Recorder(rastrigin(), START[2], allowed)
    with pytest.raises(BudgetExhausted):
        RIVALS[name](evaluate, np.array(START[2]), budget_of(name), np.random.default_rng(0))
    assert evaluate.calls == allowed + 2


@pytest.mark.parametrize("name", RIVALS)
def test_who_looks_at_gradients(name):
    honest, budget = points(name, 1), DRAWS_LATE.get(name)
    lied_to, _ = trajectory(name, rastrigin(), START[2], budget, seed=1, gradient=lambda x: np.cos(7 * x))
    assert np.array_equal(honest, lied_to) == (name in GRADIENT_FREE)
    if name in GRADIENT_FREE:
        poisoned, _ = trajectory(
            name, rastrigin(), START[2], budget, seed=1, gradient=lambda x: np.full_like(x, np.nan)
        )
        np.testing.assert_array_equal(honest, poisoned)


@pytest.mark.parametrize("name", RIVALS)
def test_a_rival_survives_a_function_with_a_hole(name):
    def function(x):
        hole = x[:, 0] < 0
        return np.where(hole, np.nan, (x**2).sum(-1)), np.where(hole[:, None], np.nan, 2 * x)

    _, trace = trajectory(name, BoxObjective(function, [-1, -1], [1, 1]), [0.9, 0.9])
    assert trace[-1] <= trace[0] == pytest.approx(1.62)


@pytest.mark.parametrize("name", RIVALS)
def test_a_rival_reaches_the_minimum_of_a_quadratic(name):
    """Neither the start, nor the centre, nor the middle between them is the minimum."""
    curvatures, minimum = np.array([1.0, 4.0]), np.array([0.31, -0.23])

    def function(x):
        return (curvatures * (x - minimum) ** 2).sum(-1) - 5.0, 2 * curvatures * (x - minimum)

    budget = 11 if name in SLOW else 100
    points, trace = trajectory(
        name, BoxObjective(function, [-1, -1], [1, 1]), [0.9, 0.8], budget, **SETTINGS.get(name, {})
    )
    assert trace[-1] + 5.0 <= REACHES.get(name, EXACTLY) * (trace[0] + 5.0)
    if REACHES.get(name, EXACTLY) == EXACTLY:
        assert np.abs(points - minimum).max(1).min() < 2e-3


@pytest.mark.parametrize("name", LEAST_SQUARES)
def test_a_rival_for_sums_of_squares_does_all_this_too(name):
    (problem,) = block_problems("chained_rosenbrock-2d")
    x0 = runner.start_point(problem, 0, 0)

    def points(budget, wrong=0.0):
        evaluator = Evaluator(problem.objective, x0, budget)

        def residuals(x):
            assert np.abs(x).max() <= 1.0
            r, jacobian = evaluator.residuals(x)
            return r, jacobian + wrong

        with contextlib.suppress(BudgetExhausted):
            LEAST_SQUARES[name](residuals, x0.copy(), budget, np.random.default_rng(0))
        return np.array(evaluator.points), evaluator.trace

    found, trace = points(100)
    np.testing.assert_allclose(found[0], x0, atol=1e-9)
    np.testing.assert_array_equal(found, points(100)[0])
    assert len(points(3)[0]) == 4
    assert not np.array_equal(found[1], points(100, wrong=0.3)[0][1])
    assert trace[-1] <= 1e-12 * trace[0]


def test_all_rivals_do_the_same_in_this_process_in_others_and_on_ray(tmp_path):
    ray = pytest.importorskip("ray", reason="Ray is not installed: the extra `ray` brings it")

    def results(name, **settings):
        sweep = Sweep(
            methods=tuple(RIVALS),
            functions=("levy",),
            budgets=(6,),
            starts=2,
            slow_starts=1,
            strict=False,
            out=tmp_path / name,
            **settings,
        )
        return runner.run(sweep).drop(columns="seconds")

    one = results("one", jobs=1)
    assert not one["error"].any(), one["error"].unique()
    pd.testing.assert_frame_equal(results("two", jobs=2), one)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        pd.testing.assert_frame_equal(results("ray", engine="ray"), one)
    finally:
        ray.shutdown()
