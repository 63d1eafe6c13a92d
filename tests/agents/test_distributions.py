import math

import pytest
import torch

from agents.distributions import DISTRIBUTIONS


def drawn(name, batch, dim, seed=0, broad=True):
    """A distribution with random parameters; broad ones are wide enough to integrate on a grid."""
    generator = torch.Generator().manual_seed(seed)
    distribution = DISTRIBUTIONS[name]()
    outputs = torch.randn((1, dim, distribution.num_outputs), generator=generator, dtype=torch.float64)
    read_out = torch.rand((1, dim), generator=generator, dtype=torch.float64) * 2 - 1
    if broad:
        outputs[..., {"gaussian": [1], "mixture": [2, 4]}[name]] = 1.5 + torch.rand(
            (1,), generator=generator, dtype=torch.float64
        )
    return distribution.proba_distribution(outputs.expand(batch, -1, -1), read_out.expand(batch, -1))


def grid(dim, reach=7.0):
    n = {1: 20_001, 2: 701}[dim]
    axis = torch.linspace(-reach, reach, n, dtype=torch.float64)
    return torch.cartesian_prod(*[axis] * dim).reshape(-1, dim), (2 * reach / (n - 1)) ** dim


@pytest.fixture(params=list(DISTRIBUTIONS))
def name(request):
    return request.param


@pytest.fixture(params=[1, 2])
def dim(request):
    return request.param


def test_density_integrates_to_one(name, dim):
    points, cell = grid(dim)
    density = drawn(name, len(points), dim).log_prob(points).exp()
    assert density.sum() * cell == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_entropy_is_no_lower_than_the_integral(name, dim, seed):
    points, cell = grid(dim)
    distribution = drawn(name, len(points), dim, seed)
    log_density = distribution.log_prob(points)
    integral = -(log_density.exp() * log_density).sum() * cell
    excess = distribution.entropy()[0] - integral
    assert excess > -1e-4
    assert excess < (1e-4 if name == "gaussian" else math.log(2))


def test_entropy_of_the_mixture_is_exact_for_components_that_coincide_or_lie_far_apart():
    outputs = torch.zeros(2, 3, 6, dtype=torch.float64)
    outputs[..., 0] = 30.0  # the gate lets the read-out through
    outputs[1, :, 3] = 50.0  # a far jump
    read_out = torch.zeros(2, 3, dtype=torch.float64)
    distribution = DISTRIBUTIONS["mixture"]().proba_distribution(outputs, read_out)
    one = 3 * (distribution.log_stds[0, 0, 0] + 0.5 * math.log(2 * math.pi * math.e))
    coincide, apart = distribution.entropy()
    assert coincide == pytest.approx(float(one))
    assert apart == pytest.approx(float(one) + math.log(2))


def test_samples_have_the_density(name):
    torch.manual_seed(0)
    distribution = drawn(name, 200_000, 1)
    samples = distribution.sample()[:, 0]
    points, cell = grid(1)
    cumulative = drawn(name, len(points), 1).log_prob(points).exp().cumsum(0) * cell
    empirical = (samples[:, None] < points[::500, 0]).double().mean(0)
    assert (empirical - cumulative[::500]).abs().max() < 0.01  # Kolmogorov-Smirnov: 0.004 at 1 %


def test_samples_come_from_the_generator(name):
    distribution = drawn(name, 5, 2)
    first, second, other = (distribution.sample(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_coordinates_jump_together():
    outputs = torch.zeros(1000, 4, 6)
    outputs[..., 2] = outputs[..., 4] = -30.0  # the finest deviation
    outputs[..., 3] = 5.0
    outputs[:, 0, 5], outputs[:, 1, 5] = 2.0, -2.0  # the mean logit is 0
    torch.manual_seed(0)
    jumped = DISTRIBUTIONS["mixture"]().proba_distribution(outputs, torch.zeros(1000, 4)).sample() > 2.5
    assert torch.equal(jumped.any(1), jumped.all(1))
    assert jumped[:, 0].float().mean() == pytest.approx(0.5, abs=0.06)


def test_mode_is_the_mean_of_the_likelier_component():
    outputs = torch.zeros(2, 2, 6)
    outputs[..., 0] = 30.0
    outputs[..., 3] = 0.8
    outputs[0, :, 5], outputs[1, :, 5] = -1.0, 1.0
    read_out = torch.tensor([[0.1, 0.2], [0.3, 0.4]])
    mode = DISTRIBUTIONS["mixture"]().proba_distribution(outputs, read_out).mode()
    torch.testing.assert_close(mode, torch.tensor([[0.1, 0.2], [0.8, 0.8]]))


def test_untrained_mixture_steps_to_the_read_out_and_sometimes_jumps():
    torch.manual_seed(0)
    distribution = DISTRIBUTIONS["mixture"]()
    net = distribution.proba_distribution_net(16)
    read_out = torch.linspace(-0.9, 0.5, 50)[:, None]
    with torch.no_grad():
        distribution.proba_distribution(net(torch.randn(50, 1, 16)), read_out)
    assert (distribution.mode() - read_out).abs().max() < 0.1
    assert distribution.log_weights[:, 1].exp().mean() == pytest.approx(0.1, abs=0.01)


def test_deviations_stay_in_their_bounds_and_keep_a_slope(name):
    distribution = DISTRIBUTIONS[name]()
    outputs = torch.full((1, 1, distribution.num_outputs), 12.0, requires_grad=True)
    distribution.proba_distribution(outputs, torch.zeros(1, 1)).entropy().sum().backward()
    log_stds = distribution.log_std if name == "gaussian" else distribution.log_stds
    assert log_stds.max() <= 0
    assert outputs.grad.abs().amax() > 0


def test_sb3_idiom_agrees_with_itself(name):
    distribution = DISTRIBUTIONS[name]()
    outputs, read_out = torch.randn(7, 2, distribution.num_outputs), torch.zeros(7, 2)
    actions, log_probs = distribution.log_prob_from_params(outputs, read_out)
    torch.testing.assert_close(distribution.log_prob(actions), log_probs)
    torch.testing.assert_close(
        distribution.actions_from_params(outputs, read_out, deterministic=True), distribution.mode()
    )
