import numpy as np
import pandas as pd
import pytest

from benchmarks import analysis, vlse
from frames import PRIOR_RESULTS, RESULTS, frame


def only(results):
    (comparison,) = analysis.comparisons(results)
    return comparison


# The slow method has run from the first of three starts.
UNEQUAL = frame(
    {
        "a": {"sphere": [0.1, 0.1, 0.9], "rosenbrock": [0.1, 0.1, 0.9]},
        "b": {"sphere": [0.2, 0.2, 0.2], "rosenbrock": [0.2, 0.2, 0.2]},
        "bayes": {"sphere": [0.01], "rosenbrock": [0.15]},
    }
)


def test_an_undercut_reference_is_lowered_for_all_and_a_known_minimum_is_not():
    values = {"f0": [-1.0], "f1": [0.5]}
    results = pd.concat(
        [
            frame({"low": values}, sample="gp, 2-D"),
            frame({"high": {**values, "f0": [0.0]}}, sample="gp, 2-D"),
            frame({"low": {"f0": [-3.0]}}, sample="gp, 2-D", doubled=True),
            frame({"low": {"f0": [-9.0]}}, sample="VLSE, shifted"),
        ]
    )
    results = analysis.with_measures(analysis.with_lowest_minima(results))
    of_sample = results.set_index(["sample", "function"]).sort_index()
    assert (of_sample.loc[("gp, 2-D", "f0"), "f_min"] == -3.0).all()  # of all methods and budgets
    assert (of_sample.loc[("gp, 2-D", "f1"), "f_min"] == 0.0).all()
    assert (of_sample.loc["VLSE, shifted", "f_min"] == 0.0).all()
    lowered = results[(results["function"] == "f0") & (results["sample"] == "gp, 2-D")]
    np.testing.assert_allclose(lowered["ni"], [2 / 4, 1 / 4, 1.0])
    np.testing.assert_allclose(lowered["log10_regret"], [np.log10(2 / 4), np.log10(3 / 4), -8.0])


def test_ranks_tie_the_converged_and_put_the_failed_last():
    ranked = only(RESULTS).results
    table = ranked.pivot(index="method", columns=["function", "start"], values="rank")
    np.testing.assert_array_equal(table.loc["fast"], [1.5, 1.0, 2.0, 1.0])
    np.testing.assert_array_equal(table.loc["slow"], [1.5, 2.0, 3.0, 2.0])
    np.testing.assert_array_equal(table.loc["wild"], [3.0, 3.0, 1.0, 3.0])
    assert len(ranked) == len(RESULTS)


def test_a_failed_run_ranks_below_one_that_did_not_improve():
    results = frame({"a": {"sphere": [1.0]}, "b": {"sphere": [1.0]}}, errors={("a", "sphere", 0)})
    assert analysis.with_ranks(results).set_index("method")["rank"].to_dict() == {"a": 2.0, "b": 1.0}


def test_comparisons_go_by_budget_and_then_by_sample_in_the_order_of_the_results():
    results = pd.concat([RESULTS.assign(budget=100), PRIOR_RESULTS, RESULTS.assign(budget=20)])
    found = [(c.budget, c.sample, c.functions, c.starts) for c in analysis.comparisons(results)]
    assert found == [(2, "gp, 8-D", 2, 1), (2, "gp, 16-D", 1, 1), (20, "VLSE", 2, 2), (100, "VLSE", 2, 2)]
    assert all(not c.shared and not c.absent and not c.note for c in analysis.comparisons(results))
    assert analysis.comparisons(PRIOR_RESULTS)[0].title == "gp, 8-D (2 functions), T = 2, 1 start"


def test_the_smooth_functions_are_a_sample_of_their_own():
    values = {name: [0.1] for name in vlse.names()}
    whole, smooth = analysis.comparisons(frame({"a": values, "b": values}))
    assert (whole.sample, whole.functions) == ("VLSE", 47)
    assert (smooth.sample, smooth.functions) == ("VLSE, smooth", 43)
    assert set(smooth.results["function"]) == set(vlse.names(smooth=True))
    assert len(analysis.comparisons(frame({"a": values}, sample="VLSE, 5-D"))) == 1


