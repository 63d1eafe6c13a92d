"""The page about the benchmark names all that there is, with the versions that are tested."""

import re
from pathlib import Path
from typing import get_args

from benchmarks.rivals import GRADIENT_FREE, RIVALS, SLOW, tuned
from benchmarks.sweep import Suite

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "benchmark.md").read_text("utf-8")
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if "==" in line)


def test_each_rival_stands_there_with_its_library_and_settings():
    rows = dict(re.findall(r"^\| `(\w+)`(.*)$", PAGE, re.MULTILINE))
    assert [name for name in rows if name in RIVALS] == list(RIVALS)
    for name in RIVALS:
        slow, _, library, gradient, settings = (cell.strip() for cell in rows[name].rstrip(" |").split("|"))
        assert bool(slow) == (name in SLOW)
        assert gradient == ("no" if name in GRADIENT_FREE else "yes")
        for package, version in re.findall(r"([\w-]+) (\d[\w.]*)", library):
            assert PINS[package] == version, name
        for keyword, value in tuned(name).items():
            assert f"{keyword} {value}" in settings, name
        assert bool(tuned(name)) == (settings != "not tuned")


def test_each_suite_stands_there():
    for suite in get_args(Suite):
        assert f"`{suite}`" in PAGE
