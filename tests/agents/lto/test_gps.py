from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback
from torch import Tensor

from agents.lto.gps import GuidedPolicySearch, cost_weights
from agents.lto.linear_gaussian import Policy
from agents.lto.policy import StepPolicy
from agents.lto.unrolled import UnrolledDescent, bounded, unroll
from agents.lto.vec_env import GroupedVecEnv
from pop_envs.lto.task import LTOTask
from pop_envs.objectives.learning_tasks import LearningTask, Losses


@dataclass
class Bowls(Losses):
    center: Tensor
    curvature: Tensor

    def __post_init__(self):
        self.dim = self.center.shape[1]

    def on(self, x):
        pull = (x - self.center[:, None]) * self.curvature[:, None]
        return (pull * (x - self.center[:, None])).sum(-1) / 2, pull

    def turned(self, rotation):
        raise NotImplementedError


@dataclass(frozen=True)
class BowlTask(LearningTask):
    """Bowls of one shape, whose minimum one linear rule reaches in one step: the gradient over the curvature."""

    features: int = 2
    dim: ClassVar[int] = 2
    training_size: ClassVar[int] = 8

    def num_uniforms(self, dim):
        return 2

    def build(self, uniforms, dim):
        return Bowls(2 * uniforms - 1, torch.tensor([[0.4, 2.0]], dtype=torch.float64).repeat(len(uniforms), 1))


TASK = LTOTask(BowlTask(), history=3, budget=6, max_step=4.0)


def made(reference="policy", task=TASK, groups=8, runs=6, seed=0, **kwargs):
    env = GroupedVecEnv(task, groups, runs, fixed=reference == "target")
    env.seed(seed)
    settings = {"divergence": 1.0, "noise": 0.3, "first_epochs": 60, "epochs": 30, "batch_size": 64, "components": 3}
    return GuidedPolicySearch(StepPolicy, env, 3e-3, reference=reference, seed=seed, device="cpu", **settings | kwargs)


def cost(network, task=TASK, seed=5):
    functions = task.make_task().draw(32, np.random.default_rng(seed))
    x0 = torch.from_numpy(np.random.default_rng(seed + 1).standard_normal((32, functions.dim)))
    with torch.no_grad():
        return float(unroll(network, task, functions, x0, task.budget)[1][:, 1:].mean())


ITERATION = 8 * 6 * 6


@pytest.mark.parametrize("reference", ["policy", "target"])
def test_on_bowls_of_one_shape_it_nears_the_rule_that_is_best(reference):
    """Momentum, with one step size for both coordinates, is far from it."""
    model = made(reference)
    model.learn(ITERATION)
    first = cost(model.policy.network)
    model.learn(10 * ITERATION, reset_num_timesteps=False)
    assert model.num_timesteps == 11 * ITERATION
    assert cost(model.policy.network) < 0.5 * first


def test_the_yardstick_nears_it_too():
    env = GroupedVecEnv(TASK, 32, 1)
    model = UnrolledDescent(StepPolicy, env, 1e-2, seed=0, device="cpu")
    model.learn(150 * 32 * 6)
    assert cost(model.policy.network) < 0.02


def test_a_group_has_one_function_and_one_start_and_new_ones_each_time():
    env = GroupedVecEnv(LTOTask("logistic", budget=2), 3, 4)
    starts = []
    for _ in range(2):
        env.reset()
        x, y, _ = env.newest
        assert (x.unflatten(0, (3, 4)).std(1) == 0).all()
        assert (y.unflatten(0, (3, 4)).std(1) == 0).all()
        starts.append(x)
        assert len(env.functions) == 3
    assert not torch.equal(*starts)
    fixed = GroupedVecEnv(LTOTask("logistic", budget=2), 3, 4, fixed=True)
    fixed.reset()
    first = fixed.newest[0]
    fixed.reset()
    torch.testing.assert_close(fixed.newest[0], first)


def played(model):
    _, callback = model._setup_learn(1000, None)
    return model._play(callback)


