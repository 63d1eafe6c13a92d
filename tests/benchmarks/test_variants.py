from contextlib import suppress

import numpy as np
import pytest
import torch

from benchmarks.budget import BudgetExhausted, Evaluator
from benchmarks.problems import NOISE, variant_blocks, variant_problem, vlse_problem
from benchmarks.rivals import RIVALS
from benchmarks.variants import Moved, Noise, random_rotation, rotated, shifted
from benchmarks.vlse import names
from pop_envs.objectives.base import BoxObjective

MOVED = [tuple(block.split("~")) for kind in ("shifted", "rotated") for block in variant_blocks(names(), kind)]
every_moved = pytest.mark.parametrize(("name", "variant"), MOVED)


def uniform(n, dim, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).uniform(-1, 1, (n, dim)))


def parabola(dim=2):
    """Minimum 0 at the centre of the unit box."""
    return BoxObjective(lambda x: ((x**2).sum(-1), 2 * x), [-1] * dim, [1] * dim, minimum=0.0)


def test_every_function_is_shifted_and_all_but_those_in_1d_are_rotated():
    assert len(MOVED) == 47 + 45


@every_moved
def test_the_minimizer_lies_in_the_box_and_has_the_minimum(name, variant):
    problem = variant_problem(name, variant)
    objective = problem.objective
    assert problem.f_min == objective.minimum == vlse_problem(name).f_min
    assert objective.place.abs().max() <= (0.8 if variant == "shifted" else 1.0)
    values = objective.values_on(objective.place[None])
    np.testing.assert_allclose(values, problem.f_min, rtol=2e-15, atol=1e-12)


@every_moved
def test_nothing_is_lower(name, variant):
    problem = variant_problem(name, variant)
    tolerance = 1e-13 * max(1, abs(problem.f_min))
    points = uniform(4000, problem.dim)
    near = (problem.objective.place + 1e-4 * points[:1000]).clamp(-1, 1)
    for where in (points, near):
        assert problem.objective.values_on(where).min() >= problem.f_min - tolerance
    assert problem.f_ref > problem.f_min


@every_moved
def test_inside_its_own_box_it_is_the_function(name, variant):
    objective = variant_problem(name, variant).objective
    points = uniform(200, objective.dim)
    own = objective.own(points)
    inside = (own.abs() <= 1).all(-1)
    assert 0 < inside.sum() < len(points)
    expected = vlse_problem(name).objective.values_on(own[inside])
    assert torch.equal(objective.values_on(points[inside]), expected)


@every_moved
def test_gradients_agree_with_finite_differences_inside_and_outside(name, variant):
    objective = variant_problem(name, variant).objective
    h = 1e-6
    x = uniform(60, objective.dim)
    faces = (objective.own(x).abs() - 1).abs().amin(-1)
    x = x[faces > 10 * h]  # there it has a kink
    assert len(x) > 55
    values, gradients = objective.value_and_grad(x)
    for d in range(objective.dim):
        step = h * (torch.arange(objective.dim) == d)
        f = [objective.values_on(x + k * step)[0] for k in (-2, -1, 1, 2)]
        fourth_order = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h)
        error = (gradients[:, d] - fourth_order).abs()
        assert (error <= 1e-5 * gradients.abs().amax(-1) + 1e-8 * values.abs()).all()


def test_outside_its_own_box_it_has_the_nearest_value_and_the_squared_distance():
    moved = Moved(parabola(), np.eye(2), minimizer=[0.0, 0.0], place=[-0.5, 0.25], penalty=10.0)
    y, g = moved.value_and_grad(torch.tensor([[-0.5, 0.25], [0.25, 0.75], [1.0, 0.75]], dtype=torch.float64))
    # The points (0, 0), (0.75, 0.5) and (1.5, 0.5) of the function's box, the last 0.5 beyond (1, 0.5).
    torch.testing.assert_close(y.tolist(), [0.0, 0.8125, 1.25 + 10 * 0.25])
    torch.testing.assert_close(g.tolist(), [[0.0, 0.0], [1.5, 1.0], [10.0, 1.0]])


