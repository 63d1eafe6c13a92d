import contextlib

import msgpack
import numpy as np
import pytest

from benchmarks.budget import BudgetExhausted, Evaluator
from benchmarks.problems import vlse_problem
from benchmarks.rivals.velo import PUBLISHED, SHAPES, LossFeatures, Velo, load_weights, time_features, velo
from benchmarks.run import run
from benchmarks.sweep import Sweep
from pop_envs.objectives.base import BoxObjective

# What google/learned_optimization (commit 32186aa, on JAX 0.10) does with the stand-in's weights: the points after
# 1, 2, 10 and 40 steps on the sum of c * x^2 less 2, with these c.
ORIGINAL = {
    (3.0,): [[0.62332201], [0.62442094], [0.58256149], [0.55540299]],
    (1.0, 6.8, 12.6, 18.4, 24.2, 30.0): [
        [0.62925023, -0.89268887, 0.30609268, -0.19768092, 0.8000775, 0.70052183],
        [0.6340335, -0.89114231, 0.30733359, -0.19662666, 0.80387998, 0.70504445],
        [0.6432997, -0.88611549, 0.31586108, -0.19228572, 0.80937225, 0.71175385],
        [0.64901161, -0.88516682, 0.31636992, -0.19491675, 0.81070191, 0.71464604],
    ],
}
START = [0.6, -0.9, 0.3, -0.2, 0.8, 0.7]

# The features of its loss accumulator after a third loss, and after 100 among losses near 1.
LOSSES = (5.0, 4.0, 4.5, -1.0, 0.5, 100.0)
AFTER_THREE = [-0.211971, -0.217591, -0.2222156, -0.2262424, -0.2294208, -0.2323878, -0.2348353, -0.2367092, -0.2372217]
AFTER_100 = [-0.0492622, -0.0458387, -0.0419121, -0.0377694, -0.0336313, -0.0296428, -0.0259129, -0.022489, -0.0194014]


def stand_in():
    """Random weights of the published shapes, which move by about a hundredth a step."""
    rng = np.random.default_rng(0)
    weights = {
        name: (rng.standard_normal(shape, np.float32) / np.sqrt(shape[-2] if len(shape) > 1 else 100)).astype("float32")
        for name, shape in sorted(SHAPES.items())
    }
    weights["rnn_params/step_size/b"] += 0.3
    return weights


def write(path, weights):
    """As flax writes a checkpoint."""
    tree = {}
    for name, array in weights.items():
        group, rest = name.split("/", 1)
        # Modules of haiku have slashes in their names.
        *module, leaf = rest.rsplit("/", 1)
        branch = tree.setdefault(group, {})
        for part in module:
            branch = branch.setdefault(part, {})
        branch[leaf] = msgpack.ExtType(1, msgpack.packb((array.shape, array.dtype.name, array.tobytes())))
    path.write_bytes(msgpack.packb({"params": tree, "gen_id": "", "step": 0}))
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write(tmp_path_factory.mktemp("velo") / "params", stand_in())


def trajectory(objective, x0, budget, weights, seed=0):
    """The points (evaluations, dim) that VeLO asks for, before any clipping."""
    evaluate = Evaluator(objective, x0, budget)
    asked = []

    def record(x):
        result = evaluate(x)
        asked.append(np.array(x))
        return result

    with contextlib.suppress(BudgetExhausted):
        velo(record, np.array(x0), budget, np.random.default_rng(seed), weights=weights)
    return np.array(asked)


def quadratic(curvatures, offset=0.0):
    c = np.array(curvatures)
    return BoxObjective(lambda x: ((c * x**2).sum(-1) + offset, 2 * c * x), -np.ones(len(c)), np.ones(len(c)))


def test_the_stand_in_is_as_large_as_the_published_file(weights):
    """Up to the bytes of the checkpoint's name and step, for which the published file has 37."""
    assert weights.stat().st_size - 2 == 9_282_564 - 37


def test_the_weights_are_read_as_they_were_written(weights):
    expected = stand_in()
    read = load_weights(weights)
    assert read.keys() == expected.keys() == SHAPES.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(read[name], array)


@pytest.mark.parametrize("curvatures", ORIGINAL)
def test_it_does_what_the_original_does(weights, curvatures):
    dim = len(curvatures)
    points = trajectory(quadratic(curvatures, offset=-2.0), START[:dim], 40, weights)
    np.testing.assert_allclose(points[[1, 2, 10, 40]], ORIGINAL[curvatures], atol=3e-6)


def test_a_run_spends_the_budget_in_the_box_and_draws_nothing(weights):
    objective = vlse_problem("rastrigin").objective
    points = trajectory(objective, [0.99, -0.9], 30, weights)
    assert points.shape == (31, 2)
    np.testing.assert_array_equal(points[0], [0.99, -0.9])
    assert np.abs(points).max() <= 1.0
    np.testing.assert_array_equal(points, trajectory(objective, [0.99, -0.9], 30, weights, seed=1))


