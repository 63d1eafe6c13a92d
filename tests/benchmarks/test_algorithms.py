"""The comparison of algorithms in equal time: what it trains, scores, keeps and draws."""

from dataclasses import replace

import pytest

from benchmarks import algorithms
from benchmarks.algorithms import Comparison, draw, run, table


@pytest.fixture
def comparison(tmp_path, monkeypatch):
    monkeypatch.setattr(algorithms.vlse, "names", lambda: ["sphere", "branin", "ackley"])
    return Comparison(
        minutes=0.002, seeds=(0,), algorithms=("episodic_ppo", "a2c"), size=4, points=2, starts=1, jobs=1, out=tmp_path
    )


def test_each_algorithm_has_the_same_cpu_time_and_its_scores(comparison, monkeypatch):
    results = run(comparison)
    last = results.groupby("algorithm").tail(1).set_index("algorithm")
    assert set(last.index) == {"episodic_ppo", "a2c"}
    assert (last["seconds"] >= 0.12).all()
    assert last["vlse_ni"].between(0, 1).all()
    assert results["steps"].gt(0).all()
    assert table(results).count("\n") == 4
    assert len(draw(results).axes) == 2

    def never(*_):
        raise AssertionError("it is there already")

    monkeypatch.setattr(algorithms, "_train_one", never)
    assert run(comparison).equals(results)


TRAIN_ONE = algorithms._train_one


def on_three_functions(comparison, job):
    """The training of a job, here or in a process that knows nothing of this one's patches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(algorithms.vlse, "names", lambda: ["sphere", "branin", "ackley"])
        return TRAIN_ONE(comparison, job)


def test_a_ray_cluster_equals_this_process(tmp_path, monkeypatch):
    """Trainings that have no time end with their first step, and so the same scores are found in any process."""
    monkeypatch.setattr(algorithms, "_train_one", on_three_functions)
    ray = pytest.importorskip("ray", reason="Ray is not installed: the extra `ray` brings it")
    small = Comparison(minutes=1e-9, seeds=(0,), algorithms=("episodic_ppo", "a2c"), size=4, points=1, starts=1, jobs=1)
    here = run(replace(small, out=tmp_path / "here"))
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        there = run(replace(small, engine="ray", out=tmp_path / "there"))
    finally:
        ray.shutdown()
    assert there.drop(columns="seconds").equals(here.drop(columns="seconds"))


def test_nothing_to_compare_is_refused():
    with pytest.raises(ValueError, match="minutes must be positive"):
        Comparison(minutes=0)