def test_methods_with_fewer_starts_are_compared_on_the_shared_ones():
    first, second = analysis.comparisons(UNEQUAL)
    assert (first.methods, first.absent, first.starts) == (["a", "b"], ("bayes",), 3)
    assert first.title == "VLSE (2 functions), T = 2, 3 starts"
    assert "bayes ran from fewer" in first.note
    means = analysis.headline(first)
    assert means["rank"].to_dict() == pytest.approx({"a": 4 / 3, "b": 5 / 3})
    assert (second.methods, second.absent, second.starts) == (["bayes", "a", "b"], (), 1)
    assert second.shared
    assert second.title == "VLSE (2 functions), T = 2, all methods on the 1 start they share"
    means = analysis.headline(second)
    assert means["rank"].to_dict() == pytest.approx({"bayes": 1.5, "a": 1.5, "b": 3.0})
    assert means.loc["a", "ni"] == pytest.approx(0.9)


def test_headline_numbers_are_means_over_functions_of_means_over_starts():
    table = analysis.headline(only(RESULTS))
    assert list(table.index) == ["fast", "slow", "wild"]
    fast = table.loc["fast"]
    assert fast["log10_regret"] == pytest.approx((-8.0 - 1.5) / 2)
    assert fast["ni"] == pytest.approx((1.0 + 0.945) / 2)
    assert fast["rank"] == pytest.approx((1.25 + 1.5) / 2)
    assert fast["reached_1e-2"] == pytest.approx((1.0 + 0.5) / 2)
    assert fast["reached_1e-4"] == fast["reached_1e-8"] == pytest.approx(0.5)
    assert fast["ms_per_step"] == pytest.approx(1.0)
    assert list(table["failed"]) == [0, 0, 1]
    assert set(table.columns) == {f"{m}{end}" for m in analysis.MEASURES for end in ("", "_low", "_high")} | {
        *("ms_per_step", "failed")
    }


def test_a_failed_run_reaches_nothing():
    results = frame({"a": {"sphere": [0.0, 0.0]}, "b": {"sphere": [0.0, 0.0]}}, errors={("a", "sphere", 0)})
    comparison = only(results)
    assert analysis.headline(comparison)["reached_1e-8"].to_dict() == {"a": 0.5, "b": 1.0}
    assert analysis.runtime_distribution(comparison).iloc[-1].to_dict() == {"a": 0.5, "b": 1.0}
    assert analysis.profiles(comparison).iloc[-1].to_dict() == {"a": 0.5, "b": 1.0}


def test_of_two_functions_the_interval_spans_both():
    fast = analysis.headline(only(RESULTS)).loc["fast"]
    assert (fast["log10_regret_low"], fast["log10_regret_high"]) == pytest.approx((-8.0, -1.5))
    assert (fast["rank_low"], fast["rank_high"]) == pytest.approx((1.25, 1.5))


def test_the_interval_is_the_normal_one_where_there_are_many_functions():
    regrets = np.random.default_rng(0).normal(-4, 1, 400)
    values = {f"f{i}": [10**regret] for i, regret in enumerate(regrets)}
    alone = analysis.headline(only(frame({"a": values}, sample="gp"))).loc["a"]
    half = 1.96 * regrets.std() / np.sqrt(400)
    assert alone["log10_regret_low"] == pytest.approx(regrets.mean() - half, abs=0.15 * half)
    assert alone["log10_regret_high"] == pytest.approx(regrets.mean() + half, abs=0.15 * half)
    with_others = analysis.headline(only(frame({"a": values, "b": values}, sample="gp"))).loc["a"]
    pd.testing.assert_series_equal(alone.filter(like="log10"), with_others.filter(like="log10"))


def test_one_function_has_no_interval():
    table = analysis.headline(only(frame({"a": {"sphere": [0.1, 0.2]}})))
    assert table[[f"{measure}_low" for measure in analysis.MEASURES]].isna().to_numpy().all()


def test_functions_with_more_starts_weigh_no_more():
    results = frame({"a": {"sphere": [0.0, 0.0, 0.0], "rosenbrock": [1.0]}})
    assert analysis.headline(only(results)).loc["a", "ni"] == pytest.approx(0.5)


def test_strict_columns_give_gradient_free_methods_twice_the_values():
    ordinary = frame({"descent": {"sphere": [0.1, 0.1]}, "search": {"sphere": [0.5, 0.5]}})
    doubled = frame({"search": {"sphere": [0.01, 0.3]}}, doubled=True)
    comparison = only(pd.concat([ordinary, doubled]))
    table = analysis.headline(comparison)
    assert table["rank"].to_dict() == {"descent": 1.0, "search": 2.0}
    assert table["strict_rank"].to_dict() == {"descent": 1.5, "search": 1.5}
    assert table.loc["search", "strict_log10_regret"] == pytest.approx((-2 + np.log10(0.3)) / 2)
    assert table.loc["descent", "strict_log10_regret"] == table.loc["descent", "log10_regret"] == pytest.approx(-1)
    assert table.loc["search", "ni"] == pytest.approx(0.5)
    assert len(analysis.runtime_distribution(comparison)) == 3
    unasked = analysis.headline(only(ordinary))
    assert unasked["strict_rank"].isna().all()


