"""The examples on learning run, for a short while, and show what they say."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pop_envs.objectives.base import evaluate

EXAMPLES = Path(__file__).parents[1] / "examples"


def module_of(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # where dataclasses look annotations up
    spec.loader.exec_module(module)
    return module


def test_cleanrl_ppo_learns(capsys):
    module = module_of("cleanrl_ppo")
    returns = module.main(module.Args(num_envs=16, updates=14))
    assert len(returns) == 14
    assert np.mean(returns[-5:]) > np.mean(returns[:5])
    assert "update 10" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_torchrl_plays_an_episode():
    pytest.importorskip("torchrl", reason="torchrl is not among this project's requirements: pip install torchrl")
    shape, gained = module_of("torchrl_env").main(steps=5)
    assert shape == (5, 2, 40)
    assert np.isfinite(gained)


def test_a_prior_of_ones_own_is_consistent():
    prior = module_of("own_prior").RipplePrior()
    functions = prior.sample(4, 3, np.random.default_rng(0))
    points = torch.rand(4, 3, dtype=torch.float64) * 2 - 1
    values, gradients = evaluate(functions, points)
    torch.testing.assert_close(functions.values_on(points).diagonal(), values)
    x = points.clone().requires_grad_()
    functions.value_and_grad(x)[0].sum().backward()
    torch.testing.assert_close(x.grad, gradients)
    torch.testing.assert_close(evaluate(functions, functions.center)[0], torch.zeros(4, dtype=torch.float64))


@pytest.mark.parametrize("name", ["own_prior", "own_reward", "own_step_rule"])
def test_ones_own_parts_run_and_take_one_page(name, capsys):
    module = module_of(name)
    assert len((EXAMPLES / f"{name}.py").read_text("utf-8").splitlines()) <= 90
    found = module.main()
    assert capsys.readouterr().out
    if name == "own_reward":
        assert found.min() >= -30
        assert found.max() > -30  # some are solved
    if name == "own_step_rule":
        assert found[0.7] > found[0.0]


def test_curriculum_goes_through_the_dimensions():
    model, played = module_of("curriculum").main((2, 3), updates=2, episodes=6, width=8, heads=2)
    assert played[:4] == [2, 2, 3, 3]
    assert model.policy.predict(np.zeros((1, 5, 40), np.float32))[0].shape == (1, 5)


def test_imitation_comes_near_the_expert():
    returns = module_of("imitation").main(num_envs=64, rounds=2, epochs=10)
    assert returns["student"] > returns["untrained"] + 0.5 * (returns["expert"] - returns["untrained"])
