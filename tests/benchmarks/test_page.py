import base64
import json
import os
import re
import zlib
from collections import Counter
from contextlib import contextmanager
from datetime import date
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks import analysis, page
from benchmarks.problems import block_problems
from benchmarks.run import run_once
from benchmarks.significance import Significance
from benchmarks.sweep import Sweep, methods
from browser import LAPTOP, PHONE, serious_faults
from browser import opened as opened_at
from frames import frame

FUNCTIONS = ("branin", "gramacy_lee_2012", "hartmann_3d", "levy")
BUDGET, SHORT = 50, 20
NASTY = "<script>alert('method')</script>"
ERROR = "ValueError: <img src=x onerror=alert('error')>"
MINUS = "\N{MINUS SIGN}"
WRITTEN = date(2026, 1, 2)


def runs(budget, starts=2):
    """Real runs of three rivals, and the same runs under two more names: one that failed, one from fewer starts."""
    chosen = methods(Sweep(methods=("random_search", "adam", "lbfgsb")))
    rows = []
    for function in FUNCTIONS:
        (problem,) = block_problems(function)
        for method in chosen:
            for start in range(starts):
                rows.append(run_once(method, problem, start, budget, seed=0))
                if method.gradient_free:
                    rows.append(run_once(method, problem, start, budget, seed=0, doubled=True))
    frame = pd.DataFrame(rows)
    failed = frame[frame["method"] == "adam"].assign(method=NASTY)
    failed["error"] = np.where(failed["function"] == "branin", ERROR, "")
    return pd.concat([frame, failed], ignore_index=True)


@pytest.fixture(scope="module")
def results():
    long = runs(BUDGET)
    slow = long[(long["method"] == "lbfgsb") & (long["start"] == 0)].assign(method="slow")
    return analysis.with_measures(pd.concat([long, slow, runs(SHORT)], ignore_index=True))


@pytest.fixture(scope="module")
def report(results, tmp_path_factory):
    return page.write(results, tmp_path_factory.mktemp("page"), "python -m benchmarks.run --out <here>", WRITTEN)


