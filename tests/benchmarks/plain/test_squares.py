import numpy as np
import pytest
import torch

from benchmarks.plain.squares import Fit, SumOfSquares
from benchmarks.problems import PLAIN, block_problems, chain_blocks, mgh_blocks, nist_blocks
from pop_envs.objectives.vlse_formulas import rosenbrock

BLOCKS = (*mgh_blocks(), *nist_blocks(), *chain_blocks((2, 10)))


def quadratic(x):
    """The residuals x1 - 1, 2 x2 and x1 x2."""
    x1, x2 = x.unbind(-1)
    return torch.stack([x1 - 1, 2 * x2, x1 * x2], -1)


def seen(objective, u):
    """Values and gradients at points of the unit box."""
    return tuple(answer.numpy() for answer in objective.value_and_grad(torch.from_numpy(u)))


def test_value_gradient_and_jacobian_of_a_closed_form():
    objective = SumOfSquares(quadratic, [-4, -1], [4, 3], 0.0)  # half widths 4 and 2, centre (0, 1)
    u = np.array([0.5, 0.5])  # the point (2, 2)
    y, g = seen(objective, u[None])
    assert y[0] == 1 + 16 + 16
    np.testing.assert_allclose(g[0], [4 * (2 * 1 + 2 * 4 * 2), 2 * (2 * 4 * 2 + 2 * 4 * 2)])
    r, jacobian = objective.residuals(u)
    np.testing.assert_allclose(r, [1, 4, 4])
    np.testing.assert_allclose(jacobian, [[4, 0], [0, 4], [4 * 2, 2 * 2]])
    np.testing.assert_allclose(objective.values_on(torch.from_numpy(u)[None]), [[33]])


def test_gradients_are_those_of_the_values_in_every_mode_of_the_caller():
    objective = SumOfSquares(quadratic, [-1, -1], [1, 1], 0.0)
    u = np.array([0.5, 0.5])
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            np.testing.assert_allclose(seen(objective, u[None])[1], [[2 * (u[0] - 1) + 0.25, 8 * u[1] + 0.25]])
            np.testing.assert_allclose(objective.residuals(u)[1], [[1, 0], [0, 2], [0.5, 0.5]])


@pytest.mark.parametrize("block", BLOCKS)
def test_gradients_and_jacobians_agree_with_differences_of_values(block):
    (problem,) = block_problems(block)
    objective, h = problem.sum_of_squares, 1e-6
    rng = np.random.default_rng(0)
    near = rng.uniform(-0.5, 0.5, (1, problem.dim)) if problem.own_starts is None else problem.own_starts
    # Off the starts, where a derivative is zero by symmetry on some.
    for u in near + rng.uniform(-1e-3, 1e-3, near.shape):
        r, jacobian = objective.residuals(u)
        steps = h * np.eye(problem.dim)
        differences = np.stack([objective.residuals(u + s)[0] - objective.residuals(u - s)[0] for s in steps], -1)
        scale = np.abs(jacobian).max()
        # Half of the third derivative goes with h^2, and rounding of the residuals with 1 / h.
        rounding = 1e-16 * max(np.abs(r).max(), 1.0) / h
        np.testing.assert_allclose(differences / (2 * h), jacobian, rtol=1e-4, atol=1e-5 * scale + 10 * rounding)
        y, g = seen(objective, u[None])
        np.testing.assert_allclose(y, (r**2).sum(), rtol=1e-12)
        np.testing.assert_allclose(g[0], 2 * r @ jacobian, rtol=1e-9, atol=1e-12 * np.abs(g).max())


def test_a_box_has_its_published_points_well_inside_and_off_its_centre():
    for block in (*mgh_blocks(), *nist_blocks()):
        (problem,) = block_problems(block)
        assert problem.sample in PLAIN
        assert (np.abs(problem.own_starts) < 0.8).all()
        assert (problem.own_starts < -0.1).all()  # so are minimizers, by the same rule
        assert np.isfinite(seen(problem.objective, problem.own_starts)[0]).all()


def test_the_box_follows_its_rule():
    fit = Fit("f", "g", quadratic, np.array([[1.0, 0.0], [3.0, 0.0]]), np.array([-1.0, 0.0]), 0.0, floor=0.5)
    lower, upper = fit.box
    np.testing.assert_allclose(lower, [-1 - 4, -0.5])  # margins 4, the spread, and 0.5, the floor
    np.testing.assert_allclose(upper, [3 + 12, 1.5])


def test_the_chain_is_the_vlse_function():
    for dim in (2, 10):
        (problem,) = block_problems(f"chained_rosenbrock-{dim}d")
        points = torch.rand(20, dim, dtype=torch.float64) * 2 - 1
        own = torch.from_numpy(problem.objective.from_unit(points))
        torch.testing.assert_close(problem.objective.values_on(points)[0], rosenbrock(own), rtol=1e-12, atol=0.0)
        assert (problem.objective.lower == -5).all()
        assert (problem.objective.upper == 10).all()
        assert problem.own_starts is None
        minimizer = torch.from_numpy(problem.objective.to_unit(np.ones((1, dim))))
        assert problem.objective.values_on(minimizer).item() == pytest.approx(problem.f_min, abs=1e-25)
