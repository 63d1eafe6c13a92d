"""Training on another device than the CPU: all that is computed is computed there."""

from dataclasses import replace

import torch
from stable_baselines3.common.logger import configure

from agents.train import new_model
from agents.training.config import TrainConfig
from second_device import OnSecond, SecondDevice

TINY = TrainConfig(width=8, heads=2, episodes=8, batch_episodes=4, epochs=1).changed(
    budget=3, prior="gp", reward="improvement"
)


def learned(device):
    model = new_model(replace(TINY, device=device))
    # A real device keeps parameters what they are when a module moves there; these are new ones.
    model.policy.optimizer.param_groups[0]["params"] = list(model.policy.parameters())
    model.set_logger(configure(None, []))
    model.learn(48)
    return list(model.policy.parameters())


def test_a_training_on_a_second_device_is_that_on_the_cpu():
    here = learned("cpu")
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with SecondDevice():
            there = learned("hpu")
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(False)
    assert all(isinstance(weights, OnSecond) for weights in there)
    for one, other in zip(there, here, strict=True):
        assert torch.equal(one.detach().as_subclass(torch.Tensor), other.detach())
