import pandas as pd

from benchmarks import analysis, vlse
from benchmarks.headline import Headline, beside, block, main, others
from frames import frame


def results(sample="VLSE", suffix="", budget=50):
    values = {"pop": 1e-3, "a": 1e-2, "b": 1e-4}
    made = frame({m: {f"{n}{suffix}": [v, v] for n in vlse.names()} for m, v in values.items()}, sample=sample)
    return analysis.with_measures(made.assign(budget=budget))


def test_who_is_before_pop_is_said_beside_the_table():
    lines = beside(pd.concat([results(), results("VLSE, shifted", "~shifted")]), ("VLSE", "VLSE, shifted"))
    assert [line.split(" | ")[0] for line in lines[2:5]] == ["| b", "| pop", "| a"]
    assert lines[6].startswith("VLSE: lower mean regret than pop: b; better mean rank: b; pop is not significantly")
    assert lines[6].endswith("than b.")
    assert len(lines) == 8


def test_of_other_peoples_problems_there_is_a_row_for_each_sample_and_budget():
    lines = others(results("BBOB, 2-D", budget=20))
    assert lines[0] == "| functions | T | pop | a | b | pop is better than |"
    assert lines[2].startswith("| BBOB, 2-D | 20 | -")
    assert lines[2].count("**") == 2
    assert lines[2].endswith("| a |")


def test_the_page_takes_what_there_is(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text("<!-- measured -->\n<!-- end of measured -->\n")
    assert block(tmp_path) == ""
    for name, sample, suffix in (("vlse", "VLSE", ""), ("robust", "VLSE, shifted", "~shifted")):
        (tmp_path / name).mkdir()
        results(sample, suffix).to_parquet(tmp_path / name / "results.parquet")
    monkeypatch.setattr("sys.argv", ["headline", "--results", str(tmp_path), "--page", str(page)])
    main()
    text = page.read_text()
    assert text.count("| pop |") == 2
    assert "The 43 that are smooth" in text
    assert Headline().page.name == "benchmark.md"
