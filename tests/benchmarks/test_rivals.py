import inspect

import numpy as np
import pytest
import torch
from scipy import optimize

import pop_optimizer
from benchmarks.problems import vlse_problem
from benchmarks.rivals import RIVALS
from pop_envs.objectives.base import BoxObjective
from trajectories import START, budget_of, quadratic, rastrigin, trajectory


@pytest.mark.parametrize(
    ("name", "library", "keywords"),
    [
        ("gradient_descent", torch.optim.SGD, {"learning_rate": "lr"}),
        ("momentum", torch.optim.SGD, {"learning_rate": "lr"}),
        ("rmsprop", torch.optim.RMSprop, {"learning_rate": "lr", "alpha": "alpha"}),
        ("adam", torch.optim.Adam, {"learning_rate": "lr"}),
        ("basin_hopping", optimize.basinhopping, {"step_size": "stepsize", "temperature": "T"}),
        ("dual_annealing", optimize.dual_annealing, {"initial_temp": "initial_temp", "visit": "visit"}),
        ("direct", optimize.direct, {"eps": "eps", "locally_biased": "locally_biased"}),
        ("differential_evolution", optimize.differential_evolution, {"recombination": "recombination"}),
    ],
)
def test_defaults_are_the_librarys(name, library, keywords):
    ours, theirs = inspect.signature(RIVALS[name]).parameters, inspect.signature(library).parameters
    assert {key: ours[key].default for key in keywords} == {key: theirs[of].default for key, of in keywords.items()}


def test_defaults_that_libraries_spell_otherwise():
    adam = inspect.signature(RIVALS["adam"]).parameters
    assert (adam["beta1"].default, adam["beta2"].default) == inspect.signature(torch.optim.Adam).parameters[
        "betas"
    ].default
    ours = inspect.signature(RIVALS["differential_evolution"]).parameters
    low, high = inspect.signature(optimize.differential_evolution).parameters["mutation"].default
    assert ours["mutation"].default == (low + high) / 2
    assert ours["dither"].default == (high - low) / 2


def test_gradient_descent_is_scale_free():
    for name in ("gradient_descent", "momentum"):
        small, _ = trajectory(name, quadratic(1e-9), [0.9], learning_rate=0.1)
        large, _ = trajectory(name, quadratic(1e9), [0.9], learning_rate=0.1)
        np.testing.assert_allclose(small, large, rtol=1e-9)


def test_the_first_steps_of_gradient_descent_and_momentum():
    """At 0.8 the gradient of x^2, which is the scale, is 1.6; later it is x / 0.8 of that."""
    points, _ = trajectory("gradient_descent", quadratic(1.0), [0.8], learning_rate=0.2)
    np.testing.assert_allclose(points[:3, 0], [0.8, 0.6, 0.6 - 0.2 * 0.6 / 0.8])
    points, _ = trajectory("momentum", quadratic(1.0), [0.8], learning_rate=0.2, momentum=0.5)
    np.testing.assert_allclose(points[:3, 0], [0.8, 0.6, 0.6 - 0.2 * (0.6 / 0.8 + 0.5)])


def test_without_momentum_the_heavy_ball_is_gradient_descent():
    ball, _ = trajectory("momentum", rastrigin(), START[2], learning_rate=0.1, momentum=0.0)
    np.testing.assert_array_equal(ball, trajectory("gradient_descent", rastrigin(), START[2], learning_rate=0.1)[0])


def test_the_first_steps_of_rmsprop_and_adam():
    """On x^2 from 0.8, by the papers' formulas."""
    points, _ = trajectory("rmsprop", quadratic(1.0), [0.8], learning_rate=0.1, alpha=0.75)
    second = 0.75 * 0.25 * 1.6**2 + 0.25 * 1.2**2
    np.testing.assert_allclose(points[:3, 0], [0.8, 0.6, 0.6 - 0.1 * 1.2 / np.sqrt(second)], rtol=1e-6)

    points, _ = trajectory("adam", quadratic(1.0), [0.8], learning_rate=0.2, beta1=0.5, beta2=0.75)
    mean = (0.5 * 0.5 * 1.6 + 0.5 * 1.2) / (1 - 0.5**2)
    square = (0.75 * 0.25 * 1.6**2 + 0.25 * 1.2**2) / (1 - 0.75**2)
    np.testing.assert_allclose(points[:3, 0], [0.8, 0.6, 0.6 - 0.2 * mean / np.sqrt(square)], rtol=1e-6)


@pytest.mark.parametrize("name", ["gradient_descent", "momentum", "rmsprop", "adam"])
def test_first_order_iterates_are_projected_onto_the_box(name):
    points, _ = trajectory(name, quadratic(1.0, 1e-3), [0.5, 0.5], learning_rate=5.0)
    assert points[1, 0] == -1.0


def test_lbfgsb_reaches_the_floor_on_a_quadratic():
    for name in ("lbfgsb", "lbfgsb_restarts", "basin_hopping", "dual_annealing"):
        assert trajectory(name, quadratic(1.0, 30.0), START[2])[1][-1] < 1e-8


def test_restarts_and_hops_begin_with_the_descent_of_lbfgsb():
    descent, _ = trajectory("lbfgsb", rastrigin(), START[2])
    for name in ("lbfgsb_restarts", "basin_hopping"):
        points, _ = trajectory(name, rastrigin(), START[2])
        np.testing.assert_array_equal(points[: len(descent)], descent)


