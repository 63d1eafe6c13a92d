"""One table of bad and odd inputs, each with its answer: a right result, or an error that names the argument."""

import datetime
import enum
import math
import pathlib
import random
from collections import OrderedDict, UserList, deque, namedtuple
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import scipy.optimize
import scipy.sparse
import torch
from scipy.optimize import Bounds, LinearConstraint, OptimizeWarning

from pop_optimizer import Optimizer, minimize, pop

BOX = [(-5.0, 5.0), (-5.0, 5.0)]
START = (4.0, 3.0)
MINIMUM = np.array([1.0, -2.0])
HUGE = 1e308


def bowl(x):
    return float(((x - MINIMUM) ** 2).sum())


def slope(x):
    return 2 * (x - MINIMUM)


def both(x):
    return bowl(x), slope(x)


# Answers


class Refused(NamedTuple):
    """An error of exactly that kind, whose message fits the pattern."""

    error: type
    pattern: str

    def __call__(self, run):
        with pytest.raises(self.error, match=self.pattern) as caught:
            run()
        assert caught.type is self.error


class Warned(NamedTuple):
    """A right result with a warning."""

    warning: type
    pattern: str

    def __call__(self, run):
        with pytest.warns(self.warning, match=self.pattern):
            result = run()
        consistent(result)
        assert result.success


def consistent(result):
    """What holds of every result."""
    values = result.func_vals
    finite = np.isfinite(values)
    assert np.isfinite(result.x_iters).all()
    assert len(values) == len(result.x_iters) == result.nit + 1
    assert any(np.array_equal(result.x, x) for x in result.x_iters)
    if finite.any():
        assert result.fun == values[finite].min()
    assert result.success == (result.status == 0)
    assert result.message
    return result


class Result(NamedTuple):
    """A result without any error or warning, of which something holds."""

    holds: Any

    def __call__(self, run):
        assert self.holds(consistent(run()))


def solved(tolerance=1e-3):
    return Result(lambda r: r.success and np.abs(r.x - MINIMUM).max() <= tolerance)


def close(tolerance):
    return Result(lambda r: np.abs(r.x - MINIMUM).max() <= tolerance)


def status(expected):
    return Result(lambda r: r.status == expected)


SOLVED, ANY = solved(), Result(lambda r: True)
SPENT = Result(lambda r: not r.success)


class Raised(NamedTuple):
    """What the user's own code raises comes through, with the result so far."""

    error: type
    points: int

    def __call__(self, run):
        with pytest.raises(self.error) as caught:
            run()
        result = caught.value.result
        assert len(result.func_vals) == self.points
        if self.points:
            consistent(result)


class Holds:
    """Something else than a result that is true."""

    def __call__(self, run):
        assert run()


# Inputs


class Case(NamedTuple):
    name: str
    run: Any
    answer: Any


def odd(name, answer, fun=bowl, x0=START, call=minimize, **options):
    options = {"bounds": BOX, "budget": 60, "rng": 0} | options
    return Case(name, lambda: call(fun, x0, **{key: made(value) for key, value in options.items()}), answer)


class Made(NamedTuple):
    """What each run makes anew, as an iterator."""

    make: Any


def made(value):
    return value.make() if isinstance(value, Made) else value


class Floating:
    """A number by its ``__float__`` only."""

    def __init__(self, value):
        self.value = value

    def __float__(self):
        return float(self.value)


class Array:
    """As JAX's arrays: something that becomes NumPy's."""

    def __init__(self, value, dtype=np.float32):
        self.value = np.asarray(value, dtype)

    def __array__(self, dtype=None, copy=None):
        return self.value.astype(dtype or self.value.dtype)


