import doctest
import warnings

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3.common.env_checker import check_env as check_env_sb3

from pop_envs import BoxObjective, GPPrior, Objective, POPEnv, POPVectorEnv, WidePrior
from pop_envs.objectives.priors import PRIORS, validation_functions
from pop_envs.pop import env as env_module
from pop_envs.pop.rewards import LogGap, Reward
from pop_envs.pop.step_rules import STEP_RULES, SignedStep
from pop_envs.pop.tokens import TIME, FullTokens, Tokens
from second_device import SecondDevice

OBSERVATIONS = ["trajectory", "token"]
TOKENS = ["paper", "full", "options"]
FEATURES = {"paper": 4, "full": 30, "options": 40}


def sphere(**kwargs):
    return BoxObjective(lambda x: ((x**2).sum(-1), 2 * x), [-1.0, 2.0, 3.0], [1.0, 6.0, 5.0], **kwargs)


def half_a_bowl(x):
    return np.where(x[:, 0] > 0, np.nan, (x**2).sum(-1)), 2 * x


def agree(a, b, exact=False):
    assert all(data_equivalence(x, y, exact=exact) for x, y in zip(a, b, strict=True))


def actions_for(envs, steps, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (steps, *envs.action_space.shape)).astype(np.float32)


@pytest.mark.parametrize("observation", OBSERVATIONS)
@pytest.mark.parametrize("tokens", TOKENS)
def test_both_checkers_have_nothing_to_say(observation, tokens):
    env = gym.make("POP-v0", observation=observation, tokens=tokens)
    check_env(env.unwrapped, skip_render_check=observation == "token" or tokens != "paper")
    # SB3 advises against every box that is neither flat nor an image; flat it has no advice left.
    check_env_sb3(gym.wrappers.FlattenObservation(env))
    check_env_sb3(env, warn=False)


@pytest.mark.parametrize("step_rule", STEP_RULES)
@pytest.mark.parametrize("tokens", TOKENS)
@pytest.mark.parametrize("observation", OBSERVATIONS)
def test_vector_env_equals_single_ones_for_two_episodes(observation, tokens, step_rule):
    kwargs = {"observation": observation, "tokens": tokens, "step_rule": step_rule}
    vector, singles = POPVectorEnv(5, **kwargs), [POPEnv(**kwargs) for _ in range(5)]
    seen, _ = vector.reset(seed=7)
    for i, env in enumerate(singles):
        np.testing.assert_allclose(seen[i], env.reset(seed=7 + i)[0], atol=1e-5)
    for t, actions in enumerate(actions_for(vector, 100)):
        seen, rewards, terminated, truncated, infos = vector.step(actions)
        assert not truncated.any()
        for i, env in enumerate(singles):
            obs, reward, done, _, info = env.step(actions[i])
            assert reward == pytest.approx(rewards[i], abs=1e-5)
            assert done == terminated[i] == (t in (49, 99))
            assert info["best_value"] == pytest.approx((infos["final_info"] if done else infos)["best_value"][i])
            if done:
                np.testing.assert_allclose(infos["final_obs"][i], obs, atol=1e-5)
                obs, _ = env.reset()
            np.testing.assert_allclose(seen[i], obs, atol=1e-5)


