"""The commands that the documentation shows are understood: their modules exist, and take their arguments."""

import importlib
import re
import shlex
import sys
from pathlib import Path

import pytest
import tyro

ROOT = Path(__file__).parents[1]
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
TARGETS = {
    "benchmark": "benchmarks.run",
    "results": "benchmarks.studies",
    "ablations": "benchmarks.ablations",
    "bench-speed": "benchmarks.speed",
}
FAMILIES = {
    "pop": ["agents.train", "{PRESET}"],
    "rover-direction": ["agents.rover.train", "direction"],
    "rover": ["agents.rover.train", "policy"],
    "lto": ["agents.lto.train", "{TASK}"],
}
"""As the Makefile has them."""


AFTER_AN_EDIT = {'make train ARGS="--reward solved"', 'make train ARGS="--prior cones"'}
"""Of what the pages before them show how to add; test_readme.py adds the reward."""


class Understood(BaseException):
    """Raised once the arguments are parsed, so that nothing is run."""


def commands():
    """Every command on the pages, in one line, with the first value of a loop in it."""
    for path in TEXTS:
        if "_build" in path.parts:
            continue
        text = path.read_text("utf-8")
        blocks = "\n".join(re.findall(r"```bash\n(.*?)```", text, re.DOTALL)).replace("\\\n", " ")
        lines = [line for line in blocks.splitlines() if not line.startswith("#")]
        lines += [" ".join(code.split()) for code in re.findall(r"`((?:make|python -m) [^`]*)`", text)]
        for line in lines:
            loop = re.match(r"for (\w+) in (\S+) .*?; do (.*); done", line)
            command = re.sub(rf"\${loop[1]}\b", loop[2], loop[3]) if loop else line
            if re.match(
                r"(make (train|benchmark|ablations|results|bench-speed)|python -m (agents|benchmarks))\b", command
            ):
                yield command


def arguments(command):
    """The module that a command runs, and what it gives it."""
    words = shlex.split(command, comments=True)
    if words[0] == "python":
        return words[2:]
    given = {"FAMILY": "pop", "PRESET": "quick", "TASK": "logistic", "ARGS": ""}
    given |= dict(word.split("=", 1) for word in words[2:])
    module = (
        [TARGETS[words[1]]] if words[1] in TARGETS else [part.format(**given) for part in FAMILIES[given["FAMILY"]]]
    )
    return module + shlex.split(given["ARGS"])


def only_parsing(parser):
    """A parser that ends the program."""

    def parse(*positional, **named):
        raise Understood(parser(*positional, **named))

    return parse


@pytest.mark.parametrize("command", sorted(set(commands()) - AFTER_AN_EDIT))
def test_a_command_is_understood(command, monkeypatch):
    name, *rest = arguments(command)
    if "--help" in rest:
        rest.remove("--help")
    module = importlib.import_module(name)
    for owner, function in ((tyro, "cli"), (tyro.extras, "overridable_config_cli")):
        monkeypatch.setattr(owner, function, only_parsing(getattr(owner, function)))
    monkeypatch.setattr(sys, "argv", [name, *rest])
    if "tyro" not in vars(module):
        assert all(not word.startswith("-") for word in rest)
        return
    with pytest.raises(Understood):
        module.main()
