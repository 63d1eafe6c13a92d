import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from agents.training.validation import ADAM, NUM_FUNCTIONS, TAU, ValidationSet
from pop_envs import BoxObjective, POPTask, PriorFunctions
from pop_envs.objectives.gp_prior import GPPrior
from pop_envs.objectives.priors import PRIORS
from pop_envs.pop.tokens import TOKENS
from pop_envs.search.trust_region import TrustRegion
from pop_optimizer.ask_tell import POPPolicy
from pop_optimizer.networks.distributions import DISTRIBUTIONS
from pop_optimizer.networks.pop import POPNetwork


def set_of(prior="gp", budget=20, size=12, dim=2):
    return ValidationSet.of(prior, budget, size, dim)


def parabolas(starts, budget=1, center=0.0):
    """A set of ``(x - center)**2`` on [-1, 1], one for each start; by default the minimum is 0, the median 1/4."""
    n, zero = len(starts), torch.zeros(len(starts), 1, dtype=torch.float64)
    functions = PriorFunctions(
        curvature=zero + 1,
        center=zero + center,
        frequency=torch.zeros(1, n, 1, dtype=torch.float64),
        phase=zero,
        weight=zero,
    )
    return ValidationSet(functions, torch.tensor(starts, dtype=torch.float64)[:, None], budget)


@pytest.mark.parametrize("prior", list(PRIORS))
def test_the_functions_are_always_the_same(prior):
    torch.manual_seed(0)
    one = set_of(prior)
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    other = set_of(prior)
    assert torch.equal(one.starts, other.starts)
    points = torch.linspace(-1, 1, 24, dtype=torch.float64).reshape(12, 2)
    for a, b in zip(one.functions.value_and_grad(points), other.functions.value_and_grad(points), strict=True):
        assert torch.equal(a, b)
    np.testing.assert_array_equal(one.minimum, other.minimum)
    np.testing.assert_array_equal(one.median, other.median)


def test_a_smaller_set_has_other_functions_than_training_draws():
    held_out = set_of(size=4).functions
    points = torch.zeros(4, 2, dtype=torch.float64)
    for seed in range(20):
        drawn = GPPrior().sample(4, 2, np.random.default_rng(seed))
        assert not torch.isclose(drawn.value_and_grad(points)[0], held_out.value_and_grad(points)[0]).any()


@pytest.mark.parametrize("prior", list(PRIORS))
def test_a_set_goes_on_where_another_ends(prior):
    whole, rest = set_of(prior), ValidationSet.of(prior, 20, 7, 2, first=5)
    assert torch.equal(rest.starts, whole.starts[5:])
    a, b = whole.functions.value_and_grad(whole.starts)[0][5:], rest.functions.value_and_grad(rest.starts)[0]
    assert torch.equal(a, b)


def test_a_set_has_256_functions_in_two_dimensions():
    chosen = ValidationSet.of("gp", 5)
    assert chosen.starts.shape == (NUM_FUNCTIONS, 2) == (256, 2)
    assert len(chosen.functions) == 256


def test_minimum_and_median_are_those_of_the_functions():
    chosen = parabolas([1.0, 0.5])
    np.testing.assert_allclose(chosen.minimum, 0, atol=1e-8)
    np.testing.assert_allclose(chosen.median, 0.25, atol=0.03)


@pytest.mark.parametrize(("prior", "tolerance"), [("gp", 1e-3), ("wide", 0.03)])  # some wide functions are rough
def test_nothing_found_on_a_grid_is_below_the_minimum(prior, tolerance):
    chosen = set_of(prior)
    axis = torch.linspace(-1, 1, 101, dtype=torch.float64)
    values = chosen.functions.values_on(torch.cartesian_prod(axis, axis)).numpy()
    spread = values.max(1) - values.min(1)
    assert ((values.min(1) - chosen.minimum) / spread > -tolerance).all()