@every_moved
def test_it_is_continuous_where_its_own_box_ends(name, variant):
    objective = variant_problem(name, variant).objective
    points = uniform(2000, objective.dim)
    own = objective.own(points)
    outside = points[(own.abs() > 1).any(-1)][:50]
    nearest = objective.own(outside).clamp(-1, 1)
    inverse = torch.linalg.inv(objective.matrix)
    for distance in (1e-3, 1e-5):
        u = (
            objective.place
            + (nearest + distance * (objective.own(outside) - nearest) - objective.minimizer) @ inverse.T
        )
        jump = objective.values_on(u)[0] - objective._original.values_on(nearest)[0]
        rounding = 1e-6 * objective.penalty if name != "bukin_n6" else 1e-3  # a slope that is infinite
        assert jump.abs().max() <= 5 * objective.penalty * distance**2 + rounding


@every_moved
def test_from_outside_the_way_to_the_nearest_point_leads_down(name, variant):
    objective = variant_problem(name, variant).objective
    points = uniform(500, objective.dim)
    own = objective.own(points)
    outside = (own.abs() > 1).any(-1)
    towards = (own.clamp(-1, 1) - own) @ torch.linalg.inv(objective.matrix).T
    slopes = (objective.value_and_grad(points)[1] * towards).sum(-1)
    assert (slopes[outside] < 0).all()
    # It stays in the new box all the way, so that no face of that holds a local minimum either.
    assert (points + towards).abs().max() <= 1 + 1e-12


@pytest.mark.parametrize("corner", [0.0, 0.5, 1.0, -1.0])
def test_shifts_are_uniform_but_for_more_than_half_a_box(corner):
    rng = np.random.default_rng(0)
    minimizer = np.array([corner, 0.0])
    places = np.array([shifted(parabola(), minimizer, 1.0, rng).place.numpy() for _ in range(2000)])
    low, high = max(-0.8, corner - 1), min(0.8, corner + 1)
    np.testing.assert_allclose(places.min(0), [low, -0.8], atol=0.01)
    np.testing.assert_allclose(places.max(0), [high, 0.8], atol=0.01)
    np.testing.assert_allclose(places.mean(0), [(low + high) / 2, 0], atol=0.04)
    assert abs(np.corrcoef(places.T)[0, 1]) < 0.07


@pytest.mark.parametrize("dim", [2, 3, 4, 6, 7])
def test_random_rotations_turn_pairs_and_keep_distances(dim):
    rng = np.random.default_rng(dim)
    for _ in range(20):
        rotation = random_rotation(dim, rng)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(dim), atol=1e-15)
        assert np.linalg.det(rotation) == pytest.approx(1)
        assert sorted((rotation != 0).sum(0)) == [1] * (dim % 2) + [2] * (dim - dim % 2)


