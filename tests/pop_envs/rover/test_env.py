import warnings

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_of_sb3

import pop_envs
from pop_envs import BoxObjective, RoverEnv, RoverTask, RoverVectorEnv
from pop_envs.rover.core import Core


def actions(steps, envs, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 1, (steps, envs, 2)).astype(np.float32)


def test_both_checkers_pass():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*symmetric and normalized.*")
        warnings.filterwarnings("ignore", message=".*unconventional shape.*")
        check_env(gym.make("RoverDescent-v0").unwrapped, skip_render_check=True)
        check_env_of_sb3(gym.make("RoverDescent-v0").unwrapped)


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_single_environments_equal_the_vector_environment(noise):
    settings = {"budget": 4, "noise": noise, "direction": "best"}
    many = RoverVectorEnv(3, **settings)
    first, _ = many.reset(seed=11)
    singles = [RoverEnv(**settings) for _ in range(3)]
    for i, env in enumerate(singles):
        np.testing.assert_array_equal(env.reset(seed=11 + i)[0], first[i])
    for action in actions(10, 3):
        seen, rewards, ended, _, infos = many.step(action)
        for i, env in enumerate(singles):
            alone, reward, done, _, info = env.step(action[i])
            assert reward == pytest.approx(rewards[i], rel=1e-12)
            assert done == ended[i]
            if done:
                np.testing.assert_array_equal(infos["final_obs"][i], alone)
                assert infos["final_info"]["value"][i] == info["value"]
                alone, info = env.reset()
            np.testing.assert_array_equal(seen[i], alone)
            assert info["alpha"] == infos["alpha"][i]


@pytest.mark.parametrize("mode", ["SameStep", "NextStep", "Disabled"])
def test_autoreset(mode):
    env = RoverVectorEnv(2, budget=3, autoreset_mode=mode)
    env.reset(seed=0)
    for step in range(3):
        *_, ended, _, info = env.step(actions(3, 2)[step])
    assert ended.all()
    if mode == "SameStep":
        assert "final_obs" in info
    elif mode == "NextStep":
        assert env.step(actions(1, 2)[0])[1].tolist() == [0, 0]
    else:
        with pytest.raises(gym.error.ResetNeeded):
            env.step(actions(1, 2)[0])
        env.reset(options={"reset_mask": np.array([True, False])})
        env.reset(options={"reset_mask": np.array([False, True])})
        assert env.step(actions(1, 2)[0])[4]["evaluations"].tolist() == [50, 50]


def test_the_observation_is_the_rescaled_grid_and_nothing_else():
    env = RoverVectorEnv(64, direction="gradient")
    seen, info = env.reset(seed=1)
    assert seen.shape == (64, 5, 5)
    assert (seen.reshape(64, -1).min(1) == 0).all()
    assert (seen.reshape(64, -1).max(1) == 1).all()
    core = env.episodes.core
    x, delta = torch.from_numpy(info["x"]), torch.from_numpy(info["delta"])
    corner = core.functions.values_at((x - 2 * delta[:, None])[:, None])[:, 0]
    torch.testing.assert_close(core.search.values[:, 0], corner)


def test_scales_are_drawn_between_their_bounds_and_changed_by_actions():
    env = RoverVectorEnv(256, alpha=(0.1, 0.4), delta=(0.5, 0.5), direction="gradient")
    _, before = env.reset(seed=0)
    assert 0.1 <= before["alpha"].min() < 0.12 < 0.35 < before["alpha"].max() <= 0.4
    assert (before["delta"] == 0.5).all()
    _, _, _, _, after = env.step(np.full((256, 2), (1.0, -0.5), np.float32))
    np.testing.assert_allclose(after["alpha"], 2 * before["alpha"])
    np.testing.assert_allclose(after["delta"], before["delta"] / 2)
    np.testing.assert_allclose(np.linalg.norm(after["x"] - before["x"], axis=1), before["alpha"])


def test_teachers_with_their_best_step_reach_the_minimum_of_a_bowl():
    core = Core(8, RoverTask(families=("quadratic",), direction="newton"))
    core.reset([np.random.default_rng(i) for i in range(8)])
    distance = (core.search.x - core.functions.minimizer).norm(dim=1)
    core.place(core.search.x, distance, distance)
    core.step(torch.zeros(8, 2))
    assert core.search.y.max() < 1e-20


def test_rewards_by_name_and_by_object():
    class Ones(pop_envs.rover.rewards.Reward):
        def __call__(self, path):
            return torch.ones_like(path.minimum)

    env = RoverEnv(reward=Ones())
    env.reset(seed=0)
    assert env.step(np.zeros(2))[1] == 1
    env = RoverEnv(reward="value")
    env.reset(seed=0)
    _, reward, *_, info = env.step(np.zeros(2))
    assert reward == -info["value"]


def test_an_objective_of_ones_own():
    sphere = BoxObjective(lambda x: ((x**2).sum(-1), 2 * x), [-5, -5], [5, 5], minimum=0.0)
    env = RoverEnv(objective=sphere, direction=lambda seen: torch.tensor([[1.0, 0.0]]).expand(len(seen), 2))
    _, info = env.reset(seed=0)
    assert info["value"] == pytest.approx((info["x"] ** 2).sum())
    _, _, _, _, after = env.step(np.zeros(2))
    assert after["x"][1] == pytest.approx(info["x"][1])
    assert after["x"][0] == pytest.approx(min(5, info["x"][0] + 5 * info["alpha"]))


def test_rendering_shows_the_grids():
    pytest.importorskip("matplotlib")
    env = gym.make("RoverDescent-v0", render_mode="rgb_array", families=("valley",))
    env.reset(seed=0)
    frames = []
    for _ in range(2):
        env.step(np.zeros(2, np.float32))
        frames.append(env.render())
    assert frames[0].shape == (448, 1024, 3)
    assert not np.array_equal(*frames)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n": 4}, "n must be odd"),
        ({"n": 7}, "sees grids of 5 x 5, got n=7"),
        ({"noise": -1}, "noise must be at least 0"),
        ({"alpha": (1, 0.5)}, "alpha must be two positive numbers in order"),
        ({"families": ("hill",)}, "family must be one of"),
        ({"reward": "gold"}, "reward must be one of"),
        ({"direction": "north"}, "direction must be one of"),
        ({"objective": 3}, "objective must be a pop_envs.Objective of 2 coordinates"),
        ({"budget": 0}, "budget must be a positive integer"),
    ],
)
def test_bad_arguments(settings, message):
    with pytest.raises(ValueError, match=message):
        RoverEnv(**settings)
