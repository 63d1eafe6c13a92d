import json

import pytest

from benchmarks import tune
from benchmarks.problems import validation_problems
from benchmarks.rivals import tuned
from pop_envs.prior import GPPrior


def test_the_best_score_has_the_highest_ni_and_among_equals_the_lowest_regret():
    scores = [tune.Score(0.1, 0.7, -9.0), tune.Score(0.2, 0.8, -2.0), tune.Score(0.3, 0.8, -3.0)]
    assert tune.best(scores).learning_rate == 0.3


def test_the_tuned_values_are_the_best_of_their_grid():
    record = json.loads(tune.Tuning().out.read_text())
    assert set(record["settings"]) == set(tune.TUNED_METHODS)
    for name, rows in record["scores"].items():
        scores = [tune.Score(**row) for row in rows]
        assert tuned(name) == {"learning_rate": tune.best(scores).learning_rate}
        rates = [s.learning_rate for s in scores]
        assert min(rates) < tuned(name)["learning_rate"] < max(rates), "the grid should enclose its best value"


def test_tuning_is_reproducible():
    tuning = tune.Tuning(functions=2, points=2, budget=10)
    first = tune.tune(tuning)
    assert first == tune.tune(tuning)
    assert [s.learning_rate for s in first["adam"]] == [1e-3, 1.0]


def test_validation_problems_are_single_functions_with_their_minima():
    problems = validation_problems(GPPrior(), 3, 2)
    assert len({problem.name for problem in problems}) == 3
    for problem in problems:
        assert problem.f_min < problem.f_ref


def test_a_bad_grid_is_refused():
    with pytest.raises(ValueError, match="lowest"):
        tune.Tuning(lowest=1.0, highest=0.1)
