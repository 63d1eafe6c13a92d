from functools import partial
from itertools import cycle

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnvWrapper, VecNormalize

from agents.pop.episodic_ppo import EpisodeRolloutBuffer, EpisodicPPO
from agents.pop.policy import TrajectoryPolicy
from agents.vec_env import DrawnVecEnv, GymnasiumVecEnv
from pop_envs import BoxObjective, GPPrior, POPEnv, POPVectorEnv

TURNS = ((6, 2, 4), (4, 3, 5))  # runs, coordinates and steps of environments
SMALL = {"width": 8, "depth": 1, "heads": 2}
FULL = {"tokens": "full", "step_rule": "signed"}
OPTIONS = {"tokens": "options", "step_rule": "quasi_newton"}


def env_of(num_envs=6, **options):
    options = {"budget": 4, "observation": "token", "prior": GPPrior(num_features=8), **options}
    return GymnasiumVecEnv(POPVectorEnv(num_envs, **options))


def alternating(turns=TURNS, **options):
    """Environments that take turns, an episode each, from the first on after each reset with a seed."""
    made = [partial(env_of, num, dim=dim, budget=budget, **options) for num, dim, budget in turns]
    turn = {}  # of a generator: a new one begins anew

    def draw(rng):
        turn.setdefault(rng, cycle(made))
        return next(turn[rng])().env

    return DrawnVecEnv(made[0]().env, draw)


def model_of(env=None, head="gaussian", seed=0, mixing=False, window=None, **options):
    options = {"batch_episodes": 3, "n_epochs": 2, "learning_rate": 1e-3, **options}
    shape = {"head": head, "mixing": mixing, "window": window, **SMALL}
    return EpisodicPPO(TrajectoryPolicy, env or env_of(), seed=seed, policy_kwargs=shape, device="cpu", **options)


def weights_of(model):
    return torch.cat([weights.detach().flatten().clone() for weights in model.policy.parameters()])


def rollouts(model, count):
    """The rollout buffer after each of so many rollouts."""
    _, callback = model._setup_learn(1)
    for _ in range(count):
        assert model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)
        yield model.rollout_buffer


def collected(model):
    """The rollout buffer after one rollout."""
    return next(rollouts(model, 1))


def check_the_first_pass(model, atol=1e-5):
    """Before any update, probabilities and values are as in the rollout; returns the minibatches' shapes."""
    shapes = []
    for batch in model.rollout_buffer.get(model.batch_size):
        values, log_probs, _ = model.policy.evaluate_actions(batch.observations, batch.actions)
        ratio = (log_probs - batch.old_log_prob).exp()
        torch.testing.assert_close(ratio, torch.ones_like(ratio), atol=atol, rtol=0)
        torch.testing.assert_close(values, batch.old_values, atol=1e-5, rtol=0)
        shapes.append(tuple(batch.actions.shape))
    return shapes


@pytest.mark.parametrize("dim", [1, 3])
@pytest.mark.parametrize(
    ("head", "options"),
    [
        ("gaussian", {}),
        ("gaussian", FULL),
        ("mixture", FULL),
        ("mixture", {"tokens": "full"}),
        ("unguided_jumps", FULL),
        ("free", {}),
        ("options", OPTIONS),
    ],
)
@pytest.mark.parametrize("mixing", [False, True])
def test_the_first_pass_has_ratio_one(dim, head, options, mixing):
    model = model_of(env_of(dim=dim, budget=12, **options), head, mixing=mixing)
    collected(model)
    assert check_the_first_pass(model) == [(3, 12, dim)] * 2


@pytest.mark.parametrize(("dim", "window"), [(2, 1), (2, 5), (2, 12), (70, 5)])
@pytest.mark.parametrize("head", ["mixture", "options"])
def test_the_first_pass_has_ratio_one_in_a_window_and_with_many_coordinates(dim, window, head):
    model = model_of(env_of(dim=dim, budget=12, **OPTIONS), head, mixing=True, window=window)
    buffer = collected(model)
    # Log-probabilities are sums over coordinates, in single precision.
    assert check_the_first_pass(model, atol=1e-4) == [(3, 12, dim)] * 2
    proposed = buffer.observations[..., model.policy.proposed]
    chosen = (buffer.actions[..., None] == proposed).all(2).any(-1)  # what proposals became in the buffer, they stay
    assert chosen.mean() > 0.5 if head == "options" else not chosen.any()