def test_runs_that_end_at_different_times_are_stepped_on_and_start_anew():
    kwargs = {"budget": 3, "tokens": "full"}
    ours = POPVectorEnv(2, autoreset_mode="NextStep", **kwargs)
    theirs = SyncVectorEnv([lambda: POPEnv(**kwargs)] * 2, autoreset_mode="NextStep")
    mask = {"reset_mask": np.array([True, False])}
    for t, actions in enumerate(actions_for(ours, 14)):
        if t in (0, 2):
            options = mask if t else None
            (ours_seen, _), (theirs_seen, _) = (envs.reset(seed=t, options=options) for envs in (ours, theirs))
            np.testing.assert_allclose(ours_seen, theirs_seen, atol=1e-5)
        step, expected = ours.step(actions), theirs.step(actions)
        for a, b in zip(step[:4], expected[:4], strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("observation", OBSERVATIONS)
def test_vector_env_speaks_as_gymnasiums_own_vector_env(mode, observation):
    kwargs = {"budget": 3, "observation": observation}
    ours = POPVectorEnv(4, autoreset_mode=mode, **kwargs)
    theirs = SyncVectorEnv([lambda: POPEnv(**kwargs)] * 4, autoreset_mode=mode)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert ours.metadata["autoreset_mode"] is theirs.metadata["autoreset_mode"] is mode

    agree(ours.reset(seed=[3, 1, 4, 1]), theirs.reset(seed=[3, 1, 4, 1]))
    ended = np.zeros(4, bool)
    for t, actions in enumerate(actions_for(ours, 14)):
        mask = ended if mode is AutoresetMode.DISABLED else np.zeros(4, bool)
        if t == 2:  # from here on they end at different times
            mask = np.array([True, False, False, True])
        if mask.any():
            seeds = [None, 8, 9, 10]
            agree(
                ours.reset(seed=seeds, options={"reset_mask": mask}),
                theirs.reset(seed=seeds, options={"reset_mask": mask}),
            )
        step = ours.step(actions)
        agree(step, theirs.step(actions))
        assert step[0] in ours.observation_space
        ended = step[2]
    assert ours.np_random_seed == theirs.np_random_seed


def test_seeds():
    envs = POPVectorEnv(3, observation="token")
    first, _ = envs.reset(seed=5)
    np.testing.assert_array_equal(envs.reset(seed=[5, 6, 7])[0], first)
    assert envs.np_random_seed == (5, 6, 7)
    second, _ = envs.reset()
    assert not np.isclose(first[..., 1], second[..., 1]).any()
    envs.reset(seed=np.int64(5))
    np.testing.assert_array_equal(envs.reset()[0], second)
    mixed, _ = envs.reset(seed=[5, None, None])
    np.testing.assert_array_equal(mixed[0], first[0])
    assert not np.isclose(mixed[1:, :, 1], first[1:, :, 1]).any()


def test_trajectory_is_the_tokens_of_all_steps_padded_with_zeros():
    whole, newest = POPEnv(budget=6, tokens="full"), POPEnv(budget=6, tokens="full", observation="token")
    for episode in range(2):
        obs, _ = whole.reset(seed=episode)
        rows = [newest.reset(seed=episode)[0]]
        for action in actions_for(whole, 6):
            np.testing.assert_array_equal(obs[: len(rows)], rows)
            assert not obs[len(rows) :].any()
            obs, *_ = whole.step(action)
            rows.append(newest.step(action)[0])
        np.testing.assert_array_equal(obs, rows)
        np.testing.assert_allclose(obs[:, :, 0], np.repeat(np.arange(7) / 6, 2).reshape(7, 2), rtol=1e-6)


@pytest.mark.parametrize("mode", ["SameStep", "NextStep"])
def test_nothing_of_an_earlier_episode_is_left(mode):
    envs = POPVectorEnv(3, budget=4, autoreset_mode=mode)
    envs.reset(seed=0)
    for t, actions in enumerate(actions_for(envs, 12)):
        if t == 2:
            envs.reset(options={"reset_mask": np.array([False, True, False])})
        obs, *_ = envs.step(actions)
        for i, steps in enumerate(envs.episodes.core.search.trajectory.t.tolist()):
            assert obs[i, steps].any()
            assert not obs[i, steps + 1 :].any()


@pytest.mark.parametrize("tokens", TOKENS)
@pytest.mark.parametrize("observation", OBSERVATIONS)
def test_observations_lie_in_their_bounded_space(observation, tokens):
    envs = POPVectorEnv(64, dim=3, prior="wide", observation=observation, tokens=tokens, step_rule="quasi_newton")
    shape = (51, 3, FEATURES[tokens]) if observation == "trajectory" else (3, FEATURES[tokens])
    assert envs.single_observation_space.shape == shape
    assert envs.observation_space.shape == (64, *shape)
    assert np.isfinite(envs.observation_space.low).all()
    assert np.isfinite(envs.observation_space.high).all()
    assert envs.reset(seed=0)[0] in envs.observation_space
    for actions in actions_for(envs, 55):
        assert envs.step(actions)[0] in envs.observation_space


@pytest.mark.parametrize("observation", OBSERVATIONS)
def test_every_array_is_fresh(observation):
    envs, twin = (POPVectorEnv(2, budget=3, observation=observation) for _ in range(2))

    def spoil(value):
        if isinstance(value, dict):
            for part in value.values():
                spoil(part)
        elif isinstance(value, np.ndarray) and value.dtype == object:
            for part in value:
                spoil(part)
        elif isinstance(value, np.ndarray):
            value[...] = 1

    for part in envs.reset(seed=0):
        spoil(part)
    twin.reset(seed=0)
    for actions in actions_for(envs, 7):
        step, expected = envs.step(actions.copy()), twin.step(actions)
        assert all(data_equivalence(a, b, exact=True) for a, b in zip(step, expected, strict=True))
        for part in step:
            spoil(part)


def test_rewards_of_an_episode_are_its_improvement():
    env = POPEnv(step_rule="signed")
    _, info = env.reset(seed=0)
    first, paid = info["value"], 0.0
    for action in actions_for(env, 50):
        _, reward, terminated, truncated, info = env.step(action)
        assert type(reward) is float
        assert type(terminated) is type(truncated) is bool
        assert not truncated
        paid += reward
    assert terminated
    assert paid * env.episodes.core.spread.item() == pytest.approx(first - info["best_value"])


def test_info_tells_points_in_the_objectives_own_coordinates():
    objective = sphere()
    env = POPEnv(objective=objective, step_rule="signed")
    _, info = env.reset(seed=0)
    best = (np.inf, None)
    for action in [None, *actions_for(env, 50)]:
        if action is not None:
            *_, info = env.step(action)
        assert ((info["x"] >= objective.lower) & (info["x"] <= objective.upper)).all()
        assert info["value"] == pytest.approx((info["x"] ** 2).sum())
        best = min(best, (info["value"], tuple(info["x"])))
        assert info["best_value"] == best[0]
        np.testing.assert_array_equal(info["best_x"], best[1])
        assert info["valid"] is True


def test_an_objective_without_a_value_does_not_end_the_episode():
    envs = POPVectorEnv(8, objective=BoxObjective(half_a_bowl, [-1, -1], [1, 1]), step_rule="signed", tokens="full")
    obs, infos = envs.reset(seed=0)
    worst = np.where(infos["valid"], infos["value"], -np.inf)
    met = 0
    for actions in actions_for(envs, 49):
        obs, rewards, _, _, infos = envs.step(actions)
        assert obs in envs.observation_space
        np.testing.assert_array_equal(infos["valid"], infos["x"][:, 0] <= 0)
        worst = np.where(infos["valid"], np.maximum(worst, infos["value"]), worst)
        bad = ~infos["valid"] & np.isfinite(worst)
        np.testing.assert_array_equal(infos["value"][bad], worst[bad])
        assert (rewards[~infos["valid"]] == 0).all()
        met += bad.sum()
    assert met


def test_each_sub_environment_may_have_its_own_fixed_function():
    functions = validation_functions(GPPrior(), 6)
    envs = POPVectorEnv(6, objective=functions, budget=2, step_rule="signed")
    for _ in range(2):
        envs.reset()
        for actions in actions_for(envs, 2):
            *_, infos = envs.step(actions)
        final = infos["final_info"]
        np.testing.assert_allclose(final["value"], functions.value_and_grad(torch.from_numpy(final["x"]))[0])


def test_registered_ways_in():
    for env in (gym.make("POP-v0"), gym.make("pop_envs:POP-v0", dim=3, budget=20)):
        assert isinstance(env.unwrapped, POPEnv)
        assert env.spec.max_episode_steps is None
    envs = gym.make_vec("POP-v0", num_envs=8, autoreset_mode="NextStep")
    assert isinstance(envs, POPVectorEnv)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert POPVectorEnv.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert envs.num_envs == 8
    assert isinstance(gym.make_vec("POP-v0", num_envs=2, vectorization_mode="sync"), SyncVectorEnv)


def test_the_documentation_runs():
    found = doctest.DocTestFinder().find(env_module, "env")
    assert sum(len(test.examples) for test in found) >= 5
    for test in found:
        assert doctest.DocTestRunner().run(test).failed == 0


def test_the_documentation_lists_every_feature():
    rows = [[cell.strip() for cell in line.split("|")] for line in POPEnv.__doc__.splitlines()]
    listed = [(int(row[1]), row[2]) for row in rows if len(row) == 6 and row[1].isdigit()]
    # Each table goes on from the one before it, the last in the place of two features.
    tables = {"paper": listed[:4], "full": listed[:30], "options": listed[:28] + listed[30:]}
    for tokens in TOKENS:
        assert tables[tokens] == [
            (i, f"`{name}`") for i, name in enumerate(POPEnv(tokens=tokens).observation_space.features)
        ]
        assert len(tables[tokens]) == FEATURES[tokens]


@pytest.mark.parametrize("make", [POPEnv, POPVectorEnv])
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"dim": 0}, "dim must be a positive integer"),
        ({"budget": -1}, "budget must be a positive integer"),
        ({"observation": "image"}, "observation must be one of 'trajectory', 'token', got 'image'"),
        ({"tokens": "none"}, "tokens must be one of 'paper', 'full', 'options', got 'none'"),
        ({"render_mode": "human"}, "render_mode must be one of 'rgb_array', got 'human'"),
        ({"objective": lambda x: x}, "wrap a function of your own in pop_envs.BoxObjective"),
        ({"objective": sphere(), "dim": 2}, "dim=2 contradicts the objective's 3"),
    ],
)
def test_bad_arguments(make, bad, message):
    with pytest.raises(ValueError, match=message):
        make(**bad)


