import math

import numpy as np
import pytest
import torch

from pop_optimizer.networks.distributions import DISTRIBUTIONS

# Outputs of the mixture's head, the proposed actions, and which of these a mixture follows.
STEP_GATE, JUMP_GATE, STEP_FREE, JUMP_FREE, STEP_LOG_STD, JUMP_LOG_STD, JUMP_LOGIT = range(7)
SURROGATE, TRUST_REGION, LOWEST, EXHAUSTED = range(4)
GATE, FREE, LOG_STD, STEP, GO_ON, JUMP, URGE = range(7)  # of a choice's head; three logits, and what raises the last
LOGITS = slice(STEP, URGE)
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


@pytest.fixture(params=["gaussian", *MIXTURES])
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


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_samples_come_from_the_generator(name):
    distribution = choice(5, 2) if name == "options" else drawn(name, 5, 2)
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


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_deviations_stay_in_their_bounds_and_keep_a_slope(name):
    distribution = DISTRIBUTIONS[name]()
    outputs = torch.full((1, 1, distribution.num_outputs), 12.0, requires_grad=True)
    distribution.given(outputs, torch.zeros(1, 1, len(distribution.follows))).entropy().sum().backward()
    log_stds = distribution.log_stds if name in MIXTURES else distribution.log_std
    assert log_stds.max() <= 0
    assert outputs.grad.abs().amax() > 0


def choice(batch, dim, seed=0, logits=(0.3, -0.4, 0.8), same=False, jump_at=None, std=None, dtype=torch.float64):
    """A choice with these logits in the mean over coordinates, and otherwise random parameters."""
    generator = torch.Generator().manual_seed(seed)
    outputs = torch.randn((1, dim, 7), generator=generator, dtype=dtype)
    outputs[..., LOGITS] += torch.tensor(logits, dtype=dtype) - outputs[..., LOGITS].mean(1, keepdim=True)
    proposed = torch.rand((1, dim, 4), generator=generator, dtype=dtype) * 2 - 1
    proposed[..., EXHAUSTED] = 0.0
    if same:
        proposed[..., LOWEST] = proposed[..., TRUST_REGION]
    if jump_at is not None:
        outputs[..., GATE], outputs[..., FREE] = -40.0, jump_at
    if std is not None:
        outputs[..., LOG_STD] = math.log((7 + math.log(std)) / -math.log(std))
    parts = outputs.expand(batch, -1, -1), proposed.expand(batch, -1, -1)
    return DISTRIBUTIONS["options"]().given(*parts)


def probabilities(logits=(0.3, -0.4, 0.8)):
    return torch.tensor(logits, dtype=torch.float64).softmax(-1).tolist()


