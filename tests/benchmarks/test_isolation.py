"""What a method of others, a kill, a full disk or an old folder does to a run: it costs no results but its own."""

import errno
import os
import signal
import subprocess
import sys
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks import isolation
from benchmarks import run as runner
from benchmarks import sweep as sweeps
from benchmarks.isolation import ProcessDied, run_isolated
from benchmarks.sweep import Sweep

FUNCTION, BUDGET, LIMIT = "levy", 8, 1.0  # its first start has x0[0] < 0, its second has not

ENDED = {
    "exits": ("sys.exit('enough')", "SystemExit: enough"),
    "interrupts": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "kills_itself": ("os.kill(os.getpid(), signal.SIGKILL)", "the process that ran it died (SIGKILL)"),
    "leaves": ("os._exit(0)", "the process that ran it died (exit code 0)"),
    "crashes": ("ctypes.string_at(0)", "the process that ran it died (SIGSEGV)"),
    "aborts": ("os.abort()", "the process that ran it died (SIGABRT)"),
    "hangs_in_c": ("collections.deque(itertools.count(), maxlen=0)", "it ran for more than 1 seconds, and nothing but"),
    "hangs_and_hears_no_alarm": (
        "signal.signal(signal.SIGALRM, signal.SIG_IGN)\nwhile True: pass",
        "it ran for more than 1 seconds, and nothing but",
    ),
    "stops_itself": ("os.kill(os.getpid(), signal.SIGSTOP)", "it ran for more than 1 seconds, and nothing but"),
    "hangs_and_catches_all": (
        "while True:\n  try: time.sleep(9)\n  except Exception: pass",
        "TimeLimitExceeded: it ran for more than 1 seconds",
    ),
    "closes_all_files": ("os.closerange(0, 1024)", "the process that ran it died (exit code 1)"),
    "leaves_a_child": ("os.fork() or time.sleep(999)\nos._exit(7)", "the process that ran it died (exit code 7)"),
    "raises_what_cannot_be_read": (
        "class Odd(Exception):\n  def __str__(self): raise ValueError\nraise Odd",
        "Odd: its message cannot be read",
    ),
    "never_returns_from_itself": ("def f(): f()\nf()", "RecursionError: maximum recursion depth exceeded"),
}
"""What a method does from its first start, and the error that is to be recorded."""

GOES_ON = {
    "forks": "os.fork()",
    "prints_a_gigabyte": "for _ in range(64):\n  os.write(1, bytes(2**24))\n  os.write(2, b'x')\nprint('y' * 10**6)",
    "seeds_numpy": "numpy.random.seed(3)\nnumpy.seterr(all='raise')",
    "sets_threads": "torch.set_num_threads(7)",
    "sets_types": "torch.set_default_dtype(torch.float16)\ntorch.manual_seed(3)",
    "hides_warnings": "warnings.simplefilter('ignore')",
    "goes_elsewhere": "os.chdir('/')\nos.umask(0o777)",
    "clears_the_environment": "os.environ.clear()",
    "hears_no_signals": "signal.signal(signal.SIGINT, signal.SIG_IGN)\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)",
    "leaves_a_thread": "threading.Thread(target=time.sleep, args=(999,)).start()",
}
"""What does not keep a method from going on, and is not to be seen outside."""

PLUGIN = """
import collections, ctypes, itertools, os, signal, sys, threading, time, warnings
import numpy, torch

def {name}(evaluate, x0, budget, rng):
    evaluate(x0)
    if x0[0] < 0:
{deed}
    while True:
        evaluate(rng.uniform(-1, 1, len(x0)))
"""


def plugin(folder, name, deed):
    path = folder / f"{name}.py"
    path.write_text(PLUGIN.format(name=name, deed="\n".join(f"        {line}" for line in deed.splitlines())))
    return path


def sweep(out, **changes):
    settings = {"methods": ("random_search", "lbfgsb"), "functions": (FUNCTION,), "starts": 2, "budgets": (BUDGET,)}
    return Sweep(**{**settings, "strict": False, "time_limit": LIMIT, "jobs": 1, "out": out, **changes})


def assert_same(a, b):
    pd.testing.assert_frame_equal(a.drop(columns="seconds"), b.drop(columns="seconds"))


