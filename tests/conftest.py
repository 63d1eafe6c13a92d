import os

import pytest
import torch
from gymnasium import spaces

from agents.pop.policy import TrajectoryPolicy
from browser import chromium
from pop_envs import POPTask
from pop_envs.pop.step_rules import SignedStep
from pop_envs.pop.tokens import EXHAUSTED, LOWEST, SURROGATE, TIME, TOKENS, TRUST_REGION, Tokens, TokenSpace
from pop_optimizer.checkpoint import Card, save_checkpoint

torch.set_num_threads(1)  # tensors this small are slower on several, and much slower on busy ones


class MadeTokens(Tokens):
    """Tokens of eight features, the last three of which are proposed actions."""

    features = (TIME, "0", "1", "2", EXHAUSTED, SURROGATE, TRUST_REGION, LOWEST)

    def __call__(self, run, step_rule, budget):
        raise NotImplementedError

    def limits(self, budget):
        return (10.0,) * len(self.features)


def made_policy(dim=2, head="mixture", seed=0, spread=0.1, tokens=None, **shape):
    """A small policy whose weights are moved at random, for all of them to matter; of the tokens named, if any."""
    torch.manual_seed(seed)
    shape = {"width": 16, "depth": 2, "heads": 2, **shape}
    observations, actions = (
        TokenSpace(TOKENS[tokens]() if tokens else MadeTokens(), SignedStep(), 50, (dim,)),
        spaces.Box(-1, 1, (dim,)),
    )
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
        "task": POPTask(step_rule="quasi_newton", tokens="full"),
        "prior": {"num_features": 96},
        "dims": (2,),
        "policy": {"head": "mixture", "width": 16, "depth": 1, "heads": 2, "mixing": False},
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
    save_checkpoint(folder, card.network(), card)
    return folder


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    path = chromium()
    if path is None:
        pytest.skip("no browser, and none can be installed: install chromium (on Debian, apt install chromium)")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(
            executable_path=path, args=["--no-sandbox"] if os.geteuid() == 0 else [], timeout=60_000
        )
        yield found
        found.close()
