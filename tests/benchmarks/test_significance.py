import numpy as np
import pandas as pd
import pytest
from scipy.stats import friedmanchisquare, wilcoxon
from statsmodels.stats.multitest import multipletests

from benchmarks.significance import better_than_rivals, compare, p_in_words


def ordered(functions, methods=("a", "b", "c")):
    """Each method is better than the next on every function."""
    difficulty = np.linspace(0, 1, functions)[:, None]
    return pd.DataFrame(difficulty + np.arange(len(methods)) * (1 + difficulty), columns=list(methods))


def test_of_three_methods_in_the_same_order_everywhere():
    tests = compare(ordered(12)[["c", "a", "b"]])
    assert tests.ranks.to_dict() == {"a": 1.0, "b": 2.0, "c": 3.0}
    assert list(tests.ranks.index) == list(tests.p_values.index) == ["a", "b", "c"]
    assert tests.best == "a"
    assert tests.statistic == pytest.approx(24.0)  # 2 n
    assert tests.p_value == pytest.approx(np.exp(-12.0))  # chi-squared with 2 degrees of freedom
    holm = 3 * 2 / 2**12  # all pairs have the least p that there is
    np.testing.assert_allclose(tests.p_values, np.where(np.eye(3), 1.0, holm))
    assert tests.differ.to_numpy().sum() == 6


def test_real_valued_regrets_as_scipy_and_statsmodels_judge_them():
    rng = np.random.default_rng(3)
    regrets = pd.DataFrame(np.maximum(rng.normal([-7, -6, -3, -2], 2, (47, 4)), -8.0), columns=list("abcd"))
    tests = compare(regrets)
    chi2, p = friedmanchisquare(*regrets.to_numpy().T)
    assert (tests.statistic, tests.p_value) == pytest.approx((chi2, p))
    pairs = [("a", "b"), ("a", "c"), ("a", "d"), ("b", "c"), ("b", "d"), ("c", "d")]
    raw = [wilcoxon(regrets[one], regrets[other], zero_method="zsplit").pvalue for one, other in pairs]
    for (one, other), expected in zip(pairs, multipletests(raw, method="holm")[1], strict=True):
        assert tests.p_values.loc[one, other] == tests.p_values.loc[other, one] == pytest.approx(expected)
    assert (regrets["a"] == regrets["b"]).any(), "no zero difference was tested"


def test_two_methods_have_wilcoxons_test_only():
    tests = compare(ordered(8, "ab"))
    assert np.isnan(tests.p_value)
    assert tests.p_values.loc["a", "b"] == pytest.approx(2 / 2**8)
    assert tests.differ.loc["a", "b"]


def test_no_pair_differs_where_friedmans_test_finds_nothing():
    # Four methods take turns, but b is always a little better than a.
    noise = np.array([[0, 0, 3, 1], [0, 0, 1, 3], [3, 3, 0, 1], [3, 3, 1, 0]] * 5, float)
    regrets = pd.DataFrame(noise, columns=list("abcd")).assign(b=lambda table: table["b"] - 0.01)
    tests = compare(regrets)
    assert tests.p_values.loc["a", "b"] < 0.01
    assert tests.p_value > 0.05
    assert not tests.differ.to_numpy().any()


@pytest.mark.parametrize("functions", [1, 2, 13, 14, 60])
@pytest.mark.parametrize("methods", [1, 2, 3])
def test_equal_methods_do_not_differ(functions, methods):
    tests = compare(pd.DataFrame(np.full((functions, methods), -8.0)))
    assert (tests.statistic, tests.p_value) == (0.0, 1.0)
    assert (tests.p_values == 1.0).to_numpy().all()
    assert not tests.differ.to_numpy().any()
    assert (tests.ranks == (methods + 1) / 2).all()


def test_one_function_tells_nothing_apart():
    tests = compare(ordered(1, "abcd"))
    assert tests.best == "a"
    assert not tests.differ.to_numpy().any()


def test_many_methods_on_few_functions_with_ties_take_no_time():
    rng = np.random.default_rng(0)
    tests = compare(pd.DataFrame(np.maximum(rng.normal(-7, 2, (13, 20)), -8.0)))
    assert tests.p_values.shape == (20, 20)


def test_a_bar_joins_what_ranks_between_two_that_do_not_differ():
    tests = compare(ordered(12, "abcde"))
    assert (tests.joined == np.eye(5, dtype=bool)).to_numpy().all()
    p = tests.p_values.copy()
    p.loc["b", "d"] = p.loc["d", "b"] = 1.0
    joined = type(tests)(tests.ranks, tests.statistic, tests.p_value, p).joined
    expected = pd.DataFrame(np.eye(5, dtype=bool), list("abcde"), list("abcde"))
    expected.loc["b":"d", "b":"d"] = True
    pd.testing.assert_frame_equal(joined, expected)


@pytest.mark.parametrize("regrets", [pd.DataFrame(), pd.DataFrame({"a": [1.0, np.nan], "b": [1.0, 2.0]})])
def test_missing_numbers_are_refused(regrets):
    with pytest.raises(ValueError, match="every method needs a number on every function"):
        compare(regrets)


def test_no_p_is_zero():
    assert [p_in_words(p) for p in (0.01299, 1.2e-40, 0.0)] == ["p = 0.013", "p = 1.2e-40", "p < 1e-300"]


def test_whether_one_method_is_better_than_each_rival():
    rng = np.random.default_rng(3)
    regrets = pd.DataFrame(np.maximum(rng.normal([-7, -6, -3, -2], 2, (47, 4)), -8.0), columns=list("abcd"))
    table = better_than_rivals(regrets, "b")
    assert list(table.index) == ["a", "c", "d"]
    raw = [wilcoxon(regrets["b"], regrets[o], zero_method="zsplit", alternative="less").pvalue for o in "acd"]
    np.testing.assert_allclose(table["p"], raw)
    np.testing.assert_allclose(table["p_holm"], multipletests(raw, method="holm")[1])
    assert table.loc["a", "p"] > 0.5 > 0.05 > table.loc["c", "p_holm"]
    assert (table[["wins", "ties", "losses"]].sum(axis=1) == 47).all()
    assert table.loc["d", "difference"] == pytest.approx((regrets["b"] - regrets["d"]).mean())


def test_of_five_functions_won_the_one_sided_p_is_a_half_to_the_fifth():
    table = better_than_rivals(ordered(5), "a")
    np.testing.assert_allclose(table["p"], 0.5**5)
    np.testing.assert_allclose(table["p_holm"], 2 * 0.5**5)
    np.testing.assert_allclose(better_than_rivals(ordered(5), "c")["p"], 1.0)
    assert better_than_rivals(ordered(3).assign(b=lambda t: t["a"]), "a").loc["b", "p"] == 1.0


def test_a_method_of_interest_must_be_there():
    with pytest.raises(ValueError, match="pop and its rivals need a number on every function"):
        better_than_rivals(ordered(5), "pop")
