"""The pages of the documentation are all there and reached, and what they show runs as it stands there."""

import importlib.util
import re
from pathlib import Path

import pytest

import pop_envs
import pop_optimizer

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [path for path in sorted(DOCS.rglob("*.md")) if "_build" not in path.parts]
TEXTS = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in [ROOT / "README.md", *PAGES]}
FRAGMENTS = {
    "docs/architecture.md": 1
}  # pages by how many of their snippets run; test_readme.py runs the rest in place
SNIPPETS = [
    pytest.param(code, id=f"{name}-{place}")
    for name, text in TEXTS.items()
    for place, code in enumerate(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[: FRAGMENTS.get(name)])
]


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
    assert reached == set(PAGES)


def test_what_is_included_exists():
    for page in PAGES:
        text = page.read_text("utf-8")
        for name, options in re.findall(r"^```\{include\} (\S+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            included = (page.parent / name).read_text("utf-8")
            for mark in re.findall(r'^:(?:start-after|end-before): "(.*)"$', options, re.MULTILINE):
                assert re.findall(rf"^{re.escape(mark)}$", included, re.MULTILINE) == [mark], (page, mark)


@pytest.mark.parametrize("code", SNIPPETS)
def test_snippets_run_and_print_what_they_say(code, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "snippet"}
    exec(compile(code, "snippet", "exec"), names)
    promised = re.findall(r"^print\(.*\)  # (.*)$", code, re.MULTILINE)
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in printed if line in promised] == promised


def test_commands_name_what_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for name, text in TEXTS.items():
        for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL):
            assert set(re.findall(r"^make ([a-z-]+)", block, re.MULTILINE)) <= targets, name
            for module, said in re.findall(r"python -m ([a-z_.]+)(.*)", block):
                to_install = re.search(rf"# pip install .*\b{module}\b", said)  # what no extra of ours brings
                assert to_install or importlib.util.find_spec(module) is not None, (name, module)
        for module in re.findall(r"`python -m ((?:agents|benchmarks|pop_optimizer)[a-z_.]*)", text):
            assert importlib.util.find_spec(module) is not None, (name, module)


def test_every_example_is_in_the_gallery():
    gallery = TEXTS["docs/examples.md"]
    for path in (ROOT / "examples").glob("*.py"):
        assert f"examples/{path.name}" in gallery
        if path.with_suffix(".png").is_file():
            assert f"../examples/{path.stem}.png" in gallery


def test_films_are_small():
    films = sorted((DOCS / "pictures").glob("*.gif"))
    assert len(films) == 4
    assert all(film.stat().st_size < 300_000 for film in films)


def test_each_public_name_has_one_page():
    """The reference leaves out what has a page of its own, and that page is there."""
    everywhere = "".join(TEXTS.values())
    for package in ("pop_envs", "pop_optimizer", "agents"):
        text = TEXTS[f"docs/api/{package}.md"]
        assert f".. automodule:: {package}\n" in text
        for name in (re.search(r":exclude-members: (.*)", text) or ["", ""])[1].split(", "):
            if name:
                assert len(re.findall(rf"\.\. auto(?:class|function):: {package}\.{name}\n", everywhere)) == 1, name


def test_every_method_is_in_the_list_of_methods():
    listed = TEXTS["docs/methods/index.md"]
    for name in pop_optimizer.__all__:
        thing = getattr(pop_optimizer, name)
        if callable(thing) and not isinstance(thing, type) and not name.startswith("load_"):
            assert f"`{name}`" in listed


def test_the_specification_is_markdown():
    assert "\n    ## Action Space\n" in pop_envs.POPEnv.__doc__


def test_the_citation_is_of_this_version():
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)[1]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"version = {{{version}}}" in TEXTS["docs/cite.md"]
