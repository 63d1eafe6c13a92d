"""Sphinx's settings for ``make docs``: the Markdown as it stands, with what docstrings and signatures tell.

Environments' pages are their docstrings, tables of options and of functions are made from the code, and formulas
become MathML, so that the site needs no network and no script but its own.
"""

import re
from collections.abc import Callable
from inspect import getdoc
from pathlib import Path
from typing import Any

import gymnasium
from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx

import pop_optimizer
from pop_envs import LearningToOptimizeEnv, POPEnv, RoverEnv
from pop_envs.objectives import vlse
from pop_envs.registration import vlse_id

SPECIFICATIONS = {
    "pop_v0": ("POP-v0", POPEnv),
    "rover_v0": ("RoverDescent-v0", RoverEnv),
    "lto_v0": ("LearningToOptimize-v0", LearningToOptimizeEnv),
}
"""Environments whose docstrings, Markdown as Gymnasium's are, have a page of their own."""

_SCIPYS_OWN = ("bounds", "jac", "callback")  # arguments of scipy.optimize.minimize, where ours are options

project = html_title = "POP"
copyright = "2026, The POP authors"  # noqa: A001 - Sphinx's name
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["gallery.css"]
html_show_search_summary = False  # it would fetch pages, which a browser refuses where they are opened from disk
html_math_renderer = "mathml"
maximum_signature_line_length = 100
myst_enable_extensions = ["attrs_block", "colon_fence", "dollarmath"]
myst_heading_anchors = 4
napoleon_use_ivar = True
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_type_aliases = {  # what would be spelt out over lines, or as for the command line
    "ArrayLike": "ArrayLike",
    "DirectionLike": "str | Direction | Callable[[Tensor], Tensor]",
    "PriorLike": "str | Prior",
    "RewardLike": "str | Reward",
    "StepRuleLike": "str | StepRule",
    "TokensLike": "str | Tokens",
    "ValueAndGrad": "Callable[[NDArray], tuple[ArrayLike, ArrayLike]]",
    "Vector": "NDArray",
}


def specification(page: str) -> str:
    """An environment's film, its spaces and ids, and its docstring."""
    env_id, environment = SPECIFICATIONS[page]
    env = gymnasium.make(env_id).unwrapped
    described = {
        "Action Space": in_short(env.action_space),
        "Observation Space": in_short(env.observation_space),
        "Import": f'gymnasium.make("{env_id}")',
        "Batched": f'gymnasium.make_vec("{env_id}", num_envs=1024)',
    }
    rows = "".join(f"| **{name}** | `{value}` |\n" for name, value in described.items())
    film = f"![An episode of {env_id}, played by the policy that ships](pictures/{page}.gif)"
    return f"{film}\n\n| | |\n|---|---|\n{rows}\n{getdoc(environment)}\n"


def in_short(space: gymnasium.Space[Any]) -> str:
    """A box with its extreme bounds."""
    assert isinstance(space, gymnasium.spaces.Box)
    return f"Box({space.low.min():.4g}, {space.high.max():.4g}, {space.shape}, {space.dtype})"


def functions() -> str:
    """The 47 functions of VLSE, as environments."""
    lines = ["| Id | Group | Dimension | Box, by default | Minimum | Smooth |", "|---|---|---|---|---:|---|"]
    for name in vlse.names():
        known, problem = vlse.function(name), vlse.problem(name)
        sides = dict.fromkeys(f"[{low:g}, {high:g}]" for low, high in zip(problem.lower, problem.upper, strict=True))
        rule = known.dims.rule.removeprefix("exactly ")
        cells = [f"`{vlse_id(name)}`", problem.group, rule, " x ".join(sides), f"{problem.f_min:.6g}"]
        lines.append(f"| {' | '.join([*cells, 'yes' if problem.smooth else 'no'])} |")
    return "\n".join(lines)


def options(function: Callable[..., Any], without: tuple[str, ...] = ()) -> str:
    """The keyword arguments of a function with a Google-style docstring: name, default, meaning."""
    told = re.search(r"^Args:\n(.*?)\n\n", getdoc(function) or "", re.DOTALL | re.MULTILINE)
    assert told is not None
    meanings = {
        name: " ".join(text.split())
        for name, text in re.findall(r"^    (\w+): (.*?)(?=^    \w|\Z)", told[1], re.M | re.S)
    }
    lines = ["| Option | Default | Meaning |", "|---|---|---|"]
    for name, default in function.__kwdefaults__.items():  # signatures may have names of constants by now
        if name not in without:
            meaning = meanings[name].replace("|", "\\|").replace("``", "`")
            lines.append(f"| `{name}` | `{default!r}` | {meaning} |")
    return "\n".join(lines)