def test_states_hold_what_was_seen_and_momentum_is_linear_in_them():
    """Of runs that momentum played, its linear policy gives the actions, but for noise."""
    model = made(task=replace(TASK, history=8), noise=1e-9)
    model.noise_floor = 1e-9
    rollouts = played(model)
    states = rollouts.states(8)
    torch.testing.assert_close(model._played.mean(states), rollouts.actions, atol=1e-6, rtol=0)
    torch.testing.assert_close(states[:, 3, :, :2], rollouts.x[:, 3])
    torch.testing.assert_close(states[:, 3, :, 2:5], rollouts.w[:, 3])
    torch.testing.assert_close(states[:, 3, :, 5:8], rollouts.w[:, 2])
    assert (states[:, 3, :, 14:] == 0).all()


def test_the_linearized_network_is_its_tangent():
    model = made(task=replace(TASK, history=4), noise=1e-6)
    model.noise_floor = 1e-6
    rollouts = played(model)
    with torch.no_grad():
        for weights in model.policy.parameters():
            weights.add_(0.1 * torch.randn_like(weights))
        linear = model._linearized(rollouts, rollouts.states(4))
        network = model.policy.network(rollouts.observations).double()
    assert isinstance(linear, Policy)
    # Runs of a group hardly differ, so the tangent at their mean gives the network's actions.
    torch.testing.assert_close(linear.mean(rollouts.states(4)), network, atol=1e-4, rtol=1e-3)
    observation = rollouts.observations[:1, :, :1]
    _, jacobian = model.policy.network.linearized(observation)
    automatic = torch.stack([torch.func.jacrev(model.policy.network)(observation[0, t, 0]) for t in range(TASK.budget)])
    torch.testing.assert_close(jacobian[0], automatic.detach())


def test_targets_that_look_back_less_far_take_the_rest_as_fixed():
    task = replace(TASK, history=4)
    model = made(task=task, memory=2, noise=1e-6, noise_floor=1e-6)
    model.learn(8 * 6 * 6)
    rollouts = played(model)
    short = model._linearized(rollouts, rollouts.states(2))
    model.memory = None
    whole = model._linearized(rollouts, rollouts.states(4))
    torch.testing.assert_close(short.gain, whole.gain[..., : short.gain.shape[-1]])
    for linear, history in ((short, 2), (whole, 4)):
        center = rollouts.states(history).mean(2, keepdim=True)
        torch.testing.assert_close(linear.mean(center)[:, :, 0], whole.mean(rollouts.states(4)).mean(2))


@pytest.mark.parametrize(("relative", "models"), [(False, "fitted"), (True, "fitted"), (True, "expanded")])
def test_what_the_network_is_taught_lowers_the_cost(relative, models, monkeypatch):
    """The first gradient of the fit is close to that of the cost itself, by differentiating through the runs."""
    task = LTOTask("logistic", history=3, budget=6)
    settings = {"multiplier": "shared", "momentum": "shared", "noise": 0.1, "noise_floor": 1e-4, "first_epochs": 20}
    model = made(task=task, groups=40, runs=12, models=models, policy_kwargs={"relative": relative}, **settings)
    model.learn(40 * 12 * 6)
    rollouts, network = played(model), model.policy.network
    _, values = unroll(network, task, model.env.functions, rollouts.x[:, 0, 0], task.budget)
    exact = torch.autograd.grad(values[:, 1:].mean(), list(network.parameters()))
    taught = []

    def imitate(observations, wanted, precision, epochs):
        missed = (network(observations) - wanted)[..., None]
        loss = (missed.mT @ precision[:, :, None] @ missed).mean()
        taught.extend(torch.autograd.grad(loss, list(network.parameters())))

    monkeypatch.setattr(model, "_imitate", imitate)
    model.train(rollouts)
    exact, taught = (torch.cat([g.flatten() for g in each]).double() for each in (exact, taught))
    assert torch.cosine_similarity(exact, taught, 0) > 0.6


def test_weights_of_costs_are_derivatives_of_logarithms_of_gaps():
    y = torch.tensor([[1.0, 0.3, 0.1], [5.0, 5.0, 5.0]], dtype=torch.float64, requires_grad=True)
    assert (cost_weights(y, None) == 1).all()
    low = y.detach().amin(1, keepdim=True)
    (exact,) = torch.autograd.grad((y - low + 1e-2).log().sum(), y)
    weights = cost_weights(y.detach(), 1e-2)
    torch.testing.assert_close(weights, exact / exact.mean(1, keepdim=True))
    torch.testing.assert_close(weights.mean(1), torch.ones(2, dtype=torch.float64))


