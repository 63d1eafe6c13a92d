import doctest
from itertools import pairwise

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3.common.env_checker import check_env as check_env_sb3

from pop_envs import LearningToOptimizeEnv, LearningToOptimizeVectorEnv, LogisticRegression
from pop_envs.lto import env as env_module
from pop_envs.lto.rewards import Reward
from pop_envs.objectives.learning_tasks import TASKS


def actions_for(envs, steps, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (steps, *envs.action_space.shape)).astype(np.float32)


@pytest.mark.parametrize("task", TASKS)
def test_both_checkers_have_nothing_to_say(task):
    env = gym.make("LearningToOptimize-v0", task=task)
    check_env(env.unwrapped, skip_render_check=True)
    check_env_sb3(env)


@pytest.mark.parametrize("task", TASKS)
def test_vector_env_equals_single_ones_for_two_episodes(task):
    kwargs = {"task": task, "history": 4, "budget": 6}
    vector, singles = LearningToOptimizeVectorEnv(5, **kwargs), [LearningToOptimizeEnv(**kwargs) for _ in range(5)]
    seen, _ = vector.reset(seed=7)
    for i, env in enumerate(singles):
        np.testing.assert_allclose(seen[i], env.reset(seed=7 + i)[0], rtol=1e-5, atol=1e-6)
    for t, actions in enumerate(actions_for(vector, 12)):
        seen, rewards, terminated, truncated, infos = vector.step(actions)
        assert not truncated.any()
        for i, env in enumerate(singles):
            obs, reward, done, _, info = env.step(actions[i])
            assert reward == pytest.approx(rewards[i])
            assert done == terminated[i] == (t in (5, 11))
            assert info["best_value"] == pytest.approx((infos["final_info"] if done else infos)["best_value"][i])
            if done:
                np.testing.assert_allclose(infos["final_obs"][i], obs, rtol=1e-5, atol=1e-6)
                obs, _ = env.reset()
            np.testing.assert_allclose(seen[i], obs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", AutoresetMode)
def test_vector_env_speaks_as_gymnasiums_own_vector_env(mode):
    kwargs = {"budget": 3, "history": 2}
    ours = LearningToOptimizeVectorEnv(4, autoreset_mode=mode, **kwargs)
    theirs = SyncVectorEnv([lambda: LearningToOptimizeEnv(**kwargs)] * 4, autoreset_mode=mode)
    assert ours.observation_space == theirs.observation_space

    def agree(a, b):
        assert all(data_equivalence(x, y, exact=False) for x, y in zip(a, b, strict=True))

    agree(ours.reset(seed=[3, 1, 4, 1]), theirs.reset(seed=[3, 1, 4, 1]))
    ended = np.zeros(4, bool)
    for t, actions in enumerate(actions_for(ours, 10)):
        mask = ended if mode is AutoresetMode.DISABLED else np.zeros(4, bool)
        if t == 2:  # from here on they end at different times
            mask = np.array([True, False, False, True])
        if mask.any():
            agree(ours.reset(options={"reset_mask": mask}), theirs.reset(options={"reset_mask": mask}))
        step = ours.step(actions)
        agree(step, theirs.step(actions))
        ended = step[2]


def test_observations_and_steps_are_what_the_specification_says():
    env = LearningToOptimizeEnv(history=3, budget=9, max_step=0.5)
    seen, info = env.reset(seed=1)
    points, values, gradients = [info["x"]], [info["value"]], []

    def gradient():
        x = torch.from_numpy(points[-1])[None]
        return env.episodes.core.functions.value_and_grad(x)[1][0].numpy()

    gradients.append(gradient())
    for action in actions_for(env, 9):
        changes = [values[-1] - v for v in values[-2:-5:-1]]
        expected = np.zeros(15)
        expected[: len(changes)] = changes
        latest = np.concatenate(gradients[:-4:-1])
        expected[3 : 3 + len(latest)] = latest
        np.testing.assert_allclose(seen, expected, rtol=1e-5, atol=1e-6)
        seen, reward, _, _, info = env.step(action)
        np.testing.assert_allclose(info["x"], points[-1] + 0.5 * action)
        assert reward == -info["value"]
        points.append(info["x"])
        values.append(info["value"])
        gradients.append(gradient())
    assert info["best_value"] == min(values)


def test_actions_beyond_the_bounds_are_clipped():
    env = LearningToOptimizeEnv()
    _, start = env.reset(seed=0)
    info = env.step(np.array([9.0, -9.0, 0.0, 1.0]))[-1]
    np.testing.assert_allclose(info["x"] - start["x"], [4, -4, 0, 4])


def test_relative_reward_and_one_of_ones_own():
    env = LearningToOptimizeEnv(reward="relative")
    _, start = env.reset(seed=0)
    _, reward, *_, info = env.step(np.full(4, 0.1))
    assert reward == pytest.approx(-info["value"] / start["value"])

    class Fall(Reward):
        def __call__(self, y, start):
            return start - y

    env = LearningToOptimizeEnv(reward=Fall())
    _, start = env.reset(seed=0)
    _, reward, *_, info = env.step(np.full(4, 0.1))
    assert reward == pytest.approx(start["value"] - info["value"])


def test_fixed_functions_one_for_each():
    functions = LogisticRegression().draw(3, np.random.default_rng(0))
    envs = LearningToOptimizeVectorEnv(3, objective=functions)
    _, infos = envs.reset(seed=[5, 5, 5])
    assert np.ptp(infos["x"], axis=0).max() == 0  # one start
    expected = functions.value_and_grad(torch.from_numpy(infos["x"]))[0]
    np.testing.assert_allclose(infos["value"], expected)
    single = LearningToOptimizeEnv(objective=functions.rows(torch.tensor([1])))
    assert single.reset(seed=5)[1]["value"] == pytest.approx(infos["value"][1])
    with pytest.raises(ValueError, match="one for each of the num_envs=4 runs, got 3"):
        LearningToOptimizeVectorEnv(4, objective=functions)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"task": "linear"}, "task must be one of 'logistic', 'robust', 'network', 'logistic_2d', got 'linear'"),
        ({"history": 0}, "history must be a positive integer"),
        ({"budget": 2.5}, "budget must be a positive integer"),
        ({"reward": "gap"}, "reward must be one of 'cost', 'relative'"),
        ({"max_step": -1.0}, "max_step must be positive and finite"),
        ({"objective": 3}, "objective must be a pop_envs.Objective, got int"),
    ],
)
def test_wrong_arguments_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        gym.make("LearningToOptimize-v0", **wrong)


@pytest.mark.parametrize(("task", "width"), [("logistic", 512), (LogisticRegression(features=1), 1024)])
def test_frames(task, width):
    env = LearningToOptimizeEnv(task=task, budget=3, render_mode="rgb_array")
    env.reset(seed=0)
    frames = [env.render()]
    for action in actions_for(env, 3):
        env.step(0.1 * action)
        frames.append(env.render())
    assert all(frame.shape == (448, width, 3) for frame in frames)
    assert all((a != b).any() for a, b in pairwise(frames))


def test_examples_in_the_specification():
    assert doctest.testmod(env_module).failed == 0