def test_bad_arguments_of_the_vector_env():
    with pytest.raises(ValueError, match="num_envs must be a positive integer"):
        POPVectorEnv(0)
    with pytest.raises(ValueError, match="autoreset_mode must be one of 'NextStep', 'SameStep', 'Disabled'"):
        POPVectorEnv(2, autoreset_mode="never")
    envs = POPVectorEnv(2)
    with pytest.raises(ResetNeeded, match="before restarting some"):
        envs.reset(options={"reset_mask": np.array([True, False])})
    with pytest.raises(ValueError, match="one seed for each of the num_envs=2, got 3"):
        envs.reset(seed=[1, 2, 3])
    for mask in ([True, False], np.ones(3, bool), np.ones(2)):
        with pytest.raises(ValueError, match="of bools, got"):
            envs.reset(options={"reset_mask": mask})
    with pytest.raises(ValueError, match="True somewhere"):
        envs.reset(options={"reset_mask": np.zeros(2, bool)})


@pytest.mark.parametrize("make", [POPEnv, lambda: POPVectorEnv(2)])
def test_bad_actions(make):
    env = make()
    with pytest.raises(ResetNeeded):
        env.step(env.action_space.sample())
    env.reset(seed=0)
    with pytest.raises(ValueError, match="actions must have the shape"):
        env.step(np.zeros(3))
    with pytest.raises(ValueError, match="actions must be finite"):
        env.step(np.full(env.action_space.shape, np.nan))


