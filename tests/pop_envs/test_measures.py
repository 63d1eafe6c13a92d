import numpy as np
import pytest

from pop_envs.measures import log10_regret, normalized_improvement, ranks, solved


def test_normalized_improvement_is_the_share_of_the_way_down():
    np.testing.assert_array_equal(normalized_improvement(10.0, [10.0, 6.0, 2.0], 2.0), [0.0, 0.5, 1.0])


@pytest.mark.parametrize(
    ("y0", "y_best", "f_min", "expected"),
    [
        (2.0, 2.0, 2.0, 1.0),  # the start is a minimizer
        (1.9, 1.9, 2.0, 1.0),  # rounding below the published minimum
        (3.0, 4.0, 2.0, 0.0),  # never below 0
        (3.0, 1.0, 2.0, 1.0),  # never above 1
        (np.inf, 5.0, 0.0, 1.0),  # any finite value beats a start without one
        (np.inf, np.inf, 0.0, 0.0),
        (1.0, np.inf, 0.0, 0.0),
    ],
)
def test_normalized_improvement_at_the_edges(y0, y_best, f_min, expected):
    assert normalized_improvement(y0, y_best, f_min) == expected


def test_log10_regret_is_relative_to_the_median_and_floored():
    regret = log10_regret([102.0, 3.0, 2.0 + 1e-4, 2.0, 1.0], f_min=2.0, f_ref=102.0)
    np.testing.assert_allclose(regret, [0.0, -2.0, -6.0, -8.0, -8.0], atol=1e-6)
    assert log10_regret(2.0, 2.0, 102.0, floor=1e-12) == -12.0


def test_log10_regret_without_a_scale_takes_the_gap_as_it_is():
    np.testing.assert_allclose(log10_regret([0.01, 0.0], f_min=0.0, f_ref=0.0), [-2.0, -8.0])


def test_ranks_average_ties_and_leave_incomplete_rows_out():
    np.testing.assert_array_equal(ranks([[-8.0, -8.0, np.inf, -3.0]]), [[1.5, 1.5, 4.0, 3.0]])
    np.testing.assert_array_equal(ranks([[2.0, 1.0], [1.0, 2.0]], axis=0), [[2.0, 1.0], [1.0, 2.0]])
    assert np.isnan(ranks([[1.0, np.nan]])).all()


@pytest.mark.parametrize(
    ("y0", "y_best", "f_min", "tau", "expected"),
    [
        (10.0, 2.0, 0.0, 0.2, True),  # just as much as a fifth of 10 allows
        (10.0, 2.001, 0.0, 0.2, False),
        (12.0, 2.0, 2.0, 0.0, True),
        (12.0, 1.9, 2.0, 0.0, True),  # below the published minimum
        (2.0, 2.0, 2.0, 1e-6, True),  # the start is a minimizer
        (12.0, 12.0, 2.0, 0.5, False),
        (np.inf, 5.0, 2.0, 1e-6, True),  # any finite value beats a start without one, as for NI
        (np.inf, np.inf, 2.0, 1e-6, False),
        (12.0, np.inf, 2.0, 1e-6, False),
    ],
)
def test_a_problem_is_solved_when_the_gap_is_within_tau_of_the_starts(y0, y_best, f_min, tau, expected):
    assert solved(y0, y_best, f_min, tau).item() is expected


def test_solved_works_elementwise():
    np.testing.assert_array_equal(solved([1.0, 1.0, 4.0], [0.5, 1e-9, 0.0], 0.0, 1e-6), [False, True, True])
