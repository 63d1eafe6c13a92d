"""The pages of ``make docs`` are all there, and all are in its table of contents."""

import re
from pathlib import Path

import pop_envs

DOCS = Path(__file__).parents[1] / "docs"


def entries(page):
    """The pages that the tables of contents of ``page`` name, as ``name`` or ``Title <name>``."""
    for toctree in re.findall(r"^```\{toctree\}\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE):
        for line in toctree.splitlines():
            if line.strip() and not line.startswith(":"):
                name = re.sub(r"^.*<(.*)>$", r"\1", line)
                yield (page.parent / name).with_suffix(".md")


def test_every_page_exists_and_is_reached():
    reached, todo = set(), [DOCS / "index.md"]
    while todo:
        page = todo.pop()
        assert page.is_file(), page
        if page not in reached:
            reached.add(page)
            todo += entries(page)
    assert reached == {page for page in DOCS.rglob("*.md") if "_build" not in page.parts}


def test_what_is_included_exists():
    for page in DOCS.rglob("*.md"):
        text = page.read_text("utf-8")
        for name, options in re.findall(r"^```\{include\} (\S+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            included = (page.parent / name).read_text("utf-8")
            for mark in re.findall(r'^:(?:start-after|end-before): "(.*)"$', options, re.MULTILINE):
                assert re.findall(rf"^{re.escape(mark)}$", included, re.MULTILINE) == [mark], (page, mark)


def test_the_reference_has_a_page_for_each_package_that_is_imported():
    for package in ("pop_envs", "pop_optimizer", "agents"):
        assert f".. automodule:: {package}\n" in (DOCS / "api" / f"{package}.md").read_text("utf-8")


def test_the_specification_is_markdown():
    assert "\n    ## Action Space\n" in pop_envs.POPEnv.__doc__
