import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from benchmarks import analysis

GROUPS = {"sphere": "bowl", "rosenbrock": "valley"}


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
                        "group": GROUPS.get(function) or function.replace("-", ", ", 1).partition("d-")[0] + "-D",
                        "dim": 2,
                        "budget": budget,
                        "start": start,
                        "seed": 0,
                        "evaluations": budget + 1,
                        "y0": 1.0,
                        "y_best": best,
                        "f_min": 0.0,
                        "f_ref": 1.0,
                        "seconds": 0.003,
                        "error": "ValueError: broken | pipe" if (method, function, start) in errors else "",
                        "trace": np.linspace(1.0, best, budget + 1),
                    }
                )
    return analysis.with_measures(pd.DataFrame(rows))


RESULTS = frame(
    {
        "fast": {"sphere": [1e-9, 0.0], "rosenbrock": [0.1, 0.01]},
        "slow": {"sphere": [1e-10, 0.1], "rosenbrock": [1.0, 0.1]},
        "wild": {"sphere": [0.5, 0.5], "rosenbrock": [0.01, 1.0]},
    },
    errors={("wild", "rosenbrock", 1)},
)
# In the order of a sweep, with dimension 16 after 8.
PRIOR_RESULTS = frame(
    {
        "good": {"gp-8d-0": [0.0], "gp-8d-1": [0.1], "gp-16d-0": [0.0], "wide-8d-0": [0.5]},
        "bad": {"gp-8d-0": [0.1], "gp-8d-1": [0.2], "gp-16d-0": [0.1], "wide-8d-0": [0.01]},
    },
    errors={("bad", "gp-8d-0", 0), ("bad", "gp-8d-1", 0)},
)


def test_an_undercut_reference_is_lowered_for_all_and_a_known_minimum_is_not():
    values = {"gp-2d-0": [-1.0], "gp-2d-1": [0.5], "sphere": [-1e-9]}
    results = pd.concat(
        [
            frame({"low": values}),
            frame({"high": {**values, "gp-2d-0": [0.0]}}),
            frame({"low": {"gp-2d-0": [-3.0]}}, budget=9),
        ]
    )
    results = analysis.with_measures(analysis.with_lowest_minima(results))
    results = results.set_index(["function", "method", "budget"]).sort_index()
    assert (results.loc["gp-2d-0", "f_min"] == -3.0).all()  # of all methods and budgets
    assert (results.loc["gp-2d-1", "f_min"] == 0.0).all()
    assert (results.loc["sphere", "f_min"] == 0.0).all()
    measures = results.loc["gp-2d-0", ["ni", "log10_regret"]]
    np.testing.assert_allclose(measures.loc[("low", 9)], [1.0, -8.0])
    np.testing.assert_allclose(measures.loc[("low", 2)], [2 / 4, np.log10(2 / 4)])
    np.testing.assert_allclose(measures.loc[("high", 2)], [1 / 4, np.log10(3 / 4)])


def test_ranks_tie_the_converged_and_put_the_failed_last():
    ranked = analysis.with_ranks(RESULTS)
    table = ranked.pivot(index="method", columns=["function", "start"], values="rank")
    np.testing.assert_array_equal(table.loc["fast"], [1.5, 1.0, 2.0, 1.0])
    np.testing.assert_array_equal(table.loc["slow"], [1.5, 2.0, 3.0, 2.0])
    np.testing.assert_array_equal(table.loc["wild"], [3.0, 3.0, 1.0, 3.0])
    assert len(ranked) == len(RESULTS)


def test_a_failed_run_ranks_below_one_that_did_not_improve():
    results = frame({"a": {"sphere": [1.0]}, "b": {"sphere": [1.0]}}, errors={("a", "sphere", 0)})
    assert analysis.with_ranks(results).set_index("method")["rank"].to_dict() == {"a": 2.0, "b": 1.0}


def test_only_shared_runs_are_ranked():
    results = frame({"a": {"sphere": [0.1, 0.2]}, "b": {"sphere": [0.3]}})
    ranked = analysis.with_ranks(results).set_index(["method", "start"])["rank"]
    assert ranked["a", 0] == 1.0
    assert np.isnan(ranked["a", 1])


def test_headline_numbers_are_means_over_functions_of_means_over_starts():
    table = analysis.headline(RESULTS).loc[(2, "VLSE")]
    assert list(table.index) == ["fast", "slow", "wild"]
    fast = table.loc["fast"]
    assert fast["log10_regret"] == pytest.approx((-8.0 - 1.5) / 2)
    assert fast["log10_regret_se"] == pytest.approx(6.5 / 2)  # of two values: half their distance
    assert fast["ni"] == pytest.approx((1.0 + 0.945) / 2)
    assert fast["rank"] == pytest.approx((1.25 + 1.5) / 2)
    assert fast["ms_per_step"] == pytest.approx(1.0)
    assert list(table["failed"]) == [0, 0, 1]