def test_ftol_tells_when_lbfgsb_gives_a_descent_up():
    patient, _ = trajectory("lbfgsb", vlse_problem("rosenbrock").objective, START[2], 200, ftol=1e-12)
    hasty, _ = trajectory("lbfgsb", vlse_problem("rosenbrock").objective, START[2], 200, ftol=0.5)
    assert 2 < len(hasty) < len(patient)
    np.testing.assert_array_equal(hasty, patient[: len(hasty)])


def test_lbfgsb_restarts_where_a_gradient_vanishes():
    """On a plateau each descent ends at once, and the next one begins elsewhere."""
    points, _ = trajectory("lbfgsb_restarts", BoxObjective(lambda x: (np.ones(len(x)), 0 * x), [-1], [1]), [0.5])
    assert len(np.unique(points)) == len(points) == budget_of("lbfgsb_restarts") + 1


def test_basin_hopping_hops_no_farther_than_its_step_size():
    """On a quadratic each descent ends at the middle."""
    points, _ = trajectory("basin_hopping", quadratic(1.0, 1.0), START[2], 60, step_size=0.2)
    descent = len(trajectory("lbfgsb", quadratic(1.0, 1.0), START[2], 60)[0])
    hops = np.abs(points[descent:]).max()
    assert 0.1 < hops <= 0.2 + 1e-6


def test_annealing_alone_looks_at_no_gradient():
    honest, _ = trajectory("dual_annealing", rastrigin(), START[2], local_search=False)
    lied_to, _ = trajectory(
        "dual_annealing", rastrigin(), START[2], gradient=lambda x: np.cos(7 * x), local_search=False
    )
    np.testing.assert_array_equal(honest, lied_to)


def test_the_first_simplex():
    """SciPy's own is 5 % of each coordinate; one that reaches beyond the box is turned inwards."""
    points, _ = trajectory("nelder_mead", rastrigin(), [0.6, -0.9])
    np.testing.assert_allclose(points[:3], [[0.6, -0.9], [0.63, -0.9], [0.6, -0.945]])
    points, _ = trajectory("nelder_mead", rastrigin(), [0.6, -0.9], simplex_size=0.5)
    np.testing.assert_allclose(points[:3], [[0.6, -0.9], [0.9, -0.9], [0.6, -0.4]])


def test_nelder_mead_begins_again_when_it_has_converged():
    points, _ = trajectory("nelder_mead", quadratic(1.0, 1.0), [0.1, 0.2], 200)
    jumps = np.abs(np.diff(points, axis=0)).max(1)
    restart = np.flatnonzero(jumps > 0.2)[0]
    assert np.linalg.norm(points[restart]) < 1e-3, "it should leave a minimum only"


def test_direct_divides_the_box_from_its_centre():
    points, _ = trajectory("direct", rastrigin(), START[2])
    np.testing.assert_allclose(points[:2], [START[2], [0.0, 0.0]])
    expected = {(2 / 3, 0), (-2 / 3, 0), (0, 2 / 3), (0, -2 / 3)}
    assert {tuple(point) for point in points[2:6].round(9)} == {tuple(np.round(point, 9)) for point in expected}


def test_the_first_population_of_cma_es():
    for sigma0 in (0.02, 0.1):
        points, _ = trajectory("cma_es", quadratic(1.0, 1.0), [0.0, 0.0], 600, sigma0=sigma0, population=100.0)
        assert points[1:].std() == pytest.approx(sigma0, rel=0.1)
    one, _ = trajectory("cma_es", rastrigin(), START[2])
    two, _ = trajectory("cma_es", rastrigin(), START[2], population=2.0)
    np.testing.assert_array_equal(one[:7], two[:7])  # the start and pycma's six members
    assert not np.array_equal(one[7], two[7])


def test_the_population_of_differential_evolution_is_a_share_of_the_budget():
    settings = {"share": 0.5, "budget": 39}
    low, _ = trajectory("differential_evolution", rastrigin(), START[2], **settings, mutation=0.4, dither=0.0)
    high, _ = trajectory("differential_evolution", rastrigin(), START[2], **settings, mutation=1.2, dither=0.0)
    np.testing.assert_array_equal(low[:20], high[:20])
    assert not np.array_equal(low[20], high[20])


def test_pop_goes_through_minimize(monkeypatch):
    asked = {}
    budget = budget_of("pop")

    def minimize(fun, x0=None, bounds=None, jac=None, budget=50, seed=None, checkpoint=None):
        asked.update(bounds=bounds, jac=jac, budget=budget, checkpoint=checkpoint)
        rng = np.random.default_rng(seed)
        fun(x0)
        for _ in range(budget):
            value, gradient = fun(rng.uniform(-1, 1, len(x0)))
            assert np.isscalar(value)
            assert gradient.shape == (2,)

    monkeypatch.setattr(pop_optimizer, "minimize", minimize, raising=False)
    points, _ = trajectory("pop", quadratic(1.0, 1.0), START[2], checkpoint="somewhere")
    assert len(points) == budget + 1
    assert asked == {"bounds": [(-1.0, 1.0)] * 2, "jac": True, "budget": budget, "checkpoint": "somewhere"}
