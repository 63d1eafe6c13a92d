import pytest
import torch

from pop_optimizer.networks.steps import StepNetwork

HISTORY, DIM = 5, 3


def seen(change, gradient):
    return torch.cat([change, gradient.flatten(-2)], -1)


@pytest.fixture
def run():
    """Changes (runs, H) and gradients (runs, H, d)."""
    torch.manual_seed(0)
    return torch.randn(4, HISTORY, dtype=torch.float64), torch.randn(4, HISTORY, DIM, dtype=torch.float64)


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("squash", [False, True])
def test_at_rest_it_rests(relative, squash):
    network = StepNetwork(HISTORY, DIM, squash=squash, relative=relative)
    assert network(torch.zeros(2, HISTORY * (1 + DIM))).abs().max() < 1e-6


def test_near_a_minimum_a_relative_network_does_the_same_on_any_scale(run):
    """Of f(x / c) c^2 gradients are c times those of f, changes c^2 times."""
    network = StepNetwork(HISTORY, DIM, relative=True).double()
    change, gradient = run
    with torch.no_grad():
        action = network(seen(1e-6 * change, 1e-3 * gradient))
        small = network(seen(1e-10 * change, 1e-5 * gradient))
        raw = StepNetwork(HISTORY, DIM).double()
        differs = raw(seen(change, gradient)) / raw(seen(1e-2 * change, 1e-1 * gradient))
    torch.testing.assert_close(small, action / 100, rtol=1e-2, atol=0)
    assert not torch.allclose(differs, torch.full_like(differs, 10), rtol=0.05)


def test_the_unit_follows_the_newest_gradients(run):
    network = StepNetwork(HISTORY, DIM, relative=True).double()
    change, gradient = run
    gradient[:, 1:] = 0
    _, unit = network._relative(seen(change, gradient))
    torch.testing.assert_close(unit[:, 0], (gradient[:, 0].square().mean(-1) / 2).sqrt())


@pytest.mark.parametrize("relative", [False, True])
def test_the_linearized_network_is_the_mean_of_its_jacobians(run, relative):
    network = StepNetwork(HISTORY, DIM, relative=relative).double()
    observation = seen(*run)
    action, jacobian = network.linearized(observation)
    torch.testing.assert_close(action, network(observation).detach())
    each = torch.stack([torch.func.jacrev(network)(one) for one in observation])
    torch.testing.assert_close(jacobian, each.mean(0).detach())


def test_extremes_stay_finite():
    network = StepNetwork(HISTORY, DIM, relative=True)
    change = torch.full((2, HISTORY), 1e4)
    for size in (0.0, 1e-30, 1e4):
        observation = seen(change, torch.full((2, HISTORY, DIM), size)).requires_grad_()
        action = network(observation)
        action.sum().backward()
        assert action.isfinite().all()
        assert observation.grad.isfinite().all()