def test_a_slow_method_has_no_strict_comparison():
    doubled = frame({"b": {"sphere": [0.0] * 3, "rosenbrock": [0.0] * 3}}, doubled=True)
    first, second = analysis.comparisons(pd.concat([UNEQUAL, doubled]))
    assert analysis.headline(first)["strict_rank"].to_dict() == {"a": 2.0, "b": 1.0}
    assert second.strict is None


def test_the_table_of_functions():
    table = analysis.per_function(only(RESULTS))
    assert list(table.index) == [("bowl", "sphere"), ("valley", "rosenbrock")]
    assert list(table["ni"].columns) == ["fast", "slow", "wild"]
    assert table.loc[("valley", "rosenbrock"), ("log10_regret", "slow")] == pytest.approx(-0.5)
    assert table.loc[("bowl", "sphere"), ("ni", "wild")] == pytest.approx(0.5)
    assert table.loc[("bowl", "sphere"), ("rank", "fast")] == pytest.approx(1.25)


def test_the_tests_are_on_functions_means():
    tests = analysis.significance(only(RESULTS))
    # Over both functions "fast" is best, and "slow" and "wild" take turns: rank sums of 2, 5 and 5.
    assert tests.statistic == pytest.approx(12 / (2 * 3 * 4) * (2**2 + 5**2 + 5**2) - 3 * 2 * 4)


def test_a_method_has_one_mean_rank():
    tests, table = analysis.significance(only(RESULTS)), analysis.headline(only(RESULTS))
    assert tests.ranks.to_dict() == table["rank"].to_dict() == {"fast": 1.375, "slow": 2.125, "wild": 2.5}
    assert list(tests.p_values) == list(tests.p_values.index) == list(table.index)


def test_curves_begin_at_the_start_and_end_at_the_measures():
    comparison = only(RESULTS)
    drawn, table = analysis.curves(comparison), analysis.headline(comparison)
    for measure in ("ni", "log10_regret"):
        assert list(drawn[measure].index) == [1, 2, 3]
        assert list(drawn[measure].columns) == comparison.methods
        np.testing.assert_allclose(drawn[measure].iloc[0], 0.0, atol=1e-12)
        np.testing.assert_allclose(drawn[measure].iloc[-1], table[measure])


def test_the_runtime_distribution_counts_targets():
    results = frame({"a": {"sphere": [[1.0, 1e-4, 1e-8], [1.0, 1.0, 1.0]]}, "b": {"sphere": [[1.0, 0.5], [0.5, 0.0]]}})
    shares = analysis.runtime_distribution(only(results))
    # Of 51 targets 1e-4 reaches 26, and 0.5 the first 2: 10^0 and 10^-0.16.
    np.testing.assert_allclose(shares["a"], [1 / 51, (26 + 1) / 2 / 51, (51 + 1) / 2 / 51])
    np.testing.assert_allclose(shares["b"], [(1 + 2) / 2 / 51, (2 + 51) / 2 / 51, (2 + 51) / 2 / 51])
    assert list(shares.index) == [1, 2, 3]


RACE = frame(
    {
        # Evaluations to 1e-4: 2, 4, never, never.
        "a": {"sphere": [[1, 1e-4], [1, 1, 1, 1e-5]], "rosenbrock": [[1, 1e-2], [1, 1]]},
        # 4, 1, 3, never; the second run stopped at once.
        "b": {"sphere": [[1, 1, 1, 0], [1e-6]], "rosenbrock": [[1, 1e-3, 1e-9, 0], [1, 1, 1, 1e-3]]},
    },
    budget=3,
)


def test_profiles_are_shares_of_runs_within_a_factor_of_the_best():
    shares = analysis.profiles(only(RACE))
    assert (shares.index[0], shares.index[-1]) == pytest.approx((1.0, 4.0))
    at = {tau: shares[shares.index <= tau + 1e-9].iloc[-1] for tau in (1, 1.9, 2, 3.9, 4)}
    # Ratios to the best: a 1, 4, never; b 2, 1, 1; and one run that nobody solves.
    assert [at[tau]["a"] for tau in at] == [0.25, 0.25, 0.25, 0.25, 0.5]
    assert [at[tau]["b"] for tau in at] == [0.5, 0.5, 0.75, 0.75, 0.75]
    strictest = analysis.profiles(only(RACE), target=1e-8)
    assert strictest.iloc[-1].to_dict() == {"a": 0.0, "b": 0.5}