def test_a_choices_probabilities_are_the_softmax_of_mean_logits_and_its_jump_a_gaussian(dim):
    generator = torch.Generator().manual_seed(1)
    outputs = 2 * torch.randn((50, dim, 7), generator=generator, dtype=torch.float64)
    proposed, actions = (torch.rand((50, dim, n), generator=generator, dtype=torch.float64) * 2 - 1 for n in (4, 1))
    proposed[..., EXHAUSTED] = (torch.arange(50) % 2)[:, None]
    distribution = DISTRIBUTIONS["options"]().given(outputs, proposed)
    logits = outputs[..., LOGITS].clone()
    logits[1::2, :, -1] += outputs[1::2, :, URGE]  # where the descent is exhausted
    weights = logits.mean(1).log_softmax(-1)
    torch.testing.assert_close(distribution.log_prob(proposed[..., TRUST_REGION]), weights[:, 0])
    torch.testing.assert_close(distribution.log_prob(proposed[..., LOWEST]), weights[:, 1])
    k = outputs[..., GATE].sigmoid()
    mean = k * proposed[..., SURROGATE] + (1 - k) * outputs[..., FREE]
    std = (7 * outputs[..., LOG_STD].sigmoid() - 7).exp()
    jump = weights[:, 2] + torch.distributions.Normal(mean, std).log_prob(actions[..., 0]).sum(-1)
    torch.testing.assert_close(distribution.log_prob(actions[..., 0]), jump, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("same", [False, True])
def test_probabilities_of_proposals_and_the_integral_of_jumps_add_up_to_one(dim, same):
    points, cell = grid(dim)
    distribution = choice(len(points), dim, std=0.5, same=same)
    proposals = [distribution.step] if same else [distribution.step, distribution.lowest]
    masses = [distribution.log_prob(proposal).exp()[0].item() for proposal in proposals]
    density = distribution.log_prob(points).exp().sum().item() * cell
    step, go_on, jump = probabilities()
    assert masses == pytest.approx([step + go_on] if same else [step, go_on])
    assert density == pytest.approx(jump, abs=1e-4)
    assert sum(masses) + density == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("same", [False, True])
def test_samples_of_a_choice_are_as_frequent_as_it_says(same):
    torch.manual_seed(0)
    distribution = choice(200_000, 2, same=same)
    samples = distribution.sample()
    stepped, went_on = ((samples == part).all(-1) for part in (distribution.step, distribution.lowest))
    step, go_on, jump = probabilities()
    assert stepped.double().mean() == pytest.approx(step + go_on if same else step, abs=4 * 0.5 / 200_000**0.5)
    assert went_on.double().mean() == pytest.approx(step + go_on if same else go_on, abs=4 * 0.5 / 200_000**0.5)
    jumps = samples[~(stepped | went_on)]
    assert len(jumps) / 200_000 == pytest.approx(jump, abs=4 * 0.5 / 200_000**0.5)
    assert ((jumps != distribution.step[0]) & (jumps != distribution.lowest[0])).all()  # all coordinates together
    error = distribution.log_std.exp()[0] / len(jumps) ** 0.5
    assert ((jumps.mean(0) - distribution.mean[0]).abs() < 4 * error).all()
    torch.testing.assert_close(jumps.std(0), distribution.log_std.exp()[0], rtol=0.02, atol=0)


@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_the_mean_log_probability_of_samples_is_the_entropy(dim, same, seed):
    torch.manual_seed(seed)
    distribution = choice(100_000, dim, seed, same=same)
    surprise = -distribution.log_prob(distribution.sample())
    assert surprise.isfinite().all()
    assert surprise.mean() == pytest.approx(
        distribution.entropy()[0].item(), abs=4 * surprise.std().item() / 100_000**0.5
    )


def test_the_entropy_of_a_choice_by_hand():
    step, go_on, jump = probabilities()
    gaussian = 2 * (math.log(0.1) + 0.5 * math.log(2 * math.pi * math.e))
    apart = -sum(p * math.log(p) for p in (step, go_on, jump)) + jump * gaussian
    alike = -sum(p * math.log(p) for p in (step + go_on, jump)) + jump * gaussian
    assert choice(1, 2, std=0.1).entropy().item() == pytest.approx(apart)
    assert choice(1, 2, std=0.1, same=True).entropy().item() == pytest.approx(alike)


@pytest.mark.parametrize("same", [False, True])
def test_ratios_are_those_of_what_was_chosen(same):
    """Importance weights of the samples of one choice estimate the mean of any function under another."""
    torch.manual_seed(0)
    old = choice(400_000, 1, same=same, jump_at=0.2, std=0.3)
    new = choice(400_000, 1, same=same, jump_at=0.3, std=0.25, logits=(-0.5, 0.6, 0.2))
    assert torch.equal(old.step, new.step)
    samples = old.sample()
    ratio = (new.log_prob(samples) - old.log_prob(samples)).exp()
    step, go_on, jump = probabilities((-0.5, 0.6, 0.2))
    assert ratio.mean() == pytest.approx(1, abs=4 * ratio.std().item() / 400_000**0.5)
    weighted = ratio * samples[:, 0]
    mean = step * new.step[0] + go_on * new.lowest[0] + jump * 0.3
    assert weighted.mean() == pytest.approx(mean.item(), abs=4 * weighted.std().item() / 400_000**0.5)


def test_gradients_of_a_proposals_probability_reach_the_logits_alone_and_those_of_a_jump_its_gaussian_too():
    for action, reached in (("step", {STEP, GO_ON, JUMP, URGE}), ("jump", set(range(7)))):
        generator = torch.Generator().manual_seed(0)
        outputs = torch.randn((4, 2, 7), generator=generator, requires_grad=True)
        proposed = torch.rand((4, 2, 4), generator=generator)
        distribution = DISTRIBUTIONS["options"]().given(outputs, proposed)
        actions = {"step": proposed[..., TRUST_REGION], "jump": proposed.mean(-1)}[action]
        distribution.log_prob(actions).sum().backward()
        assert outputs.grad.isfinite().all()
        assert set(outputs.grad.abs().sum((0, 1)).nonzero()[:, 0].tolist()) == reached


@pytest.mark.parametrize(
    ("logits", "same", "expected"),
    [
        ((1.0, 0.0, 0.5), False, "step"),
        ((0.0, 1.0, 0.5), False, "lowest"),
        ((0.0, 0.5, 1.0), False, "mean"),
        ((0.5, 0.5, 0.9), True, "step"),  # together the two proposals that are one are likelier
    ],
)
def test_the_mode_of_a_choice_is_what_is_likeliest(logits, same, expected):
    distribution = choice(3, 2, logits=logits, same=same)
    assert torch.equal(distribution.mode(), getattr(distribution, expected))


def test_proposals_that_agree_in_some_coordinates_only_stay_two():
    outputs, proposed = torch.zeros(1, 3, 7), torch.zeros(1, 3, 4)
    proposed[..., :3] = torch.tensor([[0.1, 0.5, 0.5], [0.2, 0.5, 0.5], [0.3, 0.5, 0.4]])
    distribution = DISTRIBUTIONS["options"]().given(outputs, proposed)
    for proposal in (TRUST_REGION, LOWEST):
        assert distribution.log_prob(proposed[..., proposal]).item() == pytest.approx(math.log(1 / 3))


def test_proposals_stay_proposals_on_their_way_through_a_buffer_of_single_precision():
    torch.manual_seed(0)
    distribution = choice(5000, 3, dtype=torch.float32)
    samples = distribution.sample()
    buffer = np.zeros((5000, 3), np.float32)
    buffer[:] = samples.numpy()
    back = torch.as_tensor(buffer.swapaxes(0, 1).copy()).T
    assert torch.equal(distribution.log_prob(back), distribution.log_prob(samples))
    stepped = (back == distribution.step).all(-1)
    assert stepped.double().mean() == pytest.approx(probabilities()[0], abs=0.03)
    weights = distribution.log_prob(back)[stepped].exp()
    torch.testing.assert_close(weights, torch.full_like(weights, probabilities()[0]))


@pytest.mark.parametrize(("exhausted", "usual"), [(0, (0.9, 0.03, 0.07)), (1, (0.079, 0.003, 0.918))])
def test_an_untrained_choice_steps_and_jumps_to_the_surrogates_proposal_where_the_descent_is_exhausted(
    exhausted, usual
):
    torch.manual_seed(0)
    distribution = DISTRIBUTIONS["options"]()
    net, proposed = distribution.head(16), torch.rand(50, 2, 4) * 2 - 1
    proposed[..., EXHAUSTED] = exhausted
    with torch.no_grad():
        distribution.given(net(torch.randn(50, 2, 16)), proposed)
    assert torch.equal(distribution.mode(), distribution.mean if exhausted else proposed[..., TRUST_REGION])
    weights = distribution.step_weight, distribution.lowest_weight, distribution.jump_weight
    for weight, expected in zip(weights, usual, strict=True):
        assert weight.exp().mean() == pytest.approx(expected, abs=0.01)
    assert (distribution.mean - proposed[..., SURROGATE]).abs().max() < 0.15
    torch.testing.assert_close(distribution.log_std.exp(), torch.full((50, 2), 0.02), rtol=0.5, atol=0)
