import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks import problems
from benchmarks import run as runner
from benchmarks import sweep as sweeps
from benchmarks.problems import vlse_problem
from benchmarks.rivals import RIVALS, tuned
from benchmarks.sweep import Sweep
from pop_envs.objectives.priors import PRIORS
from pop_optimizer.checkpoint import WEIGHTS

METHODS = ("random_search", "lbfgsb_restarts", "differential_evolution")
FUNCTIONS = ("sphere", "branin", "forrester_2008")


def small(out, **changes):
    settings = {
        "methods": METHODS,
        "functions": FUNCTIONS,
        "starts": 2,
        "budgets": (10, 20),
        "jobs": 1,
        "out": out,
    }
    return Sweep(**{**settings, **changes})


def assert_same(a, b):
    pd.testing.assert_frame_equal(a.drop(columns="seconds"), b.drop(columns="seconds"))


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return runner.run(small(tmp_path_factory.mktemp("reference")))


def test_one_row_per_run_with_its_measures(reference):
    assert len(reference) == (len(METHODS) + 2) * len(FUNCTIONS) * 2 * 2  # two without gradients run twice
    assert not reference.duplicated(["method", "function", "budget", "doubled", "start"]).any()
    assert set(reference.loc[reference["doubled"], "method"]) == {"random_search", "differential_evolution"}
    for row in reference.itertuples():
        evaluations = 2 * row.budget + 2 if row.doubled else row.budget + 1
        assert len(row.trace) == evaluations
        assert row.trace[0] == row.y0
        assert row.trace[-1] == row.y_best
        assert row.evaluations <= evaluations
        assert row.ni == pytest.approx(np.clip((row.y0 - row.y_best) / (row.y0 - row.f_min), 0, 1))
        assert row.log10_regret >= -8
        assert row.error == ""
    assert set(reference.loc[reference["function"] == "forrester_2008", "dim"]) == {1}


def test_all_methods_and_budgets_share_their_starts(reference):
    assert (reference.groupby(["function", "start"])["y0"].nunique() == 1).all()
    assert reference["y0"].nunique() == len(FUNCTIONS) * 2


def test_the_first_starts_points_are_kept(reference):
    kept = reference["path"].map(len) > 0
    assert (kept == ((reference["start"] == 0) & ~reference["doubled"])).all()
    for row in reference[kept].itertuples():
        points = row.path.reshape(-1, row.dim)
        assert len(points) == row.evaluations
        y, _ = vlse_problem(row.function).objective.value_and_grad(torch.from_numpy(points.copy()))
        assert y.min().item() == row.y_best


def test_starts_depend_on_function_start_and_seed_only():
    sphere, branin = vlse_problem("sphere"), vlse_problem("branin")
    points = [runner.start_point(p, i, s) for p in (sphere, branin) for i in (0, 1) for s in (0, 1)]
    assert len({tuple(point) for point in points}) == 8
    assert np.abs(points).max() <= 1


def test_parallel_equals_sequential(reference, tmp_path):
    assert_same(runner.run(small(tmp_path, jobs=2)), reference)


def test_a_ray_cluster_equals_this_process(reference, tmp_path):
    ray = pytest.importorskip("ray", reason="Ray is not installed: the extra `ray` brings it")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        assert_same(runner.run(small(tmp_path, engine="ray")), reference)
    finally:
        ray.shutdown()


def test_a_run_interrupted_between_chunks_resumes_to_the_same_file(reference, tmp_path, monkeypatch):
    calls = 0
    rival = RIVALS["random_search"]

    def interrupted(*args, **settings):
        nonlocal calls
        calls += 1
        if calls == 6:
            raise KeyboardInterrupt
        rival(*args, **settings)

    monkeypatch.setitem(RIVALS, "random_search", interrupted)
    with pytest.raises(KeyboardInterrupt):
        runner.run(small(tmp_path))
    assert not (tmp_path / "results.parquet").exists()
    finished = {part: part.stat().st_mtime_ns for part in (tmp_path / "parts").glob("*.parquet")}
    assert finished

    monkeypatch.setitem(RIVALS, "random_search", rival)
    assert_same(runner.run(small(tmp_path)), reference)
    assert_same(pd.read_parquet(tmp_path / "results.parquet"), reference)
    assert all(part.stat().st_mtime_ns == then for part, then in finished.items())