def table(page: str, first: str) -> str:
    """A table of another page, by the first cell of its header.

    Raises:
        ValueError: If the page has none.
    """
    text = (Path(__file__).parent / page).read_text("utf-8")
    found = re.search(rf"^\| {re.escape(first)} \|.*\n(?:\|.*\n)+", text, re.MULTILINE)
    if found is None:
        raise ValueError(f'docs/{page} has no table whose header begins with "{first}"')
    return found[0]


MADE: dict[str, Callable[[], str]] = {
    **{page: lambda page=page: specification(page) for page in SPECIFICATIONS},  # type: ignore[misc]
    "functions": functions,
    "options": lambda: options(pop_optimizer.minimize, without=_SCIPYS_OWN),
    "rover_angles": lambda: table("rover.md", "trained on"),
    "lto_claims": lambda: table("lto.md", "claim of the paper"),
}
"""What takes the place of a line ``<!-- made: NAME -->``."""


def fill(app: Sphinx, page: str, source: list[str]) -> None:
    """Puts in what is made."""
    source[0] = re.sub(r"^<!-- made: (\w+) -->$", lambda mark: MADE[mark[1]](), source[0], flags=re.MULTILINE)


def reference(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Leaves its first line in the reference, and keeps napoleon from taking an attribute's first words for a type."""
    if what == "attribute":
        lines[:0] = ["..", ""]  # an empty comment
    for page, (_, environment) in SPECIFICATIONS.items():
        if obj is environment:
            lines[2:] = [f":doc:`/{page}` is the specification.", ""]


def tidied(app: Sphinx, what: str, name: str, obj: Any, options: Any, args: str | None, returns: str | None) -> Any:
    """Tidies what Sphinx leaves of an alias inside another type, and of a dataclass's factory."""
    tidy = re.sub(r"TypeAliasForwardRef\('(.*?)'\)", r"\1", args or "").replace("<factory>", "...")
    return tidy or None, returns


def formula(translator: Any, node: nodes.math | nodes.math_block) -> None:
    """Writes a formula as MathML, which browsers know by themselves."""
    block = isinstance(node, nodes.math_block)
    made = tex2mathml(re.sub(r"\\dots\b", r"\\ldots", node.astext()), as_block=block)
    translator.body.append(f'<div class="math">{made}</div>' if block else made)
    raise nodes.SkipNode


_FOR_READERS = {  # of the screen, and of the keyboard: what the theme leaves out
    'role="heading"': 'role="heading" aria-level="2"',
    "<pre>": '<pre tabindex="0">',
    '<div class="table-wrapper': '<div tabindex="0" class="table-wrapper',
}


_PARAMETERS = re.compile(r'<dl>\n(?:<dd><em class="sig-param">.*?</dd>\n*)+</dl>')  # a list of terms without terms
_AS_BLOCKS = {"<dl>": "<div>", "<dd>": '<div style="margin-left: 2rem">', "</dl>": "</div>", "</dd>": "</div>"}


def accessible(app: Sphinx, error: Exception | None) -> None:
    """Gives the theme's captions a level, lets keys scroll code and tables, and makes long signatures plain blocks."""
    if error is None and app.builder.format == "html":
        for path in Path(app.outdir).rglob("*.html"):
            page = path.read_text("utf-8")
            for old, new in _FOR_READERS.items():
                page = page.replace(old, new) if new not in page else page
            page = _PARAMETERS.sub(lambda match: re.sub("</?d[ld]>", lambda tag: _AS_BLOCKS[tag[0]], match[0]), page)
            path.write_text(page, "utf-8")


def setup(app: Sphinx) -> None:
    """Connects the above."""
    app.add_html_math_renderer("mathml", (formula, None), (formula, None))
    app.connect("source-read", fill)
    app.connect("autodoc-process-docstring", reference, priority=400)  # before napoleon
    app.connect("autodoc-process-signature", tidied)
    app.connect("build-finished", accessible)
