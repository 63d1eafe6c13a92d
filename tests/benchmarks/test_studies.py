import pytest

from benchmarks import studies, tables


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


def test_unknown_studies_are_named():
    with pytest.raises(ValueError, match="unknown studies: h3; choose from vlse"):
        studies.Studies(only=("h3",))
