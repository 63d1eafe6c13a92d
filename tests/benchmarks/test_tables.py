"""The tables of the README and the documentation are those of the summaries that are kept."""

import re

import pytest
from PIL import Image

from benchmarks import tables
from benchmarks.verdict import Study
from frames import RESULTS, frame


def test_every_page_has_the_tables_of_the_summaries():
    stale = [path.name for path, text in tables.written().items() if path.read_text("utf-8") != text]
    assert stale == [], "write them anew: make tables"


def test_every_summary_is_a_page_and_every_table_stands_somewhere():
    pages = tables.written()
    texts = "".join(pages.values())
    assert {path.stem for path in tables.SUMMARIES.glob("*.md")} == set(tables.studies())
    assert set(re.findall(r"<!-- table: ([\w-]+) -->", texts)) == set(tables.TABLES)
    assert {"README.md", "results.md"} <= {path.name for path in pages}


def test_the_first_table_has_both_as_they_are_and_shifted_and_says_who_beats_pop():
    readme = tables.written()[tables.ROOT / "README.md"]
    (header,) = re.findall(r"^\| method \| regret, 47 .*$", readme, re.MULTILINE)
    assert "regret, 43 smooth" in header
    assert "regret, 47 shifted" in header
    rows = re.findall(r"^\| (.*?) \| -\d", readme, re.MULTILINE)
    assert {"**POP**", "direct", "lbfgsb_restarts"} <= set(rows)
    assert len(re.findall(r"^- On the 4[37]", readme, re.MULTILINE)) == 3


def kept(pop, sample="VLSE"):
    functions = [f"f{number}" for number in range(12)]
    by_method = {
        "pop": {name: [pop] for name in functions},
        "pop-paper": {name: [0.5] for name in functions},
        "adam": {name: [1e-4] for name in functions},
        "direct": {name: [1e-2 * (1 + number)] for number, name in enumerate(functions)},
    }
    return Study.of(frame(by_method, budget=50, sample=sample))


def test_who_beats_pop_is_said():
    (verdict,) = kept(1e-3).verdicts
    words = tables._against_pop(verdict)
    assert "POP is beaten in regret (-3.00) by adam (-4.00); in rank (2.00) by adam (1.00)" in words
    assert "It is significantly worse than adam." in words
    assert words.endswith("It is significantly better than 2 of 3 methods, not than adam (p = 1).")
    words = tables._against_pop(kept(1e-5).verdicts[0])
    assert words.endswith("It is significantly better than 3 of 3 methods.")
    assert words.startswith("POP is first in regret, rank, NI and runs to 1e-2. ")


def test_claims_count_the_rivals_that_are_beaten():
    study = kept(1e-3)
    assert tables._beaten(study, "VLSE", "pop", re.compile("adam")) == "0 of 1; better than it: adam"
    assert tables._beaten(study, "VLSE", "pop", re.compile("direct|cma_es")) == "1 of 1"
    assert tables._beaten(study, "VLSE", "pop", re.compile("velo")) == "not run"


def test_every_rival_has_its_place_among_the_claims():
    from benchmarks.rivals import RIVALS

    placed = [re.compile(pattern) for pattern in tables.CLAIMS.values()]
    counts = {name: sum(bool(pattern.fullmatch(name)) for pattern in placed) for name in RIVALS}
    assert {name for name, count in counts.items() if count != 1} <= {"pop", "rover_descent"}


def test_a_study_is_the_same_after_it_was_kept():
    study = Study.of(RESULTS)
    again = Study.from_json(study.to_json())
    assert again.to_json() == study.to_json()
    assert tables.markdown(again) == tables.markdown(study)
    assert again.failures == [("wild", "VLSE", "rosenbrock", "2", "ValueError: broken | pipe", "1")]
    with pytest.raises(ValueError, match="must have the format 2, got 1"):
        Study.from_json(study.to_json().replace('"format": 2', '"format": 1'))


def test_summaries_are_taken_from_folders_of_results(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "SUMMARIES", tmp_path / "kept")
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    (tmp_path / "kept").mkdir()
    (tmp_path / "docs").mkdir()
    with pytest.raises(FileNotFoundError, match="run the benchmark"):
        tables.update(tmp_path)
    (tmp_path / "results" / "vlse").mkdir(parents=True)
    (tmp_path / "results" / "vlse" / "summary.json").write_text(Study.of(RESULTS).to_json())
    Image.new("RGB", (2400, 800), "white").save(tmp_path / "results" / "vlse" / "regret.png")
    tables.update(tmp_path / "results")
    assert list(tables.studies()) == ["vlse"]
    with Image.open(tmp_path / "docs" / "regret.png") as figure:
        assert figure.size == (1200, 400)
    page = tmp_path / "docs" / "results.md"
    (tmp_path / "README.md").write_text("# Nothing\n")
    page.write_text("# Here\n\n<!-- table: tests -->\nold\n<!-- end of table -->\n\nThe end.\n")
    monkeypatch.setitem(tables.TABLES, "tests", lambda kept: [f"{len(kept)} study"])
    assert {path.name for path in tables.write()} == {"vlse.md", "results.md"}
    expected = "# Here\n\n<!-- table: tests -->\n\n1 study\n\n<!-- end of table -->\n\nThe end.\n"
    assert page.read_text() == expected
    assert tables.write() == []
