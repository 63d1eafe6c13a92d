import gymnasium as gym
import numpy as np
import pytest
import torch
from sb3_contrib import TRPO
from stable_baselines3 import PPO, SAC

from agents.lto.actors import SACStepPolicy, ScaledFeatures, StepActorCritic, clone, exported, momentum_runs
from agents.lto.policy import input_scale
from agents.vec_env import GymnasiumVecEnv
from pop_envs import LTOTask
from pop_envs.objectives.learning_tasks import functions_for
from pop_optimizer.networks.steps import StepNetwork

TASK = LTOTask(history=5, budget=10)


def model(make, policy, relative=False):
    env = GymnasiumVecEnv(gym.make_vec("LearningToOptimize-v0", num_envs=4, **vars(TASK)))
    scale = [0.5] * 5 + [2.0] * 20
    kwargs = {"features_extractor_class": ScaledFeatures, "features_extractor_kwargs": {"scale": scale}}
    kwargs["relative"] = relative
    own = {"buffer_size": 100, "learning_starts": 4} if make is SAC else {"n_steps": 10, "batch_size": 20}
    return make(policy, env, policy_kwargs=kwargs, seed=0, device="cpu", **own)


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize(("make", "policy"), [(PPO, StepActorCritic), (TRPO, StepActorCritic), (SAC, SACStepPolicy)])
def test_the_exported_network_acts_as_the_policys_mode(make, policy, relative, tmp_path):
    ours = model(make, policy, relative)
    before = {name: weights.clone() for name, weights in exported(ours.policy).state_dict().items()}
    ours.learn(80)
    network = exported(ours.policy)
    assert network.relative == relative
    assert (network.hidden.weight != before["hidden.weight"]).any()
    observation = np.random.default_rng(0).normal(size=(6, 25)).astype(np.float32)
    expected, _ = ours.predict(observation, deterministic=True)
    with torch.no_grad():
        ours_acts = network(torch.from_numpy(observation)).clamp(-1, 1)
    np.testing.assert_allclose(ours_acts, expected, atol=1e-5)
    ours.save(tmp_path / "model.zip")
    again = make.load(tmp_path / "model.zip", device="cpu")
    np.testing.assert_allclose(again.predict(observation, deterministic=True)[0], expected, atol=1e-6)


def test_a_clone_of_momentum_does_what_momentum_does():
    torch.manual_seed(0)
    functions, x0 = functions_for("training", TASK.make_task())
    observations, actions, setting = momentum_runs(TASK, functions, x0)
    assert observations.shape == (900, 25)
    first = (-setting.step_size * functions.value_and_grad(x0)[1] / 4).clamp(-1, 1)
    torch.testing.assert_close(actions[:90], first.float())
    network = StepNetwork(5, 4)
    network.scale.copy_(input_scale(observations, 5))
    clone(network, observations, actions, epochs=60)
    with torch.no_grad():
        off = (network(observations) - actions).square().mean().sqrt()
    assert off < 0.25 * actions.square().mean().sqrt()


def test_one_scale_for_changes_and_one_for_gradients():
    observations = torch.tensor([[3.0, 0.0, 0.0, 8.0], [3.0, 0.0, 0.0, 0.0]])
    torch.testing.assert_close(input_scale(observations, 2), torch.tensor([2**0.5 / 3, 2**0.5 / 3, 0.25, 0.25]))
