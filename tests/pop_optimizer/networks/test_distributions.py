import math

import pytest
import torch

from pop_optimizer.networks.distributions import DISTRIBUTIONS

# Outputs of the mixture's head, the proposed actions, and which of these a mixture follows.
STEP_GATE, JUMP_GATE, STEP_FREE, JUMP_FREE, STEP_LOG_STD, JUMP_LOG_STD, JUMP_LOGIT = range(7)
SURROGATE, TRUST_REGION = range(2)
MIXTURES = {
    "mixture": (SURROGATE, TRUST_REGION),
    "unguided_jumps": (TRUST_REGION,),
    "free": (),
}  # by their proposed actions


def drawn(name, batch, dim, seed=0, broad=True):
    """A distribution with random parameters; broad ones are wide enough to integrate on a grid."""
    generator = torch.Generator().manual_seed(seed)
    distribution = DISTRIBUTIONS[name]()
    outputs = torch.randn((1, dim, distribution.num_outputs), generator=generator, dtype=torch.float64)
    proposed = torch.rand((1, dim, 2), generator=generator, dtype=torch.float64) * 2 - 1
    if broad:
        log_stds = [1] if name == "gaussian" else [STEP_LOG_STD, JUMP_LOG_STD]
        outputs[..., log_stds] = 1.5 + torch.rand((1,), generator=generator, dtype=torch.float64)
    return distribution.given(outputs.expand(batch, -1, -1), proposed.expand(batch, -1, -1))


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
    outputs, proposed = torch.zeros(2, 3, 7, dtype=torch.float64), torch.zeros(2, 3, 2, dtype=torch.float64)
    outputs[..., [STEP_GATE, JUMP_GATE]] = 30.0  # the gates let the proposed actions through
    proposed[1, :, SURROGATE] = 50.0  # a far jump
    distribution = DISTRIBUTIONS["mixture"]().given(outputs, proposed)
    one = 3 * (distribution.log_stds[0, 0, 0] + 0.5 * math.log(2 * math.pi * math.e))
    coincide, apart = distribution.entropy()
    assert coincide == pytest.approx(float(one))
    assert apart == pytest.approx(float(one) + math.log(2))


@pytest.mark.parametrize("dim", [1, 2, 5])
@pytest.mark.parametrize(("head", "guided"), MIXTURES.items())
def test_density_of_a_mixture_is_that_of_its_parts(dim, head, guided):
    generator = torch.Generator().manual_seed(0)
    outputs, proposed, actions = (
        2 * torch.randn((50, dim, *shape), generator=generator, dtype=torch.float64) for shape in ((7,), (2,), ())
    )
    distribution = DISTRIBUTIONS[head]().given(outputs, proposed)

    def part(gate, free, log_std, proposal):
        k = outputs[..., gate].sigmoid() if proposal in guided else 0
        mean = k * proposed[..., proposal] + (1 - k) * outputs[..., free]
        std = (7 * outputs[..., log_std].sigmoid() - 7).exp()  # from e^-7 to 1
        return torch.distributions.Normal(mean, std).log_prob(actions).sum(-1)

    step = part(STEP_GATE, STEP_FREE, STEP_LOG_STD, TRUST_REGION)
    jump = part(JUMP_GATE, JUMP_FREE, JUMP_LOG_STD, SURROGATE)
    weight = outputs[..., JUMP_LOGIT].mean(-1).sigmoid()
    expected = torch.logaddexp((1 - weight).log() + step, weight.log() + jump)
    torch.testing.assert_close(distribution.log_prob(actions), expected, rtol=1e-9, atol=1e-9)


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
    outputs = torch.zeros(1000, 4, 7)
    outputs[..., [STEP_GATE, JUMP_GATE, STEP_LOG_STD, JUMP_LOG_STD]] = -30.0  # shut, and the finest deviation
    outputs[..., JUMP_FREE] = 5.0
    outputs[:, 0, JUMP_LOGIT], outputs[:, 1, JUMP_LOGIT] = 2.0, -2.0  # the mean logit is 0
    torch.manual_seed(0)
    jumped = DISTRIBUTIONS["mixture"]().given(outputs, torch.zeros(1000, 4, 2)).sample() > 2.5
    assert torch.equal(jumped.any(1), jumped.all(1))
    assert jumped[:, 0].float().mean() == pytest.approx(0.5, abs=0.06)


