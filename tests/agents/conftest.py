import pytest
import torch
from gymnasium import spaces

from agents.checkpoint import Card, build_policy, save_checkpoint
from agents.policy import TrajectoryPolicy

torch.set_num_threads(1)  # tensors this small are slower on several, and much slower on busy ones


def made_policy(dim=2, num_features=7, head="mixture", seed=0, spread=0.1, **shape):
    """A small policy whose weights are moved at random, for all of them to matter."""
    torch.manual_seed(seed)
    shape = {"width": 16, "depth": 2, "heads": 2, **shape}
    observations, actions = spaces.Box(-10, 10, (dim, num_features)), spaces.Box(-1, 1, (dim,))
    policy = TrajectoryPolicy(observations, actions, lambda _: 1e-3, head=head, **shape)
    with torch.no_grad():
        for weights in policy.parameters():
            weights.add_(spread * torch.randn_like(weights))
    policy.set_training_mode(False)
    return policy


def made_card(**changes):
    card = {
        "preset": "quick",
        "seed": 3,
        "functions": 7,
        "seconds": 1.5,
        "budget": 50,
        "dims": (2,),
        "step_rule": "quasi_newton",
        "tokens": "full",
        "policy": {"head": "mixture", "width": 16, "depth": 1, "heads": 2, "mixing": False},
        "prior": {"name": "gp"},
        "validation": {},
    }
    return Card(**{**card, **changes})


@pytest.fixture
def policy_of():
    return made_policy


@pytest.fixture
def card_of():
    return made_card


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """The folder of an untrained checkpoint: a quasi-Newton method that now and then jumps."""
    folder = tmp_path_factory.mktemp("checkpoint")
    card = made_card()
    torch.manual_seed(0)
    save_checkpoint(folder, build_policy(card), card)
    return folder
