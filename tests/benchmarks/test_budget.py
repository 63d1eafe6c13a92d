import numpy as np
import pytest
import torch

from benchmarks.budget import BudgetExhausted, Evaluator
from benchmarks.plain.squares import SumOfSquares
from pop_envs.objectives.base import BoxObjective


def sphere(x):
    return (x**2).sum(-1), 2 * x


def evaluator(function=sphere, x0=(1.0, 1.0), budget=3, observe=None):
    return Evaluator(BoxObjective(function, [-1, -1], [1, 1]), x0, budget, observe)


def test_trace_holds_the_best_so_far_and_the_start_counts():
    evaluate = evaluator()
    for x in [(1.0, 1.0), (0.5, 0.5), (1.0, 0.0), (0.1, 0.0)]:
        evaluate(x)
    np.testing.assert_allclose(evaluate.trace, [2.0, 0.5, 0.5, 0.01])
    assert evaluate.evaluations == 4


def test_a_short_run_keeps_its_last_best():
    evaluate = evaluator()
    evaluate((1.0, 1.0))
    evaluate((0.5, 0.5))
    np.testing.assert_allclose(evaluate.trace, [2.0, 0.5, 0.5, 0.5])
    assert evaluate.evaluations == 2


def test_a_cheat_that_swallows_the_end_gains_nothing():
    evaluate = evaluator(budget=5)
    evaluate((1.0, 1.0))
    refused = 0
    for _ in range(100):
        try:
            evaluate((0.9, 0.9))
        except BudgetExhausted:
            refused += 1
            with pytest.raises(BudgetExhausted):
                evaluate((0.0, 0.0))
    assert refused == 95
    assert evaluate.evaluations == 6
    assert evaluate.trace.shape == (6,)
    assert evaluate.trace[-1] == pytest.approx(1.62)


def test_a_cheat_cannot_write_into_the_trace_or_the_point():
    evaluate = evaluator()
    x = np.ones(2)
    evaluate(x)
    evaluate.trace[:] = -1.0
    assert evaluate.trace[-1] == 2.0
    np.testing.assert_array_equal(x, 1.0)


def test_many_points_at_once_are_refused():
    evaluate = evaluator()
    with pytest.raises(ValueError, match="one point"):
        evaluate(np.ones((10, 2)))
    assert evaluate.evaluations == 0


def test_another_start_is_refused():
    evaluate = evaluator()
    with pytest.raises(ValueError, match="same start"):
        evaluate((0.0, 0.0))
    assert evaluate.evaluations == 0


def test_points_outside_are_evaluated_on_the_box():
    evaluate = evaluator(lambda x: (x.sum(-1), np.ones_like(x)))
    evaluate((1.0, 1.0))
    assert evaluate((-5.0, 0.5))[0] == -0.5


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_worst(bad):
    def function(x):
        value, gradient = sphere(x)
        hole = x[:, 0] < 0
        return np.where(hole, bad, value), np.where(hole[:, None], np.nan, gradient)

    evaluate = evaluator(function, x0=(-1.0, 0.0))
    value, gradient = evaluate((-1.0, 0.0))
    assert value == np.inf
    np.testing.assert_array_equal(gradient, 0.0)
    evaluate((0.5, 0.0))
    evaluate((-0.5, 0.0))
    np.testing.assert_array_equal(evaluate.trace, [np.inf, 0.25, 0.25, 0.25])


def test_what_is_seen_never_enters_the_trace_and_costs_as_much():
    calls = []

    def observe(value, gradient):
        calls.append(value)
        return value - 100.0, -gradient

    evaluate = evaluator(budget=2, observe=observe)
    for x, seen in [((1.0, 1.0), -98.0), ((0.5, 0.5), -99.5), ((1.0, 0.0), -99.0)]:
        value, gradient = evaluate(x)
        assert value == seen
        np.testing.assert_array_equal(gradient, [-2 * c for c in x])
    for _ in range(3):
        with pytest.raises(BudgetExhausted):
            evaluate((0.0, 0.0))
    assert calls == [2.0, 0.5, 1.0]
    np.testing.assert_array_equal(evaluate.trace, [2.0, 0.5, 0.5])


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="budget"):
        evaluator(budget=0)
    with pytest.raises(ValueError, match="shape"):
        evaluator(x0=(1.0,))


def test_residuals_cost_an_evaluation_and_are_judged_by_their_sum_of_squares():
    def residuals(x):
        return torch.stack([x[:, 0] - 1, 1 / x[:, 1]], -1)

    evaluate = Evaluator(SumOfSquares(residuals, [-1, -1], [1, 1], 0.0), (0.5, 0.5), 1)
    r, jacobian = evaluate.residuals(np.array([0.5, 0.5]))
    np.testing.assert_allclose(r, [-0.5, 2])
    np.testing.assert_allclose(jacobian, [[1, 0], [0, -4]])
    r, jacobian = evaluate.residuals(np.array([0.5, 0.0]))
    np.testing.assert_array_equal(r, [-0.5, np.inf])
    np.testing.assert_array_equal(jacobian, 0.0)
    np.testing.assert_array_equal(evaluate.trace, [4.25, 4.25])
    with pytest.raises(BudgetExhausted):
        evaluate.residuals(np.array([0.5, 0.5]))
    with pytest.raises(ValueError, match="sums of squares only"):
        evaluator().residuals(np.array([1.0, 1.0]))