def test_an_ended_episode_must_be_reset():
    env = POPEnv(budget=1)
    env.reset()
    assert env.step(env.action_space.sample())[2]
    with pytest.raises(ResetNeeded):
        env.step(env.action_space.sample())
    envs = POPVectorEnv(2, budget=1, autoreset_mode="Disabled")
    envs.reset()
    _, _, terminated, _, _ = envs.step(envs.action_space.sample())
    assert terminated.all()
    with pytest.raises(ResetNeeded, match="2 sub-environments have ended"):
        envs.step(envs.action_space.sample())
    envs.reset(options={"reset_mask": terminated})
    envs.step(envs.action_space.sample())


def test_actions_outside_the_box_are_clipped():
    inside, outside = POPEnv(), POPEnv()
    inside.reset(seed=0)
    outside.reset(seed=0)
    for action in actions_for(inside, 5):
        near, far = np.sign(action), 3 * np.sign(action)
        np.testing.assert_array_equal(inside.step(near)[0], outside.step(far)[0])


def test_rendering_without_a_render_mode_is_warned_of():
    for env in (POPEnv(), POPVectorEnv(2)):
        env.reset()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert env.render() is None
        assert "without a render mode" in str(caught[0].message)


@pytest.mark.parametrize("make", [POPEnv, lambda **kwargs: POPVectorEnv(2, **kwargs)])
def test_there_is_nothing_to_render_before_the_first_reset(make):
    env = make(render_mode="rgb_array", budget=2)
    with pytest.raises(ResetNeeded, match="before render"):
        env.render()
    env.reset(seed=0)
    assert env.render() is not None


class Careless(Objective):
    """A bowl that returns the same two buffers each time and may write into the points that it is given."""

    dim = 2

    def __init__(self, reuse, spoil):
        self.reuse, self.spoil, self.buffers = reuse, spoil, {}

    def value_and_grad(self, x):
        y, g = (x**2).sum(-1), 2 * x
        if self.reuse:
            old_y, old_g = self.buffers.setdefault(len(x), (y, g))
            y, g = old_y.copy_(y), old_g.copy_(g)
        if self.spoil:
            x.fill_(0.123)
        return y, g

    def values_on(self, points):
        return (points**2).sum(-1)[None]


