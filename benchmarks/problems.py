"""What a method is judged on: one function on the unit box, its minimum and its scale."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from typing import Any

import numpy as np
import torch

from benchmarks import vlse
from benchmarks.budget import Array
from benchmarks.others import bbob, gkls, zeroshot
from benchmarks.plain import mgh, nist, rosenbrock
from benchmarks.plain.squares import Fit, SumOfSquares
from benchmarks.variants import Noise, rotated, shifted
from pop_envs.objectives.base import FunctionBatch, Objective, Prior
from pop_envs.objectives.priors import PRIORS, final_test_functions, validation_functions
from pop_envs.objectives.reference import reference_minimum
from pop_envs.objectives.vlse_formulas import FUNCTIONS

VLSE = "VLSE"
"""The sample of the 47 functions."""

VARIANTS = ("shifted", "rotated", "noisy")
"""What is done to the 47 functions in further samples, "VLSE, shifted" the first."""

MGH, ROSENBROCK, NIST = "MGH", "Rosenbrock", "NIST"
"""The samples of plain smooth problems: Moré, Garbow and Hillstrom's, the chain in many dimensions, and NIST's fits."""

PLAIN = (MGH, ROSENBROCK, NIST)
"""They are sums of squares, of which residuals are known."""

OWN_STARTS = (MGH, NIST)
"""Samples of problems with published starts."""

BBOB, GKLS, ZEROSHOT = "BBOB", "GKLS", "ZeroShotOpt"
"""What the names of the samples of other people's problems begin with, "BBOB, 2-D" the first."""

KNOWN_MINIMA = (VLSE, *PLAIN, BBOB, GKLS, ZEROSHOT)
"""What the names of samples begin with whose minima are known, rather than referred to."""

CHAIN = "chained_rosenbrock"
"""What problems of the sample "Rosenbrock" are called, "chained_rosenbrock-10d" one of them."""

NOISE = 0.01
"""Standard deviation of noise: on a value as a part of ``f_ref - f_min``, on each entry of a gradient as a part of
their mean size over the box. Their mean square would be infinite for functions with infinite slopes."""

_REFERENCE_POINTS = 10_000
_BLOCK_SIZE = 64
_SCALED_BLOCK = re.compile(r"(?P<function>\w+)-(?P<dim>[1-9]\d*)d")
_VARIANT_BLOCK = re.compile(rf"(?P<function>\w+)~(?P<variant>{'|'.join(VARIANTS)})")
_CHAIN_BLOCK = re.compile(rf"{CHAIN}-(?P<dim>[1-9]\d*)d")
_PRIOR_BLOCK = re.compile(r"(?P<prior>\w+)-(?P<dim>\d+)d-(?P<first>\d+)\.\.(?P<last>\d+)")
_BBOB_BLOCK = re.compile(r"bbob-f(?P<function>[1-9]\d?)-(?P<dim>\d+)d")
_GKLS_BLOCK = re.compile(r"gkls-(?P<name>\dd-\w+)-(?P<first>\d+)\.\.(?P<last>\d+)")
_ZEROSHOT_BLOCK = re.compile(r"zeroshot-(?P<function>\w+)-(?P<dim>\d+)d")
_PROBES = 4096  # far more than rewards need: a poor reference would flatter whoever stops early


