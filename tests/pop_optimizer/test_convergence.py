import numpy as np
import pytest

from pop_optimizer.convergence import negligible, projected_gradient, real_number, tolerance

LOWER, UPPER = np.array([-5.0, 0.0]), np.array([5.0, 1.0])


@pytest.mark.parametrize(
    ("x", "g", "expected"),
    [
        ([0.0, 0.5], [0.25, -0.125], 0.25),
        ([5.0, 1.0], [-3.0, -3.0], 0.0),  # out of the box
        ([5.0, 1.0], [-3.0, 0.5], 0.5),
        ([0.0, 0.5], [100.0, 0.0], 5.0),  # as far as the wall
        ([4.0, 0.5], [-100.0, 0.0], 1.0),
    ],
)
def test_the_projected_gradient(x, g, expected):
    x, g = np.array(x), np.array(g)
    assert projected_gradient(x, g, LOWER, UPPER) == expected
    batch = projected_gradient(np.stack([x, x]), np.stack([g, 0 * g]), LOWER, UPPER)
    np.testing.assert_array_equal(batch, [expected, 0.0])


@pytest.mark.parametrize("far", [1e9, 1e200, 1e308])
def test_a_small_slope_is_seen_beside_a_large_coordinate(far):
    far = np.array([far])
    assert projected_gradient(far / 2, np.array([1e-10]), -far, far) == 1e-10


def test_what_is_fixed_has_no_part_in_the_projected_gradient():
    lower, upper = np.array([0.0, 2.0]), np.array([1.0, 2.0])
    assert projected_gradient(np.array([0.5, 2.0]), np.array([0.125, np.nan]), lower, upper) == 0.125


@pytest.mark.parametrize(
    ("value", "highest", "limit"),
    [
        (1e6, 2e6, 1e-3),  # relative to the value
        (-1e6, 2e6, 1e-3),
        (0.5, 9.0, 1e-9),  # to one
        (0.0, 1e-20, 1e-29),  # to the range of the values
        (1e-20, 3e-20, 2e-29),
        (3.0, 3.0, 3e-9),
    ],
)
def test_a_fall_is_negligible_beside_value_one_and_range(value, highest, limit):
    falls, others = np.array([limit * 0.99, limit * 1.01]), np.full(2, highest)
    assert negligible(falls, np.full(2, value), others, 1e-9).tolist() == [True, False]


@pytest.mark.parametrize("bad", [np.nan, "1", None, True, 1j, [1.0]])
def test_what_is_no_number_is_refused(bad):
    for check in (real_number, tolerance):
        with pytest.raises(ValueError, match=r"^ftol must be a number, got"):
            check("ftol", bad)


def test_a_tolerance_is_not_negative():
    assert tolerance("ftol", 0) == 0.0
    with pytest.raises(ValueError, match=r"^ftol must be a number of at least 0, got -1"):
        tolerance("ftol", -1)
