import numpy as np
import pytest
import torch

from benchmarks import run as runner
from benchmarks.budget import BudgetExhausted, Evaluator
from benchmarks.others.bbob import FUNCTIONS, Bbob, Logs, group, log
from benchmarks.problems import bbob_problem, block_problems
from benchmarks.rivals import RIVALS
from benchmarks.sweep import Method, Sweep

cocoex = pytest.importorskip("cocoex", reason="COCO is not installed: the extra `benchmark` brings it")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_minima_are_cocos(function, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where COCO writes the minimizer
    problem = cocoex.Suite("bbob", "", "dimensions: 3").get_problem_by_function_dimension_instance(function, 3, 2)
    problem._best_parameter("print")
    best = np.loadtxt("._bbob_problem_best_parameter.txt")
    objective = Bbob(function, 3, 2)
    assert objective.value(best / 5.0) == pytest.approx(objective.minimum, abs=1e-7)
    points = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (50, 3)))
    assert objective.values_on(points).min() >= objective.minimum


def test_groups_are_the_authors():
    of = {name: [f for f in FUNCTIONS if group(f) == name] for name in dict.fromkeys(map(group, FUNCTIONS))}
    assert [(found[0], found[-1]) for found in of.values()] == [(1, 5), (6, 9), (10, 14), (15, 19), (20, 24)]


def test_starts_go_through_instances():
    (problem,) = block_problems("bbob-f8-2d")
    first, second = problem.instance(0), problem.instance(1)
    assert first.f_min != second.f_min
    assert problem.instance(15).f_min == first.f_min
    assert (first.name, first.sample, first.group) == ("bbob-f8-2d", "BBOB, 2-D", "moderate conditioning")


def test_who_looks_at_gradients_pays_for_them():
    objective = Bbob(1, 3, 1)
    evaluator = Evaluator(objective, [0.1, 0.2, 0.3], 30)
    assert (evaluator.price, evaluator.steps) == (4, 6)
    value, gradient = evaluator(np.array([0.1, 0.2, 0.3]))
    assert evaluator.evaluations == 4
    # The first function is a sphere around its minimizer, at most 4 from the centre of a box 10 wide.
    minimizer = np.array([0.1, 0.2, 0.3]) - gradient / 50.0
    assert objective.value(minimizer) == pytest.approx(objective.minimum, abs=1e-4)
    for _ in range(6):
        evaluator(minimizer)
    with pytest.raises(BudgetExhausted):
        evaluator(minimizer)
    assert evaluator.evaluations == 28
    assert evaluator.trace[0] == value
    assert evaluator.trace[4] == evaluator.trace[-1] < value

    free = Evaluator(objective, [0.1, 0.2, 0.3], 30, gradients=False)
    assert (free.price, free.steps) == (1, 30)
    assert free(np.array([0.1, 0.2, 0.3]))[1].tolist() == [0.0] * 3
    assert free.evaluations == 1
    with pytest.raises(ValueError, match="a point takes 4 evaluations: a budget of 6 steps is too small"):
        Evaluator(objective, [0.1, 0.2, 0.3], 6)


def test_no_instance_or_dimension_is_made_up():
    with pytest.raises(ValueError, match="got function 1, dimension 4, instance 1"):
        Bbob(1, 4, 1)


def test_a_sweep_has_budgets_for_each_coordinate(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.others.bbob.FUNCTIONS", (1, 8))
    sweep = Sweep(
        methods=("lbfgsb_restarts", "random_search"),
        suite=("bbob", "gkls"),
        dims=(2,),
        count=2,
        starts=2,
        budgets=(5, 10),
        per_dim=True,
        jobs=1,
        out=tmp_path,
    )
    results = runner.run(sweep)
    assert set(results["budget"]) == {10, 20}
    assert not results["error"].any()
    bbob, gkls = (results[results["sample"].str.startswith(name)] for name in ("BBOB", "GKLS"))
    assert bbob["function"].nunique() == 2
    assert not bbob["doubled"].any()
    assert gkls["doubled"].any()
    spent = bbob[bbob["budget"] == 20].groupby("method")["evaluations"].max()
    assert spent.to_dict() == {"lbfgsb_restarts": 21, "random_search": 21}
    assert (bbob["y_best"] >= bbob["f_min"]).all()
    assert (bbob.groupby("start")["f_min"].nunique() > 1).all()


def test_logs_are_what_the_runs_were_and_cocopp_finds_them(tmp_path):
    logs = Logs(methods=("random_search", "lbfgsb"), dims=(2,), functions=(1, 8), budget=10, starts=2, out=tmp_path)
    folders = list(log(logs))
    assert [folder.name for folder in folders] == ["random_search", "lbfgsb"]
    for folder in folders:
        written = {path.name for path in folder.rglob("*") if path.is_file()}
        assert {"bbobexp_f1.info", "bbobexp_f8.info"} <= written
        text = (folder / "bbobexp_f1.info").read_text()
        assert folder.name in text
        method = Method(folder.name, RIVALS[folder.name], {}, {}, gradient_free=folder.name == "random_search")
        rows = [runner.run_once(method, bbob_problem(1, 2, start + 1), start, 20, 0) for start in range(2)]
        for row in rows:
            assert f":{row['evaluations']}|" in text.replace(" ", "")
    with pytest.raises(FileExistsError, match="holds logs already"):
        list(log(logs))