def test_a_killed_process_resumes_to_the_same_file(tmp_path):
    arguments = [
        "--methods",
        "random_search",
        "adam",
        "--functions",
        "sphere",
        "branin",
        "booth",
        "--jobs",
        "1",
    ]
    arguments += ["--starts", "4", "--budgets", "40", "--out", str(tmp_path / "killed")]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.run", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not list((tmp_path / "killed").glob("parts/*.parquet")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    process.wait()

    settings = {"methods": ("random_search", "adam"), "functions": ("sphere", "branin", "booth")}
    settings |= {"starts": 4, "budgets": (40,)}
    assert_same(runner.run(small(tmp_path / "killed", **settings)), runner.run(small(tmp_path / "whole", **settings)))


def test_a_finished_run_is_not_repeated_and_more_methods_may_join(reference, tmp_path, monkeypatch):
    runner.run(small(tmp_path, methods=METHODS[:2]))
    monkeypatch.setitem(RIVALS, "random_search", None)  # would fail if it ran again
    assert_same(runner.run(small(tmp_path)), reference)


@pytest.mark.parametrize("change", [{"seed": 1}, {"starts": 3}, {"slow_starts": 1}])
def test_changed_settings_are_refused(tmp_path, change):
    settings = {"functions": ("sphere",), "methods": ("random_search",), "budgets": (5,)}
    runner.run(small(tmp_path, **settings))
    with pytest.raises(ValueError, match=r"other settings .*another folder"):
        runner.run(small(tmp_path, **settings, **change))


def priors(out, **changes):
    settings = {"methods": ("adam", "lbfgsb"), "suite": ("gp", "wide"), "dims": (2, 3), "count": 3, "starts": 2}
    return small(out, **{**settings, "budgets": (4, 8), **changes})


@pytest.fixture(scope="module")
def prior_reference(tmp_path_factory):
    return runner.run(priors(tmp_path_factory.mktemp("prior_reference")))


def test_unseen_functions_of_the_priors_run_like_vlse(prior_reference, reference):
    assert list(prior_reference.columns) == list(reference.columns) == list(runner.COLUMNS)
    assert list(prior_reference["group"].unique()) == ["gp, 2-D", "gp, 3-D", "wide, 2-D", "wide, 3-D"]
    assert (prior_reference.groupby(["group", "dim"])["function"].nunique() == 3).all()
    assert (prior_reference.groupby(["function", "start"])["y0"].nunique() == 1).all()
    assert not prior_reference.duplicated(["method", "function", "budget", "start"]).any()
    assert len(prior_reference) == 2 * 4 * 3 * 2 * 2
    assert prior_reference["sample"].equals(prior_reference["group"])
    assert (prior_reference["f_min"] <= prior_reference["y_best"]).all()


def test_parallel_equals_sequential_on_the_priors(prior_reference, tmp_path):
    assert_same(runner.run(priors(tmp_path, jobs=2)), prior_reference)


def test_the_priors_join_vlse_and_more_of_them_join_the_first(prior_reference, tmp_path, monkeypatch):
    runner.run(priors(tmp_path, suite=("vlse",)))
    runner.run(priors(tmp_path, suite=("gp",), dims=(3,), count=2))
    runner.run(priors(tmp_path, dims=(2,)))
    assert_same(runner.run(priors(tmp_path)), prior_reference)
    monkeypatch.setattr(runner, "run_once", None)  # would fail if anything ran again
    assert_same(runner.run(priors(tmp_path)), prior_reference)
    both = runner.run(priors(tmp_path, suite=("gp", "vlse", "wide")))
    assert_same(
        both[both["dim"].isin((2, 3)) & ~both["function"].isin(FUNCTIONS)].reset_index(drop=True), prior_reference
    )


def test_a_reference_that_a_method_undercuts_gives_way(tmp_path, monkeypatch):
    monkeypatch.setattr(
        problems, "reference_minimum", lambda functions, num_probes: torch.full((len(functions),), 50.0)
    )
    problems.block_problems.cache_clear()
    results = runner.run(priors(tmp_path, suite=("gp",), dims=(2,)))
    problems.block_problems.cache_clear()
    for _, runs in results.groupby("function"):
        assert (runs["f_min"] == runs["y_best"].min()).all()
        best = runs[runs["y_best"] == runs["f_min"]]
        assert (best["ni"] == 1).all()
        assert (best["log10_regret"] == -8).all()
        assert (runs["ni"] < 1).any()
    assert (pd.read_parquet(next((tmp_path / "parts").iterdir()))["f_min"] == 50).all()


def test_another_definition_of_a_prior_is_refused(tmp_path, monkeypatch):
    settings = {"suite": ("gp",), "dims": (2,), "count": 1}
    runner.run(priors(tmp_path, **settings))
    monkeypatch.setitem(PRIORS, "gp", partial(PRIORS["gp"], p_convex=0.5))
    with pytest.raises(ValueError, match=r"other settings \(prior gp was .*'p_convex': 0.5"):
        runner.run(priors(tmp_path, **settings))
    runner.run(priors(tmp_path, **{**settings, "suite": ("wide",)}))


def test_every_prior_whose_minima_are_not_known_is_a_suite():
    unknown = {name for name, prior in PRIORS.items() if prior().sample(1, 2, np.random.default_rng(0)).minimum is None}
    assert unknown == {"gp", "wide", "kernels"} < set(get_args(sweeps.Suite))


def test_a_failing_rival_is_recorded_and_nothing_else_is_lost(tmp_path, monkeypatch):
    def failing(evaluate, x0, budget, rng):
        evaluate(x0)
        evaluate(0.9 * x0)
        raise ArithmeticError("no idea")

    monkeypatch.setitem(RIVALS, "random_search", failing)
    results = runner.run(small(tmp_path, budgets=(10,)))
    failed = results["method"] == "random_search"
    assert (results.loc[failed, "error"] == "ArithmeticError: no idea").all()
    assert (results.loc[failed, "ni"] == 0).all()
    assert (results.loc[failed, "y_best"] == results.loc[failed, "y0"]).all()
    assert (results.loc[~failed, "error"] == "").all()


def test_a_rival_that_hangs_is_recorded_whatever_it_catches(tmp_path, monkeypatch):
    def hanging(evaluate, x0, budget, rng):
        evaluate(x0)
        while True:
            with contextlib.suppress(Exception):
                time.sleep(10)

    monkeypatch.setitem(RIVALS, "lbfgsb", hanging)
    sweep = small(tmp_path, methods=("lbfgsb", "adam"), functions=("sphere",), budgets=(5,), time_limit=0.1)
    errors = runner.run(sweep).groupby("method")["error"].unique()
    assert list(errors["lbfgsb"]) == ["TimeLimitExceeded: it ran for more than 0.1 seconds"]
    assert list(errors["adam"]) == [""]


def test_a_deadline_ends_with_what_it_is_for():
    with pytest.raises(runner.TimeLimitExceeded, match=r"more than 0\.01 seconds"), runner.deadline(0.01):
        time.sleep(10)
    with runner.deadline(0.01):
        pass
    time.sleep(0.03)


KILLER = """
import os, signal

def killer(evaluate, x0, budget, rng):
    evaluate(x0)
    if x0[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_rival_that_kills_its_process_loses_its_own_chunk_only(tmp_path):
    (tmp_path / "killer.py").write_text(KILLER)
    plugin = (tmp_path / "killer.py",)
    settings = {"methods": ("adam",), "functions": ("sphere", "branin"), "budgets": (5,), "jobs": 2}
    results = runner.run(small(tmp_path / "out", plugin=plugin, **settings))
    assert set(results.loc[results["error"] != "", "error"]) == {"the process that ran it died (SIGKILL)"}
    assert (results.loc[results["method"] == "adam", "error"] == "").all()
    assert len(results) == 2 * 2 * 2


def test_a_rival_of_ones_own_joins(tmp_path):
    path = tmp_path / "centre.py"
    path.write_text(
        "GRADIENT_FREE = True\n\ndef centre(evaluate, x0, budget, rng):\n    evaluate(x0)\n    evaluate(0 * x0)\n"
    )
    settings = {"methods": ("adam",), "functions": ("sphere",), "budgets": (5,), "plugin": (path,)}
    results = runner.run(small(tmp_path / "out", **settings))
    own = results[results["method"] == "centre"]
    assert (own["y_best"] == 0).all()
    assert own["doubled"].sum() == 2
    path.write_text(path.read_text() + "\n")
    with pytest.raises(ValueError, match="method centre was"):
        runner.run(small(tmp_path / "out", **settings))
    with pytest.raises(FileNotFoundError, match="--plugin must be a Python file"):
        runner.run(small(tmp_path / "out", plugin=(tmp_path / "none.py",)))
    (tmp_path / "other.py").write_text("x = 1")
    with pytest.raises(ValueError, match=r"must define a function other\(evaluate"):
        runner.run(small(tmp_path / "out", plugin=(tmp_path / "other.py",)))


def test_rivals_run_with_default_and_with_tuned_settings(tmp_path):
    both = sweeps.methods(small(tmp_path, methods=("random_search", "adam", "adam-tuned")))
    assert [method.name for method in both] == ["random_search", "adam", "adam-tuned"]
    assert both[1].settings == {}
    assert both[2].settings == both[2].identity == tuned("adam")


def test_every_rival_is_compared_and_those_that_were_tuned_twice():
    assert set(RIVALS) <= set(Sweep().methods)
    assert "adam-tuned" in Sweep().methods
    assert "random_search-tuned" not in Sweep().methods


def test_a_quick_sweep_is_smaller_and_has_its_own_folder_where_none_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(sweeps, "SLOW", {"cma_es"})
    quick = Sweep(quick=True, suite=("gp",), out=tmp_path / "all")
    assert (quick.starts, quick.count, quick.without) == (4, 32, ("cma_es",))
    assert quick.out == tmp_path / "all"
    assert Sweep(quick=True).out == Path("results/vlse-quick")
    assert small(tmp_path, quick=True).starts == 2


def test_slow_methods_run_from_fewer_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(sweeps, "SLOW", {"lbfgsb_restarts"})
    results = runner.run(small(tmp_path, functions=("sphere",), budgets=(5,), starts=3, slow_starts=2))
    starts = results.groupby("method")["start"].nunique()
    assert starts.to_dict() == {"random_search": 3, "lbfgsb_restarts": 2, "differential_evolution": 3}


def test_a_rival_that_cheats_gets_no_more_than_the_budget(tmp_path, monkeypatch):
    def cheating(evaluate, x0, budget, rng):
        evaluate(x0)
        for _ in range(1000):
            with contextlib.suppress(Exception):
                evaluate(rng.uniform(-1, 1, len(x0)))

    monkeypatch.setitem(RIVALS, "random_search", cheating)
    results = runner.run(small(tmp_path, methods=("random_search",), functions=("branin",), budgets=(7,)))
    assert set(results.loc[~results["doubled"], "evaluations"]) == {8}
    assert set(results.loc[results["doubled"], "evaluations"]) == {16}
    assert (results["trace"].map(len) == results["evaluations"]).all()


def test_methods_are_judged_without_the_noise_that_they_see(tmp_path):
    settings = {"functions": ("sphere",), "budgets": (10,), "methods": ("random_search", "lbfgsb")}
    plain, noisy = (runner.run(small(tmp_path / suite, suite=(suite,), **settings)) for suite in ("vlse", "noisy"))
    search = plain["method"] == "random_search"
    assert noisy["sample"].unique() == ["VLSE, noisy"]
    assert (noisy["y_best"] >= 0).all()
    assert not noisy.loc[~search, "y_best"].equals(plain.loc[~search, "y_best"])
    problem = vlse_problem("sphere")
    for row in noisy[search & ~noisy["doubled"] & (noisy["start"] == 0)].itertuples():
        y, _ = problem.objective.value_and_grad(torch.from_numpy(row.path.reshape(-1, 2).copy()))
        np.testing.assert_array_equal(np.minimum.accumulate(y.numpy()), row.trace)


def test_a_rival_that_skips_the_start_or_does_nothing_has_failed(tmp_path, monkeypatch):
    monkeypatch.setitem(RIVALS, "random_search", lambda evaluate, x0, budget, rng: evaluate(-x0))
    monkeypatch.setitem(RIVALS, "differential_evolution", lambda evaluate, x0, budget, rng: None)
    results = runner.run(small(tmp_path, budgets=(10,), functions=("sphere",)))
    errors = results.groupby("method")["error"].first()
    assert "same start" in errors["random_search"]
    assert "evaluated nothing" in errors["differential_evolution"]
    assert errors["lbfgsb_restarts"] == ""


def test_pop_runs_once_per_checkpoint_and_a_changed_one_is_refused(tmp_path, monkeypatch):
    def stand_in(evaluate, x0, budget, rng, *, checkpoint):
        evaluate(x0)
        evaluate(x0 * float((checkpoint / WEIGHTS).read_text()))

    monkeypatch.setitem(RIVALS, "pop", stand_in)
    for name, factor in (("good", 0.1), ("bad", 0.9)):
        (tmp_path / name).mkdir()
        (tmp_path / name / WEIGHTS).write_text(str(factor))
    sweep = small(
        tmp_path / "out",
        methods=("pop",),
        functions=("sphere",),
        checkpoint=(str(tmp_path / "good"), f"other={tmp_path / 'bad'}"),
    )
    ni = runner.run(sweep).groupby("method")["ni"].mean()
    assert ni["good"] > ni["other"]

    (tmp_path / "bad" / WEIGHTS).write_text("0.5")
    with pytest.raises(ValueError, match="method other was"):
        runner.run(sweep)


def test_pop_without_any_checkpoint_must_be_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(sweeps, "DEFAULT_CHECKPOINT", tmp_path / "none")
    with pytest.raises(ValueError, match="--without pop"):
        sweeps.methods(small(tmp_path, methods=("adam", "pop")))
    assert [m.name for m in sweeps.methods(small(tmp_path, methods=("adam", "pop"), without=("pop",)))] == ["adam"]


def test_the_checkpoint_that_ships_is_the_default(tmp_path, monkeypatch):
    (tmp_path / WEIGHTS).write_bytes(b"")
    monkeypatch.setattr(sweeps, "DEFAULT_CHECKPOINT", tmp_path)
    method, paper = sweeps.methods(small(tmp_path / "out", methods=("pop",)))
    assert (method.name, paper.name) == ("pop", "pop-paper")
    assert method.settings == {"checkpoint": tmp_path}
    assert json.loads((sweeps.PAPER_CHECKPOINT / "card.json").read_text())["preset"] == "paper"


def test_bad_checkpoints_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="checkpoint folder"):
        sweeps.methods(small(tmp_path, methods=("pop",), checkpoint=(str(tmp_path / "none"),)))
    (tmp_path / "adam").mkdir()
    (tmp_path / "adam" / WEIGHTS).write_bytes(b"")
    with pytest.raises(ValueError, match="two methods"):
        sweeps.methods(small(tmp_path, methods=("adam", "pop"), checkpoint=(str(tmp_path / "adam"),)))
    with pytest.raises(ValueError, match="letters"):
        sweeps.methods(small(tmp_path, methods=("pop",), checkpoint=(f"a/b={tmp_path / 'adam'}",)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": ("sgd",)}, "unknown methods: sgd"),
        ({"functions": ("spere",)}, "unknown functions: spere"),
        ({"starts": 0}, "starts=0"),
        ({"suite": ("coco",)}, "unknown suite: coco; choose from vlse, gp, wide"),
        ({"suite": ()}, "suite must name at least one"),
        ({"dims": (0,)}, r"dims=\(0,\)"),
        ({"count": 0}, "count=0"),
        ({"rosenbrock_dims": (2, 1)}, r"at least 2 coordinates, got rosenbrock_dims=\(2, 1\)"),
        ({"budgets": ()}, "budgets must name at least one"),
        ({"budgets": (5, 5)}, "budgets .*only once"),
        ({"functions": ("sphere", "sphere")}, "functions .*only once"),
    ],
)
def test_bad_settings_are_named(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        small(tmp_path, **change)


def command_line(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["benchmarks.run", *map(str, arguments)])
    runner.main()


def test_the_command_runs_and_reports(tmp_path, monkeypatch, capsys):
    command_line(
        monkeypatch, "--methods", *METHODS, "--functions", *FUNCTIONS, "--starts", 2, "--budgets", 10, "--jobs", 1,
        "--out", tmp_path,
    )  # fmt: skip
    assert "lbfgsb_restarts" in capsys.readouterr().out
    for name in ("results.parquet", "summary.md", "regret.png", "ranks.png"):
        assert (tmp_path / name).stat().st_size > 0


def test_the_command_runs_on_the_priors(tmp_path, monkeypatch, capsys):
    command_line(
        monkeypatch, "--suite", "gp", "wide", "--dims", 2, 8, "--count", 2, "--starts", 1, "--budgets", 5,
        "--methods", "adam", "--jobs", 1, "--out", tmp_path,
    )  # fmt: skip
    printed = capsys.readouterr().out
    for sample in ("gp, 2-D", "gp, 8-D", "wide, 2-D", "wide, 8-D"):
        assert f"{sample} (2 functions), T = 5" in printed


def test_the_command_explains_errors_and_interruptions(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sweeps, "DEFAULT_CHECKPOINT", tmp_path / "none")
    with pytest.raises(SystemExit) as end:
        command_line(monkeypatch, "--methods", "pop", "--out", tmp_path)
    assert end.value.code == 2
    assert "--without pop" in capsys.readouterr().out

    def interrupted(evaluate, x0, budget, rng):
        raise KeyboardInterrupt

    monkeypatch.setitem(RIVALS, "random_search", interrupted)
    with pytest.raises(SystemExit) as end:
        command_line(monkeypatch, "--methods", "random_search", "--jobs", 1, "--out", tmp_path)
    assert end.value.code == 130
    assert "goes on from here" in capsys.readouterr().out


def test_published_starts_are_run_in_turn_and_are_the_scale(tmp_path):
    sweep = Sweep(
        methods=("lbfgsb", "random_search"), suite=("mgh", "nist"), starts=2, budgets=(3,), jobs=1, out=tmp_path
    )
    chosen = [block for block in sweeps.blocks(sweep) if block in ("mgh-bard", "nist-misra1a")]
    rows = [
        runner.run_once(method, problem, start, 3, 0)
        for method in sweeps.methods(sweep)
        for (problem,) in map(problems.block_problems, chosen)
        for start in range(problem.num_runs(sweep.starts))
    ]
    results = pd.DataFrame(rows)
    assert (results["f_ref"] == results["y0"]).all()
    y0 = {name: of["y0"].tolist() for name, of in results[results["method"] == "lbfgsb"].groupby("function")}
    assert y0["mgh-bard"] == pytest.approx([41.68169586] * 2)
    assert y0["nist-misra1a"] == pytest.approx([10780.19016391, 44.77127682] * 2)
    # Runs from one start differ in their seeds.
    drawn = results[(results["method"] == "random_search") & (results["function"] == "mgh-bard")]
    assert len({tuple(trace) for trace in drawn["trace"]}) == len(drawn)


def test_least_squares_runs_where_residuals_are_known_and_only_when_named():
    assert "least_squares" not in Sweep().methods
    (method,) = sweeps.methods(Sweep(methods=("least_squares",)))
    row = runner.run_once(method, problems.block_problems("mgh-wood")[0], 0, 200, 0)
    assert not row["error"]
    assert row["y_best"] < 1e-20
    assert row["evaluations"] < 201  # it stops when it has converged
    row = runner.run_once(method, vlse_problem("sphere"), 0, 20, 0)
    assert row["error"].startswith("ValueError: residuals are known of sums of squares only")


def test_the_command_runs_on_the_plain_problems(tmp_path, monkeypatch, capsys):
    listed = {"mgh": ("mgh-bard", "mgh-beale"), "nist": ("nist-misra1a", "nist-danwood")}
    for suite, names in listed.items():
        monkeypatch.setattr(sweeps, f"{suite}_blocks", lambda names=names: names)
    command_line(
        monkeypatch, "--suite", "mgh", "rosenbrock", "nist", "--methods", "lbfgsb", "least_squares", "--budgets", 20,
        "--rosenbrock-dims", 2, 3, "--starts", 2, "--jobs", 1, "--out", tmp_path,
    )  # fmt: skip
    printed = capsys.readouterr().out
    titles = ("MGH (2 functions), T = 20, 2 runs", "Rosenbrock (2 functions), T = 20, 2 starts")
    for title in (*titles, "NIST (2 functions), T = 20, 4 runs"):
        assert title in printed
        assert f"### Solved: {title}" in (tmp_path / "summary.md").read_text()
    assert "least_squares sees the residuals" in (tmp_path / "report.html").read_text()
    assert (tmp_path / "data_profile.png").stat().st_size > 0


def test_reports_are_written_again_without_a_run(tmp_path, monkeypatch, capsys):
    for name, changes in (("vlse", {}), ("more", {"starts": 1, "functions": ("sphere", "booth")})):
        runner.run(small(tmp_path / name, budgets=(4,), **changes))
    monkeypatch.setattr(runner, "run", None)  # would fail if anything ran again
    command_line(monkeypatch, "--report-only", "--out", tmp_path)
    printed = " ".join(capsys.readouterr().out.split())
    assert "All of it on one page:" in printed
    for name in ("vlse", "more"):
        assert {"summary.md", "summary.json", "report.html", "regret.png"} <= set(os.listdir(tmp_path / name))
    text = (tmp_path / "report.html").read_text("utf-8")
    assert "VLSE (3 functions), T = 4, 2 starts" in text  # of the two the one with more runs
    assert "booth" not in text
    command_line(monkeypatch, "--report-only", "--out", tmp_path / "more")
    assert "booth" in (tmp_path / "more" / "report.html").read_text("utf-8")

    assert Sweep(report_only=True).out == Path("results")
    for spoil, message in ((lambda path: pd.DataFrame({"method": []}).to_parquet(path), "of another version"),
                           (lambda path: path.write_bytes(b"half"), "cannot be read"),
                           (lambda path: path.unlink(), "holds none")):  # fmt: skip
        spoil(tmp_path / "more" / "results.parquet")
        with pytest.raises(SystemExit) as end:
            command_line(monkeypatch, "--report-only", "--out", tmp_path / "more")
        assert end.value.code == 2
        assert message in " ".join(capsys.readouterr().out.split())
