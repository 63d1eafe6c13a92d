import numpy as np
import pytest
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor

from agents.vec_env import AlternatingVecEnv, GymnasiumVecEnv
from pop_envs import POPEnv, POPVectorEnv

NUM = 4
TURNS = ((4, 2, 3), (3, 1, 2), (2, 3, 4))  # runs, coordinates and steps of the environments that take turns


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
    assert env.has_attr("episodes")
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


def envs_of(turns=TURNS, **kwargs):
    """Environments of their own sizes, dimensions and budgets."""
    kwargs = {"step_rule": "signed", "observation": "token", **kwargs}
    return [POPVectorEnv(num, dim=dim, budget=budget, **kwargs) for num, dim, budget in turns]


def episode(env, obs, seed):
    """All that one episode tells, from its first observations on, under actions that the seed draws."""
    rng, told, dones = np.random.default_rng(seed), [obs], np.zeros(1, dtype=bool)
    while not dones.all():
        actions = rng.uniform(-1, 1, (env.num_envs, *env.action_space.shape)).astype(np.float32)
        obs, rewards, dones, infos = env.step(actions)
        told.append((obs, rewards, dones, infos))
    return told, obs


def rounds(env, count=2, turns=TURNS):
    """Episodes by environment, of so many rounds; an episode's actions are its round's and environment's."""
    obs, episodes = env.reset(), [[] for _ in turns]
    for k in range(count):
        for i in range(len(turns)):
            told, obs = episode(env, obs, (k, i))
            episodes[i].append(told)
    return episodes


def check_same(one, other):
    """Of two episodes all is the same but for the observations at the end, which may be another environment's."""
    np.testing.assert_array_equal(one[0], other[0])
    assert len(one) == len(other)
    for (obs, rewards, dones, infos), expected in zip(one[1:], other[1:], strict=True):
        if not dones.all():
            np.testing.assert_array_equal(obs, expected[0])
        np.testing.assert_array_equal(rewards, expected[1])
        np.testing.assert_array_equal(dones, expected[2])
        for info, as_expected in zip(infos, expected[3], strict=True):
            assert info.keys() == as_expected.keys()
            for key, value in info.items():
                np.testing.assert_array_equal(value, as_expected[key], err_msg=key)


def test_environments_take_turns_an_episode_each():
    envs = envs_of()
    env = AlternatingVecEnv(envs)
    obs = env.reset()
    for _ in range(2):
        for turn, (num, dim, budget) in zip(envs, TURNS, strict=True):
            for step in range(budget):
                assert env.env is turn
                assert env.num_envs == num
                assert env.get_attr("budget") == [budget] * num
                assert env.observation_space == turn.single_observation_space
                assert env.action_space == turn.single_action_space
                assert obs.shape == (num, *env.observation_space.shape) == (num, dim, 4)
                assert (obs[..., 0] == np.float32(step / budget)).all()  # the time: it is begun at the beginning
                obs, rewards, dones, infos = env.step(np.zeros((num, dim), np.float32))
                assert rewards.shape == dones.shape == (num,)
                assert dones.tolist() == [step == budget - 1] * num
                assert len(infos) == num
            assert [info["terminal_observation"].shape for info in infos] == [(dim, 4)] * num


@pytest.mark.parametrize("number", [1, 2, 3])
def test_each_has_the_episodes_that_it_would_have_alone(number):
    turns = TURNS[:number]
    env = AlternatingVecEnv(envs_of(turns))
    env.seed(7)
    episodes = rounds(env, 3, turns)
    derived = np.random.SeedSequence(7).generate_state(number)
    assert len(np.unique(derived)) == number
    for i, (alone, seed) in enumerate(zip(envs_of(turns), derived.tolist(), strict=True)):
        alone = GymnasiumVecEnv(alone)
        alone.seed(seed)
        obs = alone.reset()
        for k in range(3):
            told, obs = episode(alone, obs, (k, i))
            check_same(episodes[i][k], told)


def test_the_same_seed_gives_the_same_sequence_of_turns():
    env, other = AlternatingVecEnv(envs_of()), AlternatingVecEnv(envs_of())
    env.reset()
    for num, dim in [(4, 2)] * 3 + [(3, 1)]:  # broken off within the second turn
        env.step(np.zeros((num, dim), np.float32))
    for each in (env, other):
        each.seed(5)
    for one, same in zip(rounds(env), rounds(other), strict=True):
        for k in range(2):
            check_same(one[k], same[k])
    env.seed(6)
    for one, another in zip(rounds(env), rounds(other), strict=True):
        assert all((a[0] != b[0]).any() for a, b in zip(one, another, strict=True))


def test_seeds_hold_for_one_reset_of_all_that_take_turns():
    env = AlternatingVecEnv(envs_of())
    env.seed(0)
    first, second = rounds(env, 1), rounds(env, 1)
    assert all((one[0][0] != other[0][0]).any() for one, other in zip(first, second, strict=True))
    env.seed(0)
    for one, again in zip(first, rounds(env, 1), strict=True):
        check_same(one[0], again[0])


def test_a_reset_gives_the_first_the_next_turn():
    env = AlternatingVecEnv(envs_of())
    env.reset()
    for _ in range(3):
        obs, *_ = env.step(np.zeros((4, 2), np.float32))
    assert obs.shape == (3, 1, 4)
    assert env.reset().shape == (4, 2, 4)
    assert (env.num_envs, env.action_space.shape) == (4, (2,))


def test_all_that_take_turns_are_closed():
    envs = envs_of()
    AlternatingVecEnv(envs).close()
    assert all(env.closed for env in envs)


@pytest.mark.parametrize("place", [0, 1])
def test_all_that_take_turns_need_same_step_autoreset(place):
    envs = envs_of()
    envs[place] = POPVectorEnv(2, autoreset_mode="NextStep")
    with pytest.raises(ValueError, match="autoreset_mode SAME_STEP, got AutoresetMode"):
        AlternatingVecEnv(envs)
