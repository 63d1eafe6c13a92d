import os
import shutil
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.optimize
import torch
from scipy.optimize import Bounds

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
    assert result.message == (
        "The budget is spent, 3 evaluations with the start's, before the best descent has converged: give more, or go "
        "on from x."
    )


def test_a_local_minimum_is_a_success(minimize):
    result = minimize(sphere, [4.0, 3.0], jac=True, budget=120)
    assert (result.success, result.status, result.message) == (True, 0, "The best point is a local minimum.")


@pytest.mark.parametrize(("scale", "success"), [(1e-12, True), (1e12, False)])
def test_success_is_to_the_tolerance_of_lbfgsb(minimize, scale, success):
    """A predicted fall of 2.2e-9 of the value, or of one: so what falls by 1e-12 in all is a minimum everywhere."""
    result = minimize(lambda x: tuple(scale * part for part in sphere(x)), [4.0, 3.0], jac=True, budget=1)
    assert result.success is success


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


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        (None, "POP searches a finite box: give bounds"),
        ([(-np.inf, 1.0), (0.0, 1.0)], "finite"),
        ([(None, 1.0), (0.0, 1.0)], "finite"),
        (Bounds(), "finite"),
        ([(1.0, 1.0), (0.0, 1.0)], "lower < upper"),
        ([(2.0, 1.0), (0.0, 1.0)], "lower < upper"),
        ([1.0, 2.0], "pairs"),
        ([(1.0, 2.0, 3.0)], "pairs"),
    ],
)
def test_bounds_that_are_no_finite_box_are_refused(minimize, bounds, message):
    with pytest.raises(ValueError, match=message):
        minimize(sphere, [0.5, 0.5], jac=True, bounds=bounds)


@pytest.mark.parametrize(
    ("x0", "message"),
    [
        ([6.0, 0.0], "x0 must lie in the bounds"),
        ([np.nan, 0.0], "x0 must lie in the bounds"),
        ([1.0], r"x0 must have shape \(2,\)"),
        (np.zeros((2, 2)), "x0 must have shape"),
    ],
)
def test_a_start_out_of_the_box_is_refused(minimize, x0, message):
    with pytest.raises(ValueError, match=message):
        minimize(sphere, x0, jac=True)


@pytest.mark.parametrize("budget", [0, -1, 2.5])
def test_a_bad_budget_is_refused(minimize, budget):
    with pytest.raises(ValueError, match="budget must be a positive integer"):
        minimize(sphere, jac=True, budget=budget)


def test_a_budget_too_small_for_differences_is_refused(minimize):
    with pytest.raises(ValueError, match=r"which takes 6 evaluations.*raise the budget or give jac"):
        minimize(value, budget=4)


@pytest.mark.parametrize("bad", [np.zeros(3), np.zeros((1, 2)), 0.0])
def test_a_gradient_of_the_wrong_shape_is_refused(minimize, bad):
    with pytest.raises(ValueError, match=r"the gradient must have shape \(2,\)"):
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
    assert result.message == "The objective was finite nowhere on the path."
    assert result.nfev == 6


def test_the_callback_sees_each_new_point(minimize):
    seen = []
    result = minimize(sphere, [1.0, 1.0], jac=True, budget=7, callback=lambda x: seen.append(x.copy()) or x.fill(9))
    np.testing.assert_array_equal(result.x_iters[1:], seen)


def test_the_callback_can_stop(minimize):
    seen = []

    def third(x):
        seen.append(x)
        if len(seen) == 3:
            raise StopIteration

    result = minimize(sphere, jac=True, callback=third)
    assert (result.nit, result.nfev, result.success) == (3, 4, False)
    assert result.message == "The callback asked to stop."


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
    np.testing.assert_array_equal(seen, direct.x_iters[1:])


def test_scipy_passes_arguments_on(checkpoint):
    options = {"seed": 0, "checkpoint": checkpoint}
    result = scipy.optimize.minimize(
        lambda x, c: ((x - c) ** 2).sum(), [0.0, 0.0], (2.0,), method=pop_optimizer.pop, bounds=BOX, options=options
    )
    np.testing.assert_allclose(result.x, 2.0, atol=1e-2)


def test_constraints_are_refused(checkpoint):
    constraint = {"type": "ineq", "fun": lambda x: x[0]}
    with pytest.raises(ValueError, match="constraints other than bounds are not supported"):
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


def test_a_tolerance_is_refused(checkpoint):
    options = {"checkpoint": checkpoint}
    with pytest.raises(ValueError, match="leave tol out"):
        scipy.optimize.minimize(
            value, [0.5, 0.5], bounds=[(-1, 1)] * 2, method=pop_optimizer.pop, tol=1e-3, options=options
        )


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


def task(i):
    """One of many runs, of one to eight dimensions."""
    dim = 1 + i % 8
    center = np.linspace(-0.5, 0.7, dim)

    def fun(x):
        return ((x - center) ** 2).sum() + np.cos(5 * x).sum(), 2 * (x - center) - 5 * np.sin(5 * x)

    result = pop_optimizer.minimize(fun, np.full(dim, 0.9), bounds=[(-1, 1)] * dim, jac=True, budget=8)
    return result.x_iters


def test_concurrent_runs_equal_sequential_ones_bit_for_bit():
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(task, range(200)))
    for i, path in enumerate(together):
        np.testing.assert_array_equal(path, task(i))


UNDER_SETTINGS = """
import sys, numpy as np, torch
{setting}
import pop_envs, pop_optimizer
task = {{"budget": 4, "prior": "wide", "reward": "log_gap", "step_rule": "quasi_newton", "tokens": "full"}}
env = pop_envs.POPVectorEnv(3, **task)
seen = [env.reset(seed=0)[0]]
paid = []
for _ in range(4):
    obs, reward, *_ = env.step(np.full((3, 2), 0.1))
    seen.append(obs)
    paid.append(reward)
fun = lambda x: ((x**2).sum() + np.cos(5 * x).sum(), 2 * x - 5 * np.sin(5 * x))
path = pop_optimizer.minimize(fun, [0.9, -0.4], bounds=[(-1, 1)] * 2, jac=True, budget=20).x_iters
np.savez(sys.argv[1], seen=seen, paid=paid, path=path)
"""


def under(setting, file):
    """What environment and optimizer do in a process of their own, for what is cached to be made there."""
    subprocess.run([sys.executable, "-c", UNDER_SETTINGS.format(setting=setting), file], check=True)
    with np.load(file) as found:
        return dict(found)


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    return under("", tmp_path_factory.mktemp("usual") / "found.npz")


@pytest.mark.parametrize(
    "setting",
    [
        "torch.set_default_dtype(torch.float64)",
        "torch.set_default_dtype(torch.bfloat16)",
        'torch.set_default_device("meta")',
    ],
)
def test_pytorchs_defaults_do_not_matter(setting, usual, tmp_path):
    found = under(setting, tmp_path / "found.npz")
    for name, values in usual.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_global_settings_are_left_alone(minimize):
    def settings():
        return (
            torch.get_default_dtype(),
            torch.get_default_device(),
            torch.get_num_threads(),
            torch.is_grad_enabled(),
            np.geterr(),
            str(np.random.get_state()),  # noqa: NPY002
            list(warnings.filters),
        )

    before = settings()
    inside = []
    minimize(lambda x: inside.append(settings()) or wavy(x), jac=True)
    assert settings() == before
    assert all(seen == before for seen in inside)
