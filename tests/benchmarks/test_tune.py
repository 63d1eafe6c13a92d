import inspect
import itertools
import json
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution

from agents.training.validation import ADAM
from benchmarks import tune
from benchmarks.budget import BudgetExhausted, Evaluator
from benchmarks.problems import validation_problems, vlse_problem
from benchmarks.rivals import RIVALS, tuned
from benchmarks.run import start_point
from pop_envs.objectives.gp_prior import GPPrior
from pop_envs.objectives.priors import PRIORS

SMALL = tune.Tuning(functions=2, trials=3, budget=10, methods=("adam", "nelder_mead"), jobs=1)
RECORD = json.loads(tune.Tuning().out.read_text("utf-8"))


def corners(name):
    """The settings at the corners of a rival's space."""
    ends = [
        space.choices if isinstance(space, CategoricalDistribution) else (space.low, space.high)
        for space in tune.SPACES[name].values()
    ]
    return [dict(zip(tune.SPACES[name], corner, strict=True)) for corner in itertools.product(*ends)]


@pytest.mark.parametrize(("name", "settings"), [(name, corner) for name in tune.SPACES for corner in corners(name)])
def test_a_rival_runs_with_all_settings_that_it_may_get(name, settings):
    budget = 12 if name == "tpe" else 50
    evaluate = Evaluator(vlse_problem("rastrigin").objective, [0.6, -0.9], budget)
    with suppress(BudgetExhausted):
        RIVALS[name](evaluate, np.array([0.6, -0.9]), budget, np.random.default_rng(0), **settings)
    assert evaluate.evaluations == budget + 1


@pytest.mark.parametrize("name", tune.SPACES)
def test_the_default_is_the_rivals_own(name):
    default = tune.default_settings(name)
    assert set(default) == set(tune.SPACES[name])
    assert inspect.Parameter.empty not in default.values()


def test_the_score_is_the_mean_regret_of_the_priors(monkeypatch):
    problems = validation_problems(GPPrior(), 3, 2)
    monkeypatch.setitem(RIVALS, "adam", lambda evaluate, x0, budget, rng: evaluate(x0))
    regrets = []
    for problem in problems:
        x0 = start_point(problem, 0, 7)
        y0 = Evaluator(problem.objective, x0, 1)(x0)[0]
        regrets.append(np.log10((y0 - problem.f_min) / (problem.f_ref - problem.f_min)))
    assert tune.score("adam", {}, problems, 5, 7) == pytest.approx(np.mean(regrets), abs=1e-4)


def test_both_priors_are_searched_on(monkeypatch):
    seen = []
    monkeypatch.setattr(tune, "score", lambda name, settings, problems, *_: seen.append(problems) or 0.0)
    tune.search(SMALL, "adam")
    assert len(seen) == SMALL.trials
    assert {problem.sample for problem in seen[0]} == {PRIORS[name].__name__ for name in tune.TUNED_ON}
    assert len(seen[0]) == SMALL.functions * len(tune.TUNED_ON)


def test_the_search_finds_the_learning_rate_of_a_known_score(monkeypatch):
    monkeypatch.setattr(tune, "score", lambda name, settings, *_: abs(np.log10(settings["learning_rate"]) + 1.0))
    trials = tune.search(replace(SMALL, trials=32), "gradient_descent")
    assert trials[0] == ({"learning_rate": 1e-3}, pytest.approx(2.0))
    assert tune.best(trials).settings["learning_rate"] == pytest.approx(0.1, rel=0.1)


def test_a_default_outside_of_its_space_is_tried_first_all_the_same(monkeypatch):
    monkeypatch.setattr(tune, "score", lambda name, settings, *_: 0.0)
    trials = tune.search(SMALL, "nelder_mead")
    assert trials[0].settings == {"simplex_size": None}
    assert len(trials) == SMALL.trials
    assert tune.best(trials) == trials[0], "among equals the default stays"


def test_what_is_found_does_not_depend_on_what_else_is_tuned(tmp_path):
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    first = tune.tune(replace(SMALL, out=one))
    assert list(first) == ["adam", "nelder_mead"]
    assert first == tune.tune(replace(SMALL, out=two, methods=("nelder_mead", "adam")))
    assert one.read_bytes() == two.read_bytes()
    assert first["adam"] == tune.search(SMALL, "adam")


def test_what_is_found_joins_what_was_found_before(tmp_path, monkeypatch):
    monkeypatch.setattr(tune, "score", lambda name, settings, *_: len(settings))
    tuning = replace(SMALL, out=tmp_path / "tuned.json")
    tune.tune(tuning)
    before = json.loads(tuning.out.read_text())
    again = replace(tuning, methods=("nelder_mead",), seed=1)
    trials = tune.tune(again)["nelder_mead"]
    after = json.loads(tuning.out.read_text())
    assert after["searches"]["adam"] == before["searches"]["adam"]
    assert after["searches"]["nelder_mead"] == {
        "command": again.command("nelder_mead"),
        "default_score": 1,
        "score": 1,
        "trials": [trial._asdict() for trial in trials],
    }
    assert again.command("nelder_mead") == (
        "python -m benchmarks.tune --methods nelder_mead --functions 2 --trials 3 --dim 2 --budget 10 --seed 1"
    )
    assert list(after["settings"]) == list(after["searches"]) == ["adam", "nelder_mead"]
    assert list(tmp_path.iterdir()) == [tuning.out]


def test_a_rival_that_fails_is_told_and_kept_out(tmp_path, monkeypatch):
    def broken(evaluate, x0, budget, rng, learning_rate=1e-3, beta1=0.9, beta2=0.999):
        raise ValueError("no such luck")

    monkeypatch.setitem(RIVALS, "adam", broken)
    tuning = replace(SMALL, methods=("adam",), out=tmp_path / "tuned.json")
    with pytest.raises(RuntimeError, match=r"adam failed with .*no such luck"):
        tune.tune(tuning)
    assert not tuning.out.exists()


@pytest.mark.parametrize("name", RECORD["searches"])
def test_the_shipped_settings_are_the_best_of_their_trials(name):
    kept = RECORD["searches"][name]
    trials = [tune.Trial(**trial) for trial in kept["trials"]]
    assert trials[0] == (tune.default_settings(name), kept["default_score"])
    assert tune.best(trials) == (tuned(name), kept["score"])
    assert f"--methods {name} " in kept["command"]
    assert f"--trials {len(trials)} " in kept["command"]


def test_the_shipped_settings_had_equal_chances():
    assert len({kept["command"].replace(name, "") for name, kept in RECORD["searches"].items()}) == 1
    assert list(RECORD["settings"]) == list(RECORD["searches"])


def test_what_was_not_tuned_has_no_settings():
    assert tuned("random_search") == {}


def test_validation_problems_are_single_functions_with_their_minima():
    problems = validation_problems(GPPrior(), 3, 2)
    assert len({problem.name for problem in problems}) == 3
    for problem in problems:
        assert problem.f_min < problem.f_ref


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"methods": ("random_search",)}, "methods must be some of .*, got random_search"),
        ({"methods": ()}, "methods must be some of .*, got none"),
        ({"trials": 0}, "trials=0"),
        ({"jobs": 0}, "jobs=0"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        tune.Tuning(**settings)


def test_the_yardstick_of_training_has_what_was_found():
    assert tuned("adam") == ADAM
