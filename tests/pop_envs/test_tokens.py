import math

import numpy as np
import pytest
import torch

from pop_envs import BoxObjective
from pop_envs.core import Core
from pop_envs.scout import LENGTHSCALE, NOISE
from pop_envs.step_rule import STEP_RULES, SignedStep
from pop_envs.tokens import TIME, TOKENS, FullTokens, PaperTokens
from pop_envs.trajectory import Trajectory

NAN, INF = float("nan"), float("inf")
BUDGET = 8


def two_points():
    """A run in 2-D: from (0.5, -0.5) to (0.3, -0.1), values 2 and 1, gradients (1, -4) and (-0.5, -2)."""
    x, g = torch.tensor([[0.5, -0.5]]).double(), torch.tensor([[1.0, -4.0]]).double()
    run = Trajectory.start(x, torch.tensor([2.0]).double(), g, scouted=BUDGET)
    x, g = torch.tensor([[0.3, -0.1]]).double(), torch.tensor([[-0.5, -2.0]]).double()
    run.observe(torch.tensor([[0.7, -0.2]]).double(), x, torch.tensor([1.0]).double(), g)
    return run


def log(v):
    """The signed logarithm of the environment's documentation."""
    return math.copysign(1 + math.log10(abs(v)) / 12, v)


def test_paper_tokens_by_hand():
    token = PaperTokens(BUDGET, SignedStep())(two_points())
    expected = [[1 / 8, 0.3, -1, -0.5 / 4], [1 / 8, -0.1, -1, -2 / 4]]  # of two values the lower has z = -1
    torch.testing.assert_close(token, torch.tensor([expected]))
    assert token.dtype == torch.float32


def test_full_tokens_by_hand():
    run = two_points()
    token = dict(zip(FullTokens.features, FullTokens(BUDGET, SignedStep())(run)[0, 0].tolist(), strict=True))
    # Two values, 2 and 1, whose covariance matrix is [[1 + NOISE, k], [k, 1 + NOISE]]: their mean is 1.5.
    places = torch.stack([run.scout.target[0], *torch.tensor([[0.5, -0.5], [0.3, -0.1]]).double()])
    covariances = torch.exp(-((places[:, None] - places) ** 2).mean(-1) / (2 * LENGTHSCALE**2)).tolist()
    (_, first, second), k = covariances[0], covariances[1][2]
    apart, alike = 1 + NOISE - k, 1 + NOISE + k
    forecast = 1.5 + (first - second) / 2 / apart
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
        "descent outcome": run.descent.outcome.item(),
        "log descent gap": 0,
        "log descent gain": log(run.descent.gain.item() / 4),
        "log newton step": log(run.newton[0, 0].item()),
        "log descent promise": log(-run.descent.gain.item() / 4),
        "forecast": (forecast - 1) / (0.5 / math.sqrt(apart)),
        "doubt": math.sqrt(1 - explained),
        "inverse dim": 1 / 2,
        "scout": SignedStep().read_out(run, run.scout.target, bounce=True)[0, 0].item(),
        "newton": SignedStep().read_out(run, run.descent.target)[0, 0].item(),
    }
    assert token == pytest.approx(expected, abs=1e-6)


def test_after_a_worse_point_the_best_one_is_told():
    run = two_points()
    x = torch.tensor([[0.9, -0.1]]).double()
    run.observe(x, x, torch.tensor([3.0]).double(), torch.tensor([[8.0, 0.0]]).double())
    token = dict(zip(FullTokens.features, FullTokens(BUDGET, SignedStep())(run)[0, 0].tolist(), strict=True))
    assert token["is best"] == 0
    assert token["best ahead"] == pytest.approx(0.6)  # 0.3 lies ahead of 0.9 on the way down
    assert token["log best ahead"] == pytest.approx(log(0.6), abs=1e-6)
    assert token["log distance to best value"] == pytest.approx(log(2 / 8), abs=1e-6)
    assert token["log scale growth"] == pytest.approx(math.log(2) / 2, abs=1e-6)


@pytest.mark.parametrize(("y", "gain"), [(2.5, 0.5), (2.5, 3.5)])
def test_a_descent_away_from_the_best_point_tells_its_gap_and_what_it_promises(y, gain):
    run = two_points()  # the best value is 1, the scale 4
    run.descent.y, run.descent.gain = torch.tensor([y]).double(), torch.tensor([gain]).double()
    token = dict(zip(FullTokens.features, FullTokens(BUDGET, SignedStep())(run)[0, 0].tolist(), strict=True))
    assert token["log descent gap"] == pytest.approx(log((y - 1) / 4), abs=1e-6)
    assert token["log descent gain"] == pytest.approx(log(gain / 4), abs=1e-6)
    assert token["log descent promise"] == pytest.approx(log((y - gain - 1) / 4), abs=1e-6)  # negative: a new best


