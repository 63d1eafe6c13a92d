import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import equal_time
from benchmarks import page as page_module
from benchmarks.equal_time import COSTS, EqualTime, right_from, run, steps_in_time
from benchmarks.problems import variant_problem, vlse_problem

PAGE = Path(__file__).parents[2] / "docs" / "equal_time.md"


def test_what_fits_into_the_time_of_pop():
    assert steps_in_time(0.0, own=0.5, pop=0.5, most=1000) == 50
    assert steps_in_time(0.0, own=0.05, pop=0.5, most=1000) == 509  # 510 evaluations of 0.05 ms, 51 of 0.5 ms
    assert steps_in_time(0.0, own=0.01, pop=0.5, most=1000) == 1000
    assert steps_in_time(100.0, own=0.05, pop=0.5, most=1000) == 50
    assert steps_in_time(1.0, own=20.0, pop=0.5, most=1000) == 2


def test_from_which_cost_on_pop_is_the_right_choice():
    values = {"pop": [-5, -5, -5], "a": [-6, -5.5, -4], "b": [-4, -4, -4]}
    rows = pd.DataFrame(
        [
            {"panel": panel, "x": cost, "method": method, "value": value}
            for method, costs in values.items()
            for cost, value in zip((0.0, 1.0, 10.0), costs, strict=True)
            for panel in ("VLSE", "VLSE, shifted")
        ]
    )
    assert right_from(rows) == 10.0
    later = rows.assign(value=rows["value"].where((rows["method"] != "b") | (rows["x"] != 10.0), -9.0))
    assert right_from(later) == np.inf


def test_the_study_is_kept_and_written_into_its_page(tmp_path, monkeypatch):
    few = {"VLSE": [vlse_problem("levy")], "VLSE, shifted": [variant_problem("levy", "shifted")]}
    monkeypatch.setattr(equal_time, "problems", lambda: few)
    monkeypatch.setattr(equal_time, "own_time", lambda method: 0.4 if method.name == "pop" else 0.1)
    page = tmp_path / "page.md"
    page.write_text("<!-- equal_time -->\n<!-- end of equal_time -->\n")
    study = EqualTime(rivals=("lbfgsb_restarts",), starts=1, page=page, out=tmp_path / "out")
    run(study)
    text = page.read_text()
    assert "| lbfgsb_restarts | 0.100 | 204 | 127 | 64 | 52 | 51 |" in text
    assert "| pop | 0.400 | 51 | 51 | 51 | 51 | 51 |" in text
    assert "POP has the lowest mean on both sets" in text
    assert (tmp_path / "page.png").is_file()
    scores = json.loads((tmp_path / "out" / "equal_time.json").read_text())
    assert scores["costs_ms"] == list(COSTS)
    assert set(scores["methods"]) == {"pop", "lbfgsb_restarts"}
    assert len(set(scores["methods"]["pop"])) == 1
    assert page_module._equal_time(tmp_path)["methods"] == scores["methods"]
    monkeypatch.setattr(equal_time, "run_once", None)  # nothing is run again
    run(study)
    assert page.read_text() == text
    with pytest.raises(ValueError, match="starts was 1 and is now 2"):
        run(EqualTime(rivals=("lbfgsb_restarts",), starts=2, page=page, out=tmp_path / "out"))


def test_the_page_is_filled():
    text = PAGE.read_text("utf-8")
    assert all(f"{cost:g}" in text for cost in COSTS)
    assert "POP has the lowest mean on both sets" in text
    assert PAGE.with_suffix(".png").is_file()
