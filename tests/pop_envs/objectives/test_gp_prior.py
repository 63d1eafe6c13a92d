from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import k1

from pop_envs import GPPrior, WidePrior

BOTH = [GPPrior(), WidePrior()]
# The wide prior's powers are scaled by a spread that is found in single precision.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def uniform(batch, dim, seed=0, low=-1.0, high=1.0):
    return torch.from_numpy(np.random.default_rng(seed).uniform(low, high, (batch, dim)))


def check_covariance(config, dim, kernel, count=6000):
    """E[f(x) f(x')] over functions, against the kernel at several distances, within 4 standard errors."""
    rng = np.random.default_rng(dim)
    functions = config.sample(count, dim, rng)
    x = torch.from_numpy(rng.uniform(-1, 1, dim)).expand(count, -1)
    way = rng.normal(size=dim)
    way = torch.from_numpy(way / np.linalg.norm(way))
    at_x = functions.value_and_grad(x)[0]
    assert abs(at_x.mean()) < 4 * at_x.std() / count**0.5
    for distance in (0.0, 0.1, 0.3, 0.6, 1.5):
        product = (at_x * functions.value_and_grad(x + distance * way)[0]).numpy()
        error = product.std() / count**0.5
        assert abs(product.mean() - kernel(distance)) < 4 * error, distance


