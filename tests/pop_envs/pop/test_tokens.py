import math

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box

from pop_envs import BoxObjective, POPTask
from pop_envs.pop.core import Core
from pop_envs.pop.step_rules import STEP_RULES, SignedStep
from pop_envs.pop.tokens import (
    EXHAUSTED,
    LOWEST,
    SURROGATE,
    TIME,
    TOKENS,
    TRUST_REGION,
    FullTokens,
    OptionTokens,
    PaperTokens,
    TokenSpace,
    columns,
)
from pop_envs.search.surrogate import LENGTHSCALE, NOISE
from pop_envs.search.trajectory import Trajectory

NAN, INF = float("nan"), float("inf")
BUDGET = 8


def two_points():
    """A run in 2-D: from (0.5, -0.5) to (0.3, -0.1), values 2 and 1, gradients (1, -4) and (-0.5, -2)."""
    x, g = torch.tensor([[0.5, -0.5]]).double(), torch.tensor([[1.0, -4.0]]).double()
    run = Trajectory.start(x, torch.tensor([2.0]).double(), g, capacity=BUDGET + 1)
    x, g = torch.tensor([[0.3, -0.1]]).double(), torch.tensor([[-0.5, -2.0]]).double()
    run.update(torch.tensor([[0.7, -0.2]]).double(), x, torch.tensor([1.0]).double(), g)
    return run


def log(v):
    """The signed logarithm of the environment's documentation."""
    return math.copysign(1 + math.log10(abs(v)) / 12, v)


def test_paper_tokens_by_hand():
    token = PaperTokens()(two_points(), SignedStep(), BUDGET)
    expected = [[1 / 8, 0.3, -1, -0.5 / 4], [1 / 8, -0.1, -1, -2 / 4]]  # of two values the lower has z = -1
    torch.testing.assert_close(token, torch.tensor([expected]))
    assert token.dtype == torch.float32


def test_full_tokens_by_hand():
    run = two_points()
    token = dict(zip(FullTokens.features, FullTokens()(run, SignedStep(), BUDGET)[0, 0].tolist(), strict=True))
    # Two values, 2 and 1, whose covariance matrix is [[1 + NOISE, k], [k, 1 + NOISE]]: their mean is 1.5.
    places = torch.stack([run.surrogate.proposal[0], *torch.tensor([[0.5, -0.5], [0.3, -0.1]]).double()])
    covariances = torch.exp(-((places[:, None] - places) ** 2).mean(-1) / (2 * LENGTHSCALE**2)).tolist()
    (_, first, second), k = covariances[0], covariances[1][2]
    apart, alike = 1 + NOISE - k, 1 + NOISE + k
    mean = 1.5 + (first - second) / 2 / apart
    explained = ((first + second) ** 2 / alike + (first - second) ** 2 / apart) / 2
    # The first coordinate goes up next: its slope is negative. It moved down by 0.2, to the new best point.
    expected = {
        "time": 1 / 8,
        "x": 0.3,
        "value": -1,
        "gradient": -0.125,
        "direction": 1,
        "room ahead": 0.7,
        "log room ahead": log(0.7),
        "log gradient": log(0.125),
        "log move": log(-0.2),
        "log gradient change": log(-1.5 / 4),
        "log secant step": math.log(0.2 / (1.5 / 4)) / 10,
        "secant sign": 1,
        "gradient turned": -1,
        "log value change": log(-1 / 4),
        "log distance to best value": 0,
        "log scale growth": 0,
        "is best": 1,
        "best ahead": 0,
        "log best ahead": 0,
        "action": 0.7,
        "trust-region outcome": run.trust_region.outcome.item(),
        "log iterate gap": 0,
        "log predicted reduction": log(run.trust_region.predicted_reduction.item() / 4),
        "log proposed step": log(run.proposed_step[0, 0].item()),
        "log predicted gap": log(-run.trust_region.predicted_reduction.item() / 4),
        "posterior mean": (mean - 1) / (0.5 / math.sqrt(apart)),
        "posterior deviation": math.sqrt(1 - explained),
        "inverse dim": 1 / 2,
        "surrogate proposal": SignedStep().action_to(run, run.surrogate.proposal, bounce=True)[0, 0].item(),
        "trust-region proposal": SignedStep().action_to(run, run.trust_region.proposal)[0, 0].item(),
    }
    assert token == pytest.approx(expected, abs=1e-6)


