import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from benchmarks import analysis
from pop_envs.measures import log10_regret, normalized_improvement


def frame(values, errors=(), budget=2):
    """Results by hand: ``values[method][function]`` lists the best value of each start; f_min 0, f_ref = y0 = 1."""
    rows = []
    for method, functions in values.items():
        for function, bests in functions.items():
            for start, best in enumerate(bests):
                rows.append(
                    {
                        "method": method,
                        "function": function,
                        "group": "bowl" if function == "f" else "valley",
                        "dim": 2,
                        "budget": budget,
                        "start": start,
                        "seed": 0,
                        "evaluations": budget + 1,
                        "y0": 1.0,
                        "y_best": best,
                        "f_min": 0.0,
                        "f_ref": 1.0,
                        "ni": float(normalized_improvement(1.0, best, 0.0)),
                        "log10_regret": float(log10_regret(best, 0.0, 1.0)),
                        "seconds": 0.003,
                        "error": "ValueError: broken | pipe" if (method, function, start) in errors else "",
                        "trace": np.linspace(1.0, best, budget + 1),
                    }
                )
    return pd.DataFrame(rows)


RESULTS = frame(
    {
        "fast": {"f": [1e-9, 0.0], "g": [0.1, 0.01]},
        "slow": {"f": [1e-10, 0.1], "g": [1.0, 0.1]},
        "wild": {"f": [0.5, 0.5], "g": [0.01, 1.0]},
    },
    errors={("wild", "g", 1)},
)


def test_ranks_tie_the_converged_and_put_the_failed_last():
    ranked = analysis.with_ranks(RESULTS)
    table = ranked.pivot(index="method", columns=["function", "start"], values="rank")
    np.testing.assert_array_equal(table.loc["fast"], [1.5, 1.0, 2.0, 1.0])
    np.testing.assert_array_equal(table.loc["slow"], [1.5, 2.0, 3.0, 2.0])
    np.testing.assert_array_equal(table.loc["wild"], [3.0, 3.0, 1.0, 3.0])
    assert len(ranked) == len(RESULTS)


def test_a_failed_run_ranks_below_one_that_did_not_improve():
    results = frame({"a": {"f": [1.0]}, "b": {"f": [1.0]}}, errors={("a", "f", 0)})
    assert analysis.with_ranks(results).set_index("method")["rank"].to_dict() == {"a": 2.0, "b": 1.0}


def test_only_shared_runs_are_ranked():
    results = frame({"a": {"f": [0.1, 0.2]}, "b": {"f": [0.3]}})
    ranked = analysis.with_ranks(results).set_index(["method", "start"])["rank"]
    assert ranked["a", 0] == 1.0
    assert np.isnan(ranked["a", 1])


def test_headline_numbers_are_means_over_functions_of_means_over_starts():
    table = analysis.headline(RESULTS).loc[2]
    assert list(table.index) == ["fast", "slow", "wild"]
    fast = table.loc["fast"]
    assert fast["log10_regret"] == pytest.approx((-8.0 - 1.5) / 2)
    assert fast["log10_regret_se"] == pytest.approx(6.5 / 2)  # of two values: half their distance
    assert fast["ni"] == pytest.approx((1.0 + 0.945) / 2)
    assert fast["rank"] == pytest.approx((1.25 + 1.5) / 2)
    assert fast["ms_per_step"] == pytest.approx(1.0)
    assert list(table["failed"]) == [0, 0, 1]


def test_functions_with_more_starts_weigh_no_more():
    results = frame({"a": {"f": [0.0, 0.0, 0.0], "g": [1.0]}})
    assert analysis.headline(results).loc[(2, "a"), "ni"] == pytest.approx(0.5)


def test_the_table_of_functions():
    table = analysis.per_function(RESULTS).loc[2]
    assert list(table.index) == [("bowl", "f"), ("valley", "g")]
    assert table.loc[("valley", "g"), ("log10_regret", "slow")] == pytest.approx(-0.5)
    assert table.loc[("bowl", "f"), ("ni", "wild")] == pytest.approx(0.5)


def test_the_summary_holds_every_budget_function_and_failure():
    results = pd.concat([RESULTS, frame({"fast": {"f": [0.1]}, "slow": {"f": [0.2]}, "wild": {"f": [0.3]}}, budget=4)])
    text = analysis.summary(results)
    assert "## T = 2" in text
    assert "## T = 4" in text
    assert "| -4.75 ± 3.25 |" in text
    assert "| fast | 0.900 | -1.00 | 1.00 | 0.60 | 0 |" in text  # one function has no standard error
    assert "| f | bowl | 1.00 / -8.0 |" in text
    assert r"| wild | g | 2 | ValueError: broken \| pipe | 1 |" in text


def test_the_figures_show_every_method_once(tmp_path):
    results = pd.concat([RESULTS, RESULTS.assign(budget=3, trace=[np.linspace(1, 0.5, 4)] * len(RESULTS))])
    for figure, panels in ((analysis.draw_regret(results), 4), (analysis.draw_ranks(results), 2)):
        assert len(figure.axes) == panels
        assert [text.get_text() for text in figure.legends[0].get_texts()] == ["fast", "slow", "wild"]
        assert all(len(panel.lines) == 3 for panel in figure.axes)
    left, right = analysis.draw_regret(RESULTS).axes
    fast = RESULTS[RESULTS["method"] == "fast"]
    np.testing.assert_allclose(left.lines[0].get_ydata()[-1], fast["log10_regret"].mean())
    np.testing.assert_allclose(right.lines[0].get_ydata()[[0, -1]], [0.0, fast["ni"].mean()])


def test_the_report_fits_a_terminal(tmp_path):
    console = Console(width=80, file=io.StringIO())
    analysis.report(RESULTS, tmp_path, console)
    printed = console.file.getvalue()
    assert "fast" in printed
    assert "…" not in printed
    assert {path.name for path in tmp_path.iterdir()} == {"summary.md", "regret.png", "ranks.png"}
