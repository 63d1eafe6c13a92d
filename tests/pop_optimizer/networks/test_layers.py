import numpy as np
import pytest
import torch

from pop_optimizer.networks.distributions import DISTRIBUTIONS
from pop_optimizer.networks.layers import attention, gelu, in_numpy
from pop_optimizer.networks.pop import POPNetwork

FEATURES = 10


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def made(head, mixing, window):
    """A network whose weights are moved at random, for all of them to matter."""
    torch.manual_seed(0)
    proposed = [6, 7, 8, 9][: len(DISTRIBUTIONS[head].follows)]
    network = POPNetwork(FEATURES, proposed, head, width=16, depth=2, heads=2, mixing=mixing, window=window)
    with torch.no_grad():
        for weights in network.parameters():
            weights.add_(0.2 * torch.randn_like(weights))
    return network


@torch.no_grad()
@pytest.mark.parametrize("dim", [1, 3, 80])
@pytest.mark.parametrize(("mixing", "window"), [(False, None), (True, 4)])
@pytest.mark.parametrize("head", DISTRIBUTIONS)
def test_the_twin_acts_as_the_network(head, mixing, window, dim):
    network = made(head, mixing, window)
    twin, tokens = in_numpy(network), normal(9, 2, dim, FEATURES)
    caches = [each.new_cache(2, dim, 9) for each in (network, twin)]
    for token in tokens:
        expected, found = network.act(torch.from_numpy(token), caches[0]), twin.act(token, caches[1])
        for name, part in vars(expected).items():
            np.testing.assert_allclose(vars(found)[name], part, rtol=1e-4, atol=1e-4, err_msg=name)
        one, other = (each.sample(torch.Generator().manual_seed(1)) for each in (expected, found))
        assert other.dtype == np.float32
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found.mode(), expected.mode(), rtol=1e-4, atol=1e-4)


def test_a_twin_leaves_the_network_as_it_was():
    network = made("options", True, None)
    before = set(vars(network)), set(vars(network.transformer))
    in_numpy(network)
    assert (set(vars(network)), set(vars(network.transformer))) == before
    assert torch.equal(
        network.evaluate(torch.zeros(1, 2, 3, FEATURES))[1], network.evaluate(torch.zeros(1, 2, 3, FEATURES))[1]
    )


def test_functions_are_those_of_torch():
    x = 3 * normal(4, 50)
    np.testing.assert_allclose(gelu(x), gelu(torch.from_numpy(x)), rtol=0, atol=1e-6)
    query, keys, values = normal(3, 2, 1, 8), 9 * normal(3, 2, 7, 8, seed=1), normal(3, 2, 7, 8, seed=2)
    expected = attention(*map(torch.from_numpy, (query, keys, values)))
    np.testing.assert_allclose(attention(query, keys, values), expected, rtol=0, atol=1e-6)