@pytest.mark.parametrize("mixing", [False, True])
@pytest.mark.parametrize(
    ("turns", "episodes"),
    [
        (TURNS, [3, 2]),  # as many minibatches of fewer episodes
        (((6, 3, 4), (8, 2, 4)), [3, 4]),
        (((6, 2, 4), (2, 3, 4), (6, 1, 3)), [3, 1, 3]),
    ],
)
def test_the_first_pass_has_ratio_one_whosever_turn_it_is(turns, episodes, mixing):
    model = model_of(alternating(turns, **FULL), "mixture", mixing=mixing)
    for _, (turn, size) in zip(rollouts(model, 2 * len(turns)), 2 * [*zip(turns, episodes, strict=True)], strict=True):
        num_envs, dim, budget = turn
        shapes = check_the_first_pass(model)
        assert shapes == [(size, budget, dim)] * (num_envs // size)
        assert len(shapes) == 2


@pytest.mark.parametrize(("episodes", "sizes"), [(2, [2, 2, 1]), (5, [5]), (None, [5])])
def test_minibatches_are_whole_episodes(episodes, sizes):
    steps, num_envs = 3, 5
    buffer = EpisodeRolloutBuffer(steps, spaces.Box(-1, 1, (2, 4)), spaces.Box(-1, 1, (2,)), n_envs=num_envs)
    code = 10.0 * np.arange(num_envs) + np.arange(steps)[:, None]  # (steps, num_envs): 10 * env + step
    for row in code:
        obs = np.broadcast_to(row[:, None, None], (num_envs, 2, 4))
        action = np.broadcast_to(row[:, None], (num_envs, 2))
        scalar = torch.as_tensor(row)
        buffer.add(obs, action, row, np.zeros(num_envs), scalar + 0.25, scalar + 0.5)
    buffer.advantages[:], buffer.returns[:] = code + 0.75, code - 0.25
    batches = list(buffer.get(None if episodes is None else episodes * steps))
    assert [len(batch.observations) for batch in batches] == sizes
    seen = []
    for batch in batches:
        envs = batch.observations[:, 0, 0, 0] // 10
        seen += envs.tolist()
        expected = 10 * envs[:, None] + torch.arange(steps)  # (episodes, steps)
        torch.testing.assert_close(batch.observations, expected[..., None, None].expand(-1, -1, 2, 4))
        torch.testing.assert_close(batch.actions, expected[..., None].expand(-1, -1, 2))
        for found, shift in zip(batch[2:6], (0.25, 0.5, 0.75, -0.25), strict=True):
            torch.testing.assert_close(found, expected.flatten() + shift)
    assert sorted(seen) == list(range(num_envs))


@pytest.mark.parametrize(("steps", "num_envs", "token"), [(3, 5, (2, 4)), (7, 2, (3, 4)), (1, 1, (1, 9))])
def test_a_buffer_is_fitted_to_other_episodes(steps, num_envs, token):
    buffer = EpisodeRolloutBuffer(3, spaces.Box(-1, 1, (2, 4)), spaces.Box(-1, 1, (2,)), n_envs=5)
    for t in range(3):
        buffer.add(np.full((5, 2, 4), t), np.full((5, 2), t), *np.ones((2, 5)), *torch.ones(2, 5))
    assert buffer.full
    buffer.fit(steps, num_envs, token)
    assert (buffer.pos, buffer.full) == (0, False)
    assert buffer.observations.shape == (steps, num_envs, *token)
    assert buffer.actions.shape == (steps, num_envs, token[0])
    for name in ("rewards", "values", "log_probs", "advantages", "returns", "episode_starts"):
        assert getattr(buffer, name).shape == (steps, num_envs), name
        assert (getattr(buffer, name) == 0).all(), name
    for t in range(steps):
        assert not buffer.full
        obs, action = np.full((num_envs, *token), t), np.full((num_envs, token[0]), t)
        buffer.add(obs, action, *np.full((2, num_envs), t), *torch.full((2, num_envs), t))
    assert buffer.full
    (batch,) = buffer.get()
    assert batch.observations.shape == (num_envs, steps, *token)
    assert batch.actions.shape == (num_envs, steps, token[0])
    assert batch.old_values.tolist() == [*range(steps)] * num_envs


def test_minibatches_are_drawn_anew_each_pass():
    buffer = collected(model_of(env_of(32)))
    first, second = (next(buffer.get(16 * 4)).observations for _ in range(2))
    assert not torch.equal(first, second)


def test_advantages_are_those_of_episodes_that_end_with_nothing_to_come():
    model = model_of(env_of(budget=5), gamma=0.9, gae_lambda=0.8)
    buffer = collected(model)
    for i in range(buffer.n_envs):
        rewards, values = buffer.rewards[:, i].tolist(), [*buffer.values[:, i].tolist(), 0.0]
        advantage = 0.0
        for t in reversed(range(5)):
            advantage = rewards[t] + 0.9 * values[t + 1] - values[t] + 0.9 * 0.8 * advantage
            assert buffer.advantages[t, i] == pytest.approx(advantage, abs=1e-5)
            assert buffer.returns[t, i] == pytest.approx(advantage + values[t], abs=1e-5)


def test_a_rollout_holds_what_the_environment_told():
    model = model_of(env_of(4, budget=3))
    buffer = collected(model)
    twin = env_of(4, budget=3)
    twin.seed(0)  # as the model seeds its own
    obs = twin.reset()
    for t in range(3):
        np.testing.assert_array_equal(buffer.observations[t], obs)
        obs, rewards, dones, _ = twin.step(buffer.actions[t].clip(-1, 1))
        np.testing.assert_array_equal(buffer.rewards[t], rewards)
    assert dones.all()
    np.testing.assert_array_equal(model._last_obs, obs)


def test_rollouts_hold_what_the_environments_told_in_their_turns():
    model = model_of(alternating())
    twin = alternating()
    twin.seed(0)  # as the model seeds its own
    obs = twin.reset()
    for buffer, (num_envs, dim, budget) in zip(rollouts(model, 4), 2 * TURNS, strict=True):
        assert buffer.actions.shape == (budget, num_envs, dim)
        for t in range(budget):
            np.testing.assert_array_equal(buffer.observations[t], obs)
            obs, rewards, dones, _ = twin.step(buffer.actions[t].clip(-1, 1))
            np.testing.assert_array_equal(buffer.rewards[t], rewards)
        assert dones.all()
        np.testing.assert_array_equal(model._last_obs, obs)


def scored(model, monkeypatch):
    """A list of the shapes of the actions in all minibatches that the model will be trained on."""
    shapes, evaluate = [], model.policy.evaluate_actions
    monkeypatch.setattr(
        model.policy,
        "evaluate_actions",
        lambda obs, actions: shapes.append((*actions.shape,)) or evaluate(obs, actions),
    )
    return shapes


ROUND = 6 * 4 + 4 * 5  # evaluations
MINIBATCHES = [(3, 4, 2)] * 4 + [(2, 5, 3)] * 4  # of a round: two in each of two passes


@pytest.mark.parametrize("mixing", [False, True])
def test_it_trains_in_several_dimensions_in_turn(mixing, monkeypatch):
    model = model_of(alternating(**FULL), "mixture", mixing=mixing)
    before = {name: weights.clone() for name, weights in model.policy.state_dict().items()}
    shapes = scored(model, monkeypatch)
    model.learn(2 * ROUND)
    assert model.num_timesteps == 2 * ROUND
    assert shapes == 2 * MINIBATCHES
    assert model.logger.name_to_value["train/n_updates"] == 4 * 2
    for name, weights in model.policy.state_dict().items():
        assert weights.isfinite().all()
        assert not torch.equal(weights, before[name]), name


def test_the_same_seed_gives_the_same_weights_in_several_dimensions():
    trained = [weights_of(model_of(alternating(), seed=seed).learn(ROUND)) for seed in (0, 0, 7)]
    assert torch.equal(trained[0], trained[1])
    assert not torch.equal(trained[0], trained[2])


@pytest.mark.parametrize("evaluations", [6 * 4, ROUND, ROUND + 6 * 4], ids=["second", "first", "second again"])
def test_a_model_saved_at_any_turn_goes_on_with_the_first(tmp_path, monkeypatch, evaluations):
    model = model_of(alternating()).learn(evaluations)
    model.save(tmp_path / "model")
    loaded = EpisodicPPO.load(tmp_path / "model", env=alternating(), device="cpu")
    assert torch.equal(weights_of(loaded), weights_of(model))
    shapes = scored(loaded, monkeypatch)
    loaded.learn(ROUND, reset_num_timesteps=False)
    assert loaded.num_timesteps == evaluations + ROUND
    assert shapes == MINIBATCHES
    assert not torch.equal(weights_of(loaded), weights_of(model))


@pytest.mark.parametrize(("head", "options"), [("gaussian", {}), ("mixture", FULL)])
def test_updates_move_every_weight_and_stay_finite(head, options):
    model = model_of(env_of(**options), head)
    before = {name: weights.clone() for name, weights in model.policy.state_dict().items()}
    model.learn(3 * 6 * 4)
    assert model.num_timesteps == 3 * 6 * 4
    for name, weights in model.policy.state_dict().items():
        assert weights.isfinite().all()
        assert not torch.equal(weights, before[name]), name
    logged = model.logger.name_to_value
    for name in ("loss", "policy_gradient_loss", "value_loss", "approx_kl", "explained_variance"):
        assert np.isfinite(logged[f"train/{name}"])
    assert logged["train/n_updates"] == 3 * 2


def test_it_learns_to_minimize_a_parabola():
    parabola = BoxObjective(lambda x: ((x**2).sum(-1), 2 * x), [-1], [1], minimum=0.0)
    env = env_of(128, objective=parabola, prior="gp", budget=5, reward="log_gap")
    model = model_of(env, batch_episodes=64, n_epochs=4, learning_rate=3e-3, gamma=1.0)
    before = collected(model).rewards.sum(0).mean()
    model.learn(60 * 128 * 5)
    after = collected(model).rewards.sum(0).mean()
    assert after > before + 1  # of about 3 that can be had


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_gives_the_same_weights(seed):
    trained = [weights_of(model_of(seed=s).learn(2 * 6 * 4)) for s in (seed, seed, seed + 7)]
    assert torch.equal(trained[0], trained[1])
    assert not torch.equal(trained[0], trained[2])


def test_single_environments_give_the_same_rollout_as_a_batched_one():
    options = {"budget": 4, "observation": "token", "prior": GPPrior(num_features=8)}
    singles = DummyVecEnv([lambda: gymnasium.make("pop_envs:POP-v0", **options) for _ in range(6)])
    one, other = (collected(model_of(env)) for env in (singles, env_of(**options)))
    for name in ("observations", "actions", "rewards", "values", "advantages"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-5, err_msg=name)


def played(model, env):
    """Deterministic actions (steps, num_envs, dim) of one episode."""
    obs, state, actions = env.reset(), None, []
    for t in range(4):
        action, state = model.predict(obs, state, np.full(env.num_envs, t == 0), deterministic=True)
        actions.append(action)
        obs, *_ = env.step(action)
    return np.stack(actions)


def test_a_saved_model_acts_and_goes_on_as_before(tmp_path):
    model = model_of().learn(6 * 4)
    model.save(tmp_path / "model")
    loaded = EpisodicPPO.load(tmp_path / "model", env=env_of(), device="cpu")
    assert (loaded.n_steps, loaded.batch_size, loaded.batch_episodes) == (4, 12, 3)
    assert isinstance(loaded.rollout_buffer, EpisodeRolloutBuffer)
    envs = env_of(), env_of()
    for env in envs:
        env.seed(5)
    np.testing.assert_array_equal(played(loaded, envs[0]), played(model, envs[1]))
    loaded.learn(6 * 4, reset_num_timesteps=False)
    assert loaded.num_timesteps == 2 * 6 * 4
    assert not torch.equal(weights_of(loaded), weights_of(model))


def test_a_model_loaded_without_an_environment_acts(tmp_path):
    model = model_of().learn(6 * 4)
    model.save(tmp_path / "model")
    loaded = EpisodicPPO.load(tmp_path / "model", device="cpu")
    obs = env_of().reset()
    np.testing.assert_array_equal(loaded.predict(obs, deterministic=True)[0], model.predict(obs, deterministic=True)[0])


@pytest.mark.parametrize(
    ("budgets", "message"), [((3, 4), "exactly 3 steps.* 1 of 2 ended after 3"), ((4, 3), "1 of 2")]
)
def test_episodes_that_end_unevenly_are_refused(budgets, message):
    makers = [lambda budget=budget: POPEnv(budget=budget, observation="token") for budget in budgets]
    with pytest.raises(RuntimeError, match=message):
        model_of(DummyVecEnv(makers)).learn(8)


class Scaled(VecEnvWrapper):
    """Observations that are a factor, or one for each feature, times what the environment gave."""

    def __init__(self, venv, factor):
        super().__init__(venv)
        self.factor = np.float32(factor)

    def reset(self):
        return self.factor * self.venv.reset()

    def step_wait(self):
        obs, *rest = self.venv.step_wait()
        return self.factor * obs, *rest


def test_episodes_that_last_longer_than_the_budget_are_refused():
    env = env_of()
    env.env.budget = 3
    env = Scaled(env, [4 / 3, 1, 1, 1])  # the times are those of the budget that it tells
    with pytest.raises(RuntimeError, match=r"exactly 3 steps.* 0 of 6 ended after 3"):
        model_of(env).learn(8)


class Stop(BaseCallback):
    """Stops a training at its first step after so many evaluations."""

    def __init__(self, evaluations=0):
        super().__init__()
        self.evaluations = evaluations

    def _on_step(self):
        return self.num_timesteps <= self.evaluations


def test_a_training_that_was_stopped_within_an_episode_goes_on():
    model = model_of()
    model.learn(2 * 6 * 4, callback=Stop())
    assert model.num_timesteps == 6
    model.learn(6 * 4, reset_num_timesteps=False)
    assert model.num_timesteps == 6 + 6 * 4


def test_a_training_that_was_stopped_within_the_second_turn_goes_on_with_the_next(monkeypatch):
    model = model_of(alternating())
    shapes = scored(model, monkeypatch)
    model.learn(2 * ROUND, callback=Stop(6 * 4 + 4))
    assert model.num_timesteps == 6 * 4 + 2 * 4
    model.learn(ROUND, reset_num_timesteps=False)
    assert model.num_timesteps == 6 * 4 + 2 * 4 + ROUND
    assert shapes == MINIBATCHES[:4] + MINIBATCHES


def test_padded_trajectories_are_refused():
    with pytest.raises(ValueError, match='observation="token"'):
        model_of(env_of(observation="trajectory"))


TINY = {"width": 8, "depth": 1, "heads": 2}


def small_env(budget=4, **options):
    return GymnasiumVecEnv(POPVectorEnv(4, budget=budget, observation="token", **options))


def test_another_policy_is_refused():
    with pytest.raises(ValueError, match=r"EpisodicPPO needs the class agents.TrajectoryPolicy .* got 'MlpPolicy'"):
        EpisodicPPO("MlpPolicy", small_env())


def test_an_environment_without_a_budget_is_refused():
    with pytest.raises(ValueError, match="EpisodicPPO needs environments with an attribute budget"):
        EpisodicPPO(TrajectoryPolicy, "Pendulum-v1", policy_kwargs={"head": "gaussian"}, device="cpu")


def test_tokens_without_proposed_actions_are_refused_by_heads_that_follow_them():
    with pytest.raises(ValueError, match=r"the tokens have no 'surrogate proposal'.*tokens=\"full\""):
        EpisodicPPO(TrajectoryPolicy, small_env(), device="cpu")


def test_normalized_observations_are_refused():
    with pytest.raises(ValueError, match="make it with norm_obs=False"):
        EpisodicPPO(TrajectoryPolicy, VecNormalize(small_env(tokens="full")), policy_kwargs=TINY, device="cpu")
    env = VecNormalize(small_env(tokens="full"), norm_obs=False)
    EpisodicPPO(TrajectoryPolicy, env, batch_episodes=2, policy_kwargs=TINY, device="cpu").learn(16)


@pytest.mark.parametrize("factor", [0.5, 0.7, 2.0])
def test_observations_that_a_wrapper_has_changed_are_refused(factor):
    env = Scaled(small_env(tokens="full"), factor)
    model = EpisodicPPO(TrajectoryPolicy, env, policy_kwargs=TINY, device="cpu")
    with pytest.raises(ValueError, match="a wrapper that changes observations changes proposed actions too"):
        model.learn(16)


def learned():
    torch.manual_seed(0)
    env = small_env(tokens="full", step_rule="quasi_newton")
    model = EpisodicPPO(TrajectoryPolicy, env, batch_episodes=2, n_epochs=1, seed=3, policy_kwargs=TINY, device="cpu")
    model.learn(32)
    return [weights.detach().clone() for weights in model.policy.parameters()]


@pytest.mark.parametrize("default", [torch.float64, torch.bfloat16, "meta"])
def test_pytorchs_defaults_do_not_matter(default):
    usual, before = learned(), torch.get_default_dtype()
    try:
        if default == "meta":
            torch.set_default_device("meta")
        else:
            torch.set_default_dtype(default)
        found = learned()
    finally:
        torch.set_default_dtype(before)
        torch.set_default_device(None)
    assert all(torch.equal(one, other) for one, other in zip(found, usual, strict=True))