@pytest.mark.parametrize("tokens", TOKENS.values())
def test_time_is_the_first_feature_and_every_feature_has_a_limit(tokens):
    assert tokens.features.index("time") == TIME
    assert len(tokens(BUDGET, SignedStep()).limits()) == len(tokens.features) == len(set(tokens.features))


@pytest.mark.parametrize(
    ("tokens", "step_rule", "descends", "scouts"),
    [
        ("paper", "gradient", False, False),
        ("paper", "signed", False, False),
        ("paper", "quasi_newton", True, False),
        ("full", "gradient", True, True),
        ("full", "signed", True, True),
        ("full", "quasi_newton", True, True),
    ],
)
def test_runs_carry_what_tokens_and_step_rule_read(tokens, step_rule, descends, scouts):
    core = Core(2, tokens=tokens, step_rule=step_rule, budget=3)
    core.reset([np.random.default_rng(i) for i in range(2)])
    core.step(torch.zeros(2, 2))
    core.reset([np.random.default_rng(2)], torch.tensor([1]))
    core.step(torch.zeros(2, 2))
    assert (core.run.descent is not None, core.run.scout is not None) == (descends, scouts)


@pytest.mark.parametrize("dim", [1, 2, 5])
@pytest.mark.parametrize("step_rule", ["signed", "quasi_newton"])
def test_the_last_two_features_lead_to_the_scouts_target_and_make_the_quasi_newton_step(step_rule, dim):
    core = Core(20, dim=dim, prior="wide", tokens="full", step_rule=step_rule)
    assert core.tokens.features[-2:] == ("scout", "newton")
    core.reset([np.random.default_rng(i) for i in range(20)])
    for action in np.random.default_rng(0).uniform(-1, 1, (10, 20, dim)):
        run, rule, read_outs = core.run, core.tokens.step_rule, core.token[..., -2:].double()
        moved = rule.move(run, read_outs[..., 0])
        torch.testing.assert_close(moved, run.scout.target, rtol=0, atol=1e-5)  # in single precision
        stepped, ahead = rule.move(run, read_outs[..., 1]), run.newton * rule.direction(run) > 0
        torch.testing.assert_close(stepped[ahead], run.descent.target[ahead], rtol=0, atol=1e-5)
        torch.testing.assert_close(stepped[~ahead], run.x[~ahead], rtol=0, atol=1e-7)
        assert step_rule == "signed" or (ahead | (run.newton == 0)).all()
        core.step(torch.from_numpy(action))


def test_forecast_and_doubt_are_the_same_in_all_coordinates():
    core = Core(6, dim=3, tokens="full", step_rule="signed")
    core.reset([np.random.default_rng(i) for i in range(6)])
    for action in np.random.default_rng(0).uniform(-1, 1, (10, 6, 3)):
        core.step(torch.from_numpy(action))
        for name in ("forecast", "doubt"):
            column = core.token[..., core.tokens.features.index(name)].double()
            expected = getattr(core.run.scout, name)[:, None].expand(-1, 3)
            torch.testing.assert_close(column, expected, rtol=1e-6, atol=1e-7)


def episode(core, actions, seed=0):
    """The tokens (budget + 1, dim, features) of one episode on the core's objective."""
    core.reset([np.random.default_rng(seed)])
    tokens = [core.token[0]]
    for action in actions:
        core.step(torch.from_numpy(action)[None])
        tokens.append(core.token[0])
    return torch.stack(tokens)


@pytest.mark.parametrize("tokens", TOKENS)
@pytest.mark.parametrize("step_rule", STEP_RULES)
def test_tokens_depend_on_the_past_only(tokens, step_rule):
    core = Core(budget=12, tokens=tokens, step_rule=step_rule)
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
        core = Core(budget=30, objective=wild(kind), tokens=name, step_rule=step_rule, reward="log_gap")
        limits = torch.tensor(core.tokens.limits())
        for seed in range(3):
            actions = np.random.default_rng(seed).uniform(-1, 1, (30, 2))
            tokens = episode(core, actions, seed)
            assert tokens.isfinite().all()
            excess = (tokens.abs() - limits).amax((0, 1))
            assert (excess <= 0).all(), [f for f, e in zip(core.tokens.features, excess, strict=True) if e > 0]
            assert core.run.x.abs().amax() <= 1


@pytest.mark.parametrize("kind", ["steps", "wall"])
def test_values_without_slopes_are_free_of_scale_too(kind):
    actions = np.random.default_rng(0).uniform(-1, 1, (20, 2))
    plain = wild(kind)
    scaled = BoxObjective(lambda x: tuple(1e-3 * a for a in plain._value_and_grad(x)), [-1, -1], [1, 1])
    a, b = (episode(Core(budget=20, objective=f, tokens="full", step_rule="signed"), actions) for f in (plain, scaled))
    torch.testing.assert_close(a, b, rtol=0, atol=1e-6)
