import numpy as np
import pytest
import torch

from benchmarks.rover.rivals import cma_es, gradient_descent, nelder_mead, newton, tuned
from pop_envs.objectives.base import BoxObjective
from pop_envs.objectives.landscapes import LandscapePrior

X = torch.tensor([[0.5, -0.25], [0.8, 0.8]], dtype=torch.float64)


def sphere():
    return BoxObjective(lambda x: ((x**2).sum(-1), 2 * x), [-9, -9], [9, 9], minimum=0.0)


def bowls(batch=2):
    return LandscapePrior(("quadratic",)).sample(batch, 2, np.random.default_rng(0))


def test_gradient_descent_shrinks_a_sphere_geometrically():
    """In the unit box the gradient is 162 x."""
    curves = gradient_descent(sphere(), X, 3, rate=0.25 / 81)
    expected = 81 * (X**2).sum(-1, keepdim=True).numpy() * 0.25 ** np.arange(4)
    np.testing.assert_allclose(curves.by_iteration, expected)
    assert curves.evaluations.tolist() == [3, 6, 9, 12]


def test_nesterovs_steps():
    """x2 = y1 - r g(y1) with y1 = x1 + m (x1 - x0)."""
    rate, momentum = 0.001, 0.5
    x1 = X - rate * 162 * X
    y1 = x1 + momentum * (x1 - X)
    x2 = y1 - rate * 162 * y1
    curves = gradient_descent(sphere(), X, 2, rate=rate, momentum=momentum)
    np.testing.assert_allclose(curves.by_iteration[:, 2], 81 * (x2**2).sum(-1))


def test_newton_takes_one_step_on_a_bowl():
    curves = newton(bowls(), X, 2, damping=1.0)
    assert curves.by_iteration[:, 1].max() < 1e-20
    assert curves.evaluations.tolist() == [6, 12, 18]


@pytest.mark.parametrize(("method", "settings"), [(cma_es, {"sigma": 0.2}), (nelder_mead, {"size": 0.2})])
def test_evaluations_are_counted_and_found_minima_kept(method, settings):
    curves = method(bowls(), X, 200, **settings)
    assert curves.by_iteration.shape[1] == len(curves.evaluations)
    assert curves.evaluations.max() <= 200
    assert (np.diff(curves.by_evaluation, axis=1) <= 0).all()
    assert curves.by_evaluation[:, -1].max() < 1e-3
    again = method(bowls(), X, 200, **settings)
    np.testing.assert_array_equal(curves.by_evaluation, again.by_evaluation)


def test_settings_are_tuned_for_the_end():
    found = tuned(bowls(), X, np.zeros(2), 10, 60)
    assert found["Newton"] == {"damping": 1.0}
    assert set(found) == {"gradient descent", "Nesterov", "Newton", "CMA-ES", "Nelder-Mead"}
