import pytest
import torch

from pop_optimizer.networks.distributions import DISTRIBUTIONS
from pop_optimizer.networks.pop import COORDINATES, POPNetwork

FEATURES = 10
PROPOSED = [6, 7, 8, 9]
MANY = [65, 100, 127, 128, 200, 300]


def made(head="options", mixing=True, window=None, seed=0):
    """A small network whose weights are moved at random, for all of them to matter."""
    torch.manual_seed(seed)
    proposed = PROPOSED[: len(DISTRIBUTIONS[head].follows)]
    network = POPNetwork(FEATURES, proposed, head, width=16, depth=2, heads=2, mixing=mixing, window=window)
    with torch.no_grad():
        for weights in network.parameters():
            weights.add_(0.2 * torch.randn_like(weights))
    return network


def outputs_of(network, tokens):
    """What the head says of each coordinate (batch, steps, dim, outputs), and the values (batch, steps)."""
    kept = []
    given = network._distribution.given
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(
            network._distribution, "given", lambda self, outputs, p: kept.append(outputs) or given(self, outputs, p)
        )
        _, values = network.evaluate(tokens)
    return kept[0].unflatten(0, tokens.shape[:2]), values.unflatten(0, tokens.shape[:2])


def looked_at(dim):
    """The coordinates in the middles of as many even parts."""
    return [int((k + 0.5) * dim / COORDINATES) for k in range(COORDINATES)]


@pytest.mark.parametrize("dim", MANY)
def test_of_many_coordinates_only_the_chosen_are_looked_at(dim):
    network = made()
    torch.manual_seed(1)
    tokens = torch.randn(2, 3, dim, FEATURES)
    chosen = torch.zeros(dim, dtype=torch.bool)
    chosen[looked_at(dim)] = True
    assert chosen.sum() == COORDINATES
    outputs, values = outputs_of(network, tokens)
    others = tokens.clone()
    others[:, :, ~chosen] = torch.randn(2, 3, dim - COORDINATES, FEATURES)
    same, same_values = outputs_of(network, others)
    assert torch.equal(outputs, same)
    assert torch.equal(values, same_values)
    for d in (looked_at(dim)[0], looked_at(dim)[40], looked_at(dim)[-1]):
        others = tokens.clone()
        others[:, :, d] += 1
        assert (outputs_of(network, others)[1] != values).all()


@pytest.mark.parametrize("dim", MANY)
def test_each_coordinate_has_the_outputs_of_the_nearest_that_is_looked_at(dim):
    network = made(mixing=False)
    torch.manual_seed(1)
    tokens = torch.randn(1, 2, dim, FEATURES)
    outputs, _ = outputs_of(network, tokens)
    chosen = looked_at(dim)
    alone, _ = outputs_of(network, tokens[:, :, chosen])  # as many as it looks at
    for d in range(dim):
        (same,) = (k for k in range(COORDINATES) if torch.equal(outputs[:, :, d], alone[:, :, k]))
        assert abs(chosen[same] - d) <= min(abs(k - d) for k in chosen) + 1
        if d in chosen:
            assert chosen[same] == d  # itself, where it is one of them


@pytest.mark.parametrize("dim", [1, 5, COORDINATES])
def test_few_coordinates_are_all_looked_at(dim):
    network = made(mixing=False)
    tokens = torch.randn(1, 2, dim, FEATURES)
    outputs, values = outputs_of(network, tokens)
    parts = [outputs_of(network, tokens[:, :, d : d + 1]) for d in range(dim)]
    torch.testing.assert_close(outputs, torch.cat([part for part, _ in parts], 2), rtol=0, atol=1e-5)
    torch.testing.assert_close(values, torch.stack([value for _, value in parts]).mean(0), rtol=0, atol=1e-5)


def test_many_coordinates_are_as_sixty_four_with_the_proposals_of_each():
    network = made()
    torch.manual_seed(1)
    tokens = torch.randn(4, 1, 200, FEATURES)
    with torch.no_grad():
        whole, values = network.evaluate(tokens)
        few, same_values = network.evaluate(tokens[:, :, looked_at(200)])
    torch.testing.assert_close(values, same_values)
    assert torch.equal(whole.step, tokens[:, 0, :, PROPOSED[1]])
    torch.testing.assert_close(whole.mean[:, looked_at(200)], few.mean)
    assert whole.sample().shape == (4, 200)


@pytest.mark.parametrize("dim", [3, 64, 200])
@pytest.mark.parametrize("window", [None, 4])
@pytest.mark.parametrize("head", DISTRIBUTIONS)
def test_step_act_evaluate_and_newest_agree(dim, window, head):
    network = made(head, window=window)
    torch.manual_seed(1)
    tokens = torch.randn(3, 11, dim, FEATURES)
    actions = torch.rand(3, 11, dim) * 2 - 1
    actions[0] = tokens[0, ..., 7]  # the second of the proposed actions
    one, other = network.new_cache(3, dim, 11), network.new_cache(3, dim, 11)
    with torch.no_grad():
        whole, values = network.evaluate(tokens)
        log_probs = whole.log_prob(actions.flatten(0, 1)).unflatten(0, (3, 11))
        close = {"rtol": 1e-4, "atol": 1e-4}
        for t, token in enumerate(tokens.unbind(1)):
            distribution, value = network.step(token, one)
            torch.testing.assert_close(value, values.unflatten(0, (3, 11))[:, t], **close)
            padded = torch.cat([tokens[:, : t + 1], torch.full_like(tokens[:, :2], 1e3)], 1)
            newest = network.newest(padded, torch.full((3,), t + 1))
            for each in (distribution, network.act(token, other), newest):
                torch.testing.assert_close(each.log_prob(actions[:, t]), log_probs[:, t], **close)
    assert one.keys[0].shape == (3 * min(dim, COORDINATES), 2, min(11, window or 11), 8)


def test_a_head_needs_as_many_columns_as_it_follows():
    for head, distribution in DISTRIBUTIONS.items():
        for count in range(4):
            if count != len(distribution.follows):
                with pytest.raises(ValueError, match=f'head="{head}" follows'):
                    POPNetwork(FEATURES, PROPOSED[:count], head, width=8, heads=2)
