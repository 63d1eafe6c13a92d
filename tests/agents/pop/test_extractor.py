import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecNormalize

import agents.pop.extractor
import pop_envs  # noqa: F401 (registers POP-v0)
from agents.pop.extractor import TrajectoryExtractor
from agents.vec_env import GymnasiumVecEnv
from pop_envs.pop.step_rules import GradientStep
from pop_envs.pop.tokens import TIME, PaperTokens, TokenSpace

SHAPE = {"width": 8, "depth": 2, "heads": 2}


def made(**options):
    torch.manual_seed(0)
    env = gymnasium.make("POP-v0", **options)
    return env, TrajectoryExtractor(env.observation_space, **SHAPE)


@torch.no_grad()
def test_each_step_of_an_episode_gives_the_hidden_states_of_its_newest_token():
    env, extractor = made(dim=3, budget=6, tokens="full", step_rule="signed")
    observation, _ = env.reset(seed=1)
    env.action_space.seed(0)
    for t in range(7):
        features = extractor(torch.as_tensor(observation)[None])
        assert features.shape == (1, 24) == (1, extractor.features_dim)
        seen = torch.as_tensor(observation[: t + 1]).transpose(0, 1)  # (dim, t + 1, features)
        expected = extractor.transformer(seen[None])[0, :, -1].flatten()
        torch.testing.assert_close(features[0], expected, atol=1e-5, rtol=0)
        if t < 6:
            observation, *_ = env.step(env.action_space.sample())


@pytest.mark.parametrize("budget", [1, 2, 7, 50, 333, 1000])
def test_the_length_is_read_from_the_time_at_every_step(budget, monkeypatch):
    extractor = TrajectoryExtractor(TokenSpace(PaperTokens(), GradientStep(), budget, (budget + 1, 1)), **SHAPE)
    lengths = []
    monkeypatch.setattr(agents.pop.extractor, "last_hidden", lambda _, tokens, length: lengths.append(length) or tokens)
    time = (torch.arange(budget + 1) / budget).to(torch.float32)
    observations = torch.zeros(budget + 1, budget + 1, 1, 4)
    observations[..., PaperTokens.features.index(TIME)] = torch.tril(time.expand(budget + 1, -1))[..., None]
    extractor(observations)
    torch.testing.assert_close(lengths[0], torch.arange(budget + 1) + 1)


@torch.no_grad()
def test_rows_that_are_still_to_come_do_not_matter():
    env, extractor = made(budget=6)
    observation, _ = env.reset(seed=1)
    observation, *_ = env.step(np.zeros(2, np.float32))
    tokens = torch.as_tensor(observation)[None]
    other = tokens.clone()
    other[:, 2:, :, 1:] = 7.0  # all but the time
    torch.testing.assert_close(extractor(other), extractor(tokens))
    other[:, 0, 0, 1] += 0.1
    assert (extractor(other) - extractor(tokens)).abs().max() > 1e-4


def test_gradients_reach_every_layer():
    env, extractor = made(budget=4)
    observation, _ = env.reset(seed=1)
    observation, *_ = env.step(np.zeros(2, np.float32))
    (extractor(torch.as_tensor(observation)[None]) * torch.arange(16)).sum().backward()
    assert all(weights.grad.abs().sum() > 0 for weights in extractor.parameters())


def test_token_observations_are_refused():
    env = gymnasium.make("POP-v0", observation="token")
    with pytest.raises(ValueError, match='make the environment with observation="trajectory"'):
        TrajectoryExtractor(env.observation_space)


@pytest.mark.parametrize(("norm_obs", "clip_obs"), [(True, 10.0), (True, 1.0), (False, 10.0)])
def test_observations_that_a_wrapper_has_scaled_are_refused(norm_obs, clip_obs):
    env = GymnasiumVecEnv(gymnasium.make_vec("POP-v0", num_envs=4, budget=5))
    env = VecNormalize(env, norm_obs=norm_obs, clip_obs=clip_obs)
    options = {"features_extractor_class": TrajectoryExtractor, "features_extractor_kwargs": SHAPE}
    model = PPO("MlpPolicy", env, n_steps=5, batch_size=20, n_epochs=1, policy_kwargs=options, device="cpu")
    if not norm_obs:
        model.learn(20)
        return
    with pytest.raises(ValueError, match="a wrapper that scales observations"):
        model.learn(20)


def test_a_space_that_names_no_features_is_refused():
    env, _ = made(budget=4)
    plain = gymnasium.spaces.Box(-1, 1, env.observation_space.shape)
    with pytest.raises(ValueError, match="whose space names its features"):
        TrajectoryExtractor(plain)


def test_sb3_trains_in_double_precision():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        env = GymnasiumVecEnv(gymnasium.make_vec("POP-v0", num_envs=4, budget=5))
        options = {"features_extractor_class": TrajectoryExtractor, "features_extractor_kwargs": SHAPE}
        PPO("MlpPolicy", env, n_steps=5, batch_size=20, n_epochs=1, policy_kwargs=options, device="cpu").learn(20)
    finally:
        torch.set_default_dtype(before)