def test_scores_are_those_computed_by_hand():
    chosen = parabolas([1.0, 0.5])
    vars(chosen)["minimum"], vars(chosen)["median"] = np.array([0.0, -1.0]), np.array([4.0, 9.0])
    score = chosen.score(torch.tensor([[4.0, 5.0, 0.4, 3.0], [1.0, 1.5, 2.0, 3.0]], dtype=torch.float64))
    assert (score.solved, score.solved_error) == (0.0, 0.0)
    # The first: NI 3.6 / 4, regret 0.1. The second never improves: NI 0, regret 2 / 10.
    assert score.ni == pytest.approx(0.45)
    assert score.ni_error == pytest.approx(0.45 / np.sqrt(2))
    assert score.log10_regret == pytest.approx((-1 + np.log10(0.2)) / 2)
    assert score.log10_regret_error == pytest.approx((1 + np.log10(0.2)) / 2 / np.sqrt(2))


def test_the_share_of_solved_functions_is_that_of_gaps_within_a_millionth_of_the_starts():
    chosen = parabolas([1.0, 0.5, 0.1, -0.2])
    vars(chosen)["minimum"], vars(chosen)["median"] = np.zeros(4), np.ones(4)
    best = TAU * np.array([[0.9, 1.1, 0.0, 0.5]]).T * np.array([[3.0, 2.0, 1.0, 4.0]]).T
    values = torch.from_numpy(np.hstack([[[3.0], [2.0], [1.0], [4.0]], best, best + 1]))
    score = chosen.score(values)
    assert score.solved == 0.75
    assert score.solved_error == pytest.approx((0.75 * 0.25 / 4) ** 0.5)


@pytest.mark.parametrize("dim", [2, 8])
def test_a_known_minimum_is_taken_as_it_is(dim, monkeypatch):
    monkeypatch.setattr("agents.training.validation.reference_minimum", None)
    np.testing.assert_array_equal(set_of("plain", dim=dim).minimum, np.zeros(12))


@pytest.mark.parametrize("prior", list(PRIORS))
def test_the_descent_alone_goes_wherever_it_proposes(prior):
    chosen = set_of(prior, budget=30)
    values, x = chosen.descent(), chosen.starts
    descent = TrustRegion.start(x, *chosen.functions.value_and_grad(x))
    for t in range(31):
        y, g = chosen.functions.value_and_grad(x)
        assert torch.equal(values[:, t], y)
        if t:
            descent.update(x, y, g, torch.ones(12, dtype=torch.bool))
        x = descent.proposal
    assert values.shape == (12, 31)


def test_the_descent_alone_is_what_a_policy_is_that_only_steps():
    tokens = TOKENS["options"].features
    task, follows = POPTask(step_rule="signed", tokens="options"), DISTRIBUTIONS["options"].follows
    network = POPNetwork(len(tokens), [tokens.index(name) for name in follows], "options", width=8, heads=2)
    with torch.no_grad():
        network.action_net.bias[-1] = 0.0  # untrained, its likeliest action is the step, if exhaustion does not count
    chosen = set_of("plain", budget=40, dim=3)
    assert torch.equal(chosen.policy(POPPolicy(network, task), deterministic=True), chosen.descent())


def test_restarted_lbfgsb_is_scipys_until_it_stops_and_goes_on_at_random_points():
    chosen = set_of("plain", budget=120, size=5, dim=3)
    values = chosen.lbfgsb()
    assert values.shape == (5, 121)
    assert torch.equal(chosen.lbfgsb(), values)
    stopped = 0
    for i, x0 in enumerate(chosen.starts.numpy()):
        function, seen = chosen.functions.rows(torch.tensor([i])), []

        def fun(x, function=function, seen=seen):
            y, g = function.value_and_grad(torch.from_numpy(x)[None])
            seen.append(y.item())
            return seen[-1], g[0].numpy()

        minimize(fun, x0, jac=True, method="L-BFGS-B", bounds=[(-1, 1)] * 3, options={"maxfun": 121})
        seen = seen[:121]
        np.testing.assert_array_equal(values[i, : len(seen)], seen)
        assert len(np.unique(values[i, len(seen) :])) > (len(seen) < 121) * 2
        stopped += len(seen) < 121
    assert stopped > 0


def test_restarted_lbfgsb_keeps_to_its_budget_however_soon_it_stops():
    for budget in (1, 2, 7):
        values = parabolas([1.0, -0.5, 0.0], budget=budget).lbfgsb()
        assert values.shape == (3, budget + 1)
        assert torch.equal(values[:, 0], torch.tensor([1.0, 0.25, 0.0], dtype=torch.float64))