@dataclass(frozen=True, eq=False)
class Problem:
    """One function to minimize.

    Every method sees the box scaled to [-1, 1]^dim, as POP does, so that no setting depends on a
    function's units of length.

    Attributes:
        name: Unique name.
        group: Name of the family it is reported under.
        sample: Name of the functions whose mean it is a part of.
        objective: The function on the unit box, a batch of one.
        f_min: Its global minimum on the box; of a prior's function only a reference, which methods can undercut.
        noise: What methods see it through; they are judged by its true values.
        own_starts: The starts (k, dim) in the unit box that it comes with; None draws starts uniformly.
        instances: Makes the one that a start is for, where a problem stands for several; see ``instance``.
    """

    name: str
    group: str
    sample: str
    objective: Objective
    f_min: float
    noise: Noise | None = None
    own_starts: Array | None = None
    instances: Callable[[int], Problem] | None = None

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return self.objective.dim

    @cached_property
    def f_ref(self) -> float:
        """The median over the box, from fixed uniform points."""
        return float(np.median(self.objective.values_on(_reference_points(self.dim)).numpy()))

    @property
    def sum_of_squares(self) -> SumOfSquares | None:
        """The function with its residuals, where they are known."""
        return self.objective if isinstance(self.objective, SumOfSquares) else None

    def instance(self, start: int) -> Problem:
        """The problem that a start is for."""
        return self if self.instances is None else self.instances(start)

    def num_runs(self, starts: int) -> int:
        """How many runs a method has: one a start, or as many from each start that the problem comes with."""
        return starts if self.own_starts is None else starts * len(self.own_starts)


def _reference_points(dim: int) -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.uniform(-1.0, 1.0, (_REFERENCE_POINTS, dim)))


@cache
def vlse_problem(name: str, dim: int | None = None) -> Problem:
    """The VLSE function of that name; in its default dimension, or in another as a part of another sample.

    Raises:
        ValueError: If there is no function of this name, or none in this dimension.
    """
    record = vlse.problem(name, dim)
    if dim is None:
        return Problem(name, record.group, VLSE, record.objective(), record.f_min)
    return Problem(f"{name}-{dim}d", record.group, f"{VLSE}, {dim}-D", record.objective(), record.f_min)


@cache
def variant_problem(name: str, variant: str) -> Problem:
    """The VLSE function of that name, varied: always in the same way, which its name and the variant decide.

    Args:
        name: Of the function.
        variant: One of ``VARIANTS``.

    Raises:
        ValueError: If there is no such function, or it has one dimension and should be rotated.
    """
    original, record = vlse_problem(name), vlse.problem(name)
    variant_name, sample = f"{name}~{variant}", f"{VLSE}, {variant}"
    scale = original.f_ref - original.f_min
    if variant == "noisy":
        _, gradients = original.objective.value_and_grad(_reference_points(original.dim))
        noise = Noise(value=NOISE * scale, gradient=NOISE * float(np.abs(gradients.numpy()).mean()))
        return replace(original, name=variant_name, sample=sample, noise=noise)
    box = record.objective()
    rng = np.random.default_rng(list(variant_name.encode()))
    move = {"shifted": shifted, "rotated": rotated}[variant]
    objective = move(box, box.to_unit(record.minimizers[0]), scale, rng)
    return replace(original, name=variant_name, sample=sample, objective=objective)


def _fit_problem(suite: str, sample: str, fit: Fit) -> Problem:
    objective = fit.objective()
    name = f"{suite}-{fit.name}"
    return Problem(name, fit.group, sample, objective, fit.f_min, own_starts=objective.to_unit(fit.starts))


def _chain_problem(dim: int) -> Problem:
    """The VLSE function with its residuals, on its box."""
    record = vlse.problem("rosenbrock", dim)
    objective = SumOfSquares(rosenbrock.residuals, record.lower, record.upper, record.f_min)
    return Problem(f"{CHAIN}-{dim}d", f"{dim}-D", ROSENBROCK, objective, record.f_min)


def validation_problems(prior: Prior, count: int, dim: int) -> tuple[Problem, ...]:
    """The first ``count`` functions of a prior to choose settings by, with the minima that rewards know."""
    functions = validation_functions(prior, count, dim)
    name = type(prior).__name__
    return _prior_problems(functions, reference_minimum(functions), name, range(count), name)


@lru_cache(maxsize=64)
def _bbob_instance(function: int, dim: int, instance: int) -> Problem:
    return bbob_problem(function, dim, instance)


