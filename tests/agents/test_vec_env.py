import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor

from agents.vec_env import DrawnVecEnv, GymnasiumVecEnv
from pop_envs import GPPrior, POPEnv, POPVectorEnv

NUM = 4
KINDS = ((4, 2, 3), (3, 1, 2), (2, 3, 4))  # runs, coordinates and steps of the environments that are drawn
FIRST = (5, 2, 3)


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


def env_of(kind, mode="Disabled", **kwargs):
    """An environment of its own size, dimension and budget."""
    num, dim, budget = kind
    kwargs = {"step_rule": "signed", "observation": "token", **kwargs}
    return POPVectorEnv(num, dim=dim, budget=budget, autoreset_mode=mode, **kwargs)


class Drawing:
    """A ``DrawnVecEnv`` of the kinds above, and what it drew: the kinds and the environments, in their order."""

    def __init__(self, **kwargs):
        self.kinds, self.drawn, self.kwargs = [], [], kwargs
        self.first = env_of(FIRST, **kwargs)
        self.env = DrawnVecEnv(self.first, self.draw)

    def draw(self, rng):
        self.kinds.append(KINDS[rng.integers(len(KINDS))])
        self.drawn.append(env_of(self.kinds[-1], **self.kwargs))
        return self.drawn[-1]

    def episodes(self, count, obs=None):
        """All that so many episodes tell, each with its first observations, under actions that its number draws."""
        obs, told = self.env.reset() if obs is None else obs, []
        for k in range(count):
            rng, episode, dones = np.random.default_rng(k), [obs], np.zeros(1, dtype=bool)
            while not dones.all():
                actions = rng.uniform(-1, 1, (self.env.num_envs, *self.env.action_space.shape)).astype(np.float32)
                obs, rewards, dones, infos = self.env.step(actions)
                episode.append((obs, rewards, dones, infos))
            told.append(episode)
        return told


def check_same(one, other):
    """Of two sequences of episodes all is the same."""
    for episode, expected in zip(one, other, strict=True):
        np.testing.assert_array_equal(episode[0], expected[0])
        for (*arrays, infos), (*others, as_expected) in zip(episode[1:], expected[1:], strict=True):
            for array, like in zip(arrays, others, strict=True):
                np.testing.assert_array_equal(array, like)
            for info, like in zip(infos, as_expected, strict=True):
                assert info.keys() == like.keys()
                for key, value in info.items():
                    np.testing.assert_array_equal(value, like[key], err_msg=key)


def test_before_the_first_reset_it_is_as_the_first_environment():
    drawing = Drawing()
    assert drawing.kinds == []
    assert (drawing.env.num_envs, drawing.env.action_space.shape) == (5, (2,))
    assert drawing.env.get_attr("budget") == [3] * 5


def test_each_episode_is_one_of_an_environment_drawn_for_it():
    drawing = Drawing()
    env = drawing.env
    obs = env.reset()
    for k in range(12):
        assert len(drawing.kinds) == k + 1
        num, dim, budget = drawing.kinds[k]
        for step in range(budget):
            assert env.env is drawing.drawn[k]
            assert env.num_envs == num
            assert env.get_attr("budget") == [budget] * num
            assert env.observation_space == env.env.single_observation_space
            assert env.action_space == env.env.single_action_space
            assert obs.shape == (num, *env.observation_space.shape) == (num, dim, 4)
            assert (obs[..., 0] == np.float32(step / budget)).all()  # the time: it is begun at the beginning
            obs, rewards, dones, infos = env.step(np.zeros((num, dim), np.float32))
            assert rewards.shape == dones.shape == (num,)
            assert dones.tolist() == [step == budget - 1] * num
            assert len(infos) == num
    assert set(drawing.kinds) == set(KINDS)


@pytest.mark.parametrize("mode", ["Disabled", "SameStep"])
def test_each_has_the_episodes_and_infos_that_it_would_have_alone(mode):
    drawing = Drawing(mode=mode)
    drawing.env.seed(7)
    episodes = drawing.episodes(6)
    rng = np.random.default_rng(7)
    for k, episode in enumerate(episodes):
        assert drawing.kinds[k] == KINDS[rng.integers(3)]
        alone = env_of(drawing.kinds[k])
        obs, _ = alone.reset(seed=int(rng.integers(2**31)))
        np.testing.assert_array_equal(episode[0], obs)
        drawn, last = np.random.default_rng(k), len(episode) - 2
        for t, (seen, rewards, dones, infos) in enumerate(episode[1:]):
            actions = drawn.uniform(-1, 1, (alone.num_envs, *alone.single_action_space.shape)).astype(np.float32)
            obs, expected, terminated, _, facts = alone.step(actions)
            np.testing.assert_array_equal(rewards, expected.astype(np.float32))
            np.testing.assert_array_equal(dones, terminated)
            if t < last:
                np.testing.assert_array_equal(seen, obs)
                assert infos == [{}] * alone.num_envs
                continue
            for i, info in enumerate(infos):
                np.testing.assert_array_equal(info["terminal_observation"], obs[i])
                np.testing.assert_array_equal(info["best_x"], facts["best_x"][i])
                assert info["best_value"] == facts["best_value"][i]
                assert info["TimeLimit.truncated"] is False


def test_without_autoreset_functions_are_drawn_for_its_own_episodes_only(monkeypatch):
    drawn = []
    build = GPPrior.build
    monkeypatch.setattr(GPPrior, "build", lambda self, rows, dim: drawn.append(len(rows)) or build(self, rows, dim))
    drawing = Drawing()
    drawing.episodes(5)
    assert drawn == [num for num, *_ in drawing.kinds] == [num for num, *_ in drawing.kinds[:6]]
    drawn.clear()
    Drawing(mode=AutoresetMode.SAME_STEP).episodes(5)
    assert len(drawn) == 11


def test_the_same_seed_gives_the_same_sequence():
    one, other = Drawing(), Drawing()
    one.env.reset()
    one.env.step(np.zeros((one.env.num_envs, *one.env.action_space.shape), np.float32))  # broken off
    for each in (one, other):
        each.env.seed(5)
    check_same(one.episodes(6), other.episodes(6))
    assert one.kinds[1:] == other.kinds
    another = Drawing()
    another.env.seed(6)
    another.episodes(6)
    assert another.kinds != other.kinds


def test_seeds_hold_for_one_reset_of_what_is_drawn():
    drawing = Drawing()
    drawing.env.seed(0)
    first, second = drawing.episodes(6), drawing.episodes(6)
    assert drawing.kinds[:7] != drawing.kinds[7:]
    starts = np.concatenate([episode[0][..., 1].ravel() for episode in (*first, *second)])
    assert len(np.unique(starts)) == starts.size
    drawing.env.seed(0)
    check_same(first, drawing.episodes(6))


def test_options_reach_the_first_environment_that_is_drawn(monkeypatch):
    told = []
    reset = POPVectorEnv.reset
    monkeypatch.setattr(
        POPVectorEnv,
        "reset",
        lambda self, *, seed=None, options=None: told.append(options) or reset(self, seed=seed, options=options),
    )
    drawing = Drawing()
    drawing.env.set_options({"a": 1})
    drawing.episodes(2)
    assert [options or None for options in told] == [{"a": 1}, None, None]


def test_what_is_no_longer_needed_is_closed():
    drawing = Drawing()
    drawing.env.reset()
    assert drawing.first.closed
    drawing.episodes(2)
    assert [env.closed for env in drawing.drawn] == [True] * 3 + [False]
    drawing.env.close()
    assert drawing.drawn[-1].closed
