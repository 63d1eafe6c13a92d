"""The site that ``make docs`` builds: its links lead somewhere, it needs no network, and a browser shows it."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from browser import LAPTOP, PHONE, opened, serious_faults

ROOT = Path(__file__).parents[1]
LOADS = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "video": "src"}
"""What a browser loads by itself."""


class Page(HTMLParser):
    """Ids, links, and what else is loaded."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.loaded, self.images = [], [], [], []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attributes):
        of = dict(attributes)
        self.ids += [of["id"]] if "id" in of else []
        self.links += [of["href"]] if tag == "a" and "href" in of else []
        if tag in LOADS and LOADS[tag] in of and of.get("rel") not in ("index", "search", "next", "prev", "canonical"):
            self.loaded.append(of[LOADS[tag]])
        if tag == "img":
            self.images.append((of["src"], of.get("alt", "")))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fresh-env", "--fail-on-warning", "--keep-going"]
    done = subprocess.run(
        [*command, "--doctree-dir", folder / "doctrees", ROOT / "docs", folder / "html"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


@pytest.fixture(scope="module")
def pages(site):
    return {path: Page(path) for path in sorted(site.rglob("*.html"))}


def test_links_and_anchors_lead_somewhere(pages):
    missing = []
    for path, page in pages.items():
        for link in [*page.links, *page.loaded]:
            parts = urlsplit(link)
            if parts.scheme in ("http", "https", "mailto", "data"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            fragment = unquote(parts.fragment)
            if not target.is_file() or (fragment and target.suffix == ".html" and fragment not in pages[target].ids):
                missing.append((path.name, link))
    assert missing == []


def test_nothing_is_loaded_from_elsewhere(site, pages):
    for path, page in pages.items():
        assert [link for link in page.loaded if urlsplit(link).netloc] == [], path
    for style in site.rglob("*.css"):
        assert re.findall(r"(?:@import\s+|url\()[\"']?(?:https?:)?//", style.read_text("utf-8")) == [], style


def test_pictures_say_what_they_show(pages):
    for path, page in pages.items():
        assert [source for source, words in page.images if len(words) < 4] == [], path


def test_formulas_are_mathml(site):
    text = (site / "pop_v0.html").read_text("utf-8")
    assert text.count("<math ") > 30
    assert "tex-mml-chtml" not in text


def test_what_is_made_is_there(site):
    def cells(page):
        return re.findall(r"<td[^>]*><p>(.*?)</p></td>", (site / page).read_text("utf-8"), re.DOTALL)

    assert sum("VLSE/" in cell for cell in cells("vlse.html")) == 47
    assert {"50", "converged"} & set(re.findall(r"\w+", " ".join(cells("methods/scipy.html"))))
    for page in ("pop_v0", "rover_v0", "lto_v0"):
        text = (site / f"{page}.html").read_text("utf-8")
        assert f"{page}.gif" in text
        for title in ("Action Space", "Observation Space", "Rewards", "Episode End", "Arguments", "Version History"):
            assert re.search(rf"<h2>{title}<", text), (page, title)


SHOWN = ("index.html", "methods/minimize.html", "pop_v0.html", "results/vlse.html")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("device", "viewport"), [("laptop", LAPTOP), ("phone", PHONE)])
def test_pages_fit_the_screen(browser, site, pytestconfig, device, viewport, scheme):
    for name in SHOWN:
        picture = pytestconfig.rootpath / "build" / "site" / f"{Path(name).stem}-{device}-{scheme}.png"
        with opened(browser, (site / name).as_uri(), viewport, scheme) as (tab, requests):
            tab.wait_for_load_state()
            assert tab.evaluate("document.documentElement.scrollWidth") <= viewport["width"], name
            dark = tab.evaluate(
                "getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).slice(0, 3).every(c => c < 64)"
            )
            assert dark == (scheme == "dark")
            broken = tab.locator("article img").evaluate_all("all => all.filter(i => i.complete && !i.naturalWidth)")
            assert broken == []
            tab.screenshot(path=picture)
        assert all(url.startswith((site.as_uri(), "data:")) for url in requests), requests
        assert picture.stat().st_size > 10_000


@pytest.mark.parametrize("viewport", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_the_search_finds_a_page_and_leads_there(browser, site, viewport):
    with opened(browser, (site / "index.html").as_uri(), viewport) as (tab, requests):
        if viewport is PHONE:
            tab.locator(".nav-overlay-icon").click()
        box = tab.locator(".sidebar-search")
        box.fill("rover")
        box.press("Enter")
        found = tab.locator("#search-results li a")
        found.first.wait_for()
        titles = found.all_inner_texts()
        assert any("rover" in title.lower() for title in titles), titles
        found.filter(has_text=re.compile("rover", re.IGNORECASE)).first.click()
        tab.wait_for_load_state()
        assert "rover" in tab.url
    assert all(url.startswith((site.as_uri(), "data:")) for url in requests), requests


@pytest.mark.parametrize(("viewport", "scheme"), [(LAPTOP, "light"), (PHONE, "dark")], ids=["laptop", "phone"])
def test_axe_finds_no_serious_fault(browser, site, viewport, scheme):
    pytest.importorskip("axe_playwright_python")
    found = {}
    for name in ("index.html", "methods/minimize.html", "pop_v0.html", "results/rosenbrock.html"):
        with opened(browser, (site / name).as_uri(), viewport, scheme) as (tab, _):
            tab.wait_for_load_state()
            found[name] = serious_faults(tab)
    assert {name: faults for name, faults in found.items() if faults} == {}