def bbob_problem(function: int, dim: int, instance: int = 1, observer: Any = None) -> Problem:
    """COCO's function of that number, in one instance, which its observer may log.

    Raises:
        ValueError: If there is no such function, dimension or instance.
    """
    objective = bbob.Bbob(function, dim, instance, observer)
    name, sample = f"bbob-f{function}-{dim}d", f"{BBOB}, {dim}-D"
    return Problem(name, bbob.group(function), sample, objective, objective.minimum)


def _bbob_function(function: int, dim: int) -> Problem:
    """All its instances: the starts go through them."""
    return replace(
        _bbob_instance(function, dim, 1),
        instances=lambda start: _bbob_instance(function, dim, start % bbob.INSTANCES + 1),
    )


def _gkls_problem(name: str, number: int) -> Problem:
    objective = gkls.GklsObjective(name, number)
    kind = f"{name[0]}-D {name[3:]}"
    return Problem(f"gkls-{name}-{number}", kind, f"{GKLS}, {kind}", objective, gkls.MINIMUM)


def _zeroshot_problem(function: str, dim: int) -> Problem:
    if function not in zeroshot.functions(dim):
        raise ValueError(f"{function} is not among the functions in {dim}-D: {', '.join(zeroshot.functions(dim))}")
    name, sample = f"zeroshot-{function}-{dim}d", f"{ZEROSHOT}, {dim}-D"
    if function == "cosine_8":
        objective = zeroshot.cosine_8()
        return Problem(name, "many local minima", sample, objective, float(objective.minimum or 0.0))
    record = vlse.problem(function, dim)
    return Problem(name, record.group, sample, record.objective(), record.f_min)


def bbob_blocks(dims: Sequence[int]) -> tuple[str, ...]:
    """Names of the blocks of COCO's functions, "bbob-f1-2d" the first."""
    return tuple(f"bbob-f{function}-{dim}d" for dim in dims if dim in bbob.DIMS for function in bbob.FUNCTIONS)


def is_values_only(block: str) -> bool:
    """Whether nobody knows the gradients of its functions, so that methods which look at them pay for differences."""
    return _BBOB_BLOCK.fullmatch(block) is not None


def gkls_blocks(dims: Sequence[int], count: int) -> tuple[str, ...]:
    """Names of the blocks of the first ``count`` functions of the GKLS classes, "gkls-2d-simple-0..63" the first."""
    names = [name for name, (dim, *_) in gkls.CLASSES.items() if dim in dims]
    return tuple(f"gkls-{name}-{rows}" for name in names for rows in _rows(min(count, gkls.COUNT)))


def zeroshot_blocks(dims: Sequence[int]) -> tuple[str, ...]:
    """Names of the blocks of ZeroShotOpt's functions, "zeroshot-ackley-2d" the first."""
    return tuple(f"zeroshot-{function}-{dim}d" for dim in dims for function in zeroshot.functions(dim))


def scaled_blocks(functions: Sequence[str], dim: int) -> tuple[str, ...]:
    """Names of the blocks of those VLSE functions that scale and have the dimension, "ackley-5d" one of them."""
    dims = {name: FUNCTIONS[name].dims for name in functions}
    # What has twice its default dimension scales.
    return tuple(f"{name}-{dim}d" for name, d in dims.items() if d.allows(2 * d.default) and d.allows(dim))


def variant_blocks(functions: Sequence[str], variant: str) -> tuple[str, ...]:
    """Names of the blocks of a variant of VLSE functions, "ackley~shifted" one of them; in 1-D nothing can turn."""
    turns = variant == "rotated"
    return tuple(f"{name}~{variant}" for name in functions if not (turns and vlse_problem(name).dim == 1))


def mgh_blocks() -> tuple[str, ...]:
    """Names of the blocks of Moré, Garbow and Hillstrom's problems, "mgh-bard" one of them."""
    return tuple(f"mgh-{name}" for name in mgh.names())


def nist_blocks() -> tuple[str, ...]:
    """Names of the blocks of NIST's fits, "nist-misra1a" one of them."""
    return tuple(f"nist-{name}" for name in nist.MODELS)


