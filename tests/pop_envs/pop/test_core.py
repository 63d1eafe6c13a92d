import numpy as np
import pytest
import torch

from pop_envs import BoxObjective, GPPrior, Objective, POPTask, WidePrior
from pop_envs.objectives.priors import validation_functions
from pop_envs.pop.core import Core
from pop_envs.pop.step_rules import STEP_RULES
from pop_envs.pop.tokens import TOKENS

BUDGET = 50


def made_core(num_envs=1, dim=None, objective=None, **task):
    return Core(num_envs, POPTask(**task), dim=dim, objective=objective)


def rngs(count, first=0):
    return [np.random.default_rng(first + i) for i in range(count)]


def own_function(seed, scale=1.0, constant=0.0, lower=(-1.0, -1.0), upper=(1.0, 1.0)):
    """One function of the prior, scaled and shifted, on a box of its own."""
    functions = GPPrior().sample(1, 2, np.random.default_rng(seed))
    lower, upper = np.asarray(lower), np.asarray(upper)
    half = (upper - lower) / 2

    def evaluate(x):
        y, g = functions.value_and_grad(torch.from_numpy((x - lower) / half - 1))
        return scale * y.numpy() + constant, scale * g.numpy() / half

    return BoxObjective(evaluate, lower, upper)


def episode(objective, tokens, step_rule, seed):
    """Tokens and points of a whole episode of random actions."""
    core = made_core(objective=objective, budget=BUDGET, tokens=tokens, step_rule=step_rule)
    core.reset(rngs(1, seed))
    seen, points = [core.search.token[0]], [core.search.trajectory.x[0]]
    for action in np.random.default_rng(seed).uniform(-1, 1, (BUDGET, 1, 2)):
        core.step(torch.from_numpy(action))
        seen.append(core.search.token[0])
        points.append(core.search.trajectory.x[0])
    return torch.stack(seen), torch.stack(points)