def test_rotation_angles_are_uniform_away_from_the_axes():
    rng = np.random.default_rng(0)
    turned = [random_rotation(2, rng) @ [1, 0] for _ in range(8000)]
    angles = np.degrees([np.arctan2(y, x) for x, y in turned]) % 360
    from_axes = angles % 90
    assert from_axes.min() == pytest.approx(15, abs=0.1)
    assert from_axes.max() == pytest.approx(75, abs=0.1)
    sectors = np.histogram(4 * (angles // 90) + (from_axes - 15) // 15, np.arange(17))[0]
    np.testing.assert_allclose(sectors / len(angles), 1 / 16, atol=0.01)


@pytest.mark.parametrize("name", ["branin", "hartmann_3d", "colville", "hartmann_6d"])
def test_a_rotated_box_holds_all_of_the_function_and_touches_the_faces(name):
    objective = variant_problem(name, "rotated").objective
    a, b = uniform(100, objective.dim, 1), uniform(100, objective.dim, 2)
    scale = (objective.own(a) - objective.own(b)).norm(dim=-1) / (a - b).norm(dim=-1)
    np.testing.assert_allclose(scale, scale[0], rtol=1e-12)
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * objective.dim)
    in_new_box = objective.place + (corners - objective.minimizer) @ torch.linalg.inv(objective.matrix).T
    assert in_new_box.abs().max() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(objective.own(torch.zeros(1, objective.dim)), 0, atol=1e-12)


def test_a_function_of_one_dimension_cannot_turn():
    line = BoxObjective(lambda x: (x[:, 0] ** 2, 2 * x), [-1], [1])
    with pytest.raises(ValueError, match="at least 2 dimensions, got 1"):
        rotated(line, np.zeros(1), 1.0, np.random.default_rng(0))


def test_noise_has_the_mean_and_the_deviation_it_says():
    observe = Noise(value=0.5, gradient=2.0).observer(np.random.default_rng(0))
    seen = [observe(3.0, np.array([1.0, -1.0])) for _ in range(20_000)]
    values, gradients = np.array([y for y, _ in seen]), np.array([g for _, g in seen])
    draws = np.column_stack([(values - 3) / 0.5, (gradients - [1, -1]) / 2])
    np.testing.assert_allclose(draws.mean(0), 0, atol=0.02)
    np.testing.assert_allclose(np.cov(draws.T), np.eye(3), atol=0.02)  # nor does one draw tell of another
    assert abs((draws[1:] * draws[:-1]).mean()) < 0.01


@pytest.mark.parametrize("name", ["ackley", "hartmann_6d", "easom", "bukin_n6"])
def test_noise_is_a_part_of_the_functions_scale(name):
    noisy, original = variant_problem(name, "noisy"), vlse_problem(name)
    assert noisy.objective is original.objective
    assert (noisy.f_min, noisy.f_ref) == (original.f_min, original.f_ref)
    assert noisy.noise.value == pytest.approx(NOISE * (original.f_ref - original.f_min))
    _, gradients = original.objective.value_and_grad(uniform(10_000, original.dim))
    assert noisy.noise.gradient == pytest.approx(NOISE * gradients.abs().mean().item())
    assert noisy.noise.gradient > 0


def seen_by(method, name, budget, seed):
    """Points, what was seen there, and the trace, of a method on a noisy function."""
    problem = variant_problem(name, "noisy")
    x0 = np.full(problem.dim, 0.3)
    evaluator = Evaluator(problem.objective, x0, budget, problem.noise.observer(np.random.default_rng(seed)))
    seen = []

    def evaluate(x):
        seen.append(evaluator(x))
        return seen[-1]

    with suppress(BudgetExhausted):
        RIVALS[method](evaluate, x0, budget, np.random.default_rng(5))
    return np.array(evaluator.points), np.array([[y, *g] for y, g in seen]), evaluator.trace


def noise_of(name, points, seen):
    y, g = vlse_problem(name).objective.value_and_grad(torch.from_numpy(points))
    return seen - torch.column_stack([y, g]).numpy()


def test_all_methods_and_budgets_have_the_same_noise_and_a_repeated_run_the_same_values():
    runs = [("random_search", 20), ("lbfgsb_restarts", 20), ("adam", 30)]
    noise = [noise_of("branin", *seen_by(method, "branin", budget, 7)[:2])[:21] for method, budget in runs]
    for other in noise[1:]:
        np.testing.assert_allclose(other, noise[0], atol=1e-8)
    repeated, again = (seen_by("lbfgsb_restarts", "branin", 20, 7) for _ in range(2))
    for a, b in zip(repeated, again, strict=True):
        np.testing.assert_array_equal(a, b)
    other_seed = noise_of("branin", *seen_by("random_search", "branin", 20, 8)[:2])
    assert (np.abs(other_seed - noise[0]) > 1e-6).all()


def test_methods_are_judged_by_true_values():
    points, seen, trace = seen_by("random_search", "branin", 20, 7)
    true = vlse_problem("branin").objective.values_on(torch.from_numpy(points))[0].numpy()
    np.testing.assert_allclose(trace, np.minimum.accumulate(true), rtol=1e-12)
    assert (seen[:, 0] != true).all()
