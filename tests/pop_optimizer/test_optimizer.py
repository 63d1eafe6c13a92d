import copy
import math
import pickle

import numpy as np
import pytest
from scipy.optimize import Bounds

import pop_optimizer
from pop_optimizer import Optimizer

BOX = [(-5.0, 5.0), (-5.0, 5.0)]
CENTER = np.array([1.0, -2.0])


def wavy(x):
    return (x**2).sum() + 3 * np.cos(2 * x).sum(), 2 * x - 6 * np.sin(2 * x)


def far(x):
    return ((x - 100) ** 2).sum(), 2 * (x - 100)


def huge(x):
    return tuple(1e250 * part for part in wavy(x))


def holed(x):
    return (math.nan, np.full(2, math.nan)) if x[0] > 2 else wavy(x)


PROBLEMS = {
    "box": (wavy, {"bounds": BOX}),
    "free": (far, {}),
    "half fixed": (wavy, {"bounds": [(-5, 5), (4, 4)]}),
    "huge": (huge, {"bounds": BOX}),
    "holed": (holed, {"bounds": BOX}),
    "drawn": (wavy, {"bounds": BOX, "deterministic": False}),
}


@pytest.fixture
def optimizer_of(checkpoint):
    def made(**options):
        return Optimizer(**{"x0": [3.0, 4.0], "budget": 20, "rng": 0, "checkpoint": checkpoint} | options)

    return made


def step(optimizer, fun):
    x = optimizer.ask()
    optimizer.tell(x, *fun(x))


def finish(optimizer, fun):
    while not optimizer.done:
        step(optimizer, fun)
    return optimizer.result()


def equal(one, other):
    assert one.keys() == other.keys()
    for field in one:
        np.testing.assert_array_equal(one[field], other[field], err_msg=field)


@pytest.mark.parametrize("name", PROBLEMS)
def test_it_is_minimize_step_by_step(optimizer_of, checkpoint, name):
    fun, options = PROBLEMS[name]
    equal(
        finish(optimizer_of(**options), fun),
        pop_optimizer.minimize(fun, [3.0, 4.0], jac=True, budget=20, rng=0, checkpoint=checkpoint, **options),
    )


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda optimizer: pickle.loads(pickle.dumps(optimizer))])
@pytest.mark.parametrize("name", PROBLEMS)
def test_a_copy_between_any_two_calls_goes_on_bit_for_bit(optimizer_of, name, copied):
    fun, options = PROBLEMS[name]
    whole = finish(optimizer_of(**options), fun)
    optimizer, copies = optimizer_of(**options), []
    while not optimizer.done:
        copies.append(copied(optimizer))
        x = optimizer.ask()
        copies.append(copied(optimizer))
        optimizer.tell(x, *fun(x))
    equal(optimizer.result(), whole)  # which copying has not changed
    for other in [*copies[::5], copies[-1], copied(optimizer)]:
        equal(finish(other, fun), whole)


def test_a_pickle_of_the_shipped_policy_goes_on_too():
    whole = finish(Optimizer(BOX, [3.0, 4.0], budget=12), wavy)
    optimizer = Optimizer(BOX, [3.0, 4.0], budget=12)
    for _ in range(6):
        step(optimizer, wavy)
        optimizer = pickle.loads(pickle.dumps(optimizer))
    equal(finish(optimizer, wavy), whole)


def test_asking_again_gives_the_same_point_of_ones_own(optimizer_of):
    optimizer = optimizer_of(bounds=BOX)
    for _ in range(3):
        x = optimizer.ask()
        optimizer.ask().fill(9)
        np.testing.assert_array_equal(optimizer.ask(), x)
        optimizer.tell(x, *wavy(x))


def test_a_batch_is_told_as_one_after_the_other(optimizer_of):
    points = np.random.default_rng(0).uniform(-5, 5, (8, 2))
    values, gradients = zip(*map(wavy, points), strict=True)
    together, apart = optimizer_of(bounds=BOX), optimizer_of(bounds=BOX)
    together.tell(points, values, gradients)
    for x in points:
        apart.tell(x, *wavy(x))
    equal(finish(together, wavy), finish(apart, wavy))


def test_points_other_than_asked_count_as_steps_and_are_learned_from(optimizer_of):
    optimizer = optimizer_of(bounds=BOX)
    step(optimizer, wavy)
    told = CENTER + 0.5
    optimizer.tell(told, -100.0, [1.0, 1.0])
    assert optimizer.steps == 1
    assert optimizer.fun == -100
    np.testing.assert_array_equal(optimizer.x, told)
    np.testing.assert_array_equal(optimizer.result().x_iters, [[3.0, 4.0], told])
    # The next point follows from it: another gradient there leads elsewhere.
    other = optimizer_of(bounds=BOX)
    step(other, wavy)
    other.tell(told, -100.0, [-1.0, 1.0])
    assert np.abs(optimizer.ask() - other.ask()).max() > 1e-6


def test_the_start_too_may_be_another(optimizer_of):
    told, started = optimizer_of(bounds=BOX), optimizer_of(bounds=BOX, x0=[1.0, 2.0])
    told.tell([1.0, 2.0], *wavy(np.array([1.0, 2.0])))
    equal(finish(told, wavy), finish(started, wavy))


