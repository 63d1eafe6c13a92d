"""Every algorithm of SB3 and sb3-contrib for continuous actions learns on POP-v0, for a short while."""

import gymnasium
import numpy as np
import pytest
import torch
from sb3_contrib import TQC, TRPO, RecurrentPPO
from stable_baselines3 import A2C, DDPG, PPO, SAC, TD3

from agents.pop.extractor import TrajectoryExtractor
from agents.vec_env import GymnasiumVecEnv
from pop_envs import GPPrior

BUDGET = 5
EXTRACTOR = {
    "features_extractor_class": TrajectoryExtractor,
    "features_extractor_kwargs": {"width": 8, "depth": 1, "heads": 2},
}
ON_POLICY = {"n_steps": 20, "batch_size": 20}
OFF_POLICY = {"buffer_size": 200, "learning_starts": 20, "batch_size": 16, "train_freq": 5, "gradient_steps": 2}
ALGORITHMS = {
    "PPO": (PPO, {**ON_POLICY, "n_epochs": 2}),
    "A2C": (A2C, {}),
    "TRPO": (TRPO, ON_POLICY),
    "RecurrentPPO": (RecurrentPPO, {**ON_POLICY, "n_epochs": 2}),
    "SAC": (SAC, OFF_POLICY),
    "TD3": (TD3, OFF_POLICY),
    "DDPG": (DDPG, OFF_POLICY),
    "TQC": (TQC, OFF_POLICY),
}


def env_of(kind, observation="trajectory"):
    options = {"budget": BUDGET, "observation": observation, "prior": GPPrior(num_features=8)}
    if kind == "single":  # SB3 puts it into its own DummyVecEnv
        return gymnasium.make("pop_envs:POP-v0", **options)
    return GymnasiumVecEnv(gymnasium.make_vec("pop_envs:POP-v0", num_envs=4, **options))


def model_of(name, env, **policy_kwargs):
    algorithm, options = ALGORITHMS[name]
    policy_kwargs = {"net_arch": [8], **policy_kwargs}
    if name == "RecurrentPPO":
        policy_kwargs["lstm_hidden_size"] = 8
    policy = "MlpLstmPolicy" if name == "RecurrentPPO" else "MlpPolicy"
    # A2C's learning rate moves weights of every layer within a few updates, and so it serves all.
    return algorithm(policy, env, learning_rate=7e-4, seed=0, device="cpu", policy_kwargs=policy_kwargs, **options)


def copied(model):
    return {name: weights.clone() for name, weights in model.policy.state_dict().items()}


def check_that_it_learns(model, folder):
    before = copied(model)
    model.learn(120, log_interval=10_000)  # the logger keeps what is never written
    after = copied(model)
    losses = {name: value for name, value in model.logger.name_to_value.items() if name.endswith(("loss", "objective"))}
    assert losses
    assert all(np.isfinite(value) for value in losses.values()), losses
    assert all(weights.isfinite().all() for weights in after.values())
    still = [name for name, weights in after.items() if torch.equal(weights, before[name])]
    assert not still

    model.save(folder / "model")
    loaded = type(model).load(folder / "model", device="cpu")
    observations = model.env.reset()
    for _ in range(2):
        observations, *_ = model.env.step(np.full((model.env.num_envs, 2), 0.3, np.float32))
    np.testing.assert_array_equal(
        loaded.predict(observations, deterministic=True)[0], model.predict(observations, deterministic=True)[0]
    )


@pytest.mark.parametrize("kind", ["single", "vector"])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_it_learns_with_the_trajectory_extractor(name, kind, tmp_path):
    model = model_of(name, env_of(kind), **EXTRACTOR)
    assert any("features_extractor.transformer" in weights for weights in model.policy.state_dict())
    check_that_it_learns(model, tmp_path)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_it_learns_with_the_stock_policy(name, tmp_path):
    check_that_it_learns(model_of(name, env_of("vector")), tmp_path)


def test_recurrent_ppo_learns_on_tokens(tmp_path):
    check_that_it_learns(model_of("RecurrentPPO", env_of("vector", "token")), tmp_path)