def test_it_is_told_the_budget(weights):
    objective = vlse_problem("rastrigin").objective
    short, long = (trajectory(objective, [0.9, -0.9], budget, weights) for budget in (20, 40))
    np.testing.assert_array_equal(short[:2], long[:2])
    assert not np.array_equal(short[2:], long[2 : len(short)])


def test_iterates_are_projected_onto_the_box(weights):
    objective = BoxObjective(lambda x: (-x.sum(-1), -np.ones_like(x)), [-1, -1], [1, 1])
    points = trajectory(objective, [0.999, -0.999], 20, weights)
    assert np.abs(points).max() == 1.0


@pytest.mark.parametrize("hole", [0.0, 2.0], ids=["half", "all"])
def test_infinite_values_are_survived_from_the_start_on(weights, hole):
    def function(x):
        return np.where(x[:, 0] < hole, np.inf, (x**2).sum(-1)), np.full_like(x, np.nan)

    points = trajectory(BoxObjective(function, [-1, -1], [1, 1]), [-0.01, 0.4], 20, weights)
    assert len(points) == 21
    assert np.isfinite(points).all()


def test_values_beyond_single_precision_are_survived(weights):
    objective = BoxObjective(lambda x: (1e200 * (x**2).sum(-1), 2e200 * x), [-1, -1], [1, 1])
    assert np.isfinite(trajectory(objective, [-0.5, 0.4], 20, weights)).all()


def test_the_accumulators_forget_at_their_decays(weights):
    optimizer = Velo(load_weights(weights), 2, 10)
    for _ in range(3):
        optimizer.displacement(np.array([0.5, -0.5]), 1.0, np.array([2.0, -3000.0]))
    gradient = np.array([[2.0], [-1000.0]])  # clipped
    left = np.array([0.9, 0.99, 0.999]) ** 3
    np.testing.assert_allclose(optimizer.momentum, gradient * (1 - left), rtol=2e-5)
    np.testing.assert_allclose(optimizer.adafactor, gradient**2 * (1 - left), rtol=2e-5)
    np.testing.assert_allclose(optimizer.rms, gradient**2 * (1 - left[-1:]), rtol=2e-5)


def test_time_is_a_staircase():
    np.testing.assert_allclose(
        time_features(0.4), np.tanh([3.7, 3.0, 2.0, 0.0, -2.0, -4.0, -5.0, -6.0, -7.0]), atol=1e-6
    )


def test_the_losses_half_lives_reach_from_ten_steps_to_the_budget():
    decays = LossFeatures(1000).decays
    np.testing.assert_allclose(-1 / np.log(decays), 10 ** np.linspace(1, 3, 10), rtol=1e-3)


def test_loss_features_are_the_originals():
    features = LossFeatures(50)
    seen = [features(loss) for loss in LOSSES]
    np.testing.assert_array_equal(seen[:2], np.zeros((2, 9)))
    np.testing.assert_allclose(seen[2], AFTER_THREE, atol=1e-4)
    np.testing.assert_array_equal(seen[3:5], -np.ones((2, 9)))  # new minima
    np.testing.assert_allclose(seen[5], AFTER_100, atol=1e-4)


def test_missing_weights_are_told_with_where_they_are(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"no file {tmp_path}/params: get {PUBLISHED}"):
        load_weights(tmp_path / "params")


@pytest.mark.parametrize("content", [b"", b"theta", b"\x07", msgpack.packb({"theta": 1})])
def test_another_file_is_refused(tmp_path, content):
    (tmp_path / "params").write_bytes(content)
    with pytest.raises(ValueError, match=f"get {PUBLISHED}"):
        load_weights(tmp_path / "params")


def test_other_shapes_are_named(tmp_path):
    name = "rnn_params/rnn/linear/w"
    weights = stand_in()
    wrong = {**weights, name: weights[name][:, :1024]}
    with pytest.raises(ValueError, match=rf"{name} must have the shape \(1024, 2048\), .* has \(1024, 1024\)"):
        load_weights(write(tmp_path / "wrong", wrong))
    with pytest.raises(ValueError, match=rf"{name} must have the shape \(1024, 2048\), .* has nothing"):
        load_weights(write(tmp_path / "missing", {key: w for key, w in weights.items() if key != name}))
    with pytest.raises(ValueError, match=r"rnn_params/more/w must have the shape nothing, .* has \(2,\)"):
        load_weights(write(tmp_path / "more", {**weights, "rnn_params/more/w": np.ones(2, np.float32)}))


def test_it_joins_the_benchmark_where_its_weights_are_named(weights, tmp_path):
    settings = {"methods": ("random_search",), "functions": ("sphere",), "starts": 1, "budgets": (5,), "jobs": 1}
    results = run(Sweep(velo_weights=weights, out=tmp_path, **settings))
    assert set(results["method"]) == {"random_search", "velo"}
    assert (results["error"] == "").all()
    with pytest.raises(FileNotFoundError, match="published"):
        run(Sweep(velo_weights=tmp_path / "none", out=tmp_path, **settings))