class Broken:
    """Raises whatever is asked of it."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("no array")

    def __float__(self):
        raise ValueError("no float")


class Number(enum.IntEnum):
    ONE = 1


Pair = namedtuple("Pair", ["value", "slope"])
RANDOM, KEPT, KEPT_VALUE = random.Random(0), np.empty(2), np.empty(())
Own = type("Own", (Exception,), {"__slots__": ()})

# What fun may return: numbers of every kind, to their precision.
NUMBERS = [
    odd(f"fun returns {name}", answer, lambda x, kind=kind: kind(bowl(x)))
    for name, kind, answer in [
        ("a float", float, SOLVED),
        ("float64", np.float64, SOLVED),
        ("longdouble", np.longdouble, SOLVED),
        ("float32", np.float32, close(1e-2)),
        ("float16", np.float16, close(0.5)),
        ("0-d", np.array, SOLVED),
        ("0-d float32", lambda v: np.array(v, np.float32), close(1e-2)),
        ("(1,)", lambda v: np.array([v]), SOLVED),
        ("(1, 1)", lambda v: np.array([[v]]), SOLVED),
        ("(1, 1, 1) float32", lambda v: np.full((1, 1, 1), v, np.float32), close(1e-2)),
        ("an object array", lambda v: np.array(v, object), SOLVED),
        ("big-endian", lambda v: np.array(v, ">f8"), SOLVED),
        ("a masked array without masks", lambda v: np.ma.array([v], mask=[False]), SOLVED),
        ("a read-only array", lambda v: np.broadcast_to(v, (1,)), SOLVED),
        ("Decimal", Decimal, SOLVED),
        ("Fraction", Fraction, SOLVED),
        ("what has __float__", Floating, SOLVED),
        ("what has __array__", partial(Array, dtype=np.float64), SOLVED),
        ("what has __array__ of float32", Array, close(1e-2)),
        ("a Series of one", lambda v: pd.Series([v]), SOLVED),
        ("torch 0-d", lambda v: torch.tensor(v, dtype=torch.float64), SOLVED),
        ("torch (1,)", lambda v: torch.tensor([v], dtype=torch.float64), SOLVED),
        ("torch float32", lambda v: torch.tensor(v, dtype=torch.float32), close(1e-2)),
        ("torch bfloat16", lambda v: torch.tensor(v, dtype=torch.bfloat16), close(1.5)),
        ("torch float16", lambda v: torch.tensor(v, dtype=torch.float16), close(0.5)),
        ("torch with a graph", lambda v: torch.tensor(v, dtype=torch.float64, requires_grad=True) * 1, SOLVED),
        ("torch int", lambda v: torch.tensor(int(v)), ANY),
        ("an int, as of steps", int, ANY),
        ("uint8", lambda v: np.uint8(min(v, 255)), ANY),
        ("int64", np.int64, ANY),
        ("a bool", lambda v: v > 5, ANY),
        ("np.bool", lambda v: np.bool_(v > 5), ANY),
        ("an enum", lambda v: Number.ONE, status(0)),
        ("integers beyond all floats", lambda v: 10**400, status(2)),
        ("negative ones", lambda v: -(10**400), status(2)),
        ("fractions beyond all floats", lambda v: Fraction(10**400), status(2)),
        ("longdoubles beyond all floats", lambda v: np.longdouble("1e4000"), status(2)),
        ("Decimal NaN", lambda v: Decimal("NaN"), status(2)),
        ("masked", lambda v: np.ma.masked, status(2)),
        ("masked where it is above 30", lambda v: np.ma.array(v, mask=v > 30), close(0.1)),
    ]
]

NOT_NUMBERS = {
    "None": None,
    "a string": "1.0",
    "bytes": b"1.0",
    "a NumPy string": np.str_("1.0"),
    "an array of a string": np.array("1.0"),
    "a list of one": [1.0],
    "a tuple of one": (1.0,),
    "a pair": (1.0, np.zeros(2)),
    "three": (1.0, np.zeros(2), np.zeros((2, 2))),
    "a dict": {"fun": 1.0},
    "a set": {1.0},
    "a vector": np.zeros(2),
    "an empty array": np.zeros(0),
    "a matrix": np.zeros((2, 2)),
    "complex": 1j,
    "complex without imaginary part": 1 + 0j,
    "complex64": np.complex64(1),
    "a complex array": np.array([1j]),
    "torch complex": torch.tensor(1j),
    "a torch vector": torch.zeros(3),
    "a torch meta tensor": torch.zeros((), device="meta"),
    "a date": np.datetime64("2020-01-01"),
    "a duration": np.timedelta64(1, "s"),
    "a Python date": datetime.date(2020, 1, 1),
    "an object": object(),
    "a class": float,
    "a function": abs,
    "a range": range(3),
    "Ellipsis": ...,
    "NotImplemented": NotImplemented,
    "a structured array": np.zeros((), [("a", float)]),
    "void": np.void(b"abc"),
    "a sparse array": scipy.sparse.csr_array([[1.0]]),
    "a Series": pd.Series([1.0, 2.0]),
    "a DataFrame": pd.DataFrame({"a": [1.0, 2.0]}),
    "what breaks": Broken(),
    "an array of None": np.array(None),
    "Bounds": Bounds(0, 1),
}

REFUSED_NUMBERS = [
    *(
        odd(f"fun returns {n}", Refused(TypeError, "^fun must return"), lambda x, v=v: v)
        for n, v in NOT_NUMBERS.items()
    ),
    odd("fun returns an iterator", Refused(TypeError, "^fun must return"), lambda x: iter([1.0])),
    odd("fun is a coroutine's like", Refused(TypeError, "^fun must return"), lambda x: (i for i in "ab")),
    *(
        odd(f"with jac=True, the value is {n}", Refused(TypeError, "^fun must return"), lambda x, v=v: (v, x), jac=True)
        for n, v in NOT_NUMBERS.items()
        if n not in ("an empty array", "a matrix", "a date", "a class", "Ellipsis", "void", "Bounds")
    ),
    *(
        odd(
            f"jac=True, but fun returns {n}",
            Refused(TypeError, "with jac=True, fun must return a pair"),
            lambda x, v=v: v,
            jac=True,
        )
        for n, v in {
            "a number": 1.0,
            "None": None,
            "a string of two": "ab",
            "a vector of two": np.zeros(2),
            "three": (1.0, np.zeros(2), 0),
            "one": (1.0,),
            "a dict of two": {"f": 1.0, "g": 2.0},
            "a set of two": {1.0, 2.0},
            "a torch vector of two": torch.zeros(2),
        }.items()
    ),
]

# Gradients.
GRADIENTS = [
    odd(f"the gradient is {name}", answer, jac=lambda x, kind=kind: kind(slope(x)))
    for name, kind, answer in [
        ("a list", list, SOLVED),
        ("a tuple", tuple, SOLVED),
        ("float32", lambda g: g.astype(np.float32), SOLVED),
        ("float16", lambda g: g.astype(np.float16), SOLVED),
        ("of objects", lambda g: g.astype(object), SOLVED),
        ("of Decimals", lambda g: [Decimal(v) for v in g], SOLVED),
        ("torch", torch.tensor, SOLVED),
        ("torch with a graph", lambda g: torch.tensor(g, requires_grad=True) * 1, SOLVED),
        ("torch bfloat16", lambda g: torch.tensor(g).bfloat16(), SOLVED),
        ("a torch negative view", lambda g: torch.complex(torch.tensor(0 * g), torch.tensor(-g)).conj().imag, SOLVED),
        ("a Series", pd.Series, SOLVED),
        ("as JAX's", Array, SOLVED),
        ("read-only", lambda g: np.broadcast_to(g, 2), SOLVED),
        ("a strided view", lambda g: np.repeat(g, 2)[::2], SOLVED),
        ("a deque", deque, SOLVED),
        ("of ints", lambda g: np.sign(g).astype(int), ANY),
        ("of bools", lambda g: g > 0, ANY),
        ("turned around", lambda g: -g, ANY),
        ("a hundred times too large", lambda g: 100 * g, ANY),
        ("zero", lambda g: 0 * g, ANY),
        ("1e300", lambda g: 0 * g + 1e300, ANY),
        ("NaN", lambda g: g * np.nan, SPENT),
        ("infinite", lambda g: g * np.inf, SPENT),
        ("masked", lambda g: np.ma.masked_all(2), SPENT),
        ("NaN in one coordinate", lambda g: np.array([np.nan, g[1]]), SPENT),
        ("beyond all floats", lambda g: [np.longdouble("1e4000"), np.longdouble(1)], SPENT),
    ]
]
REFUSED_GRADIENTS = [
    odd(f"the gradient of {who} is {name}", Refused(error, pattern), fun, jac=jac)
    for name, value, error in [
        ("None", None, TypeError),
        ("a string", "ab", TypeError),
        ("strings", ["1", "2"], TypeError),
        ("complex", np.zeros(2, complex), TypeError),
        ("dates", np.zeros(2, "datetime64[s]"), TypeError),
        ("ragged", [1.0, [2.0, 3.0]], TypeError),
        ("sparse", scipy.sparse.csr_array([[1.0, 2.0]]), TypeError),
        ("an object", object(), TypeError),
        ("a set", {1.0, 2.0}, TypeError),
        ("integers beyond all floats", [10**400, 1], TypeError),
        ("a torch meta tensor", torch.zeros(2, device="meta"), TypeError),
        ("what breaks", Broken(), TypeError),
        ("a number", 0.0, ValueError),
        ("too short", np.zeros(1), ValueError),
        ("too long", np.zeros(3), ValueError),
        ("empty", [], ValueError),
        ("a row", np.zeros((1, 2)), ValueError),
        ("a column", np.zeros((2, 1)), ValueError),
        ("a matrix", np.zeros((2, 2)), ValueError),
    ]
    for who, fun, jac, pattern in [
        ("jac", bowl, lambda x, value=value: value, "^jac must"),
        ("fun", lambda x, value=value: (1.0, value), True, "^the gradient of fun must"),
    ]
]

# The arguments fun, jac, args.
FUNCTIONS = [
    *(
        odd(f"fun is {name}", Refused(TypeError, "fun must be a function"), fun)
        for name, fun in {"None": None, "a string": "bowl", "a number": 1.0, "an array": np.zeros(2), "[]": []}.items()
    ),
    odd("fun is a method", SOLVED, np.poly1d([1.0, -2.0, 1.0]).__call__, [3.0], bounds=[(-5, 5)])._replace(
        answer=Result(lambda r: abs(r.x[0] - 1) < 1e-3)
    ),
    odd("fun is partial", SOLVED, partial(lambda c, x: ((x - c) ** 2).sum(), MINIMUM)),
    odd("fun takes no argument", Raised(TypeError, 0), lambda: 1.0),
    odd("fun takes two arguments", Raised(TypeError, 0), lambda x, y: 1.0),
    odd("fun is a class", Refused(TypeError, "^fun must return"), type("Fun", (), {"__init__": lambda self, x: None})),
    *(
        odd(f"jac is {name}", Refused(ValueError, "jac must be True, a function, None"), jac=jac)
        for name, jac in {
            "a wrong name": "nonsense",
            "an empty string": "",
            "a name with a space": "2-point ",
            "in capitals": "CS",
            "4-point": "4-point",
            "bytes": b"2-point",
            "0": 0,
            "1": 1,
            "a float": 1.0,
            "a list": ["2-point"],
            "an array": np.zeros(2),
            "an array of True": np.array([True]),
            "a dict": {},
            "NaN": math.nan,
        }.items()
    ),
    odd("jac is np.True_", SOLVED, both, jac=np.True_),
    odd("jac is np.False_", SOLVED, jac=np.False_),
    odd("jac is False", SOLVED, jac=False),
    odd("jac is '2-point'", SOLVED, jac="2-point"),
    odd("jac is '3-point'", SOLVED, jac="3-point", budget=100),
    odd("jac is 'cs'", SOLVED, lambda x: ((x - MINIMUM) ** 2).sum(), jac="cs"),
    odd("jac is a NumPy string", SOLVED, jac=np.str_("2-point")),
    odd(
        "'cs' of a function that is real",
        Refused(TypeError, r'with jac="cs", fun must return complex'),
        lambda x: abs(x).sum(),
        jac="cs",
    ),
    odd(
        "'cs' of a function that is complex at real points",
        Refused(TypeError, "^fun must return"),
        lambda x: x.sum() + 0j,
        jac="cs",
    ),
    odd(
        "'cs' of a pair at complex points",
        Refused(TypeError, '"cs"'),
        lambda x: 1.0 if x.dtype == float else "a",
        jac="cs",
    ),
    odd("jac takes no argument", Raised(TypeError, 0), jac=lambda: 1.0),
    odd("jac is a class", Refused(TypeError, "^jac must"), jac=type("Jac", (), {"__init__": lambda self, x: None})),
    odd("jac is a function, but fun returns the pair", Refused(TypeError, "give jac=True"), both, jac=slope),
    odd("no jac, but fun returns the pair", Refused(TypeError, "give jac=True"), both),
    odd("args is a tuple", SOLVED, lambda x, a, b: a * bowl(x) + b, args=(2.0, 3.0)),
    odd("args is one thing", SOLVED, lambda x, a: a * bowl(x), args=2.0),
    odd("args is a list, one thing", SOLVED, lambda x, a: a[0] * bowl(x), args=[2.0]),
    odd("args is an array, one thing", SOLVED, lambda x, a: ((x - a) ** 2).sum(), args=MINIMUM),
    odd("args is None, one thing", SOLVED, lambda x, a: bowl(x) if a is None else 0, args=None),
    odd("args is a string, one thing", SOLVED, lambda x, a: bowl(x) + len(a), args="abc"),
    odd("args is empty, but fun wants more", Raised(TypeError, 0), lambda x, a: 1.0),
    odd("args are more than fun takes", Raised(TypeError, 0), bowl, args=(1, 2)),
]


# What functions do.
def at_call(k, answer):
    """A bowl that does something else at its k-th call."""

    def make():
        calls = []

        def fun(x):
            calls.append(x)
            return answer() if len(calls) == k else both(x)

        return fun

    return make


def case_at_call(name, answer, k, what):
    return Case(name, lambda: minimize(at_call(k, what)(), START, bounds=BOX, jac=True, budget=30), answer)


def throw(error):
    def thrower():
        raise error

    return thrower


class Answered(NamedTuple):
    """An error about fun, which carries the points before."""

    error: type
    points: int

    def __call__(self, run):
        with pytest.raises(self.error, match="fun") as caught:
            run()
        assert len(consistent(caught.value.result).func_vals) == self.points


ERRORS = [
    ValueError("x"),
    TypeError("x"),
    ZeroDivisionError(),
    OverflowError(),
    MemoryError(),
    RecursionError(),
    StopIteration(),
    KeyboardInterrupt(),
    SystemExit(3),
    GeneratorExit(),
    AssertionError(),
    LookupError(),
    OSError(2, "no such file"),
    FloatingPointError(),
    np.linalg.LinAlgError(),
    Warning("w"),
    StopAsyncIteration(),
    Own(),
]

BEHAVIOUR = [
    *(
        case_at_call(f"fun raises {type(error).__name__} at call {k}", Raised(type(error), k - 1), k, throw(error))
        for error, k in zip(ERRORS, [1, 2, 3, 10, 31] * 4, strict=False)
    ),
    *(
        case_at_call(f"at call {k} fun returns {name}", Answered(error, k - 1), k, lambda value=value: value)
        for name, value, k, error in [
            ("None", None, 2, TypeError),
            ("a number", 1.0, 3, TypeError),
            ("a string", "ab", 5, TypeError),
            ("a longer gradient", (1.0, np.zeros(3)), 7, ValueError),
            ("a complex value", (1j, np.zeros(2)), 9, TypeError),
            ("a gradient of None", (1.0, None), 31, TypeError),
        ]
    ),
    *(
        case_at_call(f"at call {k} fun returns {name}", SOLVED, k, lambda value=value: value)
        for name, value, k in [
            ("NaN", (math.nan, np.zeros(2)), 2),
            ("infinity", (math.inf, np.zeros(2)), 4),
            ("minus infinity", (-math.inf, np.zeros(2)), 4),
            ("1e300", (1e300, np.zeros(2)), 5),
            ("a gradient of NaN", (1e3, np.full(2, np.nan)), 2),
            ("a list", [1e3, [0.0, 1.0]], 3),
            ("torch", (torch.tensor(1e3), torch.zeros(2)), 6),
        ]
    ),
    *(
        odd(
            f"{name}, {kind}",
            answer,
            lambda x, v=v, g=g: (v, g) if g is not None else v,
            jac=True if g is not None else None,
        )
        for name, v, answer in [
            ("constant 0", 0.0, status(0)),
            ("constant 1e300", 1e300, status(0)),
            ("constant -1e300", -1e300, status(0)),
            ("constant 1e-300", 1e-300, status(0)),
            ("constant 5e-324", 5e-324, status(0)),
            ("constant largest", 1.7976931348623157e308, status(0)),
            ("NaN", math.nan, status(2)),
            ("infinity", math.inf, status(2)),
            ("minus infinity", -math.inf, status(2)),
        ]
        for kind, g in [("zero gradients", np.zeros(2)), ("differences", None)]
    ),
    *(
        odd(
            f"a bowl times {scale}, {kind}",
            SOLVED if jac else close(1e-2),
            lambda x, s=scale, j=jac: (s * bowl(x), s * slope(x)) if j else s * bowl(x),
            jac=jac,
        )
        for scale in (1e-307, 1e-300, 1e-200, 1e-150, 1e-100, 1e-30, 1e30, 1e100, 1e150, 1e200, 1e300, 1e305)
        for kind, jac in [("gradients", True), ("differences", None)]
    ),
    *(
        odd(f"a bowl moved by {shift}", close(tolerance), lambda x, s=shift: (s + bowl(x), slope(x)), jac=True)
        for shift, tolerance in [(1e3, 1e-3), (-1e3, 1e-3), (1e8, 1e-2), (-1e15, 2.0), (1e300, 10.0)]
    ),
    odd("steps", Result(lambda r: r.fun <= -6), lambda x: float(np.floor(x).sum())),
    odd("steps of 1e300", ANY, lambda x: 1e300 * float(np.floor(x).sum())),
    odd("a cliff of NaN", SOLVED, lambda x: math.nan if x[0] > 4.5 else bowl(x)),
    odd("a cliff of 1e300, begun there", close(0.1), lambda x: 1e300 if x[0] > 3.5 else bowl(x), budget=200),
    odd("a cliff of infinity, begun there", close(0.1), lambda x: math.inf if x[0] > 3.5 else bowl(x), budget=200),
    odd("a cliff of -infinity, begun there", close(0.1), lambda x: -math.inf if x[0] > 3.5 else bowl(x), budget=200),
    odd("a kink", Result(lambda r: r.fun < 0.3), lambda x: (abs(x - MINIMUM).sum(), np.sign(x - MINIMUM)), jac=True),
    odd(
        "a singular point",
        Result(lambda r: r.fun < -1),
        lambda x: (float(np.log(abs(x - MINIMUM) + 1e-300).sum()), 1 / (x - MINIMUM + 1e-300)),
        jac=True,
    ),
    odd(
        "unbounded below",
        Result(lambda r: not r.success and r.fun < -1e3),
        lambda x: (-(x**3).sum(), -3 * x**2),
        (1.0, 2.0),
        jac=True,
        bounds=None,
    ),
    odd(
        "linear, unbounded",
        Result(lambda r: not r.success and r.fun < -1e3),
        lambda x: (-x.sum(), -np.ones(2)),
        jac=True,
        bounds=None,
    ),
    odd(
        "linear, bounded",
        Result(lambda r: r.success and np.abs(r.x - 5).max() < 1e-12),
        lambda x: (-x.sum(), -np.ones(2)),
        jac=True,
    ),
    odd("noise", SPENT, lambda x, r=RANDOM: (r.random(), np.array([r.random(), 1])), jac=True),
    odd("writes into x", SOLVED, lambda x: (both(x.copy()), x.fill(9))[0], jac=True),
    odd("writes NaN into x", SOLVED, lambda x: (bowl(x), x.fill(np.nan))[0]),
    odd("sorts x in place", SOLVED, lambda x: (bowl(x), x.sort())[0]),
    odd("makes x read-only", SOLVED, lambda x: (bowl(x), x.setflags(write=False))[0]),
    odd(
        "keeps one array for its gradients",
        SOLVED,
        lambda x, kept=KEPT: (bowl(x), np.copyto(kept, slope(x)), kept)[::2],
        jac=True,
    ),
    odd("keeps one 0-d array for its values", SOLVED, lambda x, kept=KEPT_VALUE: (kept.fill(bowl(x)), kept)[1]),
    odd(
        "returns its x as the gradient", Result(lambda r: np.abs(r.x).max() < 1e-3), lambda x: (x @ x / 2, x), jac=True
    ),
    odd("returns a named tuple", SOLVED, lambda x: Pair(*both(x)), jac=True),
    odd("returns a list of two", SOLVED, lambda x: list(both(x)), jac=True),
    odd("calls minimize itself", SOLVED, lambda x: minimize(bowl, x, bounds=BOX, budget=5).func_vals[0], budget=40),
]

# Bounds.
GOOD_BOUNDS = [
    odd(f"bounds are {name}", answer, bounds=bounds)
    for name, bounds, answer in [
        ("a tuple", tuple(BOX), SOLVED),
        ("an array", np.array(BOX), SOLVED),
        ("an array of ints", np.array(BOX, int), SOLVED),
        ("float32", np.array(BOX, np.float32), SOLVED),
        ("a Fortran array", np.asfortranarray(BOX), SOLVED),
        ("of Decimals", [(Decimal(-5), Decimal(5))] * 2, SOLVED),
        ("of objects with __float__", [(Floating(-5), Floating(5))] * 2, SOLVED),
        ("a DataFrame's values", pd.DataFrame(BOX).to_numpy(), SOLVED),
        ("torch", torch.tensor(BOX), SOLVED),
        ("a UserList", UserList(BOX), SOLVED),
        ("a deque", deque(BOX), SOLVED),
        ("an iterator", Made(lambda: iter(BOX)), SOLVED),
        ("a generator", Made(lambda: (pair for pair in BOX)), SOLVED),
        ("a zip", Made(lambda: zip([-5, -5], [5, 5], strict=True)), SOLVED),
        ("a dict's values", OrderedDict(a=(-5, 5), b=(-5, 5)).values(), SOLVED),
        ("of iterators", Made(lambda: [iter((-5, 5)), iter((-5, 5))]), SOLVED),
        ("Bounds", Bounds([-5, -5], [5, 5]), SOLVED),
        ("scalar Bounds", Bounds(-5, 5), SOLVED),
        ("half scalar Bounds", Bounds(-5, [5, 5]), SOLVED),
        ("Bounds of one", Bounds([-5], [5]), SOLVED),
        ("Bounds to be kept feasible", Bounds(-5, 5, keep_feasible=True), SOLVED),
        ("empty Bounds", Bounds(), SOLVED),
        ("None", None, SOLVED),
        ("a list of None", [None, None], SOLVED),
        ("pairs of None", [(None, None)] * 2, SOLVED),
        ("half None", [(None, 5.0), (-5.0, None)], SOLVED),
        ("infinite", [(-np.inf, np.inf)] * 2, SOLVED),
        ("half infinite", [(-np.inf, 5.0), (-5.0, np.inf)], SOLVED),
        (
            "the other variable fixed",
            [(-5, 5), (3, 3)],
            Result(lambda r: r.x[1] == 3 and abs(r.x[0] - 1) < 1e-3),
        ),
        ("both fixed", [(4, 4), (3, 3)], Result(lambda r: r.success and r.nfev == 1 and tuple(r.x) == START)),
        ("one to the start above", [(4, 5), (-5, 5)], Result(lambda r: r.x[0] == 4 and abs(r.x[1] + 2) < 1e-3)),
        ("one to the start below", [(-5, 4), (-5, 3)], SOLVED),
        (
            "0 and -0",
            [(-0.0, 0.0), (-5, 5)],
            Refused(ValueError, r"x0\[0\] = 4\.0 is beyond the upper bound 0\.0 by 4\.0"),
        ),
        ("True and False", [(False, True), (-5, 5)], Refused(ValueError, "x0")),
    ]
]
BAD_BOUNDS = [
    odd(f"bounds are {name}", Refused(error, "bounds"), bounds=bounds)
    for name, bounds, error in [
        ("a number", 5.0, TypeError),
        ("True", True, TypeError),
        ("a function", abs, TypeError),
        ("an object", object(), TypeError),
        ("a string", "box", ValueError),
        ("an empty list", [], ValueError),
        ("too few", BOX[:1], ValueError),
        ("too many", BOX * 2, ValueError),
        ("not pairs", [1.0, 2.0], ValueError),
        ("triples", [(1.0, 2.0, 3.0)] * 2, ValueError),
        ("singles", [(1.0,)] * 2, ValueError),
        ("a 3-d array", np.zeros((2, 2, 2)), ValueError),
        ("lower and upper vectors", (np.full(3, -5.0), np.full(3, 5.0)), ValueError),
        ("a dict", {"a": (-5, 5), "b": (-5, 5)}, ValueError),
        ("strings", [("-5", "5")] * 2, TypeError),
        ("complex", [(-5j, 5j)] * 2, TypeError),
        ("dates", [(np.datetime64("2020"), np.datetime64("2021"))] * 2, TypeError),
        ("of objects", [(object(), 5)] * 2, TypeError),
        ("ragged", [(-5, [5, 6])] * 2, TypeError),
        ("integers beyond all floats", [(-(10**400), 10**400)] * 2, TypeError),
        ("NaN", [(math.nan, 5)] * 2, ValueError),
        ("Bounds with NaN", Bounds([-5, np.nan], 5), ValueError),
        ("upside down", [(5, -5)] * 2, ValueError),
        ("both infinity", [(np.inf, np.inf)] * 2, ValueError),
        ("both minus infinity", [(-np.inf, -np.inf)] * 2, ValueError),
        ("from infinity down", [(np.inf, -np.inf)] * 2, ValueError),
        ("Bounds of three", Bounds([-5] * 3, [5] * 3), ValueError),
        ("a LinearConstraint", LinearConstraint(np.eye(2), -5, 5), TypeError),
        ("masked", np.ma.masked_all((2, 2)), ValueError),
    ]
]
BOXES = [
    Case(
        f"a box from {low!r} to {high!r}",
        lambda low=low, high=high: minimize(
            lambda x: (
                (float(t @ t), 2 * t / (high / 2 - low / 2))
                if np.isfinite(t := (x - (low / 2 + high / 2)) / (high / 2 - low / 2)).all()
                else (math.nan, x)
            ),
            [low, high],
            bounds=[(low, high)] * 2,
            jac=True,
            rng=0,
        ),
        Result(lambda r, low=low, high=high: ((low <= r.x) & (r.x <= high)).all() and r.fun < 1e-3),
    )
    for low, high in [
        (-1e308, 1e308),
        (-1.7976931348623157e308, 1.7976931348623157e308),
        (0.0, 1.7976931348623157e308),
        (-1e200, 1e-200),
        (-1e-100, 1e-100),
        (-1e-300, 1e-300),
        (0.0, 1e-280),
        (1e-300, 3e-300),
        (1e9, 1e9 + 1),
        (-1e15, -1e15 + 64),
        (1.0, 1.0 + 2.0**-30),
        (-1e-5, 1e12),
    ]
]
SUBNORMAL = [
    odd(
        f"a box from 0 to {width!r}",
        Result(lambda r, w=width: ((r.x >= 0) & (r.x <= w)).all()),
        lambda x: (float(x.sum()), np.ones(2)),
        (width, 0.0),
        bounds=[(0, width)] * 2,
        jac=jac,
    )
    if jac
    else odd(
        f"a box from 0 to {width!r}, differences",
        Result(lambda r, w=width: ((r.x >= 0) & (r.x <= w)).all()),
        lambda x: float(x.sum()),
        (width, 0.0),
        bounds=[(0, width)] * 2,
    )
    for width in (5e-324, 1e-323, 1e-320, 1e-310, 2.3e-308)
    for jac in (True, None)
]

# The start.
STARTS = [
    *(
        odd(f"x0 is {name}", answer, x0=x0)
        for name, x0, answer in [
            ("None", None, SOLVED),
            ("ints", [4, 3], SOLVED),
            ("bools", [True, False], SOLVED),
            ("an int array", np.array([4, 3]), SOLVED),
            ("uint8", np.array([4, 3], np.uint8), SOLVED),
            ("float16", np.array([4, 3], np.float16), SOLVED),
            ("longdouble", np.array([4, 3], np.longdouble), SOLVED),
            ("objects", np.array([4, 3], object), SOLVED),
            ("Decimals", [Decimal(4), Decimal(3)], SOLVED),
            ("Fractions", [Fraction(7, 2), Fraction(3)], SOLVED),
            ("floating objects", [Floating(4), Floating(3)], SOLVED),
            ("a Series", pd.Series([4.0, 3.0], index=["a", "b"]), SOLVED),
            ("torch", torch.tensor([4.0, 3.0]), SOLVED),
            ("torch with a graph", torch.tensor([4.0, 3.0], requires_grad=True), SOLVED),
            ("as JAX's", Array([4.0, 3.0]), SOLVED),
            ("read-only", np.broadcast_to(4.0, 2), SOLVED),
            ("a reversed view", np.array([3.0, 4.0])[::-1], SOLVED),
            ("a range", range(3, 5), SOLVED),
            ("a deque", deque([4.0, 3.0]), SOLVED),
            ("-0", [-0.0, 0.0], SOLVED),
            ("subnormal", [5e-324, -5e-324], SOLVED),
            ("the minimum", list(MINIMUM), close(1e-3)),
            ("a corner", [5.0, -5.0], SOLVED),
            ("outside by rounding", [math.nextafter(5, 6), -5.0], SOLVED),
        ]
    ),
    *(
        odd(f"x0 is {name}", Refused(error, "x0"), x0=x0)
        for name, x0, error in [
            ("a string", "ab", TypeError),
            ("strings", ["4", "3"], TypeError),
            ("bytes", b"43", TypeError),
            ("complex", [4 + 0j, 3], TypeError),
            ("Nones", [None, None], TypeError),
            ("one None", [4.0, None], TypeError),
            ("a dict", {"a": 4.0, "b": 3.0}, TypeError),
            ("a set", {4.0, 3.0}, TypeError),
            ("an iterator", iter([4.0, 3.0]), TypeError),
            ("a function", abs, TypeError),
            ("dates", np.zeros(2, "datetime64[s]"), TypeError),
            ("ragged", [4.0, [3.0, 2.0]], TypeError),
            ("sparse", scipy.sparse.csr_array([[4.0, 3.0]]), TypeError),
            ("integers beyond all floats", [10**400, 3], TypeError),
            ("a torch meta tensor", torch.zeros(2, device="meta"), TypeError),
            ("empty", [], ValueError),
            ("a row", [[4.0, 3.0]], ValueError),
            ("a matrix", np.zeros((2, 2)), ValueError),
            ("a DataFrame", pd.DataFrame([[4.0, 3.0]]), ValueError),
            ("NaN", [math.nan, 3.0], ValueError),
            ("infinite", [math.inf, 3.0], ValueError),
            ("masked", np.ma.array([4.0, 3.0], mask=[True, False]), ValueError),
            ("longdoubles beyond all floats", np.array(["1e4000", "1"], np.longdouble), ValueError),
            ("outside", [6.0, 3.0], ValueError),
            ("outside by little", [5.0 + 1e-12, 3.0], ValueError),
        ]
    ),
    odd("x0 is too long", Refused(ValueError, "bounds must be 3 pairs as x0"), x0=[1.0, 2.0, 3.0]),
    odd(
        "x0 is one number",
        Result(lambda r: r.x.shape == (1,) and abs(r.x[0] - 1) < 1e-3),
        lambda x: (x[0] - 1) ** 2,
        3.0,
        bounds=[(-5, 5)],
    ),
    odd("x0 is 0-d", Result(lambda r: r.x.shape == (1,)), lambda x: x @ x, np.array(3.0), bounds=None),
    odd("neither x0 nor bounds", Refused(ValueError, "bounds or x0"), x0=None, bounds=None),
    odd("no x0, and no bound below", Refused(ValueError, "x0 is needed"), x0=None, bounds=[(None, 5), (-5, 5)]),
    odd("no x0, and scalar Bounds", Result(lambda r: r.x.shape == (1,)), lambda x: x @ x, None, bounds=Bounds(-5, 5)),
    odd("no x0, and both fixed", Result(lambda r: tuple(r.x) == (1, 2)), x0=None, bounds=[(1, 1), (2, 2)]),
    odd("x0 beside a fixed variable", Refused(ValueError, r"x0\[1\] = 3\.0 .* by 1\.0"), bounds=[(-5, 5), (2, 2)]),
    *(
        odd(
            f"x0 is {x0!r} without bounds",
            answer,
            lambda x: (float(abs(x / 4).sum()), np.sign(x) / 4),
            [x0, x0],
            bounds=None,
            jac=True,
            budget=20,
        )
        for x0, answer in [(1e308, ANY), (-1.7976931348623157e308, ANY), (1e-308, ANY), (1e16, ANY)]
    ),
    odd(
        "100 dimensions", Result(lambda r: r.fun < 1e-6), lambda x: (x @ x, 2 * x), np.ones(100), bounds=None, jac=True
    ),
    odd("3,000 dimensions", ANY, lambda x: (x @ x, 2 * x), np.ones(3000), bounds=None, jac=True, budget=3),
]

# Budgets and criteria.
LIMITS = [
    *(
        odd(
            f"{name} is {value!r}",
            Refused(ValueError, f"^{name} must be a positive integer"),
            **{"budget": None, name: value},
        )
        for name, values in {
            "budget": [0, -1, 2.5, 50.0, "50", True, math.nan, math.inf, [50], Decimal(50), 1j, np.float64(50)],
            "maxiter": [0, -1, 2.5, "50", math.inf, False],
            "maxfev": [0, -1, 2.5, "50", math.inf, np.array(50)],
        }.items()
        for value in values
    ),
    odd("a budget of one step is", Result(lambda r: (r.nit, r.nfev) == (1, 6)), budget=5),
    odd("a budget below one step", Refused(ValueError, "budget=4.*takes 6 evaluations"), budget=4),
    odd("maxfev below one step", Refused(ValueError, "maxfev=5.*takes 6 evaluations"), budget=None, maxfev=5),
    odd("maxfev of one evaluation", Refused(ValueError, "maxfev=1"), both, jac=True, budget=None, maxfev=1),
    odd("maxfev of one step", Result(lambda r: r.nfev == 6), budget=None, maxfev=6),
    odd("maxiter of one", Result(lambda r: (r.nit, r.nfev) == (1, 6)), budget=None, maxiter=1),
    odd("maxiter below budget", Result(lambda r: r.nit == 2), maxiter=2),
    odd("maxfev below budget", Result(lambda r: r.nfev == 9), maxfev=10),
    odd("a NumPy budget", Result(lambda r: r.nfev == 21), budget=np.int8(20)),
    odd("an unsigned budget", Result(lambda r: r.nfev == 255), budget=np.uint8(255)),
    odd("a budget of an enum", ANY, both, jac=True, budget=Number.ONE),
    odd("a budget that will not be spent", SOLVED, both, jac=True, budget=10**6, stop="converged"),
    *(
        odd(f"{name} is {value!r}", Refused(ValueError, f"^{name} must be a number"), **{name: value})
        for name in ("ftol", "gtol")
        for value in (-1e-9, math.nan, "1e-9", True, 1j, np.complex128(1), [1e-9], np.array([1e-9]), Decimal("1e-9"))
    ),
    odd("ftol is None", Refused(ValueError, "^ftol must be a number"), ftol=None),
    odd("ftol is 0", close(1e-3), ftol=0),
    odd("ftol is infinite", status(0), ftol=math.inf),
    odd("gtol is infinite", status(0), gtol=math.inf),
    odd("gtol is 0", SOLVED, both, jac=True, gtol=0),
    odd("ftol is np.float32", SOLVED, ftol=np.float32(1e-6)),
    *(
        odd(f"target is {value!r}", Refused(ValueError, "^target must be a number"), target=value)
        for value in ("0", math.nan, 1j, [0.0], np.zeros(2), True, Decimal(0), {})
    ),
    odd("target is infinite", Result(lambda r: r.success and r.nfev == 3), target=math.inf),
    odd("target is minus infinity", SOLVED, target=-math.inf),
    odd("target is an int", Result(lambda r: r.success and r.fun <= 5 and "target" in r.message), target=5),
    odd("target is float32", Result(lambda r: r.success and "target" in r.message), target=np.float32(5)),
    odd("target, but nothing is finite", status(2), lambda x: math.nan, target=0.0),
    odd("target, but all is minus infinity", status(2), lambda x: -math.inf, target=0.0),
    *(
        odd(f"stop is {value!r}", Refused(ValueError, "^stop must be"), stop=value)
        for value in ("Converged", "", True, False, 0, ["converged"], np.array(["a", "b"]), b"converged")
    ),
    odd("stop is a NumPy string", SOLVED, stop=np.str_("converged")),
    odd("stop at the minimum", Result(lambda r: r.success and r.nfev == 1), both, MINIMUM, jac=True, stop="converged"),
    odd("stop, but nothing is finite", status(2), lambda x: math.nan, stop="converged"),
]

# The rest of the arguments.
OTHERS = [
    *(
        odd(f"{name} is {value!r}", Refused(error, "rng, or seed"), **{"rng": None, name: value})
        for name in ("rng", "seed")
        for value, error in [
            (1.0, TypeError),
            ("0", TypeError),
            (True, TypeError),
            ([1, 2], TypeError),
            (-1, ValueError),
            (1j, TypeError),
        ]
    ),
    odd("rng is Python's", Refused(TypeError, "rng"), rng=random.Random(0)),
    odd("rng is a class", Refused(TypeError, "rng"), rng=np.random.Generator),
    odd("rng is an array", Refused(TypeError, "rng"), rng=np.array([1, 2])),
    odd("rng is torch's", Refused(TypeError, "rng"), rng=torch.Generator()),
    odd("rng is a bit generator", Refused(TypeError, "rng"), rng=np.random.PCG64(0)),
    odd("both rng and seed", Refused(TypeError, "rng and seed"), rng=0, seed=0),
    odd("rng is a Generator", SOLVED, rng=np.random.default_rng(0)),
    odd("rng is a RandomState", SOLVED, rng=np.random.RandomState(0)),
    odd("rng is a SeedSequence", SOLVED, rng=np.random.SeedSequence(0)),
    odd("rng is a spawned SeedSequence", SOLVED, rng=np.random.SeedSequence(0).spawn(2)[1]),
    odd("rng is np.int64", SOLVED, rng=np.int64(3)),
    odd("rng is large", SOLVED, rng=2**200),
    odd("rng is None", SOLVED, rng=None),
    *(
        odd(f"region is {value!r}", Refused(error, "^region must"), bounds=None, region=value)
        for value, error in [
            (0.0, ValueError),
            (-1.0, ValueError),
            (math.nan, ValueError),
            (math.inf, ValueError),
            ([1.0, 0.0], ValueError),
            ([1.0, 2.0, 3.0], ValueError),
            ([], ValueError),
            ([[1.0, 1.0]], ValueError),
            ("wide", TypeError),
            (1j, TypeError),
            ([None, 1.0], TypeError),
            ({}, TypeError),
            (10**400, TypeError),
        ]
    ),
    *(
        odd(f"region is {value!r}, good", SOLVED, both, jac=True, bounds=None, region=value, budget=100)
        for value in (1, True, 0.1, [3.0, 0.5], 100.0, np.float32(2), Decimal(2), (1, 2))
    ),
    odd("region is 1e-3", close(10), both, jac=True, bounds=None, region=1e-3),
    odd("region is the smallest", ANY, both, jac=True, bounds=None, region=5e-324),
    odd("region is 1e308", ANY, lambda x: (float(abs(x).max() / 2), np.sign(x)), jac=True, bounds=None, region=1e308),
    odd("region beside bounds", SOLVED, region=1.0),
    *(
        odd(f"callback is {value!r}", Refused(TypeError, "callback must be a function"), callback=value)
        for value in (1, "print", [], True, np.zeros(2))
    ),
    odd("callback takes no argument", Raised(TypeError, 2), callback=lambda: None),
    odd("callback takes two", Raised(TypeError, 2), callback=lambda x, y: None),
    odd("callback raises", Raised(ZeroDivisionError, 2), callback=lambda x: 1 / 0),
    odd("callback stops", status(99), callback=lambda x: throw(StopIteration())()),
    odd("callback stops, of a result", status(99), callback=lambda intermediate_result: throw(StopIteration)()),
    odd("callback returns True", SOLVED, callback=lambda x: True),
    odd("callback writes into x", SOLVED, callback=lambda x: x.fill(np.nan)),
    odd(
        "callback writes into the result's x",
        SOLVED,
        callback=lambda intermediate_result: intermediate_result.x.fill(9),
    ),
    odd("callback is a list's append", SOLVED, callback=[].append),
    odd("callback is a builtin", SOLVED, callback=id),
    odd("callback takes any", SOLVED, callback=lambda *args, **kwargs: None),
    *(
        odd(f"checkpoint is {name}", Refused(error, pattern), checkpoint=value)
        for name, value, error, pattern in [
            ("a number", 5, TypeError, "^checkpoint must"),
            ("bytes", b"weights", TypeError, "^checkpoint must"),
            ("a list", ["weights"], TypeError, "^checkpoint must"),
            ("True", True, TypeError, "^checkpoint must"),
            ("an empty string", "", FileNotFoundError, "no checkpoint"),
            ("nowhere", "/nowhere/at/all", FileNotFoundError, "no checkpoint"),
            ("a Path to nowhere", pathlib.Path("nowhere"), FileNotFoundError, "no checkpoint"),
            ("a name that is no path", "a\0b", FileNotFoundError, "no checkpoint"),
            ("a file", __file__, FileNotFoundError, "no checkpoint"),
        ]
    ),
    odd("an unknown argument", Refused(TypeError, "budgets"), budgets=3),
    odd("draws", SOLVED, both, jac=True, deterministic=False, budget=200),
    odd("deterministic is 1", SOLVED, deterministic=1),
]

# scipy.optimize.minimize(method=pop).
through = partial(scipy.optimize.minimize, method=pop)


def scipys(name, answer, fun=bowl, x0=START, options=None, **arguments):
    arguments = {"bounds": BOX, "options": {"budget": 60, "seed": 0} | (options or {})} | arguments
    return Case("SciPy: " + name, lambda: through(fun, x0, **arguments), answer)


SCIPY = [
    scipys("plain", SOLVED),
    scipys("no options", SOLVED, both, jac=True, options={}),
    scipys("jac=True", SOLVED, both, jac=True),
    scipys("jac is a function", SOLVED, jac=slope),
    scipys("jac by name, which SciPy drops", SOLVED, jac="3-point"),
    scipys("jac is nonsense, which SciPy drops", SOLVED, jac="nonsense"),
    scipys("no bounds", SOLVED, bounds=None),
    scipys("Bounds", SOLVED, bounds=Bounds(-5, 5)),
    scipys("args", SOLVED, lambda x, a: a * bowl(x), args=(3.0,)),
    scipys("args not in a tuple", SOLVED, lambda x, a: a * bowl(x), args=3.0),
    scipys("x0 of ints", SOLVED, x0=[4, 3]),
    scipys("x0 is a number", ANY, lambda x: x @ x, 3.0, bounds=[(-5, 5)]),
    scipys("x0 is a matrix", Refused(ValueError, "x0"), x0=[[4.0, 3.0]]),
    scipys("x0 outside", Refused(ValueError, "x0"), x0=[6.0, 3.0]),
    scipys("tol", SOLVED, both, jac=True, tol=1e-10),
    scipys("tol of 0", close(1e-2), tol=0),
    scipys("tol, coarse", status(0), tol=1.0),
    scipys("tol is a string", Refused(ValueError, "^tol must"), tol="small"),
    scipys("tol is negative", Refused(ValueError, "^tol must"), tol=-1),
    scipys("tol beside ftol", SOLVED, both, jac=True, tol=1e-3, options={"ftol": 1e-12, "gtol": 1e-9}),
    scipys("a constraint", Refused(ValueError, "constraints"), constraints={"type": "ineq", "fun": lambda x: x[0]}),
    scipys("a LinearConstraint", Refused(ValueError, "constraints"), constraints=LinearConstraint(np.eye(2), 0, 1)),
    scipys("no constraints", SOLVED, constraints=[]),
    scipys("hess", Warned(RuntimeWarning, "hess"), both, jac=True, hess=lambda x: np.eye(2)),
    scipys("hessp", Warned(RuntimeWarning, "hessp"), both, jac=True, hessp=lambda x, p: p),
    scipys("an unknown option", Warned(OptimizeWarning, "Unknown solver options: maxcor"), options={"maxcor": 5}),
    scipys("two unknown options", Warned(OptimizeWarning, "eps, iprint"), options={"eps": 5, "iprint": 1}),
    scipys("maxiter", Result(lambda r: r.nit == 4), options={"maxiter": 4}),
    scipys("maxfev", Result(lambda r: r.nfev == 12), options={"maxfev": 12}),
    scipys("maxiter of 0", Refused(ValueError, "maxiter"), options={"maxiter": 0}),
    scipys("maxfun, another's option", Warned(OptimizeWarning, "maxfun"), options={"maxfun": 12}),
    scipys("disp is False", SOLVED, options={"disp": False}),
    scipys("seed is a string", Refused(TypeError, "seed"), options={"seed": "a"}),
    scipys("callback", SOLVED, callback=lambda x: None),
    scipys("callback of a result", SOLVED, callback=lambda intermediate_result: None),
    scipys("callback stops", status(99), callback=lambda x: throw(StopIteration())()),
    scipys("fun returns None", Refused(TypeError, "^fun must return"), lambda x: None),
    scipys("fun raises", Raised(ZeroDivisionError, 0), lambda x: 1 / 0),
    scipys("upside-down bounds", Refused(ValueError, "bounds"), bounds=[(5, -5)] * 2),
    scipys("a fixed variable", Result(lambda r: r.x[1] == 3), bounds=[(-5, 5), (3, 3)]),
]


# Optimizer.
def asked(name, answer, use, **options):
    def run():
        optimizer = Optimizer(**{"bounds": BOX, "x0": START, "budget": 5, "rng": 0} | options)
        return use(optimizer)

    return Case("Optimizer: " + name, run, answer)


def tell(x, value=1.0, gradient=(1.0, 1.0)):
    return lambda optimizer: optimizer.tell(x, value, gradient)


def finished(optimizer):
    while not optimizer.done:
        optimizer.tell(x := optimizer.ask(), *both(x))
    return optimizer


def unchanged(use):
    """Whether a refused call leaves the optimizer as it was."""

    def run(optimizer):
        optimizer.tell(x := optimizer.ask(), *both(x))
        before, steps = optimizer.ask(), optimizer.steps
        with pytest.raises((TypeError, ValueError, RuntimeError)):
            use(optimizer)
        return (optimizer.ask() == before).all() and optimizer.steps == steps

    return run


IN_BOX = (0.5, 0.5)
ASK_TELL = [
    *(
        asked(f"tell x={name}", Refused(error, "^x must"), tell(x))
        for name, x, error in [
            ("too short", [1.0], ValueError),
            ("too long", [1.0, 2.0, 3.0], ValueError),
            ("a number", 1.0, ValueError),
            ("3-d", np.zeros((1, 1, 2)), ValueError),
            ("outside", [6.0, 0.0], ValueError),
            ("NaN", [math.nan, 0], ValueError),
            ("infinite", [math.inf, 0], ValueError),
            ("strings", ["a", "b"], TypeError),
            ("complex", [1j, 0], TypeError),
            ("None", None, TypeError),
            ("an object", object(), TypeError),
            ("beyond all floats", [10**400, 0], TypeError),
        ]
    ),
    *(
        asked(f"tell value={name}", Refused(TypeError, "^value must"), tell(IN_BOX, value))
        for name, value in [
            ("None", None),
            ("a string", "1"),
            ("complex", 1j),
            ("a vector", np.zeros(2)),
            ("a list", [1.0]),
            ("a pair", (1.0, IN_BOX)),
        ]
    ),
    *(
        asked(f"tell gradient={name}", Refused(error, "^gradient must"), tell(IN_BOX, 1.0, gradient))
        for name, gradient, error in [
            ("None", None, TypeError),
            ("strings", ["a", "b"], TypeError),
            ("complex", [1j, 0], TypeError),
            ("a number", 1.0, ValueError),
            ("too long", [1.0, 2.0, 3.0], ValueError),
            ("a row", [[1.0, 2.0]], ValueError),
        ]
    ),
    asked(
        "tell two points with one value",
        Refused(ValueError, "^value must have one entry"),
        tell([IN_BOX] * 2, [1.0], [IN_BOX] * 2),
    ),
    asked(
        "tell two points with a number",
        Refused(ValueError, "^value must have one entry"),
        tell([IN_BOX] * 2, 1.0, [IN_BOX] * 2),
    ),
    asked(
        "tell two points with one gradient",
        Refused(ValueError, "^gradient must have one entry"),
        tell([IN_BOX] * 2, [1.0, 2.0], [IN_BOX]),
    ),
    asked(
        "tell more than the budget",
        Refused(RuntimeError, "budget of 5 steps leaves room for 6 points, got 7"),
        tell([IN_BOX] * 7, [1.0] * 7, [IN_BOX] * 7),
    ),
    asked("tell after the end", Refused(RuntimeError, "budget"), lambda o: finished(o).tell(IN_BOX, 1.0, IN_BOX)),
    asked("ask after the end", Refused(RuntimeError, "budget"), lambda o: finished(o).ask()),
    asked("tell no points", Holds(), lambda o: o.tell(np.zeros((0, 2)), [], []) is None and o.steps == 0),
    asked(
        "a bad point in a batch", Holds(), unchanged(lambda o: o.tell([IN_BOX, (9.0, 0.0)], [1.0, 1.0], [IN_BOX] * 2))
    ),
    asked("a bad value in a batch", Holds(), unchanged(lambda o: o.tell([IN_BOX] * 2, [1.0, None], [IN_BOX] * 2))),
    asked("a batch too large", Holds(), unchanged(lambda o: o.tell([IN_BOX] * 6, [1.0] * 6, [IN_BOX] * 6))),
    asked("a budget of 0", Holds(), unchanged(lambda o: setattr(o, "budget", 0))),
    asked(
        "a budget below the steps made",
        Refused(ValueError, "^budget must be at least the 5 steps"),
        lambda o: setattr(finished(o), "budget", 4),
    ),
    asked("a budget of the steps made", Holds(), lambda o: setattr(finished(o), "budget", 5) or o.done),
    asked("a float budget", Refused(ValueError, "^budget must"), lambda o: setattr(o, "budget", 7.5)),
    asked(
        "result before anything",
        Holds(),
        lambda o: o.result().status == 2 and o.result().nfev == 0 and math.isnan(o.fun),
    ),
    asked("the start asked twice", Holds(), lambda o: (o.ask() == START).all() and (o.ask() == START).all()),
    asked("what is asked for is the caller's", Holds(), lambda o: o.ask().fill(9) or (o.ask() == START).all()),
    asked(
        "torch answers",
        Holds(),
        lambda o: o.tell(torch.tensor(o.ask()), torch.tensor(1.0), torch.ones(2)) or o.fun == 1,
    ),
    asked("a value of (1,)", Holds(), lambda o: o.tell(o.ask(), np.ones(1), [1, 1]) or o.fun == 1),
    asked("NaN", Holds(), lambda o: o.tell(o.ask(), math.nan, [math.nan] * 2) or o.result().status == 2),
    asked(
        "all fixed, and asked on",
        Refused(RuntimeError, "budget"),
        lambda o: o.tell(START, 1.0, IN_BOX) or o.ask(),
        bounds=[(4, 4), (3, 3)],
    ),
    *(
        Case(f"Optimizer: {name}", lambda options=options: Optimizer(**options), Refused(error, pattern))
        for name, options, error, pattern in [
            ("nothing given", {}, ValueError, "bounds or x0"),
            ("a bad budget", {"x0": START, "budget": 0}, ValueError, "^budget must"),
            ("bad bounds", {"bounds": 5}, TypeError, "^bounds must"),
            ("a bad start", {"bounds": BOX, "x0": "ab"}, TypeError, "^x0 must"),
            ("a bad region", {"x0": START, "region": 0}, ValueError, "^region must"),
            ("a bad ftol", {"x0": START, "ftol": -1}, ValueError, "^ftol must"),
            ("a bad gtol", {"x0": START, "gtol": "a"}, ValueError, "^gtol must"),
            ("a bad rng", {"x0": START, "rng": "a"}, TypeError, "^rng"),
            ("a bad checkpoint", {"x0": START, "checkpoint": 3}, TypeError, "^checkpoint must"),
        ]
    ),
]

TABLE = [
    *NUMBERS,
    *REFUSED_NUMBERS,
    *GRADIENTS,
    *REFUSED_GRADIENTS,
    *FUNCTIONS,
    *BEHAVIOUR,
    *GOOD_BOUNDS,
    *BAD_BOUNDS,
    *BOXES,
    *SUBNORMAL,
    *STARTS,
    *LIMITS,
    *OTHERS,
    *SCIPY,
    *ASK_TELL,
]


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)
def test_every_input_has_its_answer(case):
    case.answer(case.run)


def test_they_are_many_and_distinct():
    names = [case.name for case in TABLE]
    assert len(set(names)) == len(names) >= 300


def test_numpys_settings_do_not_matter():
    with np.errstate(all="raise"):
        strict = minimize(both, START, bounds=BOX, jac=True)
    np.testing.assert_array_equal(strict.x_iters, minimize(both, START, bounds=BOX, jac=True).x_iters)
