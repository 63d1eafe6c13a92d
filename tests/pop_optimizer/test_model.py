import copy
import pickle
import zipfile

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

import pop_envs  # noqa: F401 (registers POP-v0)
import pop_optimizer
from pop_envs import BoxObjective

BOX = [(-5.0, 5.0)] * 2
START = [2.0, -3.0]
TASK = {"step_rule": "signed", "tokens": "full", "budget": 8}


def bowl(x):
    return (x**2).sum(-1), 2 * x


def model_of(observation="trajectory", **options):
    objective = BoxObjective(bowl, lower=[-5, -5], upper=[5, 5])
    env = gymnasium.make("POP-v0", objective=objective, observation=observation, **TASK, **options)
    torch.manual_seed(0)
    return PPO("MlpPolicy", env, n_steps=8, batch_size=8, policy_kwargs={"net_arch": [8]}, device="cpu", seed=1)


def minimized(policy, **options):
    return pop_optimizer.minimize(bowl, START, bounds=BOX, jac=True, policy=policy, **{"budget": 8, **options})


@pytest.mark.parametrize("observation", ["trajectory", "token"])
def test_minimizing_is_what_the_environment_does(observation):
    model = model_of(observation)
    env = model.env
    env.seed(3)
    seen, points = env.reset(), []
    start = env.envs[0].unwrapped.episodes.core.search.trajectory.x[0].numpy() * 5
    for _ in range(8):
        seen, _, _, infos = env.step(model.predict(seen, deterministic=True)[0])
        points.append(infos[0]["x"])
    found = pop_optimizer.minimize(bowl, start, bounds=BOX, jac=True, budget=8, policy=model)
    np.testing.assert_allclose(found.x_iters[1:], points, atol=1e-6)


def test_a_shorter_run_is_the_beginning_of_a_longer_one():
    model = model_of()
    np.testing.assert_array_equal(minimized(model, budget=3).x_iters, minimized(model).x_iters[:4])


def test_draws_belong_to_the_seed_and_leave_the_global_generator_alone():
    model = model_of("token")
    state = torch.get_rng_state()
    one, same, other = (minimized(model, deterministic=False, rng=seed).x_iters for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_batches_and_single_runs_agree():
    model = model_of()
    starts = np.array([START, [1.0, 4.0]])
    batch = pop_optimizer.minimize_batch(bowl, starts, bounds=BOX, jac=True, budget=8, policy=model)
    for start, path in zip(starts, batch.x_iters, strict=True):
        single = pop_optimizer.minimize(bowl, start, bounds=BOX, jac=True, budget=8, policy=model)
        np.testing.assert_allclose(path, single.x_iters, atol=1e-5)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_an_optimizer_with_a_model_can_be_copied_between_any_two_calls(duplicate):
    optimizer = pop_optimizer.Optimizer(BOX, START, budget=4, policy=model_of())
    while not optimizer.done:
        x = optimizer.ask()
        other = duplicate(optimizer)
        np.testing.assert_array_equal(other.ask(), x)
        optimizer.tell(x, *bowl(x))
        other.tell(x, *bowl(x))
        if not optimizer.done:
            np.testing.assert_array_equal(other.ask(), optimizer.ask())


def test_anything_that_predicts_will_do():
    class Still:
        observation_space = model_of("token").observation_space

        def predict(self, observation, state=None, episode_start=None, deterministic=False):
            assert episode_start.all() == (state is None)
            return np.full(observation.shape[:2], -1.0), (state or 0) + 1

    assert np.ptp(minimized(Still()).x_iters, axis=0).max() < 1e-5


def test_what_does_not_fit_is_refused():
    model = model_of()
    with pytest.raises(ValueError, match="trained on 2 variables, got 3"):
        pop_optimizer.minimize(bowl, [1.0] * 3, bounds=[(-5, 5)] * 3, jac=True, budget=8, policy=model)
    with pytest.raises(ValueError, match="trajectories of 8 steps, got a budget of 9"):
        minimized(model, budget=9)
    optimizer = pop_optimizer.Optimizer(BOX, START, budget=8, policy=model)
    optimizer.tell(START, *bowl(np.array(START)))
    with pytest.raises(ValueError, match="must not be raised to 9"):
        optimizer.budget = 9
    with pytest.raises(TypeError, match="give one of them"):
        minimized(model, checkpoint="runs/full-0")
    with pytest.raises(TypeError, match="a model with predict"):
        minimized(3)
    cart = PPO("MlpPolicy", "CartPole-v1", device="cpu")
    with pytest.raises(ValueError, match="a model that was trained on POP-v0"):
        minimized(cart)


def test_files_that_are_no_models_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no model at"):
        minimized(tmp_path / "none.zip")
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(ValueError, match="is not a zip that SB3 saved"):
        minimized(tmp_path / "text.zip")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as other:
        other.writestr("data", "{}")
    with pytest.raises(ValueError, match="is not a model that SB3 saved"):
        minimized(tmp_path / "other.zip")