def state():
    """What a method must not change for others."""
    return {
        "numpy": (np.random.get_state()[1].tolist(), np.geterr()),  # noqa: NPY002
        "torch": (torch.get_num_threads(), torch.get_default_dtype(), torch.get_rng_state().tolist()),
        "warnings": list(warnings.filters),
        "process": (os.getcwd(), dict(os.environ), os.umask(os.umask(0o22))),
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)],
    }


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return runner.run(sweep(tmp_path_factory.mktemp("reference")))


@pytest.fixture(scope="module")
def survived(tmp_path_factory):
    """The results of all of them, sequentially, and the state of this process before and after."""
    folder = tmp_path_factory.mktemp("plugins")
    deeds = {name: deed for name, (deed, _) in ENDED.items()} | GOES_ON
    files = tuple(plugin(folder, name, deed) for name, deed in deeds.items())
    torch.set_num_threads(1)
    before = state()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(isolation, "_GRACE", 0.5)
        results = runner.run(sweep(folder / "out", plugin=files))
    return results, before, state()


@pytest.mark.parametrize("name", ENDED)
def test_what_ends_a_run_costs_that_run_only(survived, name):
    failed, done = survived[0][survived[0]["method"] == name].to_dict("records")
    assert failed["error"].startswith(ENDED[name][1])
    assert (failed["start"], failed["ni"], failed["y_best"]) == (0, 0, failed["y0"])
    assert (done["start"], done["error"], done["evaluations"]) == (1, "", BUDGET + 1)


@pytest.mark.parametrize("name", GOES_ON)
def test_what_a_method_leaves_behind_harms_nobody(survived, name):
    runs = survived[0][survived[0]["method"] == name]
    assert runs["error"].tolist() == ["", ""]
    assert runs["evaluations"].tolist() == [BUDGET + 1] * 2


def test_nothing_outside_has_changed(survived, reference):
    results, before, after = survived
    assert after == before
    assert_same(results[results["method"].isin(reference["method"])].reset_index(drop=True), reference)


def test_a_method_of_others_is_the_same_wherever_it_runs(tmp_path):
    files = tuple(plugin(tmp_path, name, GOES_ON[name]) for name in ("sets_types", "seeds_numpy"))
    files += (plugin(tmp_path, "kills_itself", ENDED["kills_itself"][0]),)
    settings = {"plugin": files, "methods": tuple(path.stem for path in files)}
    alone = runner.run(sweep(tmp_path / "alone", **settings))
    assert list(alone["method"].unique()) == list(settings["methods"])
    assert_same(runner.run(sweep(tmp_path / "parallel", **settings, jobs=2)), alone)
    ray = pytest.importorskip("ray", reason="Ray is not installed: the extra `ray` brings it")
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        assert_same(runner.run(sweep(tmp_path / "ray", **settings, engine="ray")), alone)
    finally:
        ray.shutdown()


@pytest.mark.parametrize("deed", ["sys.exit()", "os.kill(os.getpid(), 9)", "raise KeyboardInterrupt", "1 / 0"])
def test_a_file_that_does_not_load_is_refused_in_words(tmp_path, deed):
    (tmp_path / "bad.py").write_text(f"import os, sys\n{deed}\n\ndef bad(evaluate, x0, budget, rng): pass\n")
    with pytest.raises(ValueError, match=r"--plugin must be a Python file that loads, and .*bad\.py does not"):
        runner.run(sweep(tmp_path / "out", plugin=(tmp_path / "bad.py",)))


# Killed

KILLED = """
import os, signal, sys
from pathlib import Path
import pandas as pd
from benchmarks import run
from benchmarks.sweep import Sweep

def killed_at(moment):
    calls = 0
    def hook():
        nonlocal calls
        calls += 1
        if calls == moment:
            os.kill(os.getpid(), signal.SIGKILL)
    write, replace = pd.DataFrame.to_parquet, Path.replace
    def half(frame, path, **options):
        hook()
        Path(path).write_bytes(b"half")
        hook()
        write(frame, path, **options)
    def moved(self, target):
        hook()
        done = replace(self, target)
        hook()
        return done
    pd.DataFrame.to_parquet, Path.replace = half, moved
    run.run(Sweep(methods=("random_search", "lbfgsb"), functions=("levy",), starts=2, budgets=(8,), strict=False,
                  time_limit=1.0, jobs=1, out=Path(sys.argv[1])))
    os._exit(0)

for moment in (1, 2, 3, 4, 5, 6, 5, 6, 7, 8, 5, 6, 99):
    child = os.fork()
    if not child:
        killed_at(moment)
    _, status = os.waitpid(child, 0)
    parts = len(list(Path(sys.argv[1]).glob("parts/*.parquet")))
    print(os.WTERMSIG(status) if os.WIFSIGNALED(status) else "done", parts)
"""


