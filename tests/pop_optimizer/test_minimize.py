import os
import shutil
from functools import partial

import numpy as np
import pytest
import scipy.optimize
import torch
from scipy.optimize import Bounds, OptimizeWarning

import pop_optimizer
from pop_envs import POPTask
from pop_optimizer.checkpoint import CheckpointError, save_checkpoint

BOX = [(-5.0, 5.0), (-5.0, 5.0)]
CENTER = np.array([1.0, -2.0])


def sphere(x):
    return ((x - CENTER) ** 2).sum(), 2 * (x - CENTER)


def value(x):
    return sphere(x)[0]


def gradient(x):
    return sphere(x)[1]


def wavy(x):
    return (x**2).sum() + 3 * np.cos(2 * x).sum(), 2 * x - 6 * np.sin(2 * x)


@pytest.fixture
def minimize(checkpoint):
    def call(fun, x0=None, **options):
        return pop_optimizer.minimize(fun, x0, **{"bounds": BOX, "seed": 0, "checkpoint": checkpoint, **options})

    return call


def test_a_sphere_is_solved(minimize):
    result = minimize(sphere, [4.0, 4.0], jac=True)
    assert result.success
    assert result.fun < 1e-8
    np.testing.assert_allclose(result.x, CENTER, atol=1e-4)


def test_a_sphere_is_solved_by_differences(minimize):
    result = minimize(value, [4.0, 4.0], budget=120)
    assert result.fun < 1e-6


def test_an_oblique_valley_is_solved(minimize):
    hessian = np.array([[101.0, -99.0], [-99.0, 101.0]])
    result = minimize(lambda x: (x @ hessian @ x / 2, hessian @ x), [-3.0, 4.0], jac=True)
    assert result.fun < 1e-6


@pytest.mark.parametrize("jac", [True, gradient])
def test_a_value_with_its_gradient_counts_as_one_evaluation(minimize, jac):
    calls = []
    result = minimize(lambda x: calls.append(x) or (sphere(x) if jac is True else value(x)), jac=jac, budget=20)
    assert len(calls) == 21
    assert (result.nfev, result.njev, result.nit) == (21, 21, 20)
    np.testing.assert_array_equal(result.x_iters, calls)


@pytest.mark.parametrize("jac", [None, False])
@pytest.mark.parametrize(("budget", "steps"), [(5, 1), (7, 1), (8, 2), (50, 16)])
def test_differences_count_and_keep_within_the_budget(minimize, jac, budget, steps):
    calls = []
    result = minimize(lambda x: calls.append(x) or value(x), jac=jac, budget=budget)
    assert result.nit == steps
    assert result.nfev == len(calls) == 3 * (steps + 1) <= budget + 1
    assert result.njev == 0


def test_differences_are_the_gradient_also_at_the_walls(minimize):
    bounds = [(-5.0, 5.0), (-1e-3, 2e-3), (-1e4, 1e4)]
    weights = np.array([1.0, 1e3, 1e-4])

    def fun(x):
        assert all(low <= c <= high for c, (low, high) in zip(x, bounds, strict=True))
        return np.sin(weights * x).sum()

    for x0 in ([-5.0, 2e-3, 1e4], [5.0, -1e-3, -1e4], [0.3, 1e-3, 77.0]):
        result = minimize(fun, x0, bounds=bounds, budget=7, callback=stop)
        # At the lowest of two points; what the differences lose is about the root of the precision.
        np.testing.assert_allclose(result.jac, weights * np.cos(weights * result.x), rtol=1e-5, atol=1e-6)


def stop(_):
    raise StopIteration


@pytest.mark.parametrize("jac", [True, gradient, None])
def test_all_kinds_of_gradients_lead_to_the_same_place(minimize, jac):
    result = minimize(sphere if jac is True else value, [4.0, 3.0], jac=jac, budget=100)
    np.testing.assert_allclose(result.x, CENTER, atol=1e-3)