def test_every_prior_and_dimension_has_a_headline_of_its_own():
    table = analysis.headline(pd.concat([PRIOR_RESULTS, PRIOR_RESULTS.assign(budget=3)]))
    rows = [("gp, 8-D", "good"), ("gp, 8-D", "bad"), ("gp, 16-D", "good"), ("gp, 16-D", "bad")]
    rows += [("wide, 8-D", "bad"), ("wide, 8-D", "good")]
    assert list(table.index) == [(budget, *row) for budget in (2, 3) for row in rows]
    assert table.loc[(3, "gp, 8-D", "good"), "log10_regret"] == pytest.approx((-8.0 - 1.0) / 2)
    assert list(table.loc[2, "functions"]) == [2, 2, 1, 1, 1, 1]
    assert list(table.loc[2, "failed"]) == [0, 2, 0, 0, 0, 0]


def test_functions_with_more_starts_weigh_no_more():
    results = frame({"a": {"sphere": [0.0, 0.0, 0.0], "rosenbrock": [1.0]}})
    assert analysis.headline(results).loc[(2, "VLSE", "a"), "ni"] == pytest.approx(0.5)


def test_the_table_of_functions():
    table = analysis.per_function(RESULTS).loc[2]
    assert list(table.index) == [("bowl", "sphere"), ("valley", "rosenbrock")]
    assert table.loc[("valley", "rosenbrock"), ("log10_regret", "slow")] == pytest.approx(-0.5)
    assert table.loc[("bowl", "sphere"), ("ni", "wild")] == pytest.approx(0.5)


def test_the_summary_holds_every_budget_function_and_failure():
    results = pd.concat(
        [RESULTS, frame({"fast": {"sphere": [0.1]}, "slow": {"sphere": [0.2]}, "wild": {"sphere": [0.3]}}, budget=4)]
    )
    text = analysis.summary(results)
    assert "## VLSE (2 functions), T = 2" in text
    assert "## VLSE (1 functions), T = 4" in text
    assert "| -4.75 ± 3.25 |" in text
    assert "| fast | 0.900 | -1.00 | 1.00 | 0.60 | 0 |" in text  # one function has no standard error
    assert "| sphere | bowl | 1.00 / -8.0 |" in text
    assert r"| wild | rosenbrock | 2 | ValueError: broken \| pipe | 1 |" in text


def test_the_summary_lists_the_functions_of_vlse_only():
    both = pd.concat([frame({"good": {"sphere": [0.1]}, "bad": {"sphere": [0.2]}}), PRIOR_RESULTS])
    text = analysis.summary(both)
    titles = [line for line in text.splitlines() if line.startswith("## ") and "T = 2" in line]
    sizes = {"VLSE": 1, "gp, 8-D": 2, "gp, 16-D": 1, "wide, 8-D": 1}
    assert titles == [f"## {sample} ({size} functions), T = 2" for sample, size in sizes.items()]
    assert sum(line.startswith("| good | ") for line in text.splitlines()) == len(titles)
    assert "| sphere | bowl | 0.90 / -1.0 | 0.80 / -0.7 |" in text
    assert "gp-8d-0" not in text
    assert r"| bad | gp, 8-D | 2 | ValueError: broken \| pipe | 2 |" in text
    assert "### " not in analysis.summary(PRIOR_RESULTS)


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


def test_the_figures_tell_the_priors_apart():
    both = pd.concat([RESULTS.replace({"method": {"fast": "good", "slow": "bad"}}), PRIOR_RESULTS])
    assert len(analysis.draw_regret(both[both["method"] != "wild"]).axes) == 2 * 4
    assert len(analysis.draw_regret(PRIOR_RESULTS).axes) == 2 * 3
    for results, labels in (
        (both, ["VLSE (2)", "bowl (1)", "valley (1)", "gp, 8-D (2)", "gp, 16-D (1)", "wide, 8-D (1)"]),
        (PRIOR_RESULTS, ["gp, 8-D (2)", "gp, 16-D (1)", "wide, 8-D (1)"]),
    ):
        (panel,) = analysis.draw_ranks(results[results["method"] != "wild"]).axes
        assert [label.get_text() for label in panel.get_yticklabels()] == labels
        good = panel.lines[0]
        assert good.get_label() == "good"
        np.testing.assert_allclose(good.get_xdata()[-3:], [1.0, 1.0, 2.0])


def test_the_report_fits_a_terminal(tmp_path):
    console = Console(width=80, file=io.StringIO())
    analysis.report(RESULTS, tmp_path, console)
    printed = console.file.getvalue()
    assert "fast" in printed
    assert "…" not in printed
    assert {path.name for path in tmp_path.iterdir()} == {"summary.md", "regret.png", "ranks.png"}