class Reader(HTMLParser):
    """Collects what the tests look at."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.tables, self.ids, self.references, self.links = Counter(), [], [], [], []
        self.visible, self.inside, self.in_cell = "", "", False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags[tag] += 1
        self.inside = tag
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1].append("")
            self.in_cell = True
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
                self.links.append(value)
            if name in ("for", "aria-labelledby"):
                self.references.append(value)
            self.references += re.findall(r"url\(#(.*?)\)", value or "")
        self.references += [link[1:] for link in self.links if link.startswith("#")]

    def handle_endtag(self, tag):
        self.in_cell &= tag not in ("th", "td")

    def handle_data(self, text):
        if self.inside not in ("script", "style"):
            self.visible += text
        if self.in_cell:
            self.tables[-1][-1][-1] += (" " if self.inside == "small" else "") + text.strip()


def element(report, name):
    return re.search(rf'id="{name}">(.*?)</script>', report.read_text("utf-8"), re.DOTALL)[1]


def unpacked(report, name):
    return json.loads(zlib.decompress(base64.b64decode(element(report, f"pack-{name}"))))


@pytest.fixture(scope="module")
def read(report):
    return Reader(report.read_text("utf-8"))


@pytest.fixture(scope="module")
def data(report):
    return json.loads(element(report, "data"))


@pytest.fixture(scope="module")
def packs(report, data):
    return [unpacked(report, number) for number in range(len(data["views"]))]


def test_the_page_is_one_file_without_references_to_others(report, read):
    assert os.listdir(report.parent) == ["report.html"]
    assert all(link.startswith(("#", "data:")) for link in read.links), read.links
    assert re.findall(r"@import|url\((?!#)", report.read_text("utf-8")) == []


def test_references_on_the_page_lead_somewhere_and_only_there(read):
    assert [name for name, count in Counter(read.ids).items() if count > 1] == []
    assert set(read.references) <= set(read.ids)


def test_texts_from_outside_are_escaped(report, read, packs):
    text = report.read_text("utf-8") + "".join(pack[name] for pack in packs[1:] for name in ("headline", "functions"))
    assert NASTY not in text
    assert "<img" not in text
    assert read.tags["script"] == 2 + len(packs) + 2
    assert ERROR in read.visible
    assert "python -m benchmarks.run --out <here>" in read.visible
    assert read.visible.count(NASTY) == 4  # two tables, and failures with both budgets


def test_the_headline_tables_hold_every_method_and_number(results, read, packs):
    comparisons = analysis.comparisons(results)
    assert [(c.budget, c.shared) for c in comparisons] == [(SHORT, False), (BUDGET, False), (BUDGET, True)]
    tables = [read.tables[0], *(Reader(pack["headline"]).tables[0] for pack in packs[1:])]
    for comparison, (header, *rows) in zip(comparisons, tables, strict=True):
        table = analysis.headline(comparison)
        assert [row[0] for row in rows] == list(table.index)
        for row, (_, numbers) in zip(rows, table.iterrows(), strict=True):
            shown = dict(zip((" ".join(title.split()) for title in header), row, strict=True))
            for title, name, digits in (("NI", "ni", 3), ("log10 regret", "log10_regret", 2), ("rank", "rank", 2)):
                value, low, high = re.findall(r"-?[\d.]+", shown[title].replace(MINUS, "-"))
                assert value == f"{numbers[name]:.{digits}f}"
                assert float(low) == pytest.approx(numbers[f"{name}_low"], abs=0.51 * 10 ** (1 - digits))
                assert float(high) == pytest.approx(numbers[f"{name}_high"], abs=0.51 * 10 ** (1 - digits))
            assert shown["% to 1e-4"].split()[0] == f"{100 * numbers['reached_1e-4']:.0f}"
            assert shown["failed"] == f"{numbers['failed']:.0f}"


def test_the_best_numbers_are_bold_and_ties_are_all_best():
    bold = [cell.best for cell in page._cells(pd.DataFrame({"ni": [0.9004, 0.9, 0.8]}), 3, True)]
    assert bold == [True, True, False]
    low = page._cells(pd.DataFrame({"r": [-1.0, -8.0], "low": [-2.0, -8.0], "high": [0.5, -8.0]}), 2, False)
    assert [(cell.text, cell.interval, cell.best) for cell in low] == [
        (f"{MINUS}1.00", f"{MINUS}2.0 to 0.5", False),
        (f"{MINUS}8.00", f"{MINUS}8.0 to {MINUS}8.0", True),
    ]


def test_the_same_results_make_the_same_page(results, tmp_path):
    short = results[results["budget"] == SHORT]
    texts = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        texts.append(page.write(short, tmp_path / name, "command", WRITTEN).read_bytes())
    assert texts[0] == texts[1]


def test_curves_and_paths_are_those_of_the_first_start(results, report, packs):
    landscapes = json.loads(element(report, "landscapes"))
    first = results[(results["start"] == 0) & ~results["doubled"] & (results["budget"] == BUDGET)]
    for _, run in first.iterrows():
        shown = packs[1]["runs"][run["function"]][run["method"]]
        curve = np.empty(BUDGET + 1)
        for place, value in zip(shown["curve"][::2], shown["curve"][1::2], strict=True):
            curve[place:] = value
        assert curve[-1] == pytest.approx(run["log10_regret"], abs=0.006)
        assert np.argmin(run["trace"]) == shown["curve"][-2]
        assert shown["failed"] == (run["error"] != "")
        points = np.array([int(digits, 36) for digits in re.findall("..", shown["path"])]).reshape(-1, 2) / 1000
        if run["dim"] > 2:
            assert len(points) == 0
            continue
        path = run["path"].reshape(-1, run["dim"])
        np.testing.assert_allclose(points[:, 0], (path[:, 0] + 1) / 2, atol=0.0006)
        if run["dim"] == 2:
            np.testing.assert_allclose(1 - points[:, 1], (path[:, 1] + 1) / 2, atol=0.0006)
        else:
            highest, lowest = points[:, 1].argmin(), points[:, 1].argmax()
            (problem,) = block_problems(run["function"])
            low, high = (float(end.replace(MINUS, "-")) for end in landscapes[run["function"]]["ends"][1])
            values = problem.objective.values_on(torch.tensor(path[[highest, lowest]]))[0].numpy()
            np.testing.assert_allclose(1 - points[[highest, lowest], 1], (values - low) / (high - low), atol=0.002)


def test_only_functions_with_paths_are_drawn_and_all_of_it_is_small(report, packs):
    landscapes = json.loads(element(report, "landscapes"))
    assert set(landscapes) == {"branin", "gramacy_lee_2012", "levy"}
    assert landscapes["branin"]["ends"] == [[f"{MINUS}5", "10"], ["0", "15"]]
    # 26 comparisons of up to 12 methods, and 200 functions to look at: 3 MB with these.
    assert max(len(landscape["picture"]) for landscape in landscapes.values()) < 20_000
    assert max(len(json.dumps(run)) for by_method in packs[1]["runs"].values() for run in by_method.values()) < 800
    assert "runs" not in packs[2]  # they are those of the view before it
    assert max(len(element(report, f"pack-{number}")) for number in range(3)) < 12_000


def test_what_is_seen_first_comes_first(report):
    text = report.read_text("utf-8")
    places = [
        text.index(part) for part in ("</table>", 'id="pack-0"', '"use strict"', 'id="pack-1"', 'id="landscapes"')
    ]
    assert places == sorted(places)


def test_functions_that_look_the_same_share_a_picture(results, tmp_path):
    short = results[results["budget"] == SHORT]
    noisy = short.assign(function=short["function"] + "~noisy", sample="VLSE, noisy")
    landscapes = json.loads(element(page.write(pd.concat([short, noisy]), tmp_path, "c", WRITTEN), "landscapes"))
    assert landscapes["levy~noisy"]["picture"] == "levy"
    assert landscapes["levy"]["picture"].startswith("data:image/webp")


def test_the_lead_is_said_with_its_significance():
    def lead(differ):
        methods = ["a", "b", "c"]
        p = pd.DataFrame(0.2, methods, methods)
        for method in differ:
            p.loc["a", method] = p.loc[method, "a"] = 0.001
        ranks = pd.Series([1.5, 2.0, 2.5], methods)
        return str(page._lead(Significance(ranks, 9.0, 0.01, p)))

    start = "<strong>a</strong> has the best mean rank, 1.50 of 3 methods, but "
    assert lead(["c"]) == start + "its difference from b (2.00, p = 0.2) is not significant; that from all others is."
    assert lead([]) == start + "no difference from another is significant: next is b (2.00, p = 0.2)."
    assert lead(["b", "c"]).endswith("3 methods, and differs significantly from all others (p &lt; 0.05).")


def test_whether_pop_is_better_is_asked_of_each_rival_alone():
    functions = [f"f{number}" for number in range(12)]
    values = {
        "pop": {name: [1e-3] for name in functions},
        "adam": {name: [1e-4] for name in functions},
        "direct": {name: [1e-2] for name in functions},
    }
    (comparison,) = analysis.comparisons(frame(values))
    assert str(page._better(comparison)) == (
        " Asked of each rival alone, <strong>pop</strong> is significantly better than 1 of 2, not than adam (p = 1)."
    )
    assert str(page._better(comparison, "pop-paper")) == ""


def test_a_method_has_the_same_rank_in_the_table_and_in_the_chart(read, packs):
    header, *rows = read.tables[0]
    shown = {row[0]: float(row[header.index("rank")].split()[0]) for row in rows}
    assert {method: rank for method, rank, *_ in packs[0]["charts"]["ranks"]["methods"]} == shown


def test_the_pairs_are_those_of_the_tests(results, report, data):
    for comparison, pairs in zip(analysis.comparisons(results), unpacked(report, "pairs"), strict=True):
        means = comparison.results.pivot_table(index="function", columns="method", values="log10_regret")
        p = analysis.significance(comparison).p_values
        place = 0
        for i, first in enumerate(comparison.methods):
            for second in comparison.methods[i + 1 :]:
                assert pairs["first"][place] == (means[first] < means[second]).sum()
                assert pairs["second"][place] == (means[first] > means[second]).sum()
                assert pairs["p"][place] == pytest.approx(p.loc[first, second], rel=0.05)
                place += 1
        assert len(pairs["p"]) == place


def test_an_equal_time_without_a_score_for_each_cost_is_refused(results, tmp_path):
    (tmp_path / "equal_time.json").write_text('{"costs_ms": [0, 1], "methods": {"adam": [1]}}')
    with pytest.raises(ValueError, match=r"equal_time\.json must have .* a score for each cost"):
        page.write(results, tmp_path, "command", WRITTEN)


def test_a_priors_first_functions_are_listed_and_drawn(tmp_path):
    (method,) = methods(Sweep(methods=("random_search",)))
    names = [f"gp-2d-{number}" for number in range(20)]
    rows = [run_once(method, page._problem("gp-2d-0"), 0, 5, seed=0) | {"function": name} for name in names]
    frame = analysis.with_measures(pd.DataFrame(rows))
    text = page.write(frame, tmp_path, "command", WRITTEN).read_text("utf-8")
    listed = [row[0] for row in Reader(text).tables[2][1:]]
    assert sorted(listed) == sorted(names[: page._LISTED])
    assert "the first 16 of them" in text
    assert text.count("data:image/webp") == page._LISTED
    assert page._problem("gp-2d-3").name == "gp-2d-3"


# In a browser


@contextmanager
def opened(browser, report, viewport=LAPTOP, scheme="light"):
    """The page in a browser; afterwards it must have made no request but for itself."""
    with opened_at(browser, report.as_uri(), viewport, scheme) as (tab, requests):
        settled(tab)
        tab.wait_for_load_state()
        yield tab
    assert {url for url in requests if not url.startswith("data:")} == {report.as_uri()}


def settled(tab):
    """Waits until what is chosen is shown."""
    tab.wait_for_function(
        "() => document.documentElement.dataset.ready === String(data.views.indexOf(view))"
        " && view.label === chosen.sample.value && String(view.budget) === chosen.budget.value"
    )


def choose(tab, select, option):
    tab.select_option(select, option)
    settled(tab)


def column(tab, table, title):
    """The texts of a column of the table that is seen, as they are seen."""
    table = tab.locator(f"table.{table}:visible")
    place = table.locator("thead th").all_inner_texts()
    place = 1 + [" ".join(text.split()).strip(" ↑↓") for text in place].index(title)
    texts = table.locator(f"tbody tr > :nth-child({place})").all_inner_texts()
    return [text.replace(MINUS, "-").split("\n")[0] for text in texts]


def header(tab, table, title):
    return tab.locator(f"table.{table}:visible thead th").filter(
        has_text=re.compile(rf"^\s*{title}[\s↑↓]*$".replace(" ", r"\s+"))
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("device", "viewport"), [("laptop", LAPTOP), ("phone", PHONE)])
def test_the_page_opens_from_disk_on_any_screen(browser, report, pytestconfig, device, viewport, scheme):
    picture = pytestconfig.rootpath / "build" / "report" / f"{device}-{scheme}.png"
    with opened(browser, report, viewport, scheme) as tab:
        for sample in tab.locator("#sample option").all_inner_texts():
            choose(tab, "#sample", sample)
            assert tab.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
            assert tab.locator(".headline:visible").count() == 1
            cut = tab.locator(".chart svg text").evaluate_all(
                "all => all.filter(text => { const box = text.getBoundingClientRect();"
                " return box.left < 0 || box.right > document.documentElement.clientWidth }).map(t => t.textContent)"
            )
            assert cut == []
        tab.screenshot(path=picture, full_page=True)
    assert picture.stat().st_size > 50_000


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_axe_finds_no_serious_fault(browser, report, viewport, scheme):
    pytest.importorskip("axe_playwright_python")
    with opened(browser, report, viewport, scheme) as tab:
        assert serious_faults(tab) == []


def test_the_page_is_used_with_keys_alone(browser, report):
    with opened(browser, report, PHONE) as tab:
        reached = set()
        for _ in range(80):
            tab.keyboard.press("Tab")
            reached.add(tab.evaluate("document.activeElement.id || document.activeElement.className || ''"))
        assert {"theme", "sample", "budget", "a", "b", "function", "shown", "scroll"} <= reached
        tab.locator("nav a", has_text="Two methods").press("Enter")
        assert tab.evaluate("document.activeElement.id") == "two-title"
        tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.id") == "a"


def test_what_is_chosen_is_there_after_a_reload(browser, report):
    with opened(browser, report) as tab:
        choose(tab, "#budget", str(BUDGET))
        tab.select_option("#a", "adam")
        tab.select_option("#b", "random_search")
        tab.select_option("#function", "levy")
        tab.get_by_label("NI", exact=True).check()
        tab.click("#theme")
        before = drawing(tab)
        del before["#curve"]  # is as high as there is room
        tab.locator("nav a", has_text="Functions").click()
        tab.reload()
        settled(tab)
        assert [tab.input_value(f"#{name}") for name in ("budget", "a", "b", "function")] == [
            *(str(BUDGET), "adam", "random_search", "levy")
        ]
        assert drawing(tab).items() >= before.items()
        assert tab.get_by_label("NI", exact=True).is_checked()
        assert tab.inner_text("#theme") == "Light"
        tab.evaluate("location.hash = '#a=nobody&sample=nothing&budget=7'")
        tab.reload()
        settled(tab)
        assert tab.input_value("#budget") == str(SHORT)


def test_two_methods_are_compared_wherever_both_ran(browser, report, results):
    comparisons = {(c.budget, c.shared): c for c in analysis.comparisons(results)}
    with opened(browser, report) as tab:
        tab.select_option("#a", "lbfgsb")
        tab.select_option("#b", "slow")
        tab.wait_for_function("() => document.querySelectorAll('.pairs tbody tr').length === 1")
        tab.select_option("#b", "random_search")
        tab.wait_for_function("() => document.querySelectorAll('.pairs tbody tr').length === 3")
        assert column(tab, "pairs", "T") == [str(SHORT), str(BUDGET), str(BUDGET)]
        table = analysis.headline(comparisons[SHORT, False])["log10_regret"]
        assert column(tab, "pairs", "regret of one")[0] == f"{table['lbfgsb']:.2f}"
        assert column(tab, "pairs", "regret of the other")[0] == f"{table['random_search']:.2f}"
        means = analysis.per_function(comparisons[SHORT, False])["log10_regret"]
        assert column(tab, "pairs", "one is better on")[0] == str((means["lbfgsb"] < means["random_search"]).sum())
        assert set(column(tab, "pairs", "who is better")) == {"not told apart"}  # four functions are too few
        assert "in 3 they are not told apart" in tab.inner_text("#pair")
        tab.select_option("#b", "lbfgsb")
        assert tab.inner_text("#pair") == "Choose two different methods."


def test_the_table_of_functions_is_whole_and_its_heads_stand_over_their_numbers(browser, report):
    with opened(browser, report) as tab:
        box = tab.locator("#functions-view .scroll")
        assert box.evaluate("element => element.scrollHeight <= element.clientHeight + 1")
        places = tab.locator("#functions-view").evaluate(
            """element => {
              const middle = (e) => { const b = e.getBoundingClientRect(); return (b.left + b.right) / 2; };
              const heads = [...element.querySelectorAll("thead th.method button")].map(middle);
              const cells = [...element.querySelector("tbody tr").querySelectorAll("td:not(.text) span:first-child")];
              return heads.map((x, i) => x - middle(cells[i]));
            }"""
        )
        assert len(places) == 4
        assert max(map(abs, places)) < 4


def test_equal_time_is_shown_where_it_is_known(browser, results, tmp_path):
    scores = {"random_search": [-1, -2, -2.5], "lbfgsb": [-3, -3, -1]}
    (tmp_path / "equal_time.json").write_text(json.dumps({"costs_ms": [0, 0.1, 100], "methods": scores}))
    path = page.write(results[results["budget"] == SHORT], tmp_path, "command", WRITTEN)
    with opened(browser, path) as tab:
        lines = tab.locator("#equal-time polyline")
        assert {line.get_attribute("data-method") for line in lines.all()} == set(scores)
        assert "0.1" in tab.locator("#equal-time text").all_text_contents()


def test_what_is_not_looked_at_costs_nothing(browser, results, tmp_path):
    short = results[results["budget"] == SHORT]
    counts = []
    for number in (1, 5):
        many = pd.concat([short.assign(sample=f"VLSE, {name}") for name in range(number)])
        (tmp_path / str(number)).mkdir()
        with opened(browser, page.write(many, tmp_path / str(number), "command", WRITTEN), PHONE) as tab:
            counts.append(tab.evaluate("document.querySelectorAll('*').length"))
    assert counts[1] - counts[0] < 4 * 20  # an option, a row of pairs with its cells, and a script for each comparison


def luminance(color):
    channels = np.array([float(x) for x in re.findall(r"[\d.]+", color)[:3]]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_schemes_have_contrast_and_the_button_changes_between_them(browser, report, scheme):
    style = "element => getComputedStyle(element)"
    with opened(browser, report, scheme=scheme) as tab:
        for _ in range(2):
            paper = tab.locator("body").evaluate(f"({style}).call(0, document.body).backgroundColor")
            assert (luminance(paper) < 0.5) == (scheme == "dark")
            for place in ("body", ".note:visible", "nav a", "caption:visible", "th[aria-sort]:visible"):
                ink = tab.locator(place).first.evaluate(f"element => ({style})(element).color")
                dark, light = sorted([luminance(ink), luminance(paper)])
                assert (light + 0.05) / (dark + 0.05) > 4.5, place
            assert tab.inner_text("#theme") == {"light": "Dark", "dark": "Light"}[scheme]
            tab.click("#theme")
            scheme = {"light": "dark", "dark": "light"}[scheme]


def test_the_headline_table_sorts_by_click_and_by_key(browser, report):
    with opened(browser, report) as tab:
        assert header(tab, "headline", "rank").get_attribute("aria-sort") == "ascending"
        for title, order in (("NI", "descending"), ("log10 regret", "ascending"), ("method", "ascending")):
            head = header(tab, "headline", title)
            head.get_by_role("button").click()
            assert head.get_attribute("aria-sort") == order
            assert tab.locator("table.headline:visible [aria-sort]").count() == 1
            cells = column(tab, "headline", title)
            values = cells if title == "method" else [float(cell) for cell in cells]
            assert values == sorted(values, reverse=order == "descending")
            head.get_by_role("button").press("Enter")
            assert head.get_attribute("aria-sort") == {"ascending": "descending", "descending": "ascending"}[order]
            assert column(tab, "headline", title)[0] == cells[-1]


def test_the_table_of_functions_sorts_by_the_measure_that_it_shows(browser, report, results):
    (comparison,) = [c for c in analysis.comparisons(results) if c.budget == SHORT]
    table = analysis.per_function(comparison).droplevel("group")
    with opened(browser, report) as tab:
        assert column(tab, "functions", "function") == list(table.index)
        head = header(tab, "functions", "adam")
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == "ascending"
        assert [float(cell) for cell in column(tab, "functions", "adam")] == sorted(
            table["log10_regret", "adam"].round(1)
        )
        tab.get_by_label("NI", exact=True).check()
        assert head.get_attribute("aria-sort") == "descending"
        ni = [float(cell) for cell in column(tab, "functions", "adam")]
        assert ni == sorted(ni, reverse=True)
        assert ni == list(table["ni", "adam"].round(2)[column(tab, "functions", "function")])
        header(tab, "functions", "family").get_by_role("button").click()
        assert column(tab, "functions", "family") == sorted(column(tab, "functions", "family"))


def drawing(tab):
    return {name: tab.locator(name).evaluate("element => element.innerHTML") for name in ("#map", "#curve", "#legend")}


def test_choosing_a_function_or_methods_changes_the_drawing(browser, report, results):
    run = results.query("start == 0 and not doubled and budget == @SHORT").set_index(["function", "method"])
    with opened(browser, report) as tab:
        before = drawing(tab)
        rows = tab.locator("table.functions:visible tbody tr")
        assert rows.filter(has=tab.locator("visible=true")).count() == len(FUNCTIONS)
        levy = tab.locator("table.functions:visible tr[data-function=levy]")
        levy.locator("td").last.click()
        assert tab.input_value("#function") == "levy"
        assert levy.get_attribute("aria-current") == "true"
        assert tab.locator("table.functions:visible [aria-current]").count() == 1
        chosen = drawing(tab)
        assert all(chosen[name] != before[name] for name in before)
        assert tab.locator("#map image").get_attribute("href").startswith("data:image/webp")

        tab.select_option("#a", "adam")
        tab.select_option("#b", "random_search")
        assert tab.locator("#map .path").evaluate_all("all => all.map((path) => path.dataset.method)") == [
            "adam",
            "random_search",
        ]
        assert all(drawing(tab)[name] != chosen[name] for name in chosen)
        for name in ("adam", "random_search"):
            regret = run.loc[("levy", name), "log10_regret"]
            assert f"{name} on levy: log10 regret {regret:.2f}".replace("-", MINUS) in tab.inner_text("#legend")
        points = tab.locator("#map .path").first.locator("circle")
        assert points.count() == SHORT + 1 + 1  # and the start
        tab.locator("#shown").fill("5")
        assert points.count() == 5 + 1
        assert tab.inner_text("#count") == "5"

        branin = tab.locator("table.functions:visible tr[data-function=branin] button")
        branin.press("Enter")
        assert tab.input_value("#function") == "branin"
        tab.select_option("#b", NASTY)
        assert f"{NASTY} on branin: failed" in tab.inner_text("#legend")

        tab.select_option("#function", "hartmann_3d")
        assert tab.locator("#missing").is_visible()
        assert tab.locator("#map").evaluate("element => element.childElementCount") == 0
        assert tab.locator("#curve polyline").count() == 2


def test_choosing_sample_and_budget_changes_all_sections(browser, report):
    with opened(browser, report) as tab:

        def captions():
            return [text for text in tab.locator("caption:visible").all_inner_texts() if "T = " in text]

        assert tab.locator("#sample").input_value() == "VLSE"
        assert len(captions()) == 2
        assert all(f"T = {SHORT}" in text for text in captions())
        assert tab.locator(".chart svg:visible").count() == 5
        choose(tab, "#sample", "VLSE, all methods on shared starts")
        assert tab.input_value("#budget") == str(BUDGET)  # the only one of these
        assert tab.locator("#budget option:disabled").all_inner_texts() == [str(SHORT)]
        assert all(f"T = {BUDGET}" in text for text in captions())
        tab.select_option("#a", "slow")
        assert "slow on" in tab.inner_text("#legend")
        assert tab.locator("#shown").get_attribute("max") == str(BUDGET + 1)
        choose(tab, "#sample", "VLSE")
        assert f"slow on {tab.input_value('#function')}: log10 regret" in tab.inner_text("#legend")
        assert tab.locator(".chart svg:visible").count() == 5


def test_paper_gets_all_of_a_table_and_no_controls(browser, report):
    with opened(browser, report, scheme="dark") as tab:
        tab.emulate_media(media="print")
        assert tab.locator(".bar").is_hidden()
        assert tab.locator("#theme").is_hidden()
        table = tab.locator("#functions-view .scroll")
        assert table.evaluate("element => getComputedStyle(element).overflowX") == "visible"
        assert luminance(tab.evaluate("getComputedStyle(document.body).backgroundColor")) > 0.9