def test_mode_is_the_mean_of_the_likelier_component():
    outputs = torch.zeros(2, 2, 7)
    outputs[..., STEP_GATE], outputs[..., JUMP_GATE] = 30.0, -30.0
    outputs[..., JUMP_FREE] = 0.8
    outputs[0, :, JUMP_LOGIT], outputs[1, :, JUMP_LOGIT] = -1.0, 1.0
    proposed = torch.zeros(2, 2, 2)
    proposed[..., TRUST_REGION] = torch.tensor([[0.1, 0.2], [0.3, 0.4]])
    mode = DISTRIBUTIONS["mixture"]().given(outputs, proposed).mode()
    torch.testing.assert_close(mode, torch.tensor([[0.1, 0.2], [0.8, 0.8]]))


@pytest.mark.parametrize(
    ("logit", "gate", "proposal"),
    [(-30.0, STEP_GATE, TRUST_REGION), (30.0, JUMP_GATE, SURROGATE)],
    ids=["step", "jump"],
)
def test_an_open_gate_leads_to_the_proposal_and_a_shut_one_to_the_free_mean(logit, gate, proposal):
    torch.manual_seed(0)
    outputs, proposed = torch.randn(500, 3, 7), torch.rand(500, 3, 2) * 2 - 1
    outputs[..., [STEP_LOG_STD, JUMP_LOG_STD]] = -30.0  # the finest deviation, e^-7
    outputs[..., JUMP_LOGIT] = logit
    free = gate + STEP_FREE - STEP_GATE
    for opening, expected in ((30.0, proposed[..., proposal]), (-30.0, outputs[..., free])):
        outputs[..., gate] = opening
        distribution = DISTRIBUTIONS["mixture"]().given(outputs, proposed)
        torch.testing.assert_close(distribution.mode(), expected)
        assert (distribution.sample() - expected).abs().max() < 5 * math.exp(-7)
    outputs[..., gate] = math.log(3)  # three quarters
    mixed = 0.75 * proposed[..., proposal] + 0.25 * outputs[..., free]
    torch.testing.assert_close(DISTRIBUTIONS["mixture"]().given(outputs, proposed).mode(), mixed)


@pytest.mark.parametrize(("head", "guided"), MIXTURES.items())
def test_untrained_mixtures_step_to_the_one_proposal_and_sometimes_jump_to_the_other(head, guided):
    torch.manual_seed(0)
    distribution = DISTRIBUTIONS[head]()
    net = distribution.head(16)
    proposed = torch.stack([torch.linspace(0.9, -0.5, 50), torch.linspace(-0.9, 0.5, 50)], -1)[:, None]
    with torch.no_grad():
        distribution.given(net(torch.randn(50, 1, 16)), proposed)
    step, jump = distribution.means.unbind(-1)
    assert torch.equal(distribution.mode(), step)
    # What no read-out leads goes a middle way, and scatters more.
    assert (step - (proposed[..., TRUST_REGION] if TRUST_REGION in guided else 0.5)).abs().max() < 0.15
    assert (jump - (proposed[..., SURROGATE] if SURROGATE in guided else 0.86)).abs().max() < 0.15
    broad = (distribution.log_stds > math.log(0.04)).flatten(0, 1)
    assert broad.all(0).tolist() == broad.any(0).tolist() == [TRUST_REGION not in guided, SURROGATE not in guided]
    assert distribution.log_weights[:, 1].exp().mean() == pytest.approx(0.1, abs=0.01)


def test_deviations_stay_in_their_bounds_and_keep_a_slope(name):
    distribution = DISTRIBUTIONS[name]()
    outputs = torch.full((1, 1, distribution.num_outputs), 12.0, requires_grad=True)
    distribution.given(outputs, torch.zeros(1, 1, 2)).entropy().sum().backward()
    log_stds = distribution.log_std if name == "gaussian" else distribution.log_stds
    assert log_stds.max() <= 0
    assert outputs.grad.abs().amax() > 0
