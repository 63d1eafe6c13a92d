import io

import pytest
from rich.console import Console

from agents.jobs import demand_same_settings, run_jobs


@pytest.mark.parametrize("processes", [1, 2])
def test_every_waiting_job_is_run_once(tmp_path, processes):
    names = [str(i) for i in range(5)]
    run_jobs("jobs", _Touch(tmp_path), names, total=5, processes=processes, console=None)
    assert sorted(path.name for path in tmp_path.iterdir()) == names


class _Touch:
    """Leaves a file; fails if it is there already."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, name):
        (self.folder / name).touch(exist_ok=False)


def test_the_bar_counts_the_jobs_of_earlier_calls():
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=100)
    run_jobs("jobs", str, [1, 2], total=7, processes=1, console=console)
    assert "5/7" in text.getvalue()
    assert "7/7" in text.getvalue()


def test_an_error_in_a_job_is_raised(tmp_path):
    (tmp_path / "there").touch()
    with pytest.raises(FileExistsError):
        run_jobs("jobs", _Touch(tmp_path), ["there"], total=1, processes=1, console=None)


def test_settings_of_a_folder_grow_but_do_not_change(tmp_path):
    path = tmp_path / "settings.json"
    demand_same_settings(path, {"seed": 0, "dims": (2, 8)})
    demand_same_settings(path, {"seed": 0, "dims": (2, 8), "budget": 50})
    demand_same_settings(path, {"budget": 50})
    before = path.read_text()
    with pytest.raises(ValueError, match=r"dims was \[2, 8\] and is now \[2\]; budget was 50 and is now 60\): choose"):
        demand_same_settings(path, {"dims": (2,), "budget": 60})
    assert path.read_text() == before