def test_after_a_worse_point_the_best_one_is_told():
    run = two_points()
    x = torch.tensor([[0.9, -0.1]]).double()
    run.update(x, x, torch.tensor([3.0]).double(), torch.tensor([[8.0, 0.0]]).double())
    token = dict(zip(FullTokens.features, FullTokens()(run, SignedStep(), BUDGET)[0, 0].tolist(), strict=True))
    assert token["is best"] == 0
    assert token["best ahead"] == pytest.approx(0.6)  # 0.3 lies ahead of 0.9 on the way down
    assert token["log best ahead"] == pytest.approx(log(0.6), abs=1e-6)
    assert token["log distance to best value"] == pytest.approx(log(2 / 8), abs=1e-6)
    assert token["log scale growth"] == pytest.approx(math.log(2) / 2, abs=1e-6)


def named(run):
    """The option tokens of a run's first coordinate, by their names."""
    return dict(zip(OptionTokens.features, OptionTokens()(run, SignedStep(), BUDGET)[0, 0].tolist(), strict=True))


def count(n):
    """The logarithm of a count: 0 for none, 1 for 499."""
    return math.log(1 + n) / math.log(500)


def test_options_are_the_full_tokens_and_ten_more():
    run, rule = two_points(), SignedStep()
    full = FullTokens.features
    new = ["log steps left", "log relative reduction", "log relative gap", "log lowest reduction", "log accepts"]
    new += ["log rejects", "log since best", "log jumps", EXHAUSTED]
    assert OptionTokens.features == (*full[:-2], *new, SURROGATE, TRUST_REGION, LOWEST)
    options, others = OptionTokens()(run, rule, BUDGET), FullTokens()(run, rule, BUDGET)
    assert options.dtype == torch.float32
    assert torch.equal(options[..., [OptionTokens.features.index(name) for name in full]], others)