def test_patience_pays_on_plain_problems():
    """What the plain prior is for: the descent alone solves many, and Adam and random points next to none."""
    chosen = set_of("plain", budget=200, size=64, dim=8)
    shares = [chosen.score(values).solved for values in (chosen.descent(), chosen.adam(), chosen.random_search())]
    assert shares[0] > 0.3
    assert shares[0] > shares[1] + 0.2
    assert shares[2] == 0


def test_a_solved_function_scores_full_marks():
    score = parabolas([1.0, 0.5]).score(torch.tensor([[1.0, 0.0], [0.25, 0.0]], dtype=torch.float64))
    assert score.ni == pytest.approx(1.0)
    assert score.solved == 1.0
    assert score.log10_regret == pytest.approx(-8, abs=0.1)


def test_adam_is_adam():
    b1, b2 = ADAM["beta1"], ADAM["beta2"]
    starts = [0.9, -0.6]
    values = parabolas(starts, budget=6).adam()
    for start, row in zip(starts, values.tolist(), strict=True):
        x, m, v = start, 0.0, 0.0
        for t in range(7):
            assert row[t] == pytest.approx(x**2, rel=1e-6)
            m, v = b1 * m + (1 - b1) * 2 * x, b2 * v + (1 - b2) * (2 * x) ** 2
            k = t + 1
            x -= ADAM["learning_rate"] * (m / (1 - b1**k)) / (np.sqrt(v / (1 - b2**k)) + 1e-8)


def test_adam_stays_in_the_box():
    values = parabolas([0.0, -0.5], budget=30, center=2.0).adam()
    assert values.min() == 1.0  # at the wall; the parabola goes on down to 0


@pytest.mark.parametrize("prior", list(PRIORS))
def test_adam_improves_on_the_starts_and_on_nothing_but_random_points(prior):
    chosen = set_of(prior, budget=50, size=64)
    values = chosen.adam()
    assert values.shape == (64, 51)
    assert torch.equal(values[:, 0], chosen.functions.value_and_grad(chosen.starts)[0])
    adam = chosen.score(values)
    assert adam.ni > 0.5
    assert adam.log10_regret < chosen.score(chosen.random_search()).log10_regret
    assert torch.equal(chosen.adam(), values)  # the starts are where they were


def test_random_points_do_not_depend_on_the_function():
    seen = {}

    def recorded(name, sign):
        def fun(x):
            seen.setdefault(name, []).append(x.copy())
            return sign * x.sum(-1), sign * np.ones_like(x)

        return BoxObjective(fun, [-1.0, -1.0], [1.0, 1.0])

    starts = torch.full((500, 2), 0.25, dtype=torch.float64)
    for name, sign in (("up", 1.0), ("down", -7.0)):
        ValidationSet(recorded(name, sign), starts, 8).random_search()
    up, down = np.stack(seen["up"]), np.stack(seen["down"])
    np.testing.assert_array_equal(up, down)
    np.testing.assert_array_equal(up[0], 0.25)
    drawn = up[1:].ravel()  # 8000 numbers
    assert np.abs(drawn).max() <= 1
    np.testing.assert_allclose(drawn.mean(), 0, atol=0.03)
    np.testing.assert_allclose(drawn.var(), 1 / 3, atol=0.02)
    assert np.unique(drawn).size == drawn.size


def test_the_starts_of_random_search_stay_where_they_are():
    chosen = set_of()
    first = chosen.random_search()
    assert torch.equal(chosen.random_search(), first)
    assert torch.equal(first[:, 0], chosen.functions.value_and_grad(chosen.starts)[0])


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_policys_runs_are_fixed_across_calls(policy_of, deterministic):
    policy = policy_of(tokens="full")
    chosen, optimizer = set_of(), POPPolicy(policy.network, POPTask(step_rule="signed", tokens="full"))
    values = chosen.policy(optimizer, deterministic)
    torch.rand(5)
    assert torch.equal(chosen.policy(optimizer, deterministic), values)
    assert values.shape == (12, 21)
    assert torch.equal(values[:, 0], chosen.functions.value_and_grad(chosen.starts)[0])
    assert torch.equal(chosen.policy(optimizer, not deterministic), values) is False