def test_a_gradient_function_gives_the_path_of_a_joint_one(minimize):
    joint, apart = minimize(sphere, [4.0, 3.0], jac=True), minimize(value, [4.0, 3.0], jac=gradient)
    np.testing.assert_array_equal(joint.x_iters, apart.x_iters)


def test_the_result_tells_the_whole_path(minimize):
    result = minimize(wavy, [3.0, -4.0], jac=True, budget=15)
    assert result.x_iters.shape == (16, 2)
    np.testing.assert_array_equal(result.x_iters[0], [3.0, -4.0])
    np.testing.assert_array_equal(result.func_vals, [wavy(x)[0] for x in result.x_iters])
    best = result.func_vals.argmin()
    np.testing.assert_array_equal(result.x, result.x_iters[best])
    assert result.fun == result.func_vals[best]
    np.testing.assert_array_equal(result.jac, wavy(result.x)[1])
    assert (result.nit, result.nfev) == (15, 16)


def test_a_budget_that_is_spent_before_convergence_is_no_success(minimize):
    result = minimize(wavy, [3.0, -4.0], jac=True, budget=2)
    assert (result.success, result.status) == (False, 1)
    fall = result.func_vals[0] - result.fun
    assert result.message == (
        f"The budget of 2 steps is spent while still improving, by {fall:.2g} in the last 2: "
        "give more, or go on from x."
    )


def test_a_local_minimum_is_a_success(minimize):
    result = minimize(sphere, [4.0, 3.0], jac=True, budget=120)
    assert (result.success, result.status) == (True, 0)
    assert result.message.startswith("The best point is a local minimum: ")


@pytest.mark.parametrize("scale", [1e-200, 1e-12, 1.0, 1e12, 1e200])
@pytest.mark.parametrize(("budget", "success"), [(1, False), (60, True)])
def test_success_does_not_come_from_small_or_large_values(minimize, scale, budget, success):
    def scaled(x):
        return scale * (value(x) + 1), scale * gradient(x)

    result = minimize(scaled, [4.0, 3.0], jac=True, budget=budget)
    assert result.success is success
    np.testing.assert_allclose(result.x, CENTER, atol=1e-3 if success else 20)


def test_wrong_gradients_are_no_success_but_stall(minimize):
    result = minimize(lambda x: (abs(x - CENTER).sum(), np.full(2, 3.0)), CENTER, jac=True, budget=40)
    assert (result.success, result.status) == (False, 3)
    assert "a kink, noise, or wrong gradients may be why" in result.message


def test_ftol_and_gtol_decide_what_a_minimum_is(minimize):
    path = minimize(wavy, [3.0, -4.0], jac=True, budget=3)
    assert not path.success
    assert minimize(wavy, [3.0, -4.0], jac=True, budget=3, ftol=1e3).success
    steepest = abs(np.clip(path.x - path.jac, -5, 5) - path.x).max()
    assert minimize(wavy, [3.0, -4.0], jac=True, budget=3, gtol=steepest * (1 + 1e-12)).success
    assert not minimize(wavy, [3.0, -4.0], jac=True, budget=3, gtol=steepest / 2).success


def test_stop_ends_at_the_first_minimum_and_target_at_the_first_value(minimize):
    whole = minimize(wavy, [3.0, -4.0], jac=True, budget=100)
    stopped = minimize(wavy, [3.0, -4.0], jac=True, budget=100, stop="converged")
    assert stopped.success
    assert stopped.nit < 100
    np.testing.assert_array_equal(stopped.x_iters, whole.x_iters[: stopped.nit + 1])
    target = (whole.func_vals[0] + whole.fun) / 2
    reached = minimize(wavy, [3.0, -4.0], jac=True, budget=100, target=target)
    assert (reached.success, reached.status, reached.message) == (True, 0, f"The target of {target:g} is reached.")
    assert reached.nit == np.flatnonzero(whole.func_vals <= target)[0]


