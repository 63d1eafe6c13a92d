import math

import numpy as np
import pytest
import torch

from pop_optimizer.function import Function, array_of, gradient, number, precision

EPS = 2.0**-52
FREE = np.full(2, -np.inf), np.full(2, np.inf)
LARGEST = np.finfo(np.float64).max


class Watched:
    """A function that keeps the points it is called at."""

    def __init__(self, fun):
        self.fun, self.points = fun, []

    def __call__(self, x, *args):
        self.points.append(x)
        return self.fun(x, *args)


def estimate(fun, x, jac="2-point", lower=-np.inf, upper=np.inf):
    """The gradient at ``x`` by differences, and the points that it took besides."""
    x = np.array(x, dtype=np.float64)
    watched = Watched(fun)
    bounds = (np.broadcast_to(np.float64(side), x.shape).copy() for side in (lower, upper))
    function = Function(watched, jac, (), *bounds)
    value, slopes = function(x)
    assert function.nfev == len(watched.points) == function.price
    assert function.njev == 0
    np.testing.assert_array_equal(watched.points[0], x)
    np.testing.assert_equal(value, number(fun(x)))
    return slopes, np.array(watched.points[1:])


def cubic(x):
    return ((x - 1) ** 3 + x).sum()


def cubic_slope(x):
    return 3 * (x - 1) ** 2 + 1


