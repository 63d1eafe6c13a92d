import io
import os
import signal

import pytest
from rich.console import Console

from benchmarks.jobs import ProcessDied, demand_same_settings, run_jobs


def square_unless_seven(x):
    if x == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return x * x


def run_all(jobs, **options):
    options = {"total": len(jobs), "processes": 2, "console": None, **options}
    return dict(run_jobs("jobs", square_unless_seven, jobs, **options))


@pytest.mark.parametrize("processes", [1, 2])
def test_every_job_is_run_once(processes):
    results = list(run_jobs("jobs", square_unless_seven, [2, 5, 3], total=3, processes=processes, console=None))
    assert sorted(results) == [(2, 4), (3, 9), (5, 25)]
    assert run_all([], processes=processes) == {}


def test_a_process_that_dies_costs_its_own_job_only():
    results = run_all([7, *range(10, 30)])
    assert isinstance(results.pop(7), ProcessDied)
    assert results == {x: x * x for x in range(10, 30)}


def test_ray_runs_the_same_jobs_and_survives_a_death():
    ray = pytest.importorskip("ray", reason="Ray is not installed: the extra `ray` brings it")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        results = run_all([7, *range(10, 30)], engine="ray")
    finally:
        ray.shutdown()
    assert isinstance(results.pop(7), ProcessDied)
    assert results == {x: x * x for x in range(10, 30)}


def test_an_error_in_a_job_is_raised():
    with pytest.raises(ValueError, match="invalid literal"):
        list(run_jobs("jobs", int, ["one"], total=1, processes=1, console=None))


def test_the_bar_counts_the_jobs_of_earlier_calls():
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=100)
    run_all([1, 2], total=7, processes=1, console=console)
    assert "5/7" in text.getvalue()
    assert "7/7" in text.getvalue()


def test_settings_of_a_folder_grow_but_do_not_change(tmp_path):
    path = tmp_path / "settings.json"
    demand_same_settings(path, {"seed": 0, "dims": (2, 8)})
    demand_same_settings(path, {"seed": 0, "dims": (2, 8), "budget": 50})
    demand_same_settings(path, {"budget": 50})
    before = path.read_text()
    with pytest.raises(ValueError, match=r"dims was \[2, 8\] and is now \[2\]; budget was 50 and is now 60\): choose"):
        demand_same_settings(path, {"dims": (2,), "budget": 60})
    assert path.read_text() == before