@pytest.mark.parametrize(
    ("limits", "nit"),
    [
        ({}, 16),
        ({"budget": 50}, 16),
        ({"maxiter": 7}, 7),
        ({"maxfev": 30}, 9),
        ({"maxiter": 7, "maxfev": 30}, 7),
        ({"budget": 14, "maxiter": 7, "maxfev": 30}, 4),
    ],
)
def test_the_tightest_limit_counts(minimize, limits, nit):
    result = minimize(value, [4.0, 3.0], **limits)
    assert (result.nit, result.nfev) == (nit, 3 * (nit + 1))


def test_the_result_says_how_often_the_best_was_found(minimize):
    result = pop_optimizer.minimize(sphere, [4.0, 3.0], bounds=BOX, jac=True, budget=100)
    assert 1 <= result.descents_to_best <= result.descents
    assert 1 < result.descents < 100
    alone = minimize(sphere, [4.0, 3.0], jac=True, budget=1)
    assert (alone.descents, alone.descents_to_best) == (1, 1)


def test_disp_prints_message_and_counts(minimize, capsys):
    result = minimize(sphere, [4.0, 3.0], jac=True, budget=5, disp=True)
    assert capsys.readouterr().out == (f"{result.message}\n  fun: {result.fun:g}, nit: 5, nfev: 6, njev: 6\n")
    minimize(sphere, [4.0, 3.0], jac=True, budget=5)
    assert capsys.readouterr().out == ""


def test_a_result_prints_well(minimize):
    lines = str(minimize(sphere, [4.0, 3.0], jac=True, budget=40)).splitlines()
    assert lines[0].strip().startswith("message: The best point is a local minimum")
    assert lines[1:3] == ["          success: True", "           status: 0"]
    assert max(map(len, lines)) < 200


@pytest.mark.parametrize(("x0", "solved"), [([-5.0, -5.0], True), ([4.0, 4.0], False)])
def test_without_a_descent_success_is_a_projected_gradient_of_nothing(tmp_path, card_of, x0, solved):
    card = card_of(policy={"head": "gaussian", "width": 8, "depth": 1, "heads": 2}, task=POPTask())
    torch.manual_seed(0)
    save_checkpoint(tmp_path, card.network(), card)
    options = {"bounds": BOX, "jac": True, "budget": 1, "checkpoint": tmp_path, "seed": 0}
    result = pop_optimizer.minimize(lambda x: (x.sum(), np.ones(2)), x0, **options)  # lowest in a corner
    assert (result.x == -5).all() == solved
    assert result.success is solved


