"""Sphinx's settings for ``make docs``: the Markdown as it stands, and an API reference of the public names."""

import re
from inspect import getdoc
from typing import Any

from sphinx.application import Sphinx

from pop_envs import LearningToOptimizeEnv, POPEnv, RoverEnv

SPECIFICATIONS = {"pop_v0": POPEnv, "rover_v0": RoverEnv, "lto_v0": LearningToOptimizeEnv}
"""Environments whose docstrings, Markdown as Gymnasium's are, have a page of their own."""

project = html_title = "POP"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
maximum_signature_line_length = 100
myst_enable_extensions = ["dollarmath"]
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


def specification(app: Sphinx, page: str, source: list[str]) -> None:
    """Fills the pages of ``SPECIFICATIONS``."""
    if page in SPECIFICATIONS:
        source[0] += getdoc(SPECIFICATIONS[page]) or ""


def reference(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Leaves its first line in the reference, and keeps napoleon from taking an attribute's first words for a type."""
    if what == "attribute":
        lines[:0] = ["..", ""]  # an empty comment
    for page, environment in SPECIFICATIONS.items():
        if obj is environment:
            lines[2:] = [f":doc:`/{page}` is the specification.", ""]


def signature(app: Sphinx, what: str, name: str, obj: Any, options: Any, args: str | None, returns: str | None) -> Any:
    """Tidies what Sphinx leaves of an alias inside another type, and of a dataclass's factory."""
    tidy = re.sub(r"TypeAliasForwardRef\('(.*?)'\)", r"\1", args or "").replace("<factory>", "...")
    return tidy or None, returns


def setup(app: Sphinx) -> None:
    """Connects the three."""
    app.connect("source-read", specification)
    app.connect("autodoc-process-docstring", reference, priority=400)  # before napoleon
    app.connect("autodoc-process-signature", signature)
