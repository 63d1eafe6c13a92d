import numpy as np
import pytest
import torch

from pop_envs import BoxObjective

LOWER, UPPER = [-1.0, 10.0], [3.0, 11.0]


def bowl(x):
    return ((x - [1, 2]) ** 2 @ [1.0, 3.0]), 2 * (x - [1, 2]) * [1.0, 3.0]


def test_unit_box_and_own_coordinates_are_inverse_and_meet_at_the_corners():
    box = BoxObjective(bowl, LOWER, UPPER)
    u = np.random.default_rng(0).uniform(-1, 1, (100, 2))
    np.testing.assert_allclose(box.to_unit(box.from_unit(u)), u, atol=1e-13)
    np.testing.assert_array_equal(box.from_unit([[-1, -1], [1, 1]]), [LOWER, UPPER])


def test_rounding_never_leaves_the_bounds():
    rng = np.random.default_rng(0)
    lower = rng.normal(size=2000)
    upper = lower + rng.exponential(size=2000)
    box = BoxObjective(bowl, lower, upper)
    assert (box.from_unit(np.ones(2000)) <= upper).all()
    assert (box.from_unit(-np.ones(2000)) >= lower).all()


def test_gradient_is_that_of_the_unit_box():
    box = BoxObjective(bowl, LOWER, UPPER)
    u = torch.rand(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 1.8 - 0.9
    _, g = box.value_and_grad(u)
    for d in range(2):
        h = torch.zeros(2, dtype=torch.float64)
        h[d] = 1e-5
        slope = (box.value_and_grad(u + h)[0] - box.value_and_grad(u - h)[0]) / 2e-5
        torch.testing.assert_close(g[:, d], slope, rtol=1e-8, atol=1e-8)


def test_values_on_shared_points_are_one_row():
    box = BoxObjective(bowl, LOWER, UPPER)
    points = torch.linspace(-1, 1, 6, dtype=torch.float64).reshape(3, 2)
    torch.testing.assert_close(box.values_on(points), box.value_and_grad(points)[0][None])


def test_the_widest_box_there_is_has_finite_coordinates():
    largest = np.finfo(np.float64).max
    box = BoxObjective(lambda x: (x[:, 0] / largest, x / largest), [-largest], [largest])
    assert box.from_unit([1.0]) == largest
    assert box.value_and_grad(torch.zeros(1, 1, dtype=torch.float64))[0] == 0


@pytest.mark.parametrize(
    ("lower", "upper", "message"),
    [
        ([0.0, 0.0], [1.0], "one length"),
        ([[0.0]], [[1.0]], "one length"),
        ([0.0], [0.0], "lower < upper"),
        ([1.0], [0.0], "lower < upper"),
        ([-np.inf], [0.0], "finite"),
        ([0.0], [np.nan], "finite"),
    ],
)
def test_bad_bounds(lower, upper, message):
    with pytest.raises(ValueError, match=message):
        BoxObjective(bowl, lower, upper)


@pytest.mark.parametrize(
    "function",
    [lambda x: (x.sum(), x), lambda x: (x.sum(-1), x[0]), lambda x: (x, x)],
)
def test_functions_of_other_shapes(function):
    with pytest.raises(ValueError, match="must return values"):
        BoxObjective(function, LOWER, UPPER).value_and_grad(torch.zeros(3, 2, dtype=torch.float64))
