import numpy as np
import pytest
import torch
from scipy.optimize import OptimizeResult

from pop_envs.rover.network import shipped_direction
from pop_optimizer import CheckpointError, RoverPolicy, RoverRun, load_rover, rover_descent
from pop_optimizer.networks.rover import RoverNetwork


class Constant(RoverNetwork):
    """Never changes anything."""

    def forward(self, seen, state):
        return torch.zeros(len(seen), 2), state


def still():
    return RoverPolicy(shipped_direction(), Constant())


def sphere(x):
    return float(((np.asarray(x) - 0.3) ** 2).sum())


class Counted:
    def __init__(self, fun=sphere):
        self.fun, self.points = fun, []

    def __call__(self, x):
        self.points.append(x.copy())
        return self.fun(x)


@pytest.mark.parametrize("dim", [1, 2, 3, 7])
def test_it_descends_in_any_dimension(dim):
    found = rover_descent(sphere, np.full(dim, -0.4), budget=100 * dim**2)
    assert isinstance(found, OptimizeResult)
    assert found.fun == sphere(found.x) < 0.01 * sphere(np.full(dim, -0.4))


@pytest.mark.parametrize("budget", [1, 24, 25, 26, 60, 500])
def test_evaluations_are_counted_one_by_one(budget):
    fun = Counted()
    found = rover_descent(fun, [0.0, 0.0, 0.0], budget=budget)
    assert found.nfev == len(fun.points) == budget
    assert found.fun == min(map(sphere, fun.points))
    assert np.array_equal(fun.points[0], [0, 0, 0]), "the start is the first"


def test_points_that_grids_share_are_asked_for_once():
    points = RoverRun(np.zeros(3), policy=still()).ask()
    assert len(points) == len(np.unique(points, axis=0)) == 1 + 3 * 4 + 3 * 16, "centre, axes and planes"
    assert len(RoverRun(np.zeros(2), policy=still()).ask()) == 25
    assert len(RoverRun(np.zeros(1), policy=still()).ask()) == 5, "a line"


def test_the_grids_lie_in_planes_around_the_point_at_the_resolution():
    run = RoverRun(np.arange(4.0), scale=2, delta=0.25, policy=still())
    moves = run.ask() - np.arange(4.0)
    assert ((moves != 0).sum(1) <= 2).all()
    assert set(np.abs(moves).round(12).ravel()) == {0, 0.5, 1}


def combined(run, steps):
    """By least squares, of eq. 8 itself, of least norm."""
    rows, right = [], []
    for pair, step in zip(run._pairs, steps, strict=True):
        for coordinate, part in zip(pair, step, strict=True):
            rows.append(np.eye(len(run.x))[coordinate])
            right.append(part)
    return np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0]


@pytest.mark.parametrize(
    "settings",
    [
        {"pairs": "all"},
        {"pairs": "sampled", "k": 4},
        {"pairs": "per_dimension", "l": 2},
        {"pairs": "blocks", "blocks": [[0, 4, 2], [1, 3, 5]], "l": 2},
    ],
)
def test_the_step_is_the_least_squares_solution(settings):
    run = RoverRun(np.zeros(6), seed=0, policy=still(), **settings)
    run.ask()
    steps = np.random.default_rng(0).normal(size=(len(run._pairs), 2))
    np.testing.assert_allclose(run._combined(steps), combined(run, steps), atol=1e-12)


def test_eq_9_and_eq_10():
    """All pairs share 1 / (d - 1); all pairs of k coordinates 1 / (k - 1)."""
    for settings, k in (({}, 6), ({"pairs": "sampled", "k": 4}, 4)):
        run = RoverRun(np.zeros(6), seed=0, policy=still(), **settings)
        run.ask()
        total = np.zeros(6)
        steps = np.random.default_rng(0).normal(size=(len(run._pairs), 2))
        np.add.at(total, run._pairs, steps)
        np.testing.assert_allclose(run._combined(steps), total / (k - 1))


def test_pairs_of_each_kind():
    def pairs(**settings):
        run = RoverRun(np.zeros(8), seed=1, policy=still(), **settings)
        run.ask()
        return run._pairs

    assert len(pairs()) == 28
    sampled = pairs(pairs="sampled", k=3)
    assert len(sampled) == 3
    assert len(np.unique(sampled)) == 3
    assert set(np.unique(pairs(pairs="per_dimension", l=1))) == set(range(8))
    blocks = [[0, 7, 3], [1, 2], [4], [5, 6]]
    for i, j in pairs(pairs="blocks", blocks=blocks, l=3):
        assert j == -1 or any(i in block and j in block for block in blocks)


def test_each_pair_keeps_its_own_scales_and_memory():
    run = RoverRun(np.zeros(5), pairs="sampled", k=2, seed=0)
    seen = set()
    for _ in range(6):
        points = run.ask()
        seen.add(tuple(run._pairs[0]))
        run.tell([sphere(point) for point in points])
    assert len(run._scales.alpha) == len(run._memory[0]) == len(seen) > 1