def test_the_average_lags_behind():
    policy = made().policy
    old, new = policy.average.output.weight.clone(), policy.network.output.weight
    with torch.no_grad():
        new.add_(1.0)
    policy.follow(0.75)
    torch.testing.assert_close(policy.average.output.weight, old + 0.25)
    observation = np.ones((1, 9), dtype=np.float32)
    with torch.no_grad():
        expected = policy.average(torch.ones(1, 9)).clamp(-1, 1).numpy()
    np.testing.assert_allclose(policy.predict(observation)[0], expected, rtol=1e-5)


def test_quadratic_costs_are_exact_on_bowls():
    model = made()
    rollouts = played(model)
    costs = model._costs(rollouts, model._curvature(rollouts))
    expected = torch.diag(torch.tensor([0.4, 2.0], dtype=torch.float64)).expand(8, 6, 2, 2)
    torch.testing.assert_close(costs.curvature, expected, atol=1e-6, rtol=0)
    center = model.env.functions.center
    torch.testing.assert_close(costs.slope[:, 2], -center * torch.tensor([0.4, 2.0]), atol=1e-6, rtol=0)


def test_expanded_models_are_exact_on_bowls():
    """Gradients are linear in points, and falls are, up to second order, what gradients say."""
    model = made(noise=1e-4, noise_floor=1e-4)
    rollouts = played(model)
    dynamics = model._expanded(rollouts, model._curvature(rollouts))
    given = torch.cat([rollouts.x[:, :-1], rollouts.w[:, :-1], rollouts.actions], -1)
    predicted = given @ dynamics.matrix.mT + dynamics.offset[:, :, None]
    torch.testing.assert_close(predicted, rollouts.w[:, 1:], atol=1e-5, rtol=0)


def test_gradients_that_flow_back_are_bounded():
    gradient = torch.tensor([[3.0, 4.0], [0.3, 0.4], [torch.nan, 1.0], [0.0, 0.0]], dtype=torch.float64)
    expected = torch.tensor([[0.6, 0.8], [0.3, 0.4], [0.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(bounded(gradient, 1.0), expected)


def test_a_saved_model_goes_on(tmp_path):
    model = made()
    model.learn(2 * ITERATION)
    model.save(tmp_path / "model.zip")
    loaded = GuidedPolicySearch.load(tmp_path / "model.zip", env=made().env)
    observation = model.env.observation_space.sample() / 1e4
    np.testing.assert_array_equal(loaded.predict(observation)[0], model.predict(observation)[0])
    assert model.predict(observation)[0].shape == (2,)
    loaded.learn(ITERATION, reset_num_timesteps=False)
    assert loaded.iteration == 3
    assert loaded.num_timesteps == 3 * ITERATION


def test_the_same_seed_learns_the_same():
    networks = []
    for _ in range(2):
        model = made(epochs=2, first_epochs=2)
        model.learn(2 * ITERATION)
        networks.append(model.policy.network.state_dict())
    for a, b in zip(*(n.values() for n in networks), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_a_callback_can_stop_it():
    class Stop(BaseCallback):
        def _on_step(self):
            return self.n_calls < 3

    model = made()
    model.learn(10 * ITERATION, callback=Stop())
    assert model.num_timesteps == 3 * 48
    assert model.iteration == 0


def test_wrong_arguments_are_named():
    env = GroupedVecEnv(TASK, 2, 2)
    with pytest.raises(ValueError, match="reference must be one of 'policy', 'target', got 'self'"):
        GuidedPolicySearch(StepPolicy, env, reference="self")
    with pytest.raises(ValueError, match="momentum must be one of 'each', 'shared', got 'none'"):
        GuidedPolicySearch(StepPolicy, env, momentum="none")
    with pytest.raises(ValueError, match="GroupedVecEnv, got str"):
        GuidedPolicySearch(StepPolicy, "LearningToOptimize-v0")
    with pytest.raises(ValueError, match="GroupedVecEnv, got str"):
        UnrolledDescent(StepPolicy, "LearningToOptimize-v0")
