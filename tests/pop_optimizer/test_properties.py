"""What holds of every run, whatever the objective, bounds, start, precision, budget and options."""

import math
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds

from pop_optimizer import Optimizer, minimize
from pop_optimizer.function import Function, number
from pop_optimizer.optimizer import FTOL
from pop_optimizer.space import Space

LARGEST = np.finfo(np.float64).max


def cases(count):
    """Always the same examples, as many as that."""
    return settings(
        max_examples=count,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )


# Objectives


def bowl(x, c):
    return ((x - c) ** 2).sum()


def wavy(x, c):
    return ((x - c) ** 2).sum() + 3 * np.cos(3 * (x - c)).sum()


def valley(x, c):
    return ((x[1:] - x[:-1] ** 2) ** 2).sum() * 10 + ((x - c) ** 2).sum()


def kinked(x, c):
    return np.abs(x - c).sum()


def stepped(x, c):
    return np.floor(x - c).sum()


def flat(x, c):
    return c


def cliff(x, c):
    return bowl(x, c) if x[0] <= c else math.nan


def pole(x, c):
    return 1 / (x[0] - c) if x[0] != c else -math.inf


def steep(x, c):
    return np.exp(np.abs(x - c)).sum()


def nothing(x, c):
    return math.nan


SLOPES = {bowl: lambda x, c: 2 * (x - c), wavy: lambda x, c: 2 * (x - c) - 9 * np.sin(3 * (x - c))}
FUNCTIONS = [bowl, wavy, valley, kinked, stepped, flat, cliff, pole, steep, nothing]
KINDS = {
    "float": float,
    "float32": np.float32,
    "float16": np.float16,
    "array": lambda y: np.array([y]),
    "torch": lambda y: torch.tensor(y, dtype=torch.float32),
    "int": lambda y: int(y) if math.isfinite(y) else y,
}


class Problem(NamedTuple):
    """A run, and the calls that it makes."""

    function: Any
    center: float
    scale: float
    kind: str
    bounds: list
    x0: Any
    jac: Any
    budget: int
    options: dict

    def run(self, **changes):
        calls = []

        def value(x):
            with np.errstate(all="ignore"):
                return self.scale * float(self.function(x, self.center))

        def fun(x):
            calls.append(x.copy())
            with np.errstate(all="ignore"):
                y = KINDS[self.kind](value(x))
            return (y, slope(x)) if self.jac is True else y

        def slope(x):
            if self.function in SLOPES:
                return self.scale * SLOPES[self.function](x, self.center)
            step = 1e-6 * np.maximum(1, np.abs(x))
            with np.errstate(all="ignore"):
                return np.array([(value(x + d) - value(x - d)) / (2 * abs(d).max()) for d in np.diag(step)])

        jac = slope if self.jac == "function" else self.jac
        options = {"bounds": self.bounds, "jac": jac, "budget": self.budget, "rng": 0} | self.options | changes
        return minimize(fun, self.x0, **options), np.array(calls)


def parts(low, high):
    """Numbers between integers, which no product of a run makes vanish."""
    return st.integers(64 * low, 64 * high).map(lambda n: n / 64)


@st.composite
def problems(draw, functions=FUNCTIONS, kinds=tuple(KINDS), free=True):
    dim = draw(st.integers(1, 4))
    bounds, x0 = [], []
    for _ in range(dim):
        magnitude = draw(st.sampled_from([1e-3, 1.0, 10.0, 1e4]))
        low = magnitude * draw(parts(-1, 1))
        width = magnitude * (draw(parts(0, 2)) + 1e-3)
        kind = draw(st.sampled_from(["box", "box", "fixed", *(["lower", "upper", "none"] if free else [])]))
        pair = {
            "box": (low, low + width),
            "fixed": (low, low),
            "lower": (low, None),
            "upper": (None, low + width),
            "none": (None, None),
        }[kind]
        bounds.append(pair)
        x0.append(low if kind == "fixed" else min(max(low + width * draw(parts(0, 1)), low), low + width))
    bounded = all(None not in pair for pair in bounds)
    jac = draw(st.sampled_from([True, "function", None, "2-point", "3-point"]))
    price = {True: 1, "function": 1, "3-point": 2 * dim + 1}.get(jac, dim + 1)
    options = {
        "stop": draw(st.sampled_from([None, "converged"])),
        "gtol": draw(st.sampled_from([None, 1e-3])),
        "deterministic": draw(st.booleans()),
        "target": draw(st.sampled_from([None, None, 0.1])),
        "region": draw(st.sampled_from([None, 0.1, 5.0])),
    }
    return Problem(
        function=draw(st.sampled_from(functions)),
        center=draw(parts(-2, 2)),
        scale=draw(st.sampled_from([1.0, 1.0, 1e-6, 1e6, 1e-200, 1e200, -1.0])),
        kind=draw(st.sampled_from(kinds)),
        bounds=bounds,
        x0=draw(st.sampled_from([x0, None])) if bounded else x0,
        jac=jac,
        budget=2 * price + draw(st.integers(0, 8 * price)),
        options=options,
    )


