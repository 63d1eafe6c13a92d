import numpy as np
import pytest
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor

from agents.vec_env import GymnasiumVecEnv
from pop_envs import POPEnv, POPVectorEnv

NUM = 4


def make(**kwargs):
    return GymnasiumVecEnv(POPVectorEnv(NUM, **{"budget": 3, "step_rule": "signed", **kwargs}))


def test_it_does_what_a_dummy_vec_env_of_single_ones_does():
    ours, theirs = make(), DummyVecEnv([lambda: POPEnv(budget=3, step_rule="signed")] * NUM)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert ours.seed(3) == theirs.seed(3)
    np.testing.assert_allclose(ours.reset(), theirs.reset(), atol=1e-5)
    for actions in np.random.default_rng(0).uniform(-1, 1, (7, NUM, 2)).astype(np.float32):
        (obs, rewards, dones, infos), expected = ours.step(actions), theirs.step(actions)
        np.testing.assert_allclose(obs, expected[0], atol=1e-5)
        np.testing.assert_allclose(rewards, expected[1], atol=1e-5)
        assert rewards.dtype == expected[1].dtype
        np.testing.assert_array_equal(dones, expected[2])
        for done, info, other in zip(dones, infos, expected[3], strict=True):
            if not done:
                assert info == {}  # what costs nothing
                continue
            assert info.keys() == other.keys()
            assert info["TimeLimit.truncated"] is other["TimeLimit.truncated"] is False
            np.testing.assert_allclose(info["terminal_observation"], other["terminal_observation"], atol=1e-5)
            np.testing.assert_allclose(info["best_x"], other["best_x"])
            assert info["best_value"] == pytest.approx(other["best_value"])


def test_seeds_hold_for_one_reset():
    env = make()
    env.seed(0)
    first, second = env.reset(), env.reset()
    assert (first != second).any()
    env.seed(0)
    np.testing.assert_array_equal(env.reset(), first)


def test_options_reach_the_environment():
    env = make()
    env.reset()
    env.set_options({"reset_mask": np.array([True, False, False, False])})
    assert (env.reset()[1:] != 0).any()
    env.set_options([{"a": i} for i in range(NUM)])
    with pytest.raises(ValueError, match="same options"):
        env.reset()


def test_ppo_learns_with_it_and_is_evaluated():
    env = VecMonitor(make())
    model = PPO("MlpPolicy", env, n_steps=6, batch_size=12, n_epochs=1, seed=0)
    model.learn(2 * 6 * NUM)
    assert [episode["l"] for episode in model.ep_info_buffer] == [3] * len(model.ep_info_buffer)
    assert len(model.ep_info_buffer) == 4 * NUM
    mean, _ = evaluate_policy(model, env, n_eval_episodes=2 * NUM)
    assert np.isfinite(mean)


def test_nested_infos_of_wrappers_are_taken_apart():
    env = GymnasiumVecEnv(RecordEpisodeStatistics(POPVectorEnv(NUM, budget=2)))
    env.reset()
    env.step(np.zeros((NUM, 2)))
    *_, infos = env.step(np.zeros((NUM, 2)))
    assert [info["best_x"].shape for info in infos] == [(2,)] * NUM


def test_attributes_and_methods_belong_to_all():
    env = make()
    assert env.get_attr("budget") == [3] * NUM
    assert env.get_attr("budget", indices=[0, 2]) == [3, 3]
    assert env.has_attr("core")
    assert not env.has_attr("colour")
    env.set_attr("colour", "red")
    assert env.get_attr("colour", 1) == ["red"]
    assert len(env.env_method("reset", seed=0)) == NUM
    for call in (lambda: env.set_attr("budget", 4, indices=0), lambda: env.env_method("reset", indices=[1])):
        with pytest.raises(ValueError, match="share their state"):
            call()
    assert env.env_is_wrapped(Monitor) == [False] * NUM
    env.close()


def test_images():
    env = make(dim=3, render_mode="rgb_array")
    assert env.render_mode == "rgb_array"
    env.reset()
    assert [image.shape for image in env.get_images()] == [(448, 512, 3)] * NUM
    assert env.render().shape == (2 * 448, 2 * 512, 3)


@pytest.mark.parametrize("mode", ["NextStep", "Disabled"])
def test_it_needs_same_step_autoreset(mode):
    with pytest.raises(ValueError, match="autoreset_mode SAME_STEP, got AutoresetMode"):
        GymnasiumVecEnv(POPVectorEnv(2, autoreset_mode=mode))