def test_ask_and_tell_is_what_the_function_does():
    found = rover_descent(sphere, [0.0, -1.0, 0.5], budget=61 + 61 + 61, seed=0)
    run = RoverRun([0.0, -1.0, 0.5], seed=0)
    path = [run.x.copy()]
    for _ in range(found.nit):
        points = run.ask()
        assert np.array_equal(points, run.ask())
        run.tell([sphere(point) for point in points])
        path.append(run.x.copy())
    np.testing.assert_array_equal(np.array(path), found.x_iters)


def test_a_run_does_not_depend_on_place_or_scale_of_the_function():
    plain = rover_descent(sphere, [0.0, 0.0], budget=300)
    moved = rover_descent(lambda x: 7e4 * sphere((x - 4) / 8) - 3, [4.0, 4.0], budget=300, scale=8)
    np.testing.assert_allclose((moved.x_iters - 4) / 8, plain.x_iters, atol=2e-3)


def test_it_is_a_function_of_its_seed_and_leaves_global_generators_alone():
    before = torch.get_rng_state()
    one, two, other = (
        rover_descent(sphere, np.zeros(20), pairs="sampled", k=3, budget=400, seed=s).x_iters for s in (1, 1, 2)
    )
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)
    assert torch.equal(before, torch.get_rng_state())


def test_a_constant_function_is_left_where_it_is():
    found = rover_descent(lambda x: 4.0, [1.0, 2.0, 3.0], budget=500)
    assert (found.x_iters == [1, 2, 3]).all()
    assert found.success


def test_a_function_without_values_is_said_to_have_none():
    found = rover_descent(lambda x: np.nan, [1.0, 2.0], budget=100)
    assert not found.success
    assert "finite nowhere" in found.message


def test_one_nan_halves_the_step():
    def with_hole(x):
        return np.nan if abs(x[0] - 0.2) < 1e-9 and abs(x[1] - 0.2) < 1e-9 else sphere(x)

    whole, holed = RoverRun([0.0, 0.0], policy=still()), RoverRun([0.0, 0.0], policy=still())
    whole.tell([sphere(p) for p in whole.ask()])
    holed.tell([with_hole(p) for p in holed.ask()])
    assert np.linalg.norm(whole.x) == pytest.approx(0.1)
    assert np.linalg.norm(holed.x) == pytest.approx(0.05)


def test_a_cliff_of_1e300_is_walked_away_from():
    found = rover_descent(lambda x: 1e300 if x[0] > 0.2 else float((x**2).sum()), [0.15, 0.0], budget=50)
    assert found.x_iters[1][0] < 0.15


def test_walls_of_nan_stop_nothing_from_converging():
    found = rover_descent(lambda x: np.nan if x[0] > 0.35 else sphere(x), [0.0, 0.0], budget=2000)
    assert found.fun < 1e-3
    assert np.isfinite(found.x_iters).all()


def test_ten_thousand_dimensions():
    found = rover_descent(sphere, np.zeros(10_000), pairs="sampled", k=4, budget=600, seed=0)
    assert found.nfev == 600
    assert found.fun < sphere(np.zeros(10_000))


def test_callbacks_may_stop():
    def stop(x):
        raise StopIteration

    found = rover_descent(sphere, [0.0, 0.0], budget=500, callback=stop)
    assert found.nit == 1
    assert "asked to stop" in found.message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"x0": [[0.0]]}, "x0 must be a vector of finite numbers"),
        ({"x0": [np.nan]}, "x0 must be a vector of finite numbers"),
        ({"scale": 0}, "scale must be a positive number"),
        ({"delta": np.inf}, "delta must be a positive number"),
        ({"pairs": "some"}, "pairs must be one of"),
        ({"pairs": "sampled", "k": 1}, "k must be at least 2"),
        ({"pairs": "blocks"}, 'blocks go with pairs="blocks"'),
        ({"blocks": [[0, 1]]}, 'blocks go with pairs="blocks"'),
        ({"pairs": "blocks", "blocks": [[0]]}, "blocks must hold each of the coordinates 0 to 1 once"),
        ({"budget": 0}, "budget must be a positive integer"),
    ],
)
def test_bad_arguments(settings, message):
    with pytest.raises(ValueError, match=message):
        rover_descent(sphere, **({"x0": [0.0, 0.0]} | settings))


def test_bad_values():
    with pytest.raises(ValueError, match="must return one number"):
        rover_descent(lambda x: x, [0.0, 0.0])
    run = RoverRun([0.0, 0.0], policy=still())
    with pytest.raises(RuntimeError, match="ask comes before tell"):
        run.tell([1.0])
    run.ask()
    with pytest.raises(ValueError, match=r"expected values \(25,\)"):
        run.tell([1.0])


def test_checkpoints_of_others_are_refused():
    with pytest.raises(FileNotFoundError):
        load_rover("nowhere")
    with pytest.raises(CheckpointError, match="something else than a policy of Rover Descent"):
        load_rover("pop_optimizer/weights/pop")
