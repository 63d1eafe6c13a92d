import json
from dataclasses import replace

import pytest

from benchmarks import studies, tables
from benchmarks.run import forget, run


@pytest.mark.parametrize("name", studies.STUDIES)
def test_every_study_can_be_run_and_its_command_is_in_the_documentation(name, tmp_path):
    sweep = studies.sweep(name, tmp_path)
    assert sweep.out == tmp_path / name
    assert "pop" in sweep.methods
    command = "\n".join(studies.shown(name))
    assert command in (tables.ROOT / "docs" / "results.md").read_text("utf-8")
    assert all(len(line) <= 120 for line in studies.shown(name))


def test_every_study_has_a_summary():
    assert set(studies.STUDIES) <= set(tables.studies())


def test_a_methods_runs_are_forgotten_and_no_others(tmp_path, monkeypatch):
    monkeypatch.setitem(studies.STUDIES, "vlse", "--functions levy sphere --starts 1 --budgets 3 --methods adam direct")
    chosen = studies.sweep("vlse", tmp_path)
    run(replace(chosen, jobs=1))
    parts = chosen.out / "parts"
    assert len(list(parts.iterdir())) == 6
    assert forget(chosen, ["direct", "pop"]) == 4
    assert {path.name for path in parts.iterdir()} == {"adam-levy-3.parquet", "adam-sphere-3.parquet"}
    kept = json.loads((chosen.out / "sweep.json").read_text())
    assert "method adam" in kept
    assert "method direct" not in kept


def test_unknown_studies_are_named():
    with pytest.raises(ValueError, match="unknown studies: h3; choose from vlse"):
        studies.Studies(only=("h3",))