@pytest.mark.parametrize(
    ("jac", "moves"),
    [
        ("2-point", [EPS ** (1 / 2), EPS ** (1 / 2)]),
        ("3-point", [-(EPS ** (1 / 3)), EPS ** (1 / 3)] * 2),
        ("cs", [1j * EPS ** (1 / 2)] * 2),
    ],
)
def test_the_steps_are_roots_of_the_precision_along_one_coordinate_after_the_other(jac, moves):
    _, points = estimate(cubic, [0.5, -0.25], jac)
    moved = points - [0.5, -0.25]
    along = np.repeat([0, 1], len(moves) // 2)
    # To one side or the other.
    np.testing.assert_allclose(np.abs(moved[range(len(moves)), along]), np.abs(moves), rtol=1e-6)
    assert (moved[range(len(moves)), 1 - along] == 0).all()
    assert np.iscomplexobj(points) == (jac == "cs")


@pytest.mark.parametrize(("jac", "tolerance"), [("2-point", 1e-7), ("3-point", 1e-9), ("cs", 1e-14)])
@pytest.mark.parametrize("x", [[0.5, -0.25], [3.0, 0.0], [-7.0, 1e-8], [1e3, -1e3]])
def test_differences_are_the_gradient_to_their_order(jac, tolerance, x):
    slopes, _ = estimate(cubic, x, jac)
    scale = 1 + np.abs(x).max() ** 3
    np.testing.assert_allclose(slopes, cubic_slope(np.array(x)), atol=10 * tolerance * scale, rtol=1e-5)


def test_three_points_are_exact_for_quadratics_also_at_a_wall():
    for x in ([0.0, 0.0], [1.0, 1.0], [0.5, 1.0], [1e-9, 1 - 1e-9]):
        slopes, points = estimate(lambda x: 3 * x[0] ** 2 - x[0] * x[1], x, "3-point", 0.0, 1.0)
        assert ((points >= 0) & (points <= 1)).all()
        np.testing.assert_allclose(slopes, [6 * x[0] - x[1], -x[0]], atol=1e-9)


@pytest.mark.parametrize("jac", ["2-point", "3-point"])
@pytest.mark.parametrize(
    ("lower", "upper"),
    [
        (0.0, 1.0),
        (-1e-9, 1e-9),
        (-1e-300, 1e-300),
        (0.0, 1e-320),
        (0.0, 5e-324),
        (1.0, 1.0 + EPS),
        (1e9, 1e9 + 1),
        (-1e300, -0.5e300),
        (-1e308, 1e308),
        (-LARGEST, LARGEST),
        (0.0, LARGEST),
        (-3.0, np.inf),
        (-np.inf, 7.0),
    ],
)
def test_no_difference_leaves_the_box_and_linear_functions_have_their_slope(jac, lower, upper):
    finite = [side for side in (lower, upper) if np.isfinite(side)]
    inner = [lower / 2 + upper / 2, lower / 4 + upper / 4 * 3] if len(finite) == 2 else [0.0, 1.0]
    for x in [*finite, *(min(max(point, lower), upper) for point in inner)]:
        slopes, points = estimate(lambda x: x[0] / 4 - x[1] / 8, [x, x], jac, lower, upper)
        assert ((points >= lower) & (points <= upper) & np.isfinite(points)).all()
        assert ((points != x).sum(1) == 1).all()  # each a real move
        if upper / 2 - lower / 2 > 1e-300:
            np.testing.assert_allclose(slopes, [0.25, -0.125], rtol=1e-5)


@pytest.mark.parametrize("x", [LARGEST, -LARGEST, 1e308, 1e200, -1e200, 1e20, 1e-300, 5e-324, 0.0])
@pytest.mark.parametrize("jac", ["2-point", "3-point", "cs"])
def test_without_bounds_no_step_is_infinite_nor_none(x, jac):
    slopes, points = estimate(lambda x: (x / 4).sum(), [x, x], jac)
    assert np.isfinite(points).all()
    assert ((points != x).sum(1) == 1).all()
    np.testing.assert_allclose(slopes, 0.25, rtol=1e-5)


@pytest.mark.parametrize("jac", ["2-point", "3-point"])
@pytest.mark.parametrize(
    ("kind", "eps"),
    [
        (np.float64, EPS),
        (np.float32, 2.0**-23),
        (np.float16, 2.0**-10),
        (lambda v: torch.tensor(v, dtype=torch.float32), 2.0**-23),
        (lambda v: torch.tensor(v, dtype=torch.float16), 2.0**-10),
        (lambda v: torch.tensor(v, dtype=torch.bfloat16), 2.0**-7),
        (lambda v: np.array([v], np.float32), 2.0**-23),
        (np.longdouble, EPS),
    ],
    ids=["float64", "float32", "float16", "torch32", "torch16", "bfloat16", "array32", "longdouble"],
)
def test_the_step_fits_the_precision_of_the_answer(jac, kind, eps):
    slopes, points = estimate(lambda x: kind(float(x @ x)), [0.7, -0.4], jac)
    step = eps ** {"2-point": 1 / 2, "3-point": 1 / 3}[jac]
    np.testing.assert_allclose(np.abs(points - [0.7, -0.4]).max(1), step, rtol=1e-6)
    # What the values' rounding leaves, and the curvature.
    np.testing.assert_allclose(slopes, [1.4, -0.8], atol=3 * eps / step + 2 * step)
    assert precision(kind(1.0)) == eps


def test_what_is_fixed_has_no_slope_and_costs_nothing():
    function = Function(lambda x: x.sum(), None, (), np.array([0.0, 2.0]), np.array([1.0, 2.0]))
    assert function.price == 2
    np.testing.assert_allclose(function(np.array([0.5, 2.0]))[1], [1.0, 0.0], rtol=1e-6)
    assert function.nfev == 2


@pytest.mark.parametrize(
    ("jac", "price", "nfev", "njev"),
    [
        (None, 3, 3, 0),
        (False, 3, 3, 0),
        ("2-point", 3, 3, 0),
        ("3-point", 5, 5, 0),
        ("cs", 3, 3, 0),
        (np.ones_like, 1, 1, 1),
    ],
)
def test_prices_and_counts(jac, price, nfev, njev):
    function = Function(lambda x: x.sum(), jac, (), *FREE)
    for calls in (1, 2):
        function(np.zeros(2))
        assert (function.price, function.nfev, function.njev) == (price, calls * nfev, calls * njev)


@pytest.mark.parametrize("jac", [True, np.True_])
def test_a_pair_counts_once(jac):
    function = Function(lambda x: (x.sum(), np.ones(2)), jac, (), *FREE)
    value, slopes = function(np.array([1.0, 2.0]))
    assert (value, slopes.tolist(), function.nfev, function.njev, function.price) == (3.0, [1.0, 1.0], 1, 1, 1)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("jac", ["2-point", "3-point"])
def test_differences_beside_what_is_not_finite_are_not_either(bad, jac):
    slopes, _ = estimate(lambda x: bad if x[0] < 0.5 else float(x.sum()), [0.5, 0.0], jac, 0.0, 0.9)
    assert not np.isfinite(slopes[0]) or jac == "3-point"
    np.testing.assert_allclose(slopes[1], 1.0, rtol=1e-6)
    slopes, _ = estimate(lambda x: bad, [0.5, 0.5], jac)
    assert not np.isfinite(slopes).any()


def test_what_is_called_gets_points_of_its_own():
    x = np.array([1.0, 2.0])

    def rough(x):
        x *= np.nan
        return 1.0

    for jac in (None, "3-point", rough and (lambda x: x.fill(9) or np.ones(2))):
        Function(rough, jac, (), *FREE)(x)
    np.testing.assert_array_equal(x, [1.0, 2.0])


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (3, 3.0),
        (True, 1.0),
        (np.float32(0.5), 0.5),
        (np.array([[0.25]]), 0.25),
        (torch.tensor([2.0], requires_grad=True), 2.0),
        (torch.tensor(2.0, dtype=torch.bfloat16), 2.0),
        (10**400, math.inf),
        (-(10**400), -math.inf),
        (np.ma.masked, math.nan),
        (np.ma.array(3, mask=True), math.nan),
        (np.ma.array(3, mask=False), 3.0),
    ],
)
def test_numbers_of_many_kinds(answer, expected):
    found = number(answer)
    assert type(found) is float
    np.testing.assert_equal(found, expected)