def test_a_parent_that_is_killed_at_any_moment_resumes_to_the_same_results(tmp_path, reference):
    printed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert printed[:3] == ["9 0"] * 3
    assert printed[-1] == "done 2"
    assert len({line for line in printed if line.startswith("9")}) == 3  # killed with 0, 1 and 2 parts
    assert_same(pd.read_parquet(tmp_path / "results.parquet"), reference)
    assert list(tmp_path.rglob("*.tmp")) == []


def test_a_parent_that_is_killed_takes_the_methods_process_along(tmp_path):
    path = plugin(tmp_path, "hangs", f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\nwhile True: pass")
    command = [sys.executable, "-m", "benchmarks.run", "--plugin", path, "--methods", "hangs", "--functions", FUNCTION]
    parent = subprocess.Popen(
        [*map(str, command), "--jobs", "1", "--out", str(tmp_path / "out")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    pid = wait_for(lambda: (tmp_path / "pid").is_file() and (tmp_path / "pid").read_text())
    parent.kill()
    parent.wait()
    wait_for(lambda: not Path("/proc", pid).exists())


def wait_for(condition):
    until = time.monotonic() + 120
    while not (found := condition()):
        assert time.monotonic() < until
        time.sleep(0.02)
    return found


# Full disks, and folders of others


def test_a_full_disk_is_said_and_nothing_is_lost(tmp_path, monkeypatch, reference):
    write = pd.DataFrame.to_parquet

    def full(frame, path, **options):
        if "lbfgsb" in path.name:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write(frame, path, **options)

    monkeypatch.setattr(pd.DataFrame, "to_parquet", full)
    with pytest.raises(OSError, match=r"No space left .* kept: when there is room, the same command goes on"):
        runner.run(sweep(tmp_path))
    assert [path.name for path in (tmp_path / "parts").iterdir()] == [f"random_search-{FUNCTION}-{BUDGET}.parquet"]
    monkeypatch.undo()
    assert_same(runner.run(sweep(tmp_path)), reference)


def test_a_part_that_was_cut_off_is_run_again(tmp_path, reference):
    runner.run(sweep(tmp_path))
    for i, part in enumerate((tmp_path / "parts").iterdir()):
        part.write_bytes(part.read_bytes()[:1000] if i else b"")
    assert_same(runner.run(sweep(tmp_path)), reference)


def test_folders_of_other_versions_are_refused_in_words(tmp_path, monkeypatch):
    runner.run(sweep(tmp_path))
    part = next((tmp_path / "parts").iterdir())
    part_now = part.read_bytes()
    pd.read_parquet(part).drop(columns="path").to_parquet(part)
    with pytest.raises(ValueError, match=r"another version of the benchmark .*choose another folder"):
        runner.run(sweep(tmp_path))
    part.write_bytes(part_now)
    monkeypatch.setattr(runner, "_FORMAT", 2)
    with pytest.raises(ValueError, match=r"format of the results was 1 and is now 2"):
        runner.run(sweep(tmp_path))
    (tmp_path / "sweep.json").write_text("{")
    with pytest.raises(ValueError, match=r"sweep\.json should be JSON and is not"):
        runner.run(sweep(tmp_path))


def test_results_come_in_order_and_errors_as_words():
    results = list(run_isolated(partial(pow, 6), [1, -1, "x", 2]))
    assert results[:2] == [6, 1 / 6]
    assert isinstance(results[2], ProcessDied)
    assert str(results[2]).startswith("TypeError: unsupported operand")
    assert results[3] == 36


def test_a_plugin_is_a_method_like_any_other(tmp_path):
    path = plugin(tmp_path, "mine", "pass")
    for change, expected in (
        ({"methods": ("mine",)}, ["mine"]),
        ({"methods": ("lbfgsb", "mine")}, ["lbfgsb", "mine"]),
        ({"methods": ("lbfgsb",)}, ["lbfgsb", "mine"]),
        ({"methods": ("lbfgsb", "mine"), "without": ("mine",)}, ["lbfgsb"]),
    ):
        assert [method.name for method in sweeps.methods(sweep(tmp_path, plugin=(path,), **change))] == expected
    with pytest.raises(ValueError, match="unknown methods: mine"):
        sweep(tmp_path, methods=("mine",))
