"""Threads, processes, signals and the settings of the process that a run is in."""

import multiprocessing
import os
import signal
import subprocess
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
import torch

import pop_optimizer
from runs import path, paths_of_eight_threads, wavy

BOX = [(-1, 1)] * 2


@pytest.fixture(scope="module")
def expected():
    return [path(i).x_iters.tobytes() for i in range(64)]


def test_eight_threads_find_what_one_does_bit_for_bit(expected):
    assert paths_of_eight_threads(64) == expected


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")  # that is what is tried here
@pytest.mark.filterwarnings("ignore:os.fork.* was called:RuntimeWarning")  # JAX's, where another test has imported it
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_two_processes_of_eight_threads_find_it_too_after_use_here(expected, method):
    with ProcessPoolExecutor(2, multiprocessing.get_context(method)) as pool:
        assert list(pool.map(paths_of_eight_threads, [64, 64])) == [expected, expected]


def test_an_interrupt_at_any_moment_carries_the_points_so_far():
    """At a hundred moments of a run, in the function and between its calls."""
    whole = pop_optimizer.minimize(wavy, [0.9, -0.4], bounds=BOX, jac=True, budget=30)
    moments, carried = np.random.default_rng(0).uniform(1e-4, 0.05, 100), []
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)

    def begun(x):
        if not carried[-1]:
            carried[-1] = True
            signal.setitimer(signal.ITIMER_REAL, moments[len(carried) - 1])
        return wavy(x)

    try:
        for _ in moments:
            carried.append(False)
            try:
                while True:
                    pop_optimizer.minimize(begun, [0.9, -0.4], bounds=BOX, jac=True, budget=30)
            except KeyboardInterrupt as error:
                if not hasattr(error, "result"):  # between two runs
                    continue
                told = error.result
            carried[-1] = len(told.func_vals)
            assert len(told.x_iters) == len(told.func_vals) <= 31
            np.testing.assert_array_equal(told.x_iters, whole.x_iters[: len(told.x_iters)])
            np.testing.assert_array_equal(told.func_vals, whole.func_vals[: len(told.func_vals)])
            if carried[-1]:
                assert told.fun == told.func_vals.min()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(set(carried)) > 10
    assert sum(count is True for count in carried) <= 10


INTERRUPTED = """
import signal, time
import pop_optimizer
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a process in the background does not have
def fun(x):
    print("evaluating", flush=True)
    time.sleep(0.001)
    return (x @ x, 2 * x)
try:
    pop_optimizer.minimize(fun, [1.0, 2.0], jac=True, budget=100_000)
except KeyboardInterrupt as error:
    assert error.result.fun == error.result.func_vals.min()
    assert any("this exception's `result` has them" in note for note in error.__notes__)
    print(f"kept {len(error.result.func_vals)}")
"""


def test_ctrl_c_in_a_process_of_its_own_loses_nothing():
    process = subprocess.Popen([sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, text=True)
    for _ in range(20):
        assert process.stdout.readline() == "evaluating\n"
    os.kill(process.pid, signal.SIGINT)
    out = process.communicate(timeout=60)[0]
    assert process.returncode == 0
    kept = int(out.splitlines()[-1].removeprefix("kept "))
    assert 19 <= kept <= 20 + out.count("evaluating")


UNDER_SETTINGS = """
import numpy as np, torch
{setting}
import pop_envs, pop_optimizer
task = {{"budget": 4, "prior": "wide", "reward": "log_gap", "step_rule": "quasi_newton", "tokens": "full"}}
env = pop_envs.POPVectorEnv(3, **task)
seen = [env.reset(seed=0)[0]]
paid = []
for _ in range(4):
    obs, reward, *_ = env.step(np.full((3, 2), 0.1))
    seen.append(obs)
    paid.append(reward)
fun = lambda x: ((x**2).sum() + np.cos(5 * x).sum(), 2 * x - 5 * np.sin(5 * x))
path = pop_optimizer.minimize(fun, [0.9, -0.4], bounds=[(-1, 1)] * 2, jac=True, budget=20).x_iters
np.savez(file, seen=seen, paid=paid, path=path)
"""


@pytest.mark.parametrize(
    "setting",
    [
        "torch.set_default_dtype(torch.float64)",
        'torch.set_default_dtype(torch.bfloat16); torch.set_default_device("meta")',
    ],
)
def test_pytorchs_defaults_do_not_matter(setting, tmp_path):
    """In a process of its own, for what is cached to be made there."""
    script = "import sys\nfile = sys.argv[1]\n" + UNDER_SETTINGS.format(setting=setting)
    subprocess.run([sys.executable, "-c", script, tmp_path / "set.npz"], check=True)
    exec(UNDER_SETTINGS.format(setting=""), {"file": tmp_path / "usual.npz"})
    with np.load(tmp_path / "set.npz") as found, np.load(tmp_path / "usual.npz") as usual:
        assert set(found) == {"seen", "paid", "path"}
        for name in usual:
            np.testing.assert_array_equal(found[name], usual[name], err_msg=name)


def test_global_settings_are_left_alone():
    def settings():
        return (
            torch.get_default_dtype(),
            torch.get_default_device(),
            torch.get_num_threads(),
            torch.is_grad_enabled(),
            np.geterr(),
            str(np.random.get_state()),  # noqa: NPY002
            list(warnings.filters),
        )

    before = settings()
    inside = []
    pop_optimizer.minimize(lambda x: inside.append(settings()) or wavy(x), [0.9, -0.4], bounds=BOX, jac=True)
    assert settings() == before
    assert all(seen == before for seen in inside)