@cases(150)
@given(problems())
def test_every_run(problem):
    result, calls = problem.run()
    values, path = result.func_vals, result.x_iters
    lower = np.array([-np.inf if low is None else low for low, _ in problem.bounds])
    upper = np.array([np.inf if high is None else high for _, high in problem.bounds])
    # Neither the points nor the differences leave the bounds.
    assert np.isfinite(calls).all()
    assert ((lower <= calls) & (calls <= upper)).all()
    # The budget is kept, and what was spent is told.
    assert result.nfev == len(calls) <= problem.budget + 1
    assert len(path) == len(values) == result.nit + 1
    assert result.njev == (len(path) if problem.jac in (True, "function") else 0)
    if problem.x0 is not None:
        np.testing.assert_array_equal(path[0], problem.x0)
    # The best is the least finite value of the path.
    finite = np.isfinite(values)
    assert any(np.array_equal(result.x, x) for x in path)
    if finite.any():
        assert result.fun == values[finite].min()
    else:
        assert (result.success, result.status) == (False, 2)
    # Success only where a criterion holds.
    assert result.success == (result.status == 0)
    free = lower < upper
    if result.success and free.any() and "target" not in result.message:
        assert np.isfinite(result.jac[free]).all()
        steepest = np.abs(np.clip(-result.jac, lower - result.x, upper - result.x)[free]).max()
        promised = "the next step promises" in result.message
        assert promised or steepest <= (problem.options["gtol"] or 0.0)
        if promised:
            fall = float(result.message.split("no more than ")[1].split()[0])
            assert fall <= 1.06 * FTOL * max(abs(result.fun), min(1.0, values[finite][0] - result.fun))
    if problem.options["target"] is not None and "target" in result.message:
        assert result.fun <= problem.options["target"]
    assert 0 <= result.descents_to_best <= result.descents <= max(len(path), 1)
    assert str(result)


@cases(25)
@given(problems(), st.integers(0, 2**64))
def test_the_same_seed_gives_the_same_path(problem, seed):
    one, other = (problem.run(rng=seed)[0] for _ in range(2))
    np.testing.assert_array_equal(one.x_iters, other.x_iters)
    np.testing.assert_array_equal(one.func_vals, other.func_vals)
    assert one.message == other.message


SMOOTH = [bowl, wavy]
ALIKE = {"stop": None, "target": None, "gtol": None, "deterministic": True}


def alike(result, other):
    """Whether the first steps are the same to what rounding amounts to, relative to how far they lead."""
    path = result.x_iters[:6]
    size = np.maximum(np.ptp(path, axis=0), np.abs(path).max(0) * 1e-3) + 1e-9
    np.testing.assert_allclose(other.x_iters[:6] / size, path / size, atol=5e-3)


@cases(25)
@given(problems(SMOOTH, ["float"]), st.sampled_from([2.0**-900, 2.0**-200, 2.0**-20, 2.0, 2.0**40, 2.0**200, 2.0**900]))
def test_scaling_the_function_leaves_the_path(problem, factor):
    problem = problem._replace(scale=1.0, jac="function")
    result = problem.run(**ALIKE)[0]
    assume(result.func_vals[0] != 0)  # or else a size is not to be seen
    alike(result, problem._replace(scale=factor).run(**ALIKE)[0])


@cases(25)
@given(problems(SMOOTH, ["float"]), st.floats(-1, 1))
def test_shifting_the_function_leaves_the_path(problem, shift):
    problem = problem._replace(scale=1.0, jac="function")
    assume(all(0.1 < abs(side or 1) < 100 for pair in problem.bounds for side in pair))  # what rounding leaves

    def moved(x, c):
        return problem.function(x, c) + shift

    SLOPES[moved] = SLOPES[problem.function]
    alike(problem.run(**ALIKE)[0], problem._replace(function=moved).run(**ALIKE)[0])


