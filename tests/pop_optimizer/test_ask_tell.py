import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from pop_envs import BoxObjective, GPPrior, POPTask, POPVectorEnv
from pop_envs.pop.core import Core
from pop_envs.pop.step_rules import STEP_RULES
from pop_optimizer.ask_tell import POPPolicy, run
from pop_optimizer.networks.distributions import DISTRIBUTIONS

PRIOR = GPPrior(num_features=8)


def pop_policy_of(policy_of, tokens="full", step_rule="signed", head="mixture", spread=0.1, seed=0):
    network = policy_of(tokens=tokens, head=head, spread=spread, seed=seed)
    return POPPolicy(network.network, POPTask(step_rule=step_rule, tokens=tokens))


def functions_of(batch=5, dim=2, seed=0):
    functions = PRIOR.sample(batch, dim, np.random.default_rng(seed))
    starts = torch.rand(batch, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return functions, starts


@pytest.mark.parametrize("step_rule", list(STEP_RULES))
@pytest.mark.parametrize(
    ("tokens", "head", "spread"),
    [("paper", "gaussian", 0.1), ("full", "mixture", 0.1), ("full", "gaussian", 0.5), ("options", "options", 0.5)],
)
def test_a_run_is_what_the_environment_does(policy_of, step_rule, tokens, head, spread):
    env = POPVectorEnv(
        5,
        budget=12,
        prior=PRIOR,
        step_rule=step_rule,
        tokens=tokens,
        observation="token",
        autoreset_mode=AutoresetMode.DISABLED,
    )
    # With seed 0 the policy that clips asks for the smallest step only, and nothing moves far enough to differ.
    policy = pop_policy_of(policy_of, tokens, step_rule, head, spread, seed=2)
    observations, infos = env.reset(seed=3)
    points, values = run(policy, env.episodes.core.functions, torch.from_numpy(infos["x"]), 12, deterministic=True)
    cache = policy.network.new_cache(5, 2, 12)
    for t in range(13):
        np.testing.assert_array_equal(points[:, t], infos["x"])
        np.testing.assert_array_equal(values[:, t], infos["value"])
        if t < 12:
            with torch.no_grad():
                distribution, _ = policy.network.step(torch.as_tensor(observations), cache)
            observations, *_, infos = env.step(distribution.mode().numpy())
    assert np.ptp(points.numpy(), 1).max() > 1e-3


@pytest.mark.parametrize("dim", [1, 3])
def test_a_run_is_what_the_core_does(policy_of, dim):
    core = Core(4, POPTask(6, PRIOR, step_rule="quasi_newton", tokens="full"), dim=dim)
    core.reset([np.random.default_rng(i) for i in range(4)])
    policy = pop_policy_of(policy_of, step_rule="quasi_newton")
    points, _ = run(policy, core.functions, core.search.trajectory.x, 6, deterministic=True)
    cache = policy.network.new_cache(4, dim, 6)
    for t in range(6):
        with torch.no_grad():
            core.step(policy.network.step(core.search.token, cache)[0].mode())
        assert torch.equal(points[:, t + 1], core.search.trajectory.x)


@pytest.mark.parametrize("deterministic", [True, False])
def test_points_lie_in_the_box_and_values_are_theirs(policy_of, deterministic):
    functions, starts = functions_of()
    points, values = run(pop_policy_of(policy_of), functions, starts, 7, deterministic)
    assert points.shape == (5, 8, 2)
    assert points.abs().max() <= 1
    assert torch.equal(points[:, 0], starts)
    for t in range(8):
        assert torch.equal(values[:, t], functions.value_and_grad(points[:, t])[0])


def test_the_trajectory_keeps_the_best_so_far(policy_of):
    functions, starts = functions_of()
    going = pop_policy_of(policy_of).start(starts, *functions.value_and_grad(starts), budget=9)
    values, points = [going.search.trajectory.y], [starts]
    for _ in range(9):
        points.append(going.ask())
        values.append(functions.value_and_grad(points[-1])[0])
        going.tell(*functions.value_and_grad(points[-1]))
        lowest, step = torch.stack(values).min(0)
        assert torch.equal(going.search.trajectory.best_y, lowest)
        assert torch.equal(going.search.trajectory.best_x, torch.stack(points)[step, torch.arange(5)])


@pytest.mark.parametrize("head", list(DISTRIBUTIONS))
def test_the_generator_alone_decides_what_is_drawn(policy_of, head):
    functions, starts = functions_of()
    policy = pop_policy_of(policy_of, "options", head=head)
    state = torch.get_rng_state()

    def points(seed):
        return run(policy, functions, starts, 6, generator=torch.Generator().manual_seed(seed))[0]

    first = points(1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    assert torch.equal(points(1), first)
    assert not torch.equal(points(2), first)


def test_runs_of_a_batch_do_not_see_each_other(policy_of):
    functions, starts = functions_of()
    policy = pop_policy_of(policy_of)
    together = run(policy, functions, starts, 3, deterministic=True)[0]
    alone = run(policy, functions.rows(torch.tensor([2])), starts[2:3], 3, deterministic=True)[0]
    torch.testing.assert_close(together[2:3], alone, atol=1e-5, rtol=0)


def test_values_that_are_not_finite_do_not_stop_a_run(policy_of):
    def holed(x):
        value = np.where(x[:, 0] > 0, np.nan, (x**2).sum(-1))
        return value, np.where(x[:, :1] > 0, np.nan, 2 * x)

    _, starts = functions_of()
    points, values = run(pop_policy_of(policy_of), BoxObjective(holed, [-1, -1], [1, 1]), starts, 10)
    assert points.isfinite().all()
    assert values.isnan().any()
    assert values.isfinite().any()


def run_of(policy_of, budget=3):
    functions, starts = functions_of()
    return functions, pop_policy_of(policy_of).start(starts, *functions.value_and_grad(starts), budget=budget)


def test_asking_twice_gives_the_same_points_and_changes_nothing(policy_of):
    functions, once = run_of(policy_of)
    _, twice = run_of(policy_of)
    once._actor._deterministic = twice._actor._deterministic = True
    for _ in range(3):
        x = once.ask()
        assert torch.equal(twice.ask(), x)
        assert torch.equal(twice.ask(), x)
        for going in (once, twice):
            going.tell(*functions.value_and_grad(x))


def test_telling_before_asking_is_refused(policy_of):
    functions, going = run_of(policy_of)
    with pytest.raises(RuntimeError, match="ask comes before tell"):
        going.tell(torch.zeros(5), torch.zeros(5, 2))
    x = going.ask()
    going.tell(*functions.value_and_grad(x))
    with pytest.raises(RuntimeError, match="ask comes before tell"):
        going.tell(*functions.value_and_grad(x))


def test_asking_past_the_budget_is_refused(policy_of):
    functions, going = run_of(policy_of, budget=2)
    for _ in range(2):
        going.tell(*functions.value_and_grad(going.ask()))
    with pytest.raises(RuntimeError, match="the budget of 2 steps is spent"):
        going.ask()


@pytest.mark.parametrize(("y", "g"), [((), (5, 2)), ((4,), (5, 2)), ((5,), (5,)), ((5, 1), (5, 2)), ((5,), (5, 3))])
def test_answers_of_other_shapes_are_refused_and_leave_the_run_as_it_was(policy_of, y, g):
    functions, going = run_of(policy_of)
    x = going.ask()
    with pytest.raises(ValueError, match=r"expected values \(5,\) and gradients \(5, 2\), got"):
        going.tell(torch.zeros(y), torch.zeros(g))
    assert torch.equal(going.ask(), x)
    going.tell(*functions.value_and_grad(x))


def test_points_and_answers_belong_to_whoever_has_them(policy_of):
    functions, careful = run_of(policy_of)
    _, careless = run_of(policy_of)
    careful._actor._deterministic = careless._actor._deterministic = True
    for _ in range(3):
        x = careful.ask()
        careful.tell(*functions.value_and_grad(x))
        careless.ask().fill_(9.0)
        y, g = functions.value_and_grad(x)
        careless.tell(y, g)
        y.fill_(9.0)
        g.fill_(9.0)
    assert torch.equal(careful.search.trajectory.best_x, careless.search.trajectory.best_x)
    assert torch.equal(careful.search.trajectory.g, careless.search.trajectory.g)
