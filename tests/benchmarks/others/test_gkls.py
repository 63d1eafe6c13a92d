import numpy as np
import pytest
import torch
from scipy.optimize import approx_fprime

from benchmarks.others.gkls import CLASSES, GklsObjective


@pytest.mark.parametrize("name", CLASSES)
def test_a_function_has_the_minima_that_its_class_says(name):
    dim, distance, radius = CLASSES[name]
    for number in range(3):
        function = GklsObjective(name, number).function
        best = function.centers[0]
        assert np.linalg.norm(best - function.vertex) == pytest.approx(distance)
        assert function.radii[0] == radius
        assert np.abs(function.centers).max() <= 1.0
        values, gradients = function(function.centers)
        np.testing.assert_allclose(values, function.values, rtol=1e-12)
        np.testing.assert_allclose(gradients, 0.0, atol=1e-12)
        assert function.values[0] == -1.0 < function.values[1:].min()
        apart = np.linalg.norm(function.centers[:, None] - function.centers, axis=-1)
        overlap = function.radii[:, None] + function.radii - apart
        assert overlap[~np.eye(len(apart), dtype=bool)].max() <= 1e-12
        points = np.random.default_rng(0).uniform(-1, 1, (4000, dim))
        assert function(points)[0].min() > -1.0


@pytest.mark.parametrize("name", ["2d-hard", "5d-simple"])
def test_values_and_gradients_go_on_through_the_surface_of_a_ball(name):
    function = GklsObjective(name, 7).function
    rng = np.random.default_rng(1)
    for center, radius in zip(function.centers, function.radii, strict=True):
        direction = rng.standard_normal(center.shape)
        direction /= np.linalg.norm(direction)
        pair = center + np.array([[1 - 1e-9], [1 + 1e-9]]) * radius * direction
        values, gradients = function(pair)
        np.testing.assert_allclose(values[0], values[1], atol=1e-7)
        np.testing.assert_allclose(gradients[0], gradients[1], atol=1e-6)


def test_gradients_are_those_of_the_values():
    function = GklsObjective("3d-simple", 5).function
    points = np.random.default_rng(2).uniform(-1, 1, (20, 3))
    points = np.concatenate([points, function.centers + 0.3 * function.radii[:, None] / np.sqrt(3)])
    for point in points:
        slopes = approx_fprime(point, lambda x: function(x[None])[0][0], 1e-7)
        np.testing.assert_allclose(function(point[None])[1][0], slopes, atol=2e-4)


def test_a_number_is_always_the_same_function():
    one, two = (GklsObjective("2d-simple", 3).value_and_grad(torch.zeros(1, 2, dtype=torch.float64)) for _ in range(2))
    assert torch.equal(one[0], two[0])
    with pytest.raises(ValueError, match="functions 0 to 99, got 2d-simple, 100"):
        GklsObjective("2d-simple", 100)


def test_the_page_finds_a_function_by_its_name():
    from benchmarks.page import _problem
    from benchmarks.problems import gkls_blocks

    assert gkls_blocks((2,), 70) == (
        *("gkls-2d-simple-0..63", "gkls-2d-simple-64..69", "gkls-2d-hard-0..63", "gkls-2d-hard-64..69"),
    )
    problem = _problem("gkls-2d-hard-66")
    assert (problem.name, problem.sample, problem.f_min) == ("gkls-2d-hard-66", "GKLS, 2-D hard", -1.0)