@cases(25)
@given(problems(SMOOTH, ["float"]), st.randoms(use_true_random=False))
def test_permuting_the_coordinates_permutes_the_path(problem, random):
    """Of a first descent; where a search jumps to depends on the order, as the candidates' coordinates do."""
    problem = problem._replace(scale=1.0, jac="function", function=bowl)
    order = list(range(len(problem.bounds)))
    random.shuffle(order)
    assume(problem.x0 is not None)
    permuted = problem._replace(bounds=[problem.bounds[i] for i in order], x0=[problem.x0[i] for i in order])
    one, other = problem.run(maxiter=2, **ALIKE)[0], permuted.run(maxiter=2, **ALIKE)[0]
    assume(one.func_vals[0] > 0)  # or else the first step is a jump
    np.testing.assert_allclose(one.x_iters[:2, order], other.x_iters[:2], rtol=1e-6, atol=1e-9)


@cases(40)
@given(problems(free=True), st.lists(st.floats(0, 1), min_size=4, max_size=4), st.data())
def test_told_points_count_like_asked_ones(problem, shares, data):
    assume(problem.x0 is not None)
    optimizer = Optimizer(problem.bounds, problem.x0, budget=6, rng=0)
    told = 0
    while not optimizer.done:
        x = optimizer.ask()
        if data.draw(st.booleans()):
            x = np.clip(x * (1 + np.array(shares[: len(x)])), optimizer.space.lower, optimizer.space.upper)
        optimizer.tell(x, bowl(x, problem.center), 2 * (x - problem.center))
        told += 1
        assert optimizer.result().nfev == told
        assert optimizer.fun == optimizer.result().func_vals.min()
    assert told == (7 if len(optimizer.space.free) else 1)


finite = st.floats(allow_nan=False, allow_infinity=False)


@cases(200)
@given(finite, finite, st.floats(0, 1), st.sampled_from(["2-point", "3-point"]))
def test_differences_stay_in_any_box(one, other, share, jac):
    low, high = sorted((one, other))
    x = min(max(low + share * (high / 2 - low / 2), low), high)
    points = []
    function = Function(lambda x: points.append(x) or 1.0, jac, (), np.array([low]), np.array([high]))
    _, slopes = function(np.array([x]))
    assert slopes == 0
    assert len(points) == function.price == function.nfev
    assert all(low <= point <= high for point in points)
    assert all(point != x for point in points[1:])


@cases(200)
@given(finite, finite, st.lists(st.floats(-1, 1), min_size=1, max_size=5))
def test_any_box_holds_what_comes_from_the_unit_box(one, other, shares):
    low, high = sorted((one, other))
    assume(low < high)
    space = Space(Bounds([low], [high]), None)
    for share in [*shares, -1.0, 1.0]:
        x = space.full(space.box.from_unit([share]))
        assert low <= x <= high
    assert space.full(space.box.from_unit([1.0])) == high
    assert space.full(space.box.from_unit([-1.0])) == low
    assert np.isfinite(space.to_unit(np.array([high]))).all()


@cases(200)
@given(finite, st.sampled_from([None, 1e-300, 1e-3, 1.0, 1e300, LARGEST]), st.integers(0, 3))
def test_any_start_has_a_region(x0, region, grown):
    space = Space(None, [x0], region)
    for _ in range(grown):
        space.grow(np.array([x0]), np.array([True]))
    assert -LARGEST <= space.box.lower <= x0 <= space.box.upper <= LARGEST
    assert space.box.lower < space.box.upper


@cases(200)
@given(st.one_of(st.floats(), st.integers(), st.booleans(), st.decimals(allow_nan=False), st.fractions()))
def test_any_real_number_is_a_value(answer):
    found = number(answer)
    assert type(found) is float
    np.testing.assert_equal(found, _float(answer))


def _float(answer):
    try:
        return float(answer)
    except OverflowError:
        return math.copysign(math.inf, answer)


@cases(100)
@given(
    st.one_of(
        st.none(),
        st.text(),
        st.binary(),
        st.complex_numbers(),
        st.lists(st.floats()),
        st.dates(),
        st.sets(st.integers()),
    )
)
def test_anything_else_is_refused_by_name(answer):
    with pytest.raises(TypeError, match=r"^fun must return"):
        number(answer)