@pytest.mark.parametrize("lengthscale", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("dim", [1, 2, 8])
def test_random_features_have_the_covariance_of_the_rbf_kernel(dim, lengthscale):
    config = GPPrior(
        alpha=(0, 0), p_convex=0, lengthscale=(lengthscale, lengthscale), sigma=(1.3, 1.3), num_features=48
    )
    check_covariance(config, dim, lambda r: 1.3**2 * np.exp(-(r**2) / (2 * lengthscale**2)))


@pytest.mark.parametrize("dim", [1, 2, 8])
def test_heavy_tailed_features_have_the_covariance_of_the_matern_1_kernel(dim):
    config = WidePrior(
        alpha=(0, 0),
        p_convex=0,
        lengthscale=(0.5, 0.5),
        sigma=(1, 1),
        num_features=48,
        p_heavy=1,
        anisotropy=(1, 1),
        p_rotated=0,
        p_power=0,
    )

    def matern(r):
        z = np.sqrt(2) * r / 0.5
        return z * k1(z) if r else 1.0

    check_covariance(config, dim, matern)


def test_equations_8_to_10_by_hand():
    functions = GPPrior(num_features=5).sample(4, 3, np.random.default_rng(0))
    x = uniform(4, 3, seed=1)
    y, _ = functions.value_and_grad(x)
    for b in range(4):
        quadratic = sum(functions.curvature[b, d] * (x[b, d] - functions.center[b, d]) ** 2 for d in range(3))
        waves = sum(
            functions.weight[b, m]
            * torch.cos(sum(functions.frequency[d, b, m] * x[b, d] for d in range(3)) + functions.phase[b, m])
            for m in range(5)
        )
        assert y[b] == pytest.approx(float(quadratic + waves), abs=1e-12)


def test_alpha_of_one_leaves_the_quadratic_alone():
    functions = GPPrior(p_convex=1).sample(50, 2, np.random.default_rng(0))
    y, g = functions.value_and_grad(functions.center)
    torch.testing.assert_close(y, torch.zeros(50, dtype=torch.float64))
    torch.testing.assert_close(g, torch.zeros(50, 2, dtype=torch.float64))
    assert ((functions.curvature >= 0.2) & (functions.curvature <= 2)).all()


@pytest.mark.parametrize("config", BOTH, ids=type)
@pytest.mark.parametrize("dim", [1, 2, 8])
def test_gradient_against_finite_differences(config, dim):
    functions = config.sample(200, dim, np.random.default_rng(0))
    x = uniform(200, dim, low=-0.99, high=0.99)
    _, g = functions.value_and_grad(x)
    for d in range(dim):
        h = torch.zeros(dim, dtype=torch.float64)
        h[d] = 1e-5
        slope = (functions.value_and_grad(x + h)[0] - functions.value_and_grad(x - h)[0]) / 2e-5
        error = (g[:, d] - slope).abs() / g.abs().amax(-1).clamp(min=1)
        # Heavy tails have frequencies whose third derivative the difference sees.
        assert error.median() < 1e-8
        assert error.quantile(0.95) < 1e-4


@pytest.mark.parametrize("config", BOTH, ids=type)
def test_a_batch_equals_functions_drawn_one_by_one(config):
    whole = config.sample(6, 2, np.random.default_rng(3))
    rng = np.random.default_rng(3)
    x = uniform(6, 2)
    for i in range(6):
        y, g = config.sample(1, 2, rng).value_and_grad(x[i : i + 1])
        torch.testing.assert_close(y, whole.value_and_grad(x)[0][i : i + 1], **CLOSE)
        torch.testing.assert_close(g, whole.value_and_grad(x)[1][i : i + 1], **CLOSE)


def test_a_batch_equals_functions_drawn_one_by_one_to_the_last_bit():
    whole = GPPrior().sample(6, 2, np.random.default_rng(3))
    rng = np.random.default_rng(3)
    for i in range(6):
        one = GPPrior().sample(1, 2, rng)
        for name in ("curvature", "center", "phase", "weight"):
            assert torch.equal(getattr(one, name)[0], getattr(whole, name)[i]), name
        assert torch.equal(one.frequency[:, 0], whole.frequency[:, i])


@pytest.mark.parametrize("config", BOTH, ids=type)
def test_the_seed_fixes_every_bit(config):
    x = uniform(16, 3)
    first, again, other = (config.sample(16, 3, np.random.default_rng(s)).value_and_grad(x) for s in (5, 5, 6))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.isclose(first[0], other[0]).any()


@pytest.mark.parametrize("config", BOTH, ids=type)
def test_values_on_shared_points_agree_in_single_precision(config):
    functions = config.sample(70, 2, np.random.default_rng(0))  # more than one chunk
    points = uniform(5, 2)
    for j, point in enumerate(points):
        y = functions.value_and_grad(point.expand(70, -1))[0]
        torch.testing.assert_close(functions.values_on(points)[:, j], y, rtol=1e-3, atol=1e-4)


PLAIN = dict.fromkeys(
    ("p_heavy", "p_ripple", "p_sparse", "p_additive", "p_rotated", "p_bend", "p_kink", "p_power", "p_contrast"), 0.0
)


def wide(batch=30, dim=2, **change):
    return WidePrior(**{**PLAIN, **change}).sample(batch, dim, np.random.default_rng(0))


def test_without_its_families_the_wide_prior_is_the_papers():
    paper = GPPrior(num_features=32)
    uniforms = torch.rand(4, 2000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = uniform(4, 2)
    plain = WidePrior(num_features=32, **PLAIN)
    torch.testing.assert_close(plain.build(uniforms, 2).value_and_grad(x), paper.build(uniforms, 2).value_and_grad(x))


@pytest.mark.parametrize("family", [{"p_power": 1.0}, {"p_contrast": 1.0}, {"p_power": 1.0, "p_contrast": 1.0}])
def test_contrast_keeps_the_order_of_values_and_so_the_minimizers(family):
    functions = wide(**family)
    points = uniform(300, 2)
    before = replace(functions, contrast=None).values_on(points)
    after = functions.values_on(points)
    assert (before.argmin(-1) == after.argmin(-1)).all()
    shift, unit, power, k, exponent = functions.contrast.T[..., None]
    z = (before - shift) / unit
    above = z > 0  # the shift lies no higher than the reference minimum
    assert above.double().mean() > 0.99
    expected = ((1 + k * z.clamp(min=0) ** power) ** exponent - 1) / (k * exponent)
    torch.testing.assert_close(after[above], expected[above], rtol=1e-4, atol=1e-4)
    assert ((power >= 1) & (power <= 3)).all()


def test_a_negative_exponent_makes_plateaus():
    functions = wide(p_contrast=1.0, contrast=(100.0, 100.0), contrast_exponent=(-1.5, -1.5))
    values = functions.values_on(uniform(500, 2))
    low, middle, high = (values.quantile(q, dim=-1) for q in (0.0, 0.5, 1.0))
    assert ((high - middle) < 0.1 * (high - low)).double().mean() > 0.8


def test_additive_waves_do_not_let_coordinates_interact():
    functions = wide(p_additive=1.0, dim=3)
    x, shift = uniform(30, 3), torch.tensor([[0.0, 0.3, 0.0]]).double()
    slope, moved = functions.value_and_grad(x)[1], functions.value_and_grad(x + shift)[1]
    torch.testing.assert_close(slope[:, [0, 2]], moved[:, [0, 2]])
    assert ((slope - moved)[:, 1].abs() > 1e-6).all()


def test_sparse_waves_have_at_most_six_frequencies_and_keep_their_height():
    functions, dense = wide(p_sparse=1.0, batch=400), wide(batch=400)
    assert ((functions.weight != 0).sum(-1) <= 6).all()
    ratio = functions.weight.square().sum() / dense.weight.square().sum()
    assert ratio.item() == pytest.approx(1.0, abs=0.3)


def test_ripples_are_fine_and_low():
    functions = wide(p_ripple=1.0, ripple_lengthscale=(0.1, 0.1), ripple_height=(0.05, 0.05))
    frequency = functions.frequency.square().mean((0, 2)).sqrt()
    torch.testing.assert_close(frequency, torch.full_like(frequency, 10.0))
    height = functions.weight.square().sum(-1).sqrt()
    waves = height > 1e-6  # those with alpha = 1 have none
    torch.testing.assert_close(height[waves], torch.full_like(height[waves], 0.05))
    assert waves.double().mean() > 0.5


def test_kinks_are_powers_of_the_distance_along_the_axes():
    functions = wide(p_convex=1.0, p_kink=1.0, kink=(1.0, 1.0), kink_width=(1e-4, 1e-4))
    x = uniform(30, 2)
    y, g = functions.value_and_grad(x)
    offset = x - functions.center
    torch.testing.assert_close(y, (functions.curvature * offset.abs()).sum(-1), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(g, functions.curvature * offset.sign(), rtol=1e-3, atol=1e-3)


def test_bent_valleys_follow_a_parabola():
    functions = wide(p_convex=1.0, p_bend=1.0)
    first = uniform(30, 1)[:, 0]
    bend, center = functions.bend[:, 1], functions.center
    # On the valley's floor only the first coordinate's distance counts.
    floor = torch.stack([first, center[:, 1] - bend * (first.square() - 1 / 3)], -1)
    expected = functions.curvature[:, 0] * (first - center[:, 0]).square()
    torch.testing.assert_close(functions.value_and_grad(floor)[0], expected)


def test_rotated_quadratics_have_the_condition_asked_for():
    functions = WidePrior(p_rotated=1, condition=(1e3, 1e3)).sample(20, 4, np.random.default_rng(0))
    torch.testing.assert_close(
        functions.rotation @ functions.rotation.mT, torch.eye(4, dtype=torch.float64).expand(20, -1, -1)
    )
    ratio = functions.curvature.amax(-1) / functions.curvature.amin(-1)
    torch.testing.assert_close(ratio, torch.full_like(ratio, 1e3))


@pytest.mark.parametrize("config", BOTH, ids=type)
def test_rows_and_put(config):
    functions = config.sample(5, 2, np.random.default_rng(0))
    x = uniform(5, 2)
    index = torch.tensor([3, 1, 3])
    torch.testing.assert_close(functions.rows(index).value_and_grad(x[index])[0], functions.value_and_grad(x)[0][index])
    other = config.sample(2, 2, np.random.default_rng(1))
    kept = functions.value_and_grad(x)[0]
    functions.put(torch.tensor([4, 0]), other)
    now = functions.value_and_grad(x)[0]
    assert torch.equal(now[1:4], kept[1:4])
    torch.testing.assert_close(now[[4, 0]], other.value_and_grad(x[[4, 0]])[0])


@pytest.mark.parametrize(
    "bad",
    [
        {"alpha": (0.7, 0.0)},
        {"alpha": (0.0, 1.1)},
        {"beta1": (0.0, 1.0)},
        {"lengthscale": (0.0, 1.0)},
        {"p_convex": 1.5},
        {"num_features": 0},
    ],
)
def test_bad_ranges(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        GPPrior(**bad)
