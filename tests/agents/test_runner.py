import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from agents.distributions import DISTRIBUTIONS
from agents.runner import Optimizer, run
from pop_envs import BoxObjective, GPPrior, POPVectorEnv
from pop_envs.core import Core
from pop_envs.step_rule import STEP_RULES
from pop_envs.tokens import TOKENS

PRIOR = GPPrior(num_features=8)


def optimizer_of(policy_of, tokens="full", step_rule="signed", head="mixture", spread=0.1, seed=0):
    policy = policy_of(num_features=len(TOKENS[tokens].features), head=head, spread=spread, seed=seed)
    return Optimizer(policy, step_rule, tokens)


def functions_of(batch=5, dim=2, seed=0):
    functions = PRIOR.sample(batch, dim, np.random.default_rng(seed))
    starts = torch.rand(batch, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return functions, starts


@pytest.mark.parametrize("step_rule", list(STEP_RULES))
@pytest.mark.parametrize(
    ("tokens", "head", "spread"),
    [("paper", "gaussian", 0.1), ("full", "mixture", 0.1), ("full", "gaussian", 0.5)],  # the last clips actions
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
    optimizer = optimizer_of(policy_of, tokens, step_rule, head, spread, seed=2)
    observations, infos = env.reset(seed=3)
    points, values = run(optimizer, env.core.functions, torch.from_numpy(infos["x"]), 12, deterministic=True)
    cache = optimizer.policy.new_cache(5, 2, 12)
    for t in range(13):
        np.testing.assert_array_equal(points[:, t], infos["x"])
        np.testing.assert_array_equal(values[:, t], infos["value"])
        if t < 12:
            with torch.no_grad():
                distribution, _ = optimizer.policy.step(torch.as_tensor(observations), cache)
            observations, *_, infos = env.step(distribution.mode().numpy())
    assert np.ptp(points.numpy(), 1).max() > 1e-3


@pytest.mark.parametrize("dim", [1, 3])
def test_a_run_is_what_the_core_does(policy_of, dim):
    core = Core(4, dim=dim, budget=6, prior=PRIOR, step_rule="quasi_newton", tokens="full")
    core.reset([np.random.default_rng(i) for i in range(4)])
    optimizer = optimizer_of(policy_of, step_rule="quasi_newton")
    points, _ = run(optimizer, core.functions, core.run.x, 6, deterministic=True)
    cache = optimizer.policy.new_cache(4, dim, 6)
    for t in range(6):
        with torch.no_grad():
            core.step(optimizer.policy.step(core.token, cache)[0].mode())
        assert torch.equal(points[:, t + 1], core.run.x)


@pytest.mark.parametrize("deterministic", [True, False])
def test_points_lie_in_the_box_and_values_are_theirs(policy_of, deterministic):
    functions, starts = functions_of()
    points, values = run(optimizer_of(policy_of), functions, starts, 7, deterministic)
    assert points.shape == (5, 8, 2)
    assert points.abs().max() <= 1
    assert torch.equal(points[:, 0], starts)
    for t in range(8):
        assert torch.equal(values[:, t], functions.value_and_grad(points[:, t])[0])


def test_the_trajectory_keeps_the_best_so_far(policy_of):
    functions, starts = functions_of()
    going = optimizer_of(policy_of).start(starts, *functions.value_and_grad(starts), budget=9)
    values, points = [going.trajectory.y], [starts]
    for _ in range(9):
        points.append(going.ask())
        values.append(functions.value_and_grad(points[-1])[0])
        going.tell(*functions.value_and_grad(points[-1]))
        lowest, step = torch.stack(values).min(0)
        assert torch.equal(going.trajectory.best_y, lowest)
        assert torch.equal(going.trajectory.best_x, torch.stack(points)[step, torch.arange(5)])


@pytest.mark.parametrize("head", list(DISTRIBUTIONS))
def test_the_generator_alone_decides_what_is_drawn(policy_of, head):
    functions, starts = functions_of()
    optimizer = optimizer_of(policy_of, head=head)
    state = torch.get_rng_state()

    def points(seed):
        return run(optimizer, functions, starts, 6, generator=torch.Generator().manual_seed(seed))[0]

    first = points(1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    assert torch.equal(points(1), first)
    assert not torch.equal(points(2), first)


def test_runs_of_a_batch_do_not_see_each_other(policy_of):
    functions, starts = functions_of()
    optimizer = optimizer_of(policy_of)
    together = run(optimizer, functions, starts, 3, deterministic=True)[0]
    alone = run(optimizer, functions.rows(torch.tensor([2])), starts[2:3], 3, deterministic=True)[0]
    torch.testing.assert_close(together[2:3], alone, atol=1e-5, rtol=0)


def test_values_that_are_not_finite_do_not_stop_a_run(policy_of):
    def holed(x):
        value = np.where(x[:, 0] > 0, np.nan, (x**2).sum(-1))
        return value, np.where(x[:, :1] > 0, np.nan, 2 * x)

    _, starts = functions_of()
    points, values = run(optimizer_of(policy_of), BoxObjective(holed, [-1, -1], [1, 1]), starts, 10)
    assert points.isfinite().all()
    assert values.isnan().any()
    assert values.isfinite().any()
