import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from benchmarks import analysis, figures
from benchmarks.rivals import RIVALS
from pop_envs.rendering import PALETTE

BUDGET = 20
RIVAL_NAMES = [f"{name}{setting}" for name in RIVALS if name != "pop" for setting in ("", "-tuned")][:23]
METHODS = ["pop", *RIVAL_NAMES]  # from the best to the worst
FUNCTIONS = {
    "sphere": "bowl",
    "booth": "plate",
    "trid": "bowl",
    "beale": "other",
    "branin": "other",
    "zakharov": "plate",
}
DRAWN = (
    figures.draw_curves,
    figures.draw_runtime_distribution,
    figures.draw_profiles,
    figures.draw_critical_differences,
    figures.draw_ranks,
)


def frame(methods=METHODS, sample="VLSE", budget=BUDGET, functions=FUNCTIONS):
    """Runs that approach 0 from 1, each method more slowly than the one before it, on all functions alike."""
    steps = np.arange(budget + 1)
    rows = []
    for place, method in enumerate(methods):
        for i, (function, group) in enumerate(functions.items()):
            for start in range(2):
                rate = 0.3 * 0.95**place + 0.01 * i + 0.001 * start  # above 1e-8 after 20 steps
                trace = 10.0 ** (-rate * steps)
                rows.append(
                    {"method": method, "function": function, "group": group, "sample": sample, "budget": budget}
                    | {"doubled": False, "start": start, "evaluations": budget + 1, "y0": 1.0, "y_best": trace[-1]}
                    | {"f_min": 0.0, "f_ref": 1.0, "seconds": 0.001, "error": "", "trace": trace}
                )
    return analysis.with_measures(pd.DataFrame(rows))


@pytest.fixture(scope="module")
def chosen():
    return analysis.comparisons(frame())


@pytest.fixture(scope="module")
def look(chosen):
    return figures.styles(chosen)


def names_at_lines(panel):
    return [text for text in panel.texts if text.get_text() in METHODS]


def test_policies_stand_out_and_the_strongest_rivals_have_colours():
    others = [name for name in RIVAL_NAMES if name != "adam"]
    results = frame(["adam", "mine", *others, "pop"])
    look = figures.styles(analysis.comparisons(results))
    own = [method for method, style in look.items() if style["linewidth"] > 2]
    assert own == ["mine", "pop"]
    colored = [method for method, style in look.items() if style["color"] in PALETTE]
    assert colored == [*own, "adam", *others[:4]]
    assert len({(style["color"], str(style["linestyle"])) for style in look.values()}) == len(colored) + 1
    assert len(look) == len(set(results["method"]))


def test_many_policies_leave_colours_for_five_rivals_and_no_style_comes_twice():
    policies = [f"seed-{i}" for i in range(6)]
    look = figures.styles(analysis.comparisons(frame([*policies, *RIVAL_NAMES])))
    styles = [(style["color"], str(style["linestyle"])) for style in look.values() if style["color"] in PALETTE]
    assert len(styles) == len(set(styles)) == 11


def test_strength_is_judged_over_all_comparisons():
    late = frame([*RIVAL_NAMES[::-1], "pop"], sample="gp, 2-D")
    later = frame([*RIVAL_NAMES[::-1], "pop"], sample="gp, 8-D")
    look = figures.styles(analysis.comparisons(pd.concat([frame(), late, later])))
    assert look[RIVAL_NAMES[-1]]["color"] in PALETTE
    assert look[RIVAL_NAMES[0]]["color"] not in PALETTE


def test_curves_show_every_method_with_its_name(chosen, look):
    left, right = figures.draw_curves(chosen, look).axes
    table = analysis.curves(chosen[0])
    for panel, measure in ((left, "log10_regret"), (right, "ni")):
        assert len(panel.lines) == len(METHODS)
        for line in panel.lines:
            method = line.get_label()
            np.testing.assert_allclose(line.get_ydata(), table[measure][method])
            assert to_hex(line.get_color()) == to_hex(look[method]["color"])
        assert {text.get_text() for text in names_at_lines(panel)} == set(METHODS)
    assert left.get_title(loc="left") == "VLSE (6 functions), T = 20, 2 starts"


@pytest.mark.parametrize("draw", [figures.draw_curves, figures.draw_runtime_distribution, figures.draw_profiles])
@pytest.mark.parametrize("methods", [METHODS, METHODS[:3], ["pop"]])
def test_the_names_do_not_overlap_and_keep_the_lines_order(draw, methods, look):
    figure = draw(analysis.comparisons(frame(methods)), look)
    figure.draw_without_rendering()
    for panel in figure.axes:
        texts = names_at_lines(panel)
        assert len(texts) == len(methods)
        heights = [text.xyann[1] * panel.bbox.height for text in texts]  # in pixels
        assert (np.diff(np.sort(heights)) >= figures._FONT / 72 * figure.dpi).all()
        ends = {line.get_label(): line.get_ydata()[-1] for line in panel.lines}
        shown = [
            ends[text.get_text()] for _, text in sorted(zip(heights, texts, strict=True), key=lambda pair: pair[0])
        ]
        assert (np.diff(shown) >= 0).all()