def test_a_refused_batch_changes_nothing(optimizer_of):
    expected = finish(optimizer_of(bounds=BOX), wavy)
    optimizer = optimizer_of(bounds=BOX)
    for _ in range(10):
        step(optimizer, wavy)
        for bad in ([9.0, 0.0], [math.nan, 0.0]):
            with pytest.raises(ValueError, match="x must lie in the bounds"):
                optimizer.tell([[0.0, 0.0], bad], [1.0, 2.0], np.zeros((2, 2)))
        with pytest.raises(TypeError, match="value must be a real number"):
            optimizer.tell([[0.0, 0.0]] * 2, [1.0, 1j], np.zeros((2, 2)))
        with pytest.raises(RuntimeError, match="budget of 20 steps leaves room for"):
            optimizer.tell(np.zeros((21, 2)), np.zeros(21), np.zeros((21, 2)))
    equal(finish(optimizer, wavy), expected)


def test_the_end_is_the_end(optimizer_of):
    optimizer = optimizer_of(bounds=BOX)
    finish(optimizer, wavy)
    with pytest.raises(RuntimeError, match="budget of 20 steps is spent: raise `budget`"):
        optimizer.ask()
    with pytest.raises(RuntimeError, match="budget of 20 steps leaves room for 0 points, got 1"):
        optimizer.tell([0.0, 0.0], 1.0, [0.0, 0.0])


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("when", [0, 7, 21])
def test_a_budget_extended_before_at_and_after_its_end(optimizer_of, name, when):
    fun, options = PROBLEMS[name]
    optimizer = optimizer_of(**options)
    for _ in range(when):
        step(optimizer, fun)
    before = optimizer.result() if when else None
    assert optimizer.done == (when == 21)
    optimizer.budget = 45
    assert not optimizer.done
    result = finish(optimizer, fun)
    assert (result.nit, result.nfev, optimizer.budget) == (45, 46, 45)
    if when:
        np.testing.assert_array_equal(result.x_iters[:when], before.x_iters)
    else:  # before the first point it is as if it had always been so
        equal(result, finish(optimizer_of(budget=45, **options), fun))


def test_a_budget_can_be_made_smaller_down_to_the_steps_made(optimizer_of):
    optimizer = optimizer_of(bounds=BOX)
    for _ in range(6):
        step(optimizer, wavy)
    with pytest.raises(ValueError, match="budget must be at least the 5 steps that were made, got 4"):
        optimizer.budget = 4
    optimizer.budget = 8
    assert finish(optimizer, wavy).nit == 8


def test_the_result_at_every_moment_is_of_the_points_so_far(optimizer_of):
    optimizer = optimizer_of(bounds=BOX)
    assert (optimizer.result().nfev, optimizer.result().status) == (0, 2)
    assert math.isnan(optimizer.fun)
    for told in range(1, 22):
        step(optimizer, wavy)
        result = optimizer.result()
        assert (result.nfev, result.nit, optimizer.steps) == (told, told - 1, told - 1)
        assert result.fun == optimizer.fun == result.func_vals.min()
        np.testing.assert_array_equal(result.x, optimizer.x)
        np.testing.assert_array_equal(result.jac, wavy(result.x)[1])
        assert result.success == optimizer.converged


@pytest.mark.parametrize("exponent", [-1000, -600, -301, 301, 600, 1000])
def test_a_function_of_any_size_is_searched_alike(optimizer_of, exponent):
    def scaled(x):
        return tuple(np.ldexp(part, exponent) for part in wavy(x))

    path = finish(optimizer_of(bounds=BOX), wavy).x_iters
    np.testing.assert_allclose(finish(optimizer_of(bounds=BOX), scaled).x_iters, path, atol=1e-6)


@pytest.mark.parametrize("penalty", [1e150, 1e300])
def test_a_start_on_a_huge_plateau_does_not_blur_what_is_below(optimizer_of, penalty):
    def walled(x):
        return (penalty, np.zeros(2)) if x[0] > 2 else wavy(x)

    result = finish(optimizer_of(bounds=BOX, budget=60, checkpoint=None), walled)  # an untrained policy never leaves it
    lowest = finish(optimizer_of(bounds=BOX, budget=60, checkpoint=None, x0=[1.0, 1.0]), wavy).fun
    assert result.func_vals[0] == penalty
    assert result.success
    assert result.fun <= lowest + 1e-3


def test_values_between_small_and_large_do_not_start_anew(optimizer_of):
    """As of a bowl whose values vanish: only one that has fallen from beyond 2 ** 300 is looked at again."""
    optimizer = optimizer_of(bounds=BOX)
    finish(optimizer, lambda x: (((x - CENTER) ** 2).sum() ** 4, 8 * ((x - CENTER) ** 2).sum() ** 3 * (x - CENTER)))
    assert optimizer._exponent == 0


def test_bounds_without_a_start_are_enough(optimizer_of):
    one, other = (optimizer_of(bounds=Bounds([-1, 2], [0, 3]), x0=None, rng=seed).ask() for seed in (1, 2))
    for x in (one, other):
        assert ((x >= [-1, 2]) & (x <= [0, 3])).all()
    assert np.abs(one - other).max() > 1e-3


def test_generators_are_drawn_from_and_seed_sequences_left_as_they_are(optimizer_of):
    sequence = np.random.SeedSequence(5)
    starts = [optimizer_of(bounds=BOX, x0=None, rng=sequence).ask() for _ in range(2)]
    np.testing.assert_array_equal(*starts)
    assert sequence.n_children_spawned == 0
    generator = np.random.default_rng(5)
    starts = [optimizer_of(bounds=BOX, x0=None, rng=generator).ask() for _ in range(2)]
    assert np.abs(starts[0] - starts[1]).max() > 1e-3
