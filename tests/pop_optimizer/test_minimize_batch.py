import jax
import numpy as np
import pytest
import torch
from scipy.optimize import Bounds

import pop_optimizer
from pop_optimizer import minimize_batch

BOX = [(-3.0, 3.0), (-2.0, 4.0), (-3.0, 3.0)]
STARTS = np.random.default_rng(0).uniform(-2, 3, (5, 3))
CENTERS = np.random.default_rng(1).uniform(-1, 1, (5, 3))


def bowls(x):
    return ((x - CENTERS) ** 2).sum(-1)


def slopes(x):
    return 2 * (x - CENTERS)


def both(x):
    return bowls(x), slopes(x)


def chain(x):
    """Rosenbrock's, for arrays of any library."""
    return (100 * (x[..., 1:] - x[..., :-1] ** 2) ** 2 + (1 - x[..., :-1]) ** 2).sum(-1)


@pytest.fixture
def batch(checkpoint):
    return lambda fun, x0=STARTS, **options: minimize_batch(
        fun, x0, **{"bounds": BOX, "checkpoint": checkpoint, **options}
    )


def test_each_function_is_minimized_from_its_start(batch):
    result = batch(both, jac=True)
    np.testing.assert_allclose(result.x, CENTERS, atol=1e-5)
    np.testing.assert_array_equal(result.x_iters[:, 0], STARTS)
    np.testing.assert_array_equal(result.fun, result.func_vals.min(1))
    np.testing.assert_array_equal(result.jac, slopes(result.x))
    assert result.success.all()
    assert (result.nit, result.nfev) == (50, 51)


def test_a_row_is_the_run_of_minimize(checkpoint):
    options = {"bounds": BOX, "budget": 30, "checkpoint": checkpoint}
    rows = minimize_batch(lambda x: chain(torch.from_numpy(x)), STARTS, jac=chain_slopes, **options)
    for x0, path in zip(STARTS, rows.x_iters, strict=True):
        one = pop_optimizer.minimize(lambda x: chain(torch.from_numpy(x)), x0, jac=chain_slopes, **options)
        # A batch computes with torch, a single run with NumPy: what differs in the last digits grows.
        np.testing.assert_allclose(path[:15], one.x_iters[:15], rtol=1e-4, atol=1e-4)


def chain_slopes(x):
    points = torch.tensor(x, requires_grad=True)
    return torch.autograd.grad(chain(points).sum(), points)[0]


@pytest.mark.parametrize("kind", [torch.from_numpy, jax.numpy.asarray, lambda x: torch.from_numpy(x).float()])
def test_points_are_of_the_kind_of_the_starts(batch, kind):
    seen, like = [], kind(STARTS)
    result = batch(lambda x: seen.append(x) or chain(x), like, jac="autodiff", budget=100)
    kind_of = jax.Array if isinstance(like, jax.Array) else torch.Tensor  # JAX differentiates what it traces
    assert all(isinstance(x, kind_of) and x.dtype == like.dtype and x.shape == like.shape for x in seen)
    assert len(seen) == 101
    assert np.median(result.fun) < 1e-6
    assert isinstance(result.x, np.ndarray)


@pytest.mark.parametrize(("jac", "price"), [(None, 4), ("2-point", 4), ("3-point", 7), ("cs", 4)])
def test_differences_count_for_each_function(batch, jac, price):
    calls = []
    result = batch(lambda x: calls.append(x) or bowls(x), jac=jac, budget=99)
    assert result.nfev == len(calls) == price * (result.nit + 1) <= 100
    np.testing.assert_allclose(result.x, CENTERS, atol=1e-4)


def test_complex_steps_reach_a_tensor(batch):
    result = batch(lambda x: ((x - torch.from_numpy(CENTERS)) ** 2).sum(-1), torch.from_numpy(STARTS), jac="cs")
    np.testing.assert_allclose(result.jac, slopes(result.x), atol=1e-12)


def test_bounds_may_differ_from_row_to_row_and_fix_a_variable(batch):
    lower, upper = STARTS - 0.1, STARTS + 0.1
    lower[:, 1] = upper[:, 1] = STARTS[:, 1]
    expected = np.clip(CENTERS, lower, upper)
    for bounds in (Bounds(lower, upper), np.stack([lower, upper], -1)):
        result = batch(both, jac=True, bounds=bounds)
        assert ((lower <= result.x_iters.swapaxes(0, 1)) & (result.x_iters.swapaxes(0, 1) <= upper)).all()
        np.testing.assert_allclose(result.x, expected, atol=1e-6)


def test_a_row_without_finite_values_is_no_success(batch):
    def holed(x):
        y, g = both(x)
        y[2] = np.nan
        return y, g

    result = batch(holed, jac=True)
    assert result.success.tolist() == [True, True, False, True, True]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"x0": STARTS[0]}, ValueError, r"x0 must have shape \(batch, dim\)"),
        ({"x0": STARTS + 9}, ValueError, "x0 must lie in the bounds"),
        ({"bounds": None}, ValueError, "bounds must be given"),
        ({"bounds": [(0, np.inf)] * 3}, ValueError, "bounds must be finite"),
        ({"bounds": [(-3, 3)] * 2}, ValueError, "bounds must be pairs"),
        ({"jac": "autodiff"}, ValueError, "autodiff"),
        ({"jac": 0}, ValueError, "jac must be"),
        ({"jac": slopes, "fun": lambda x: x}, ValueError, r"fun must have shape \(5,\)"),
        ({"jac": lambda x: x[0]}, ValueError, r"jac must have shape \(5, 3\)"),
        ({"jac": True}, TypeError, "pair"),
        ({"fun": None}, TypeError, "fun must be a function"),
        ({"fun": lambda x: [None] * 5}, TypeError, "fun must be an array of"),
        ({"budget": 3}, ValueError, "budget=3 does not pay"),
        ({"budget": 0}, ValueError, "budget must be a positive integer"),
        ({"ftol": -1}, ValueError, "ftol"),
    ],
)
def test_bad_input_is_refused(batch, changes, error, message):
    with pytest.raises(error, match=message):
        batch(**{"fun": bowls, "jac": None} | changes)