def test_option_tokens_by_hand():
    """A descent that was left at (0.3, -0.1) for a worse point, whose descent was followed for a step in vain."""
    run = two_points()
    token = named(run)
    followed = run.trust_region
    assert followed.outcome.item() == 1  # a step of the first descent
    reduction = followed.predicted_reduction.item()
    # Values so far span 2 to 1, and seven of eight steps are left.
    expected = {
        "log steps left": count(7),
        "log relative reduction": log(reduction / 1),
        "log relative gap": 0,
        "log lowest reduction": log(reduction / 1),
        "log accepts": count(1),
        "log rejects": 0,
        "log since best": 0,
        "log jumps": 0,
        EXHAUSTED: 0,
    }
    assert {name: token[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert token[LOWEST] == token[TRUST_REGION]

    left, x, up = run.trust_region, torch.tensor([[-0.9, 0.95]]).double(), torch.tensor([[4.0, 4.0]]).double()
    assert not left.leads_to(x).item()
    run.update(x, x, torch.tensor([5.0]).double(), up)
    new = run.trust_region.predicted_reduction.item()
    x = run.trust_region.proposal
    run.update(x, x, torch.tensor([6.0]).double(), up)
    token, again = named(run), run.trust_region.predicted_reduction.item()
    assert again < new  # the region shrank
    expected = {
        "log steps left": count(5),
        "log relative reduction": log(again / 5),  # values span 6 to 1
        "log relative gap": log(4 / 5),
        "log lowest reduction": log(reduction / 5),
        "log accepts": 0,
        "log rejects": count(1),
        "log since best": count(2),
        "log jumps": count(1),
        EXHAUSTED: float(again < 4),  # it promises no new best value
        LOWEST: SignedStep().action_to(run, left.proposal)[0, 0].item(),
    }
    assert {name: token[name] for name in expected} == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("share", "exhausted"), [(0.9e-8, 1), (1.1e-8, 0)])
def test_a_descent_is_exhausted_where_it_promises_next_to_nothing(share, exhausted):
    run = two_points()
    run.trust_region.predicted_reduction = share * (run.worst_y - run.best_y)
    assert named(run)[EXHAUSTED] == exhausted


def test_without_any_value_falls_are_as_they_are_and_counts_go_on():
    x = torch.tensor([[0.5, -0.5]]).double()
    run = Trajectory.start(x, torch.tensor([NAN]).double(), x * NAN, capacity=BUDGET + 1)
    for t in range(1, 4):
        run.update(x, run.trust_region.proposal, torch.tensor([NAN]).double(), x * NAN)
        token = OptionTokens()(run, SignedStep(), BUDGET)
        assert token.isfinite().all()
        assert named(run)["log since best"] == pytest.approx(count(t), abs=1e-6)
        assert named(run)["log steps left"] == pytest.approx(count(BUDGET - t), abs=1e-6)


def test_counts_end_at_two():
    run = two_points()
    run.jumps = torch.tensor([500.0**2 - 1]).double()
    run.since_best = torch.tensor([1e9]).double()
    assert named(run)["log jumps"] == pytest.approx(2)
    assert named(run)["log since best"] == 2


def test_proposals_are_told_by_the_names_of_their_features():
    run = two_points()
    assert PaperTokens().proposals(run) == {}
    assert list(FullTokens().proposals(run)) == [SURROGATE, TRUST_REGION]
    proposals = OptionTokens().proposals(run)
    assert list(proposals) == [SURROGATE, TRUST_REGION, LOWEST] == list(OptionTokens.features[-3:])
    assert torch.equal(proposals[SURROGATE], run.surrogate.proposal)
    assert torch.equal(proposals[TRUST_REGION], run.trust_region.proposal)
    assert torch.equal(proposals[LOWEST], run.lowest_descent.proposal)


@pytest.mark.parametrize(("y", "reduction"), [(2.5, 0.5), (2.5, 3.5)])
def test_a_descent_away_from_the_best_point_tells_its_gap_and_what_it_predicts(y, reduction):
    run = two_points()  # the best value is 1, the scale 4
    run.trust_region.y, run.trust_region.predicted_reduction = (
        torch.tensor([y]).double(),
        torch.tensor([reduction]).double(),
    )
    token = dict(zip(FullTokens.features, FullTokens()(run, SignedStep(), BUDGET)[0, 0].tolist(), strict=True))
    assert token["log iterate gap"] == pytest.approx(log((y - 1) / 4), abs=1e-6)
    assert token["log predicted reduction"] == pytest.approx(log(reduction / 4), abs=1e-6)
    assert token["log predicted gap"] == pytest.approx(log((y - reduction - 1) / 4), abs=1e-6)  # negative: a new best


@pytest.mark.parametrize("tokens", TOKENS.values())
def test_time_is_the_first_feature_and_every_feature_has_a_limit(tokens):
    assert tokens.features[0] == TIME
    assert len(tokens().limits(BUDGET)) == len(tokens.features) == len(set(tokens.features))


@pytest.mark.parametrize(
    ("tokens", "step_rule", "trust_region", "surrogate"),
    [
        ("paper", "gradient", False, False),
        ("paper", "signed", False, False),
        ("paper", "quasi_newton", True, False),
        ("full", "gradient", True, True),
        ("full", "signed", True, True),
        ("full", "quasi_newton", True, True),
        ("options", "gradient", True, True),
        ("options", "quasi_newton", True, True),
    ],
)
def test_runs_carry_what_tokens_and_step_rule_read(tokens, step_rule, trust_region, surrogate):
    core = made_core(2, tokens=tokens, step_rule=step_rule, budget=3)
    core.reset([np.random.default_rng(i) for i in range(2)])
    core.step(torch.zeros(2, 2))
    core.reset([np.random.default_rng(2)], torch.tensor([1]))
    core.step(torch.zeros(2, 2))
    assert (core.search.trajectory.trust_region is not None, core.search.trajectory.surrogate is not None) == (
        trust_region,
        surrogate,
    )


@pytest.mark.parametrize("dim", [1, 2, 5])
@pytest.mark.parametrize("step_rule", ["signed", "quasi_newton"])
def test_the_last_two_features_lead_to_the_proposals_of_surrogate_and_trust_region(step_rule, dim):
    core = made_core(20, dim=dim, prior="wide", tokens="full", step_rule=step_rule)
    assert core.search.tokens.features[-2:] == (SURROGATE, TRUST_REGION)
    core.reset([np.random.default_rng(i) for i in range(20)])
    for action in np.random.default_rng(0).uniform(-1, 1, (10, 20, dim)):
        run, rule, actions = core.search.trajectory, core.search.step_rule, core.search.token[..., -2:].double()
        moved = rule.move(run, actions[..., 0])
        torch.testing.assert_close(moved, run.surrogate.proposal, rtol=0, atol=1e-5)  # in single precision
        stepped, ahead = rule.move(run, actions[..., 1]), run.proposed_step * rule.direction(run) > 0
        torch.testing.assert_close(stepped[ahead], run.trust_region.proposal[ahead], rtol=0, atol=1e-5)
        torch.testing.assert_close(stepped[~ahead], run.x[~ahead], rtol=0, atol=1e-7)
        assert step_rule == "signed" or (ahead | (run.proposed_step == 0)).all()
        core.step(torch.from_numpy(action))


def test_posterior_mean_and_deviation_are_the_same_in_all_coordinates():
    core = made_core(6, dim=3, tokens="full", step_rule="signed")
    core.reset([np.random.default_rng(i) for i in range(6)])
    for action in np.random.default_rng(0).uniform(-1, 1, (10, 6, 3)):
        core.step(torch.from_numpy(action))
        for name in ("mean", "deviation"):
            column = core.search.token[..., core.search.tokens.features.index(f"posterior {name}")].double()
            expected = getattr(core.search.trajectory.surrogate, name)[:, None].expand(-1, 3)
            torch.testing.assert_close(column, expected, rtol=1e-6, atol=1e-7)


def made_core(num_envs=1, dim=None, objective=None, **task):
    return Core(num_envs, POPTask(**task), dim=dim, objective=objective)


def episode(core, actions, seed=0):
    """The tokens (budget + 1, dim, features) of one episode on the core's objective."""
    core.reset([np.random.default_rng(seed)])
    tokens = [core.search.token[0]]
    for action in actions:
        core.step(torch.from_numpy(action)[None])
        tokens.append(core.search.token[0])
    return torch.stack(tokens)


@pytest.mark.parametrize("tokens", TOKENS)
@pytest.mark.parametrize("step_rule", STEP_RULES)
def test_tokens_depend_on_the_past_only(tokens, step_rule):
    core = made_core(budget=12, tokens=tokens, step_rule=step_rule)
    first, other = np.random.default_rng(0).uniform(-1, 1, (2, 12, 2))
    other[:5] = first[:5]
    a, b = episode(core, first), episode(core, other)
    assert torch.equal(a[:6], b[:6])
    assert not torch.equal(a[6:], b[6:])


def wild(kind):
    """Objectives that no optimizer should meet."""
    rng = np.random.default_rng(1)

    def evaluate(x):
        y, g = {
            "nan": lambda: (np.full(len(x), NAN), np.full_like(x, NAN)),
            "infinite": lambda: (np.full(len(x), INF), np.full_like(x, -INF)),
            "sometimes": lambda: (np.where(x[:, 0] > 0, NAN, x.sum(-1)), np.where(x > 0.5, INF, x)),
            "flat": lambda: (np.ones(len(x)), np.zeros_like(x)),
            "steps": lambda: (np.floor(5 * x.sum(-1)), np.zeros_like(x)),
            "noise": lambda: (rng.normal(size=len(x)), rng.normal(size=x.shape)),
            "huge": lambda: (1e200 * x.sum(-1), 1e200 * x),
            "largest": lambda: (np.where(x[:, 0] > 0, 1.7e308, -1.7e308), 1.7e308 * np.sign(x)),
            "large": lambda: (1e149 * (x**3).sum(-1), 1e149 * 3 * x**2),
            "tiny": lambda: (1e-200 * (x**2).sum(-1), 2e-200 * x),
            "wall": lambda: (1e12 * (x[:, 0] > 0.1), 1e-12 * x),
            "digits": lambda: (1e16 + np.round(3 * x.sum(-1)) * 2, 1e-3 * x),
            "needle": lambda: (-1e9 * (np.abs(x[:, 0]) < 0.1) + 1e9, np.where(np.abs(x) < 0.1, 1e12 * x, 1e-9)),
        }[kind]()
        return y, g

    return BoxObjective(evaluate, [-1, -1], [1, 1])


KINDS = [
    "nan",
    "infinite",
    "sometimes",
    "flat",
    "steps",
    "noise",
    "huge",
    "largest",
    "large",
    "tiny",
    "wall",
    "digits",
    "needle",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step_rule", STEP_RULES)
def test_tokens_keep_their_limits_whatever_the_objective_does(kind, step_rule):
    for name in TOKENS:
        core = made_core(budget=30, objective=wild(kind), tokens=name, step_rule=step_rule, reward="log_gap")
        limits = torch.tensor(core.search.tokens.limits(30))
        for seed in range(3):
            actions = np.random.default_rng(seed).uniform(-1, 1, (30, 2))
            tokens = episode(core, actions, seed)
            assert tokens.isfinite().all()
            excess = (tokens.abs() - limits).amax((0, 1))
            assert (excess <= 0).all(), [f for f, e in zip(core.search.tokens.features, excess, strict=True) if e > 0]
            assert core.search.trajectory.x.abs().amax() <= 1


@pytest.mark.parametrize("kind", ["steps", "wall"])
def test_values_without_slopes_are_free_of_scale_too(kind):
    actions = np.random.default_rng(0).uniform(-1, 1, (20, 2))
    plain = wild(kind)
    scaled = BoxObjective(lambda x: tuple(1e-3 * a for a in plain._value_and_grad(x)), [-1, -1], [1, 1])
    a, b = (
        episode(made_core(budget=20, objective=f, tokens="full", step_rule="signed"), actions) for f in (plain, scaled)
    )
    torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


def test_columns_are_found_by_their_names():
    for shape in ((2,), (9, 2)):
        space = TokenSpace(FullTokens(), SignedStep(), BUDGET, shape)
        assert columns(space, TRUST_REGION, TIME, SURROGATE) == [29, 0, 28]
        assert columns(space) == []


def test_missing_columns_are_named():
    space = TokenSpace(PaperTokens(), SignedStep(), BUDGET, (2,))
    assert columns(space, TIME) == [0]
    message = "no 'surrogate proposal' and no 'trust-region proposal', only 'time', 'x', .*; make .* tokens=\"full\""
    with pytest.raises(ValueError, match=message):
        columns(space, TIME, SURROGATE, TRUST_REGION)


def test_a_space_without_names_has_no_columns():
    named = TokenSpace(FullTokens(), SignedStep(), BUDGET, (2,))
    with pytest.raises(ValueError, match=r"(?s)expected the tokens of POP-v0, .* leave it out"):
        columns(Box(named.low, named.high), TIME)