def test_evaluations_needed():
    table = analysis.evaluations_needed(only(RACE))
    assert table.loc["b", ("1e-4", "median")] == pytest.approx(3.5)
    assert table.loc["b", ("1e-4", "ert")] == pytest.approx((4 + 1 + 3 + 4) / 3)
    # The fourth run stopped after two evaluations; the third, too, and did not get there.
    assert table.loc["a", ("1e-4", "ert")] == pytest.approx((2 + 4 + 2 + 2) / 2)
    assert table.loc["a", ("1e-4", "median")] == np.inf
    assert table.loc["a", ("1e-2", "ert")] == pytest.approx((2 + 4 + 2 + 2) / 3)
    assert table.loc["a", ("1e-8", "ert")] == np.inf
    failed = RACE.assign(error=np.where((RACE["method"] == "a") & (RACE["function"] == "rosenbrock"), "Error: no", ""))
    table = analysis.evaluations_needed(only(failed))
    assert table.loc["a", ("1e-4", "ert")] == pytest.approx((2 + 4 + 4 + 4) / 2)  # whole budgets
    assert table.loc["a", ("1e-2", "ert")] == pytest.approx((2 + 4 + 4 + 4) / 2)


def test_solved_to_tau_is_judged_by_the_starts_value():
    # From 11 to 1: the evaluations to 1e-3, below 1.01, are 2, never; to 1e-6, below 1.00001, 3, never.
    results = frame({"a": {"mgh-bard": [[11, 1.005, 1.000009], [11, 11, 1.02]]}}, sample="MGH")
    comparison = only(results.assign(y0=11.0, f_min=1.0, f_ref=11.0))
    assert comparison.title == "MGH (1 function), T = 2, 2 runs"
    table = analysis.solved(comparison)
    assert table.loc["a", ["tau_1e-3", "tau_1e-6", "tau_1e-9"]].tolist() == [0.5, 0.5, 0.0]
    assert table.loc["a", "median"] == np.inf
    assert analysis.data_profile(comparison, 1e-3)["a"].tolist() == [0.0, 0.5, 0.5]
    assert analysis.data_profile(comparison, 1e-6)["a"].tolist() == [0.0, 0.0, 0.5]
    assert "four_digits" not in table


def test_four_digits_of_a_certified_sum_of_squares():
    results = frame({"a": {"nist-enso": [[11, 1.00009], [11, 1.0002]]}}, sample="NIST")
    comparison = only(results.assign(y0=11.0, f_min=1.0, f_ref=11.0))
    assert analysis.solved(comparison).loc["a", "four_digits"] == 0.5
    failed = only(results.assign(y0=11.0, f_min=1.0, f_ref=11.0, error="Error: no"))
    assert analysis.solved(failed).loc["a", ["four_digits", "tau_1e-3"]].tolist() == [0.0, 0.0]


def test_medians_by_function_are_in_the_order_of_the_runs():
    values = {
        "chained_rosenbrock-10d": [[1, 0.5, 0], [1, 0, 0], [1, 1, 0]],
        "chained_rosenbrock-100d": [[1, 1, 0], [1], [1]],
    }
    medians = analysis.medians_by_function(only(frame({"a": values}, sample="Rosenbrock")))
    assert medians.loc["a"].to_dict() == {"chained_rosenbrock-10d": 3.0, "chained_rosenbrock-100d": np.inf}
    assert list(medians) == list(values)


def test_the_minima_of_plain_problems_are_known():
    for sample in ("MGH", "NIST", "Rosenbrock"):
        results = frame({"a": {"f": [-1.0]}}, sample=sample)
        assert (analysis.with_lowest_minima(results)["f_min"] == 0.0).all()


def test_holm_over_rivals_is_of_the_mean_regrets_of_functions():
    values = {name: [0.1, 0.2] for name in vlse.names()}
    better = {name: [0.01, 0.2] for name in vlse.names()}
    table = analysis.holm_over_rivals(analysis.comparisons(frame({"pop": better, "a": values, "b": values}))[0])
    assert sorted(table.index) == ["a", "b"]
    assert (table["wins"] == 47).all()
    assert (table["p_holm"] == 2 * table["p"]).all()
    assert (table["p_holm"] < 1e-6).all()
