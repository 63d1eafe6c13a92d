import io

import pytest
from rich.console import Console
from rich.progress import MofNCompleteColumn

from agents.training.command_line import command, progress


@pytest.mark.parametrize("error", [ValueError("no such thing"), FileNotFoundError("no such thing")])
def test_what_cannot_be_done_is_said_and_ends_with_2(error):
    console = Console(file=io.StringIO())
    with pytest.raises(SystemExit) as left, command(console):
        raise error
    assert left.value.code == 2
    assert console.file.getvalue() == "error: no such thing\n"


def test_ctrl_c_ends_with_130_and_says_what_is_kept():
    console = Console(file=io.StringIO())
    with pytest.raises(SystemExit) as left, command(console, "All is kept."):
        raise KeyboardInterrupt
    assert left.value.code == 130
    assert console.file.getvalue().strip() == "All is kept."


def test_other_errors_are_ours_and_keep_their_traceback():
    with pytest.raises(RuntimeError), command(Console(file=io.StringIO())):
        raise RuntimeError


def test_progress_is_drawn_on_the_console_or_nowhere():
    console = Console(file=io.StringIO())
    for chosen in (console, None):
        with progress(chosen, MofNCompleteColumn()) as bar:
            bar.update(bar.add_task("baking", total=3), completed=2)
    assert "baking" in console.file.getvalue()
    assert "2/3" in console.file.getvalue()