def test_runtimes_and_profiles_are_those_of_the_analysis(chosen, look):
    for draw, table in (
        (figures.draw_runtime_distribution, analysis.runtime_distribution(chosen[0])),
        (figures.draw_profiles, analysis.profiles(chosen[0])),
    ):
        (panel,) = draw(chosen, look).axes
        assert panel.get_xscale() == "log"
        for line in panel.lines:
            np.testing.assert_allclose(line.get_ydata(), table[line.get_label()])


def test_data_profiles_are_those_of_the_analysis():
    comparisons = analysis.comparisons(frame([*METHODS[:2], "least_squares"], sample="MGH"))
    figure = figures.draw_data_profiles(comparisons, figures.styles(comparisons))
    names = [f"evaluations until solved to tau = {name}" for name in analysis.TAUS]
    assert [panel.get_xlabel() for panel in figure.axes] == names
    for panel, tau in zip(figure.axes, analysis.TAUS.values(), strict=True):
        table = analysis.data_profile(comparisons[0], tau)
        for line in panel.lines:
            np.testing.assert_allclose(line.get_ydata(), table[line.get_label()])


@pytest.mark.parametrize("draw", [*DRAWN, figures.draw_data_profiles])
def test_every_figure_says_who_sees_residuals(draw, chosen, look):
    comparisons = analysis.comparisons(frame([*METHODS[:2], "least_squares"], sample="MGH"))
    note = draw(comparisons, figures.styles(comparisons)).get_suptitle()
    assert note.startswith("least_squares sees the residuals")
    assert not draw(chosen, look).get_suptitle()


def test_critical_differences_join_what_does_not_differ(look):
    names = {f"f{i}": "all" for i in range(12)}
    few = [METHODS[0], METHODS[1], METHODS[2]]
    (panel,) = figures.draw_critical_differences(analysis.comparisons(frame(few, "gp", functions=names)), look).axes
    bars = [line for line in panel.lines if line.get_linewidth() > 2]
    assert not bars
    assert {"pop (1.00)", f"{METHODS[1]} (2.00)", f"(3.00) {METHODS[2]}"} <= {t.get_text() for t in panel.texts}
    # On six functions, no three methods can differ with Holm's correction: 3 * 2 / 2**6 > 0.05.
    (panel,) = figures.draw_critical_differences(analysis.comparisons(frame(few)), look).axes
    (bar,) = [line for line in panel.lines if line.get_linewidth() > 2]
    assert sorted(bar.get_xdata()) == [1.0, 2.0, 3.0]


def test_ranks_are_shown_for_each_sample_and_its_groups(look):
    prior = {f"gp-{i}": "gp, 8-D" for i in range(3)}
    results = pd.concat(
        [frame(), frame([*METHODS[1:], "pop"], "gp, 8-D", functions=prior), frame(budget=30), frame(budget=50)]
    )
    figure = figures.draw_ranks(analysis.comparisons(results), look)
    assert [panel.get_title() for panel in figure.axes] == [f"Mean rank, T = {budget}" for budget in (20, 30, 50)]
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["VLSE (6)", "bowl (2)", "plate (2)", "other (2)", "gp, 8-D (3)"]
    assert len(figure.axes[0].lines) == len(METHODS)
    (pop,) = [line for line in figure.axes[0].lines if line.get_label() == "pop"]
    np.testing.assert_allclose(pop.get_xdata(), [1, 1, 1, 1, len(METHODS)])
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["pop", *RIVAL_NAMES[:6], "others"]


@pytest.mark.parametrize("draw", DRAWN)
def test_several_comparisons_are_drawn_below_each_other(draw, look):
    budgets = analysis.comparisons(pd.concat([frame(METHODS[:5]), frame(METHODS[:5], budget=30)]))
    one, two = draw(budgets[:1], look), draw(budgets, look)
    assert len(two.axes) == 2 * len(one.axes)
    assert two.get_figheight() > 1.5 * one.get_figheight()
    svg = io.StringIO()
    one.savefig(svg, format="svg")
    assert "<svg" in svg.getvalue()


@pytest.mark.parametrize("draw", DRAWN)
def test_equal_methods_on_one_function_are_drawn_too(draw):
    results = frame(["pop", "adam"], functions={"sphere": "bowl"})
    results["trace"] = [np.zeros(BUDGET + 1)] * len(results)
    results = analysis.with_measures(results.assign(y_best=0.0, y0=0.0))
    chosen = analysis.comparisons(results)
    draw(chosen, figures.styles(chosen)).draw_without_rendering()
