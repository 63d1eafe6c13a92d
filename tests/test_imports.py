"""No import runs upwards, and there are no cycles."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {"stable_baselines3", "sb3_contrib", "tensorboard", "matplotlib", "pandas"}
LAYERS = ["pop_envs", "pop_optimizer", "agents", "benchmarks"]  # from the lowest


def modules():
    """Every module of the project: its dotted name and its syntax tree."""
    for layer in LAYERS:
        for path in sorted((ROOT / layer).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), ast.parse(path.read_text("utf-8"))


TREES = dict(modules())


def imported(nodes):
    """The project's own modules that ``nodes`` import."""
    for node in nodes:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.partition(".")[0] in LAYERS:
                yield name if name in TREES else name.rpartition(".")[0]


def when_loaded(tree):
    """The nodes of a module that run when it is loaded: no functions, nothing for type checkers only."""
    todo = list(tree.body)
    while todo:
        node = todo.pop()
        yield node
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if not typing_only and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            todo += ast.iter_child_nodes(node)


@pytest.mark.parametrize("name", TREES)
def test_no_import_runs_upwards(name):
    level = LAYERS.index(name.partition(".")[0])
    for other in imported(ast.walk(TREES[name])):
        assert LAYERS.index(other.partition(".")[0]) <= level, f"{name} imports {other}"


def test_no_cycles():
    graph = {name: set(imported(when_loaded(tree))) - {name} for name, tree in TREES.items()}
    for name, others in graph.items():
        # A package loads before its modules; that its __init__ imports them in turn is no cycle.
        others -= {name.rpartition(".")[0]}
    TopologicalSorter(graph).prepare()


def test_lower_layers_know_no_sb3_and_no_matplotlib_at_import():
    for name, tree in TREES.items():
        if not name.startswith(("pop_envs", "pop_optimizer")):
            continue
        for node in when_loaded(tree):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert not {n.partition(".")[0] for n in names} & {
                "stable_baselines3",
                "sb3_contrib",
                "tensorboard",
                "matplotlib",
            }, name


SHARED = {"objectives", "search", "networks", "training", "rivals"}  # folders of all families
FAMILIES = {path.parent.name for layer in LAYERS for path in (ROOT / layer).glob("*/__init__.py")} - SHARED


@pytest.mark.parametrize("name", [name for name in TREES if FAMILIES & set(name.split("."))])
def test_families_do_not_import_each_other(name):
    (own,) = FAMILIES & set(name.split("."))
    for other in imported(ast.walk(TREES[name])):
        assert FAMILIES & set(other.split(".")) <= {own}, f"{name} imports {other}"


def test_the_optimizer_is_light():
    code = f"import sys, pop_optimizer; print(*{HEAVY} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