@pytest.mark.parametrize(("reuse", "spoil"), [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("step_rule", STEP_RULES)
def test_what_an_objective_does_to_its_arrays_changes_nothing(step_rule, reuse, spoil):
    kwargs = {"step_rule": step_rule, "tokens": "full", "reward": "log_gap", "budget": 8}
    plain, careless = (POPVectorEnv(3, objective=Careless(*how), **kwargs) for how in ((False, False), (reuse, spoil)))
    agree(careless.reset(seed=0), plain.reset(seed=0), exact=True)
    for actions in actions_for(plain, 10):
        agree(careless.step(actions), plain.step(actions), exact=True)


def test_a_box_objective_may_return_the_same_arrays_each_time_and_write_into_its_points():
    buffers = {}

    def evaluate(x):
        y, g = buffers.setdefault(len(x), (np.empty(len(x)), np.empty_like(x)))
        y[:], g[:] = (x**2).sum(-1), 2 * x
        x[:] = 0.123
        return y, g

    kwargs = {"step_rule": "quasi_newton", "tokens": "full", "budget": 8}
    plain = POPEnv(objective=sphere(), **kwargs)
    careless = POPEnv(objective=BoxObjective(evaluate, [-1.0, 2.0, 3.0], [1.0, 6.0, 5.0]), **kwargs)
    agree(careless.reset(seed=0), plain.reset(seed=0), exact=True)
    for actions in actions_for(plain, 8):
        agree(careless.step(actions), plain.step(actions), exact=True)


@pytest.mark.parametrize("make", [POPEnv, lambda **kwargs: POPVectorEnv(2, **kwargs)])
@pytest.mark.parametrize(
    "parts",
    [
        {"prior": ("wide", WidePrior())},
        {"reward": ("log_gap", LogGap())},
        {"step_rule": ("signed", SignedStep())},
        {"tokens": ("full", FullTokens())},
    ],
    ids=lambda parts: next(iter(parts)),
)
def test_objects_do_what_their_names_do(make, parts):
    named, made = (make(budget=4, **{part: pair[i] for part, pair in parts.items()}) for i in range(2))
    assert named.observation_space == made.observation_space
    agree(named.reset(seed=0), made.reset(seed=0))
    for actions in actions_for(named, 4):
        agree(named.step(actions), made.step(actions))


def test_parts_of_ones_own():
    class Nothing(Reward):
        def __call__(self, run, spread, minimum):
            return torch.full_like(run.y, 7.0)

    class Stay(SignedStep):
        def move(self, run, action):
            return run.x

    class Time(Tokens):
        features = (TIME, "dim")

        def __call__(self, run, step_rule, budget):
            time = (run.t / budget)[:, None].expand_as(run.x)
            return torch.stack([time, torch.full_like(time, run.x.shape[1])], -1).float()

        def limits(self, budget):
            return (1.0, 9.0)

    env = gym.make("POP-v0", dim=3, budget=2, reward=Nothing(), step_rule=Stay(), tokens=Time())
    assert env.observation_space.features == (TIME, "dim")
    _, first = env.reset(seed=0)
    obs, reward, _, _, info = env.step(env.action_space.sample())
    assert reward == 7
    np.testing.assert_array_equal(info["x"], first["x"])
    assert obs[:, 0].tolist() == [[0, 3], [0.5, 3], [0, 0]]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"reward": LogGap}, "reward must be a name or a Reward, got <class"),
        ({"step_rule": 3}, "step_rule must be a name or a StepRule, got 3"),
        ({"tokens": SignedStep()}, "tokens must be a name or a Tokens, got <"),
        ({"prior": None}, "prior must be a name or a Prior, got None"),
    ],
)
def test_other_objects_are_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        POPEnv(**bad)


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize(
    ("tokens", "step_rule", "reward"),
    [("paper", "gradient", "improvement"), ("full", "signed", "log_gap"), ("options", "quasi_newton", "log_gap")],
)
def test_all_is_computed_on_the_device_asked_for(prior, tokens, step_rule, reward):
    task = {"prior": prior, "tokens": tokens, "step_rule": step_rule, "reward": reward, "budget": 4, "dim": 3}

    def episode(**more):
        envs = POPVectorEnv(3, **task, **more)
        envs.action_space.seed(0)
        return [envs.reset(seed=0)[0], *(step for _ in range(6) for step in envs.step(envs.action_space.sample())[:2])]

    here = episode()
    with SecondDevice():
        there = episode(device="hpu")
    for one, other in zip(there, here, strict=True):
        np.testing.assert_array_equal(one, other)