def test_errors_speak_of_the_function_and_show_what_came():
    with pytest.raises(
        TypeError, match=r"^fun must return a number, got list \[1\.0, 2\.0\]; for a pair .* give jac=True"
    ):
        number([1.0, 2.0])
    with pytest.raises(TypeError, match=r"^fun must return a real number, got ndarray .* of shape \(2,\)"):
        number(np.zeros(2))
    with pytest.raises(TypeError, match=r"^value must be a real number, got complex 1j"):
        number(1j, "value must be")
    with pytest.raises(ValueError, match=r"^jac must have shape \(2,\), got \(3,\)"):
        gradient(np.zeros(3), (2,), "jac")
    with pytest.raises(
        TypeError, match=r"^jac must be an array of real numbers, got list \[None, 1\.0\]: None among them"
    ):
        gradient([None, 1.0], (2,), "jac")
    with pytest.raises(TypeError, match=r"\.\.\.$"):
        number("a" * 1000)
    assert len(_message(number, "a" * 1000)) < 150


def _message(call, *args):
    with pytest.raises(TypeError) as caught:
        call(*args)
    return str(caught.value)


def test_arrays_of_torch_are_numpys():
    for tensor in (
        torch.ones(2, requires_grad=True),
        torch.ones(2).bfloat16(),
        torch.ones(2, dtype=torch.complex64).conj(),
    ):
        found = array_of(tensor)
        assert isinstance(found, np.ndarray)
        np.testing.assert_array_equal(found, [1, 1])
    np.testing.assert_array_equal(array_of(np.ma.array([1, 2], mask=[0, 1])), [1, np.nan])


def test_a_gradient_is_a_copy_of_float64():
    kept = np.ones(2, np.float32)
    found = gradient(kept, (2,), "jac")
    kept[:] = 9
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [1, 1])
    assert gradient(3.0, (1,), "jac").shape == (1,)
