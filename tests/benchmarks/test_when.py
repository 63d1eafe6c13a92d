from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.problems import block_problems
from benchmarks.when import SECTIONS, Section, When, draw, measured, results, rewritten, run, table

PAGE = Path(__file__).parents[2] / "docs" / "when.md"
ROWS = pd.DataFrame(
    [
        {"panel": "gp", "x": x, "method": method, "value": value + noise}
        for x, method, value in [(2, "pop", -3.0), (2, "other", -1.0), (8, "pop", -1.0), (8, "other", -1.05)]
        for noise in (-0.1, 0.0, 0.1)
    ]
)


def test_a_table_marks_the_best_and_what_is_level_with_it():
    lines = table(Section(None, "dimension"), ROWS).splitlines()
    assert lines[0] == "| log10 regret | dimension = 2 | 8 |"
    assert lines[2] == "| gp: pop | **-3.00 ± 0.06** | **-1.00 ± 0.06** |"
    assert lines[3] == "| gp: other | -1.00 ± 0.06 | **-1.05 ± 0.06** |"
    highest = table(Section(None, "dimension", highest=True), ROWS).splitlines()
    assert highest[3] == "| gp: other | **-1.00 ± 0.06** | **-1.05 ± 0.06** |"


def test_a_figure_has_a_panel_for_each_panel():
    rows = pd.concat([ROWS, ROWS.assign(panel="wide")])
    figure = draw(Section(None, "dimension"), rows)
    assert [ax.get_title() for ax in figure.axes] == ["gp", "wide"]


def test_a_block_is_put_between_its_marks():
    page = "before\n<!-- cost -->\nold\nold\n<!-- end of cost -->\nafter\n"
    assert rewritten(page, "cost", "new") == "before\n<!-- cost -->\nnew\n<!-- end of cost -->\nafter\n"
    with pytest.raises(ValueError, match="must have the marks"):
        rewritten(page, "noise", "new")


def test_the_page_has_a_place_for_each_section_and_is_filled():
    text = PAGE.read_text("utf-8")
    for name in SECTIONS:
        block = text.partition(f"<!-- {name} -->")[2].partition(f"<!-- end of {name} -->")[0]
        assert " ± " in block, name
        assert (PAGE.parent / "when" / f"{name}.png").is_file()


@pytest.mark.parametrize("method", ["pop, differences", "bobyqa", "cma_es"])
def test_methods_without_gradients_spend_the_budget_and_repeat(method):
    problems, state = block_problems("chained_rosenbrock-2d"), np.random.get_state()[1].copy()  # noqa: NPY002
    one, two = (measured(method, problems, 59) for _ in range(2))
    assert one["evaluations"].item() == 60
    np.testing.assert_array_equal(one["trace"][0], two["trace"][0])
    assert one["y_best"].item() < one["y0"].item()
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_what_is_measured_is_kept(tmp_path, monkeypatch):
    calls = []

    def rows(when):
        calls.append(when.count)
        return ROWS.to_dict("records")

    page = tmp_path / "page.md"
    page.write_text("<!-- made -->\n<!-- end of made -->\n")
    monkeypatch.setattr("benchmarks.when.SECTIONS", {"made": Section(rows, "dimension")})
    when = When(count=2, page=page, out=tmp_path / "out")
    run(when)
    run(when)
    assert calls == [2]
    pd.testing.assert_frame_equal(results(when, "made"), ROWS)
    assert page.read_text().count("| gp: pop |") == 1
    assert (tmp_path / "page" / "made.png").is_file()
    with pytest.raises(ValueError, match="count was 2 and is now 3"):
        run(When(count=3, page=page, out=tmp_path / "out"))


def test_sections_may_be_chosen_and_unknown_ones_are_named(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text("<!-- one -->\n<!-- end of one -->\n<!-- other -->\n<!-- end of other -->\n")
    each = Section(lambda when: ROWS.to_dict("records"), "dimension")
    monkeypatch.setattr("benchmarks.when.SECTIONS", {"one": each, "other": each})
    run(When(page=page, out=tmp_path / "out", only=("other",)))
    before, _, after = page.read_text().partition("<!-- other -->")
    assert "gp: pop" not in before
    assert "gp: pop" in after
    with pytest.raises(ValueError, match="unknown sections: third; choose from one, other"):
        When(only=("third",))


def test_rows_of_a_section_are_values_by_panel_column_and_method():
    rows = pd.DataFrame(SECTIONS["dimensions"].rows(When(count=1)))
    assert list(rows) == ["panel", "x", "method", "value"]
    assert set(rows["panel"]) == {"gp", "wide", "plain"}
    assert len(rows) == 3 * 3 * 3
    assert rows["value"].between(-8, 1).all()
