"""What the README shows runs as it stands there."""

import re
import shlex
from pathlib import Path

import pytest

from benchmarks.run import run
from benchmarks.sweep import Sweep

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_examples_run(code, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})


def test_the_rival_of_ones_own_is_short_and_runs(tmp_path):
    path = ROOT / "docs" / "one_plus_one.py"
    assert f"--plugin {path.relative_to(ROOT)}" in README
    assert len(path.read_text("utf-8").splitlines()) <= 20
    sweep = Sweep(methods=("random_search",), plugin=(path,), functions=("sphere",), starts=8, jobs=1, out=tmp_path)
    regret = run(sweep).groupby(["doubled", "method"])["log10_regret"].mean()
    assert regret[False, "one_plus_one"] < regret[False, "random_search"] - 0.5
    assert regret[True, "one_plus_one"] < regret[False, "one_plus_one"]


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(re.findall(r"make ([a-z-]+)", README))
    assert {"train", "test", "benchmark", "check", "format", "bench-speed"} <= named <= targets


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)h][^)]*)\)", README):
        assert (ROOT / shlex.split(target)[0]).exists(), target