CHANGES = {
    "constant": {"constant": 30.0},
    **{f"times {scale:g}": {"scale": scale} for scale in 10.0 ** np.arange(-6, 7, 2)},
    "box": {"lower": (3.0, -7.0), "upper": (50.0, -6.9)},
    "all": {"scale": 3e5, "constant": -4e6, "lower": (0.0, -2e3), "upper": (1e-3, 5e3)},
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("tokens", TOKENS)
@pytest.mark.parametrize("step_rule", STEP_RULES)
def test_shifting_and_scaling_function_and_box_changes_no_token_and_no_step(change, tokens, step_rule):
    for seed in range(2):
        plain = episode(own_function(seed), tokens, step_rule, seed)
        changed = episode(own_function(seed, **CHANGES[change]), tokens, step_rule, seed)
        torch.testing.assert_close(changed[0], plain[0], rtol=0, atol=1e-6)
        torch.testing.assert_close(changed[1], plain[1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
@pytest.mark.parametrize("reward", ["improvement", "log_gap"])
def test_rewards_are_free_of_scale_too(scale, reward):
    def paid(objective):
        core = made_core(objective=objective, budget=BUDGET, reward=reward, step_rule="signed")
        core.reset(rngs(1))
        actions = np.random.default_rng(0).uniform(0, 1, (BUDGET, 1, 2))
        return [core.step(torch.from_numpy(action)).item() for action in actions]

    plain = paid(own_function(0))
    assert sum(plain) > 0
    np.testing.assert_allclose(paid(own_function(0, scale=scale)), plain, atol=1e-6)


@pytest.mark.parametrize("config", [GPPrior(), WidePrior()], ids=type)
def test_a_batch_equals_its_members(config):
    def play(count, first):
        core = made_core(count, prior=config, tokens="full", step_rule="signed", reward="log_gap", budget=20)
        core.reset(rngs(count, first))
        actions = np.random.default_rng(0).uniform(-1, 1, (20, 6, 2))[:, first : first + count]
        steps = [(core.step(torch.from_numpy(action)), core.search.token) for action in actions]
        return [torch.stack(parts) for parts in zip(*steps, strict=True)]

    rewards, tokens = play(6, 0)
    for i in range(6):
        own_rewards, own_tokens = play(1, i)
        torch.testing.assert_close(own_tokens[:, 0], tokens[:, i], rtol=0, atol=1e-5)
        torch.testing.assert_close(own_rewards[:, 0], rewards[:, i], rtol=1e-5, atol=1e-5)


def test_eq_6_in_units_of_the_spread():
    core = made_core(16, budget=30, step_rule="signed")
    core.reset(rngs(16))
    first, paid = core.search.trajectory.y.clone(), torch.zeros(16, dtype=torch.float64)
    for action in np.random.default_rng(0).uniform(0, 1, (30, 16, 2)):
        paid += core.step(torch.from_numpy(action))
    torch.testing.assert_close(paid * core.spread, first - core.search.trajectory.best_y)
    assert core.search.done.all()


class Failing(Objective):
    """Bowls (x - c)^2, one per row; some rows have no value at some calls."""

    dim = 2

    def __init__(self, bad):
        self.bad = bad
        self.calls = 0

    def value_and_grad(self, x):
        self.calls += 1
        center = torch.linspace(-0.5, 0.5, len(x), dtype=torch.float64)[:, None]
        y, g = ((x - center) ** 2).sum(-1), 2 * (x - center)
        for row, value in self.bad.get(self.calls, {}).items():
            y[row], g[row] = value, value
        return y, g

    def values_on(self, points):
        return (points**2).sum(-1)[None]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("step_rule", STEP_RULES)
def test_a_value_that_is_missing_leaves_the_other_runs_alone(value, step_rule):
    def play(bad):
        core = made_core(3, objective=Failing(bad), tokens="full", step_rule=step_rule, budget=10)
        core.reset(rngs(3))
        actions = np.random.default_rng(0).uniform(-1, 1, (10, 3, 2))
        steps = [
            (core.step(torch.from_numpy(action)), core.search.token, core.search.trajectory.valid) for action in actions
        ]
        return [torch.stack(parts) for parts in zip(*steps, strict=True)]

    # The second run has no value at its start, nor at the steps 3 and 4.
    bad = {call: {1: value} for call in (1, 4, 5)}
    (rewards, tokens, valid), (clean_rewards, clean_tokens, _) = play(bad), play({})
    for i in (0, 2):
        assert torch.equal(tokens[:, i], clean_tokens[:, i])
        assert torch.equal(rewards[:, i], clean_rewards[:, i])
    assert valid[:, 1].tolist() == [step not in (2, 3) for step in range(10)]
    assert valid[:, [0, 2]].all()
    assert tokens.isfinite().all()
    assert rewards.isfinite().all()


def test_a_part_is_reset_alone():
    core = made_core(4, budget=5)
    core.reset(rngs(4))
    for _ in range(2):
        core.step(torch.zeros(4, 2))
    before = core.search.token
    core.reset(rngs(2, 10), torch.tensor([3, 1]))
    assert core.search.trajectory.t.tolist() == [2, 0, 2, 0]
    assert torch.equal(core.search.token[[0, 2]], before[[0, 2]])
    alone = made_core(2, budget=5)
    alone.reset(rngs(2, 10))
    torch.testing.assert_close(core.search.token[[3, 1]], alone.search.token)
    rewards = core.step(torch.zeros(4, 2))
    torch.testing.assert_close(rewards[[3, 1]], alone.step(torch.zeros(2, 2)))


def test_fixed_functions_of_a_prior_stay_with_their_runs():
    functions = validation_functions(GPPrior(), 4, 3)
    core = made_core(4, objective=functions, reward="log_gap")
    core.reset(rngs(4))
    core.reset(rngs(1, 9), torch.tensor([2]))
    core.step(torch.zeros(4, 3))
    torch.testing.assert_close(core.search.trajectory.y, functions.value_and_grad(core.search.trajectory.x)[0])
    assert core.dim == 3
    assert core.minimum.shape == core.spread.shape == (4,)


def test_one_function_of_a_prior_serves_all_runs():
    one = validation_functions(GPPrior(), 1, 2)
    core = made_core(5, objective=one)
    core.reset(rngs(5))
    core.reset(rngs(2), torch.tensor([0, 4]))
    for i in range(5):
        torch.testing.assert_close(
            core.search.trajectory.y[i : i + 1], one.value_and_grad(core.search.trajectory.x[i : i + 1])[0]
        )


def test_a_fixed_objective_is_measured_once():
    calls = []
    objective = BoxObjective(lambda x: (calls.append(len(x)) or (x**2).sum(-1), 2 * x), [-1, -1], [1, 1])
    core = made_core(objective=objective)
    for _ in range(3):
        core.reset(rngs(1))
    assert sorted(calls) == [1, 1, 1, 64]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"num_envs": 0}, "num_envs must be a positive integer, got 0"),
        ({"budget": 2.5}, "budget must be a positive integer, got 2.5"),
        ({"dim": True}, "dim must be a positive integer, got True"),
        ({"prior": "gauss"}, "prior must be one of 'gp', 'wide', 'plain', 'kernels', got 'gauss'"),
        ({"reward": "regret"}, "reward must be one of 'improvement', 'log_gap', got 'regret'"),
        ({"step_rule": "adam"}, "step_rule must be one of 'gradient', 'signed', 'quasi_newton', got 'adam'"),
        ({"tokens": "all"}, "tokens must be one of 'paper', 'full', 'options', got 'all'"),
        ({"objective": np.sin}, "objective must be a pop_envs.Objective, got ufunc; wrap"),
        ({"objective": Failing({}), "dim": 3}, "dim=3 contradicts the objective's 2"),
        (
            {"num_envs": 3, "objective": validation_functions(GPPrior(), 2)},
            "one for each of the num_envs=3 runs, got 2",
        ),
    ],
)
def test_bad_arguments(bad, message):
    with pytest.raises(ValueError, match=message):
        made_core(**bad)


@pytest.mark.parametrize("reward", ["improvement", "log_gap"])
def test_rewards_are_finite_up_to_the_largest_numbers(reward):
    for largest in (1e149, 1.7e308):
        sizes = np.array([1.0, -1.0]) * largest
        objective = BoxObjective(lambda x, s=sizes: (np.where(x[:, 0] > 0, *s), x), [-1, -1], [1, 1])
        core = made_core(8, objective=objective, reward=reward, step_rule="signed", budget=20)
        core.reset(rngs(8))
        for action in np.random.default_rng(0).uniform(0, 1, (20, 8, 2)):
            assert core.step(torch.from_numpy(action)).isfinite().all()