def chain_blocks(dims: Sequence[int]) -> tuple[str, ...]:
    """Names of the blocks of the chained Rosenbrock function."""
    return tuple(f"{CHAIN}-{dim}d" for dim in dims)


def prior_blocks(prior: str, dim: int, count: int) -> tuple[str, ...]:
    """Names of the blocks that the first ``count`` unseen functions of a prior are run in, "gp-8d-0..63" the first."""
    return tuple(f"{prior}-{dim}d-{rows}" for rows in _rows(count))


def _rows(count: int) -> list[str]:
    return [f"{first}..{min(first + _BLOCK_SIZE, count) - 1}" for first in range(0, count, _BLOCK_SIZE)]


@lru_cache(maxsize=8)
def block_problems(block: str) -> tuple[Problem, ...]:
    """The problems of a block: one function, of VLSE, varied, in another dimension or plain, or a prior's unseen ones.

    Raises:
        ValueError: If there is no such block.
    """
    if block in vlse.names():
        return (vlse_problem(block),)
    if (parsed := _SCALED_BLOCK.fullmatch(block)) and parsed["function"] in vlse.names():
        return (vlse_problem(parsed["function"], int(parsed["dim"])),)
    if (parsed := _VARIANT_BLOCK.fullmatch(block)) and parsed["function"] in vlse.names():
        return (variant_problem(parsed["function"], parsed["variant"]),)
    if block in mgh_blocks():
        return (_fit_problem("mgh", MGH, mgh.fit(block.removeprefix("mgh-"))),)
    if block in nist_blocks():
        return (_fit_problem("nist", NIST, nist.fit(block.removeprefix("nist-"))),)
    if parsed := _CHAIN_BLOCK.fullmatch(block):
        return (_chain_problem(int(parsed["dim"])),)
    if (parsed := _PRIOR_BLOCK.fullmatch(block)) and parsed["prior"] in PRIORS:
        return _unseen_problems(parsed["prior"], *(int(parsed[name]) for name in ("dim", "first", "last")))
    if parsed := _BBOB_BLOCK.fullmatch(block):
        return (_bbob_function(int(parsed["function"]), int(parsed["dim"])),)
    if (parsed := _GKLS_BLOCK.fullmatch(block)) and parsed["name"] in gkls.CLASSES:
        numbers = range(int(parsed["first"]), int(parsed["last"]) + 1)
        return tuple(_gkls_problem(parsed["name"], number) for number in numbers)
    if parsed := _ZEROSHOT_BLOCK.fullmatch(block):
        return (_zeroshot_problem(parsed["function"], int(parsed["dim"])),)
    raise ValueError(
        "a block must be a VLSE function, one in another dimension like 'ackley-5d', a variant like 'ackley~shifted' "
        "a plain problem like 'mgh-bard', 'nist-misra1a' or 'chained_rosenbrock-10d', "
        "one of other people's like 'bbob-f1-2d', 'gkls-2d-simple-0..63' or 'zeroshot-ackley-2d', "
        f"or unseen functions like {prior_blocks('gp', 8, 64)[0]!r}, got {block!r}"
    )


def _unseen_problems(prior: str, dim: int, first: int, last: int) -> tuple[Problem, ...]:
    rows = range(first, last + 1)
    functions = final_test_functions(PRIORS[prior](), last + 1, dim).rows(torch.tensor(rows, device="cpu"))
    minima = reference_minimum(functions, num_probes=_PROBES)
    return _prior_problems(functions, minima, f"{prior}-{dim}d", rows, f"{prior}, {dim}-D")


def _prior_problems(
    functions: FunctionBatch, minima: torch.Tensor, name: str, numbers: Sequence[int], group: str
) -> tuple[Problem, ...]:
    """Each function by itself, called by the name and its number."""
    return tuple(
        Problem(f"{name}-{number}", group, group, functions.rows(torch.tensor([i], device="cpu")), f_min)
        for i, (number, f_min) in enumerate(zip(numbers, minima.tolist(), strict=True))
    )
