"""The README is short, and what it says of files and targets is so; test_docs.py runs its snippets."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.rivals import RIVALS
from benchmarks.run import run
from benchmarks.sweep import Sweep

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text("utf-8")


def test_it_is_short():
    lines = README.splitlines()
    assert len(lines) <= 150
    assert max(len(line) for line in lines if not line.startswith("|")) <= 120


def test_the_first_example_shows_its_output():
    assert "print(result.x.round(4), result.nfev, result.success)  # [1. 1.] 51 True" in README


def test_the_rival_of_ones_own_is_short_and_runs(tmp_path):
    path = ROOT / "docs" / "one_plus_one.py"
    assert f"--plugin {path.relative_to(ROOT)}" in README
    assert len(path.read_text("utf-8").splitlines()) <= 20
    sweep = Sweep(methods=("random_search",), plugin=(path,), functions=("sphere",), starts=8, jobs=1, out=tmp_path)
    regret = run(sweep).groupby(["doubled", "method"])["log10_regret"].mean()
    assert regret[False, "one_plus_one"] < regret[False, "random_search"] - 0.5
    assert regret[True, "one_plus_one"] < regret[False, "one_plus_one"]


def test_the_number_of_rivals_is_said():
    assert f" {len(set(RIVALS) - {'pop'})} rivals " in README


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(re.findall(r"`?make ([a-z-]+)", README + CONTRIBUTING))
    assert {"train", "test", "benchmark", "check", "docs", "format", "bench-speed"} <= named <= targets


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)h][^)]*)\)", README):
        assert (ROOT / shlex.split(target)[0]).exists(), target


def test_a_reward_of_ones_own_takes_two_edits(tmp_path):
    example, registry = re.findall(r"```python\n(.*?)```", ARCHITECTURE, re.DOTALL)
    exec(compile(example, "architecture.md", "exec"), {})

    copy = tmp_path / "pop_envs"
    shutil.copytree(ROOT / "pop_envs", copy)
    rewards = copy / "pop" / "rewards.py"
    text = rewards.read_text("utf-8")
    old = re.search(r"^REWARDS: .*?^}\n", text, re.DOTALL | re.MULTILINE)[0]
    added = re.search(r"^class Solved.*?\n\n\n", example, re.DOTALL | re.MULTILINE)[0]
    assert set(registry.splitlines()) - set(old.splitlines()) == {'    "solved": Solved,'}
    rewards.write_text(text.replace(old, added + registry))
    settings = "quick --reward solved --functions 16 --episodes 8 --batch-episodes 4 --epochs 1 --budget 4 --width 8"
    done = subprocess.run(
        [sys.executable, "-m", "agents.train", *settings.split(), "--out", str(tmp_path / "runs")],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "runs" / "quick-0" / "policy.safetensors").is_file()