def test_the_seed_decides_the_start_and_the_path(minimize):
    first, again, other = (minimize(wavy, jac=True, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.x_iters, again.x_iters)
    assert np.abs(first.x_iters[0] - other.x_iters[0]).max() > 1e-3


def test_the_seed_decides_the_draws_from_a_given_start(minimize):
    first, again, other = (minimize(wavy, [2.0, 2.0], jac=True, seed=seed, deterministic=False) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.x_iters, again.x_iters)
    assert np.abs(first.x_iters - other.x_iters).max() > 1e-3


def test_without_a_seed_each_call_is_another(minimize):
    assert not np.array_equal(minimize(wavy, jac=True, seed=None).x_iters, minimize(wavy, jac=True, seed=None).x_iters)


def test_random_starts_fill_the_box(minimize):
    starts = [minimize(sphere, jac=True, seed=seed, budget=1).x_iters[0] for seed in range(40)]
    assert np.abs(np.mean(starts, 0)).max() < 1.5
    assert np.min(starts) < -4
    assert np.max(starts) > 4


def test_without_draws_the_seed_of_a_given_start_does_not_matter(minimize):
    one, other = (minimize(wavy, [2.0, 1.0], jac=True, seed=seed, deterministic=True) for seed in (1, 2))
    np.testing.assert_array_equal(one.x_iters, other.x_iters)


def test_global_random_numbers_are_left_alone(minimize):
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    minimize(wavy, jac=True)
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


@pytest.mark.parametrize(
    "bounds",
    [BOX, np.array(BOX), Bounds([-5, -5], [5, 5]), Bounds(-5, [5, 5]), Bounds(-5, 5), Bounds([-5.0], [5.0])],
)
def test_bounds_come_in_many_forms(minimize, bounds):
    expected = minimize(wavy, [3.0, -4.0], jac=True)
    np.testing.assert_array_equal(minimize(wavy, [3.0, -4.0], jac=True, bounds=bounds).x_iters, expected.x_iters)


FREE = [None, Bounds(), [(None, None)] * 2, [None, None], [(-np.inf, np.inf)] * 2]


@pytest.mark.parametrize("bounds", FREE)
def test_without_bounds_the_region_moves_to_the_minimum(minimize, bounds):
    far = np.array([300.0, -1e4])
    result = minimize(lambda x: (((x - far) ** 2).sum(), 2 * (x - far)), [0.5, 0.5], jac=True, bounds=bounds, budget=90)
    assert result.success
    np.testing.assert_allclose(result.x, far, rtol=1e-6)


def test_half_a_bound_is_kept(minimize):
    seen = []
    result = minimize(lambda x: seen.append(x) or sphere(x), [4.0, 3.0], jac=True, bounds=[(2.0, None), (None, None)])
    assert min(x[0] for x in seen) >= 2.0
    np.testing.assert_allclose(result.x, [2.0, CENTER[1]], atol=1e-6)
    assert result.success


def test_equal_bounds_fix_a_variable_which_costs_no_evaluations(minimize):
    seen = []
    result = minimize(lambda x: seen.append(x) or value(x), [4.0, 3.0], bounds=[(-5, 5), (3, 3)], budget=39)
    assert {x[1] for x in seen} == {3.0}
    assert (result.nit, result.nfev) == (19, 40)  # a value and one difference each
    np.testing.assert_allclose(result.x, [1.0, 3.0], atol=1e-6)
    assert result.jac[1] == 0
    assert result.success


def test_where_all_is_fixed_there_is_nothing_to_search(minimize):
    result = minimize(sphere, bounds=[(1, 1), (2, 2)], jac=True)
    assert (result.success, result.nfev, tuple(result.x)) == (True, 1, (1, 2))
    assert "all variables are fixed" in result.message


def rosenbrock(x):
    return scipy.optimize.rosen(x), scipy.optimize.rosen_der(x)


def powell(x):
    """Moré, Garbow & Hillstrom (1981), problem 13, a singular minimum."""
    a, b, c, d = x
    residuals = np.array([a + 10 * b, np.sqrt(5) * (c - d), (b - 2 * c) ** 2, np.sqrt(10) * (a - d) ** 2])
    jacobian = np.array(
        [
            [1, 10, 0, 0],
            [0, 0, np.sqrt(5), -np.sqrt(5)],
            [0, 2 * (b - 2 * c), -4 * (b - 2 * c), 0],
            [2 * np.sqrt(10) * (a - d), 0, 0, -2 * np.sqrt(10) * (a - d)],
        ]
    )
    return residuals @ residuals, 2 * residuals @ jacobian


def beale(x):
    """Problem 5."""
    powers = np.arange(1, 4)
    residuals = np.array([1.5, 2.25, 2.625]) - x[0] * (1 - x[1] ** powers)
    jacobian = np.stack([x[1] ** powers - 1, x[0] * powers * x[1] ** (powers - 1)], 1)
    return residuals @ residuals, 2 * residuals @ jacobian


@pytest.mark.parametrize(
    ("fun", "start"),
    [(rosenbrock, [-1.2, 1.0]), (powell, [3.0, -1.0, 0.0, 1.0]), (beale, [1.0, 1.0])],
    ids=["rosenbrock", "powell", "beale"],
)
@pytest.mark.parametrize("bounds", [None, Bounds(-10, 10)], ids=["free", "box"])
def test_classical_problems_are_solved_without_bounds_as_with_them(fun, start, bounds):
    result = pop_optimizer.minimize(fun, start, jac=True, bounds=bounds, budget=150)
    assert result.fun < 1e-8


def test_a_start_outside_by_rounding_is_moved_to_the_bound(minimize):
    result = minimize(sphere, [np.nextafter(5.0, 6.0), 3.0], jac=True)
    assert result.x_iters[0].tolist() == [5.0, 3.0]


@pytest.mark.parametrize(
    ("x0", "error", "message"),
    [
        ([6.0, 0.0], ValueError, r"x0\[0\] = 6\.0 is beyond the upper bound 5\.0 by 1\.0"),
        ([0.0, -5.1], ValueError, r"x0\[1\] = -5\.1 is beyond the lower bound -5\.0 by 0\.09999999999999964"),
        ([np.nan, 0.0], ValueError, "x0 must be finite"),
        ([1.0], ValueError, "bounds must be 1 pairs as x0 has variables"),
        (np.zeros((2, 2)), ValueError, r"x0 must be a vector, got shape \(2, 2\)"),
    ],
)
def test_a_start_out_of_the_box_is_refused(minimize, x0, error, message):
    with pytest.raises(error, match=message):
        minimize(sphere, x0, jac=True)


@pytest.mark.parametrize("budget", [0, -1, 2.5])
def test_a_bad_budget_is_refused(minimize, budget):
    with pytest.raises(ValueError, match="budget must be a positive integer"):
        minimize(sphere, jac=True, budget=budget)


def test_a_budget_too_small_for_differences_is_refused(minimize):
    with pytest.raises(ValueError, match=r"budget=4.*which takes 6 evaluations.*raise it, or give jac"):
        minimize(value, budget=4)


@pytest.mark.parametrize("bad", [np.zeros(3), np.zeros((1, 2)), 0.0])
def test_a_gradient_of_the_wrong_shape_is_refused(minimize, bad):
    with pytest.raises(ValueError, match=r"the gradient of fun must have shape \(2,\)"):
        minimize(lambda x: (1.0, bad), jac=True)


@pytest.mark.parametrize("jac", [True, None])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_count_as_worst(minimize, jac, bad):
    def holed(x):
        inside = x[0] < 0
        y = bad if inside else value(x)
        return (y, np.full(2, bad) if inside else gradient(x)) if jac else y

    result = minimize(holed, [-1.0, 3.0], jac=jac, budget=60)
    assert result.success
    assert not np.isfinite(result.func_vals[0])
    assert np.isfinite(result.x_iters).all()
    assert result.fun == np.min(result.func_vals[np.isfinite(result.func_vals)])
    assert result.fun < 5


def test_a_function_that_is_finite_nowhere_is_said_so(minimize):
    result = minimize(lambda x: (np.nan, np.full(2, np.nan)), jac=True, budget=5)
    assert (result.success, result.status) == (False, 2)
    assert result.message == "The function was finite nowhere on the path."
    assert result.nfev == 6


@pytest.mark.parametrize("named", [False, True])
def test_the_callback_sees_the_best_point_after_each_step(minimize, named):
    seen = []

    def spoil(x, fun=None):
        seen.append((x.copy(), fun))
        x.fill(9)

    def of_result(intermediate_result):
        assert intermediate_result.nit == len(seen) + 1
        assert intermediate_result.nfev == len(seen) + 2
        spoil(intermediate_result.x, intermediate_result.fun)

    result = minimize(wavy, [1.0, 1.0], jac=True, budget=7, callback=of_result if named else spoil)
    assert len(seen) == 7
    for step, (x, fun) in enumerate(seen, 2):
        best = result.func_vals[:step].argmin()
        np.testing.assert_array_equal(x, result.x_iters[best])
        assert fun == (result.func_vals[best] if named else None)


def test_the_callback_can_stop(minimize):
    seen = []

    def third(x):
        seen.append(x)
        if len(seen) == 3:
            raise StopIteration

    result = minimize(sphere, jac=True, callback=third)
    assert (result.nit, result.nfev, result.success, result.status) == (3, 4, False, 99)
    assert result.message == "`callback` raised `StopIteration`."


def test_the_objective_may_write_into_its_point(minimize):
    def rough(x):
        answer = sphere(x.copy())
        x[:] = 99.0
        return answer

    np.testing.assert_array_equal(
        minimize(rough, [1.0, 1.0], jac=True).x_iters, minimize(sphere, [1.0, 1.0], jac=True).x_iters
    )


def test_further_arguments_reach_function_and_gradient(minimize):
    result = minimize(
        lambda x, c, k: k * ((x - c) ** 2).sum(), jac=lambda x, c, k: 2 * k * (x - c), args=(np.array([3.0, -3.0]), 7.0)
    )
    np.testing.assert_allclose(result.x, [3.0, -3.0], atol=1e-3)


@pytest.mark.parametrize(("fun", "jac"), [(wavy, True), (lambda x: wavy(x)[0], lambda x: wavy(x)[1]), (value, None)])
@pytest.mark.parametrize("bounds", [BOX, Bounds(-5, 5)])
def test_scipy_calls_it_as_a_method(minimize, checkpoint, fun, jac, bounds):
    direct = minimize(fun, [3.0, -4.0], jac=jac, budget=30, bounds=bounds)
    seen = []
    through = scipy.optimize.minimize(
        fun,
        [3.0, -4.0],
        method=pop_optimizer.pop,
        jac=jac,
        bounds=bounds,
        callback=lambda x: seen.append(x),
        options={"budget": 30, "seed": 0, "checkpoint": checkpoint},
    )
    assert through.keys() == direct.keys()
    for field in direct:
        np.testing.assert_array_equal(through[field], direct[field], err_msg=field)
    best = [direct.func_vals[:step].argmin() for step in range(2, direct.nit + 2)]
    np.testing.assert_array_equal(seen, direct.x_iters[best])


def test_scipy_passes_arguments_on(checkpoint):
    options = {"seed": 0, "checkpoint": checkpoint}
    result = scipy.optimize.minimize(
        lambda x, c: ((x - c) ** 2).sum(), [0.0, 0.0], (2.0,), method=pop_optimizer.pop, bounds=BOX, options=options
    )
    np.testing.assert_allclose(result.x, 2.0, atol=1e-2)


def test_constraints_are_refused(checkpoint):
    constraint = {"type": "ineq", "fun": lambda x: x[0]}
    with pytest.raises(ValueError, match="other constraints are not supported; penalize them in fun"):
        scipy.optimize.minimize(
            sphere, [0.0, 0.0], method=pop_optimizer.pop, jac=True, bounds=BOX, constraints=constraint
        )


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize(("factor", "shift"), [(1e6, 0.0), (1e-6, 0.0), (1.0, 100.0), (37.0, -5e3)])
def test_a_shifted_and_scaled_function_is_searched_alike(minimize, deterministic, factor, shift):
    def other(x):
        y, g = wavy(x)
        return factor * y + shift, factor * g

    paths = [minimize(f, [3.0, -4.0], jac=True, budget=12, deterministic=deterministic).x_iters for f in (wavy, other)]
    np.testing.assert_allclose(*paths, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize(("stretch", "move"), [(1e6, 0.0), (1e-6, 0.0), (1.0, 1e3), (np.array([1e3, 1e-3]), 0.5)])
def test_a_stretched_and_moved_box_is_searched_alike(minimize, deterministic, stretch, move):
    def other(x):
        y, g = wavy((x - move) / stretch)
        return y, g / stretch

    x0, low, high = np.array([3.0, -4.0]), np.full(2, -5.0), np.full(2, 5.0)
    box = Bounds(low * stretch + move, high * stretch + move)
    options = {"jac": True, "budget": 12, "deterministic": deterministic}
    path = minimize(wavy, x0, **options).x_iters
    moved = minimize(other, x0 * stretch + move, bounds=box, **options).x_iters
    np.testing.assert_allclose((moved - move) / stretch, path, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("jac", [True, None])
def test_it_never_leaves_the_bounds(minimize, seed, jac):
    lower, upper = np.array([0.1, -7.3, 1e5]), np.array([0.3, -1.1, 1e5 + 0.7])

    def slope(x):
        assert (lower <= x).all()
        assert (x <= upper).all()
        y, g = -x.sum(), -np.ones(3)
        return (y, g) if jac else y

    result = minimize(slope, bounds=Bounds(lower, upper), jac=jac, seed=seed, budget=60, deterministic=True)
    assert (upper - result.x).sum() < 0.02 * (upper - lower).sum()


@pytest.mark.parametrize("dim", [1, 3, 10])
def test_one_checkpoint_serves_any_dimension(minimize, dim):
    result = minimize(lambda x: ((x**2).sum(), 2 * x), np.full(dim, 4.0), jac=True, bounds=[(-5, 7)] * dim)
    assert result.fun < 1e-4 * dim * 16


def test_a_checkpoint_that_was_written_anew_is_read_anew(checkpoint, tmp_path, card_of, minimize):
    folder = shutil.copytree(checkpoint, tmp_path / "copy")
    before = minimize(wavy, [3.0, -4.0], jac=True, checkpoint=folder).x_iters
    card = card_of(task=POPTask(step_rule="signed", tokens="full"))
    save_checkpoint(folder, card.network(), card)
    os.utime(folder / "policy.safetensors", (0, 0))  # another time for sure
    assert not np.array_equal(minimize(wavy, [3.0, -4.0], jac=True, checkpoint=folder).x_iters, before)


def test_a_bad_checkpoint_is_said_so(minimize, tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        minimize(sphere, jac=True, checkpoint=tmp_path)
    (tmp_path / "policy.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="damaged"):
        minimize(sphere, jac=True, checkpoint=str(tmp_path))


def test_differences_survive_a_box_far_from_the_origin(minimize):
    result = minimize(lambda x: (x - 1e9).sum(), bounds=[(1e9, 1e9 + 1)] * 2)
    assert np.isfinite(result.jac).all()
    assert (result.jac > 0).all()


def test_scipys_tolerance_is_both_of_ours(minimize, checkpoint):
    options = {"checkpoint": checkpoint, "seed": 0, "stop": "converged"}
    through = scipy.optimize.minimize(
        wavy, [3.0, -4.0], bounds=BOX, jac=True, method=pop_optimizer.pop, tol=1e-2, options=options
    )
    direct = minimize(wavy, [3.0, -4.0], jac=True, ftol=1e-2, gtol=1e-2, stop="converged")
    np.testing.assert_array_equal(through.x_iters, direct.x_iters)
    assert through.message == direct.message


def test_scipys_unknown_options_and_hessians_are_warned_of(checkpoint):
    call = partial(scipy.optimize.minimize, sphere, [3.0, 3.0], method=pop_optimizer.pop, bounds=BOX, jac=True)
    with pytest.warns(OptimizeWarning, match="Unknown solver options: maxcor"):
        call(options={"checkpoint": checkpoint, "maxcor": 3})
    with pytest.warns(RuntimeWarning, match=r"does not use Hessian information \(hess\)"):
        call(hess=lambda x: np.eye(2), options={"checkpoint": checkpoint})


def test_the_start_is_evaluated_as_it_was_given(minimize):
    rng = np.random.default_rng(0)
    for _ in range(100):
        lower = rng.normal(size=2) * 10.0 ** rng.integers(-3, 4)
        upper = lower + rng.uniform(0.1, 10, 2)
        x0 = rng.uniform(lower, upper)
        result = minimize(lambda x: (x.sum(), np.ones(2)), x0, jac=True, bounds=Bounds(lower, upper), budget=1)
        np.testing.assert_array_equal(result.x_iters[0], x0)


def test_functions_may_keep_one_array_for_all_answers(minimize):
    kept = np.empty(2)

    def reused(x):
        kept[:] = sphere(x)[1]
        return sphere(x)[0], kept

    result, expected = minimize(reused, [3.0, 3.0], jac=True), minimize(sphere, [3.0, 3.0], jac=True)
    np.testing.assert_array_equal(result.x_iters, expected.x_iters)
    np.testing.assert_array_equal(result.jac, expected.jac)
    np.testing.assert_array_equal(result.jac, sphere(result.x)[1])
