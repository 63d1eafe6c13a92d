import numpy as np
import pytest
from scipy.optimize import Bounds

from pop_optimizer.space import Space

BOX = [(-5.0, 5.0), (0.0, 1.0)]
LARGEST = np.finfo(np.float64).max


def test_a_finite_box_is_searched_whole():
    space = Space(BOX, [1.0, 0.5], region=0.1)
    np.testing.assert_array_equal(space.box.lower, [-5, 0])
    np.testing.assert_array_equal(space.box.upper, [5, 1])
    np.testing.assert_array_equal(space.start(np.random.default_rng(0)), [1.0, 0.5])
    np.testing.assert_array_equal(space.to_unit(np.array([5.0, 0.5])), [1, 0])


def test_a_start_not_given_is_uniform_in_the_box():
    space = Space([*BOX, (7.0, 7.0)], None)
    starts = np.array([space.start(np.random.default_rng(seed)) for seed in range(400)])
    assert (starts[:, 2] == 7).all()
    for low, high, column in [(-5, 5, 0), (0, 1, 1)]:
        assert ((starts[:, column] >= low) & (starts[:, column] <= high)).all()
        shares = np.histogram(starts[:, column], 4, (low, high))[0] / 400
        np.testing.assert_allclose(shares, 0.25, atol=0.08)


@pytest.mark.parametrize(
    ("x0", "region", "widths"),
    [
        ([0.0, 0.5], None, [1, 1]),
        ([10.0, -100.0], None, [10, 100]),
        ([10.0, -100.0], 3.0, [3, 3]),
        ([10.0, -100.0], [3.0, 0.5], [3, 0.5]),
    ],
)
def test_the_region_is_as_wide_as_the_start_or_as_told(x0, region, widths):
    space = Space(None, x0, region)
    np.testing.assert_array_equal(space.box.center, x0)
    np.testing.assert_array_equal(space.box.half_width, widths)
    assert np.isinf(space.lower).all()
    assert np.isinf(space.upper).all()


def test_a_region_ends_at_what_bound_there_is():
    space = Space([(-1.0, None), (None, 4.0), (None, None)], [0.0, 3.5, 1.0])
    np.testing.assert_array_equal(space.box.lower, [-1, 0, 0])
    np.testing.assert_array_equal(space.box.upper, [1, 4, 2])


def test_a_region_moves_to_the_point_and_grows_by_four_where_told():
    space = Space([(-1.0, None), (-5.0, 5.0), (None, None)], [0.0, 0.0, 0.0])
    x = np.array([1.0, 5.0, 0.5])
    assert space.presses(x, np.array([-1.0, -1.0, -1.0])).tolist() == [True, False, False]
    assert space.presses(x, np.array([1.0, 1.0, 1.0])).tolist() == [False, False, False]
    before = space.box
    center, scale = space.grow(x, np.array([True, False, False]))
    np.testing.assert_array_equal(space.box.lower, [-1, -5, -0.5])
    np.testing.assert_array_equal(space.box.upper, [5, 5, 1.5])
    # The new box as the one before sees it.
    np.testing.assert_allclose(before.from_unit(np.clip(center, -1, 1))[1:], space.box.center[1:])
    np.testing.assert_allclose(scale, space.box.half_width / before.half_width)


def test_a_bound_is_no_edge_to_press_on():
    space = Space([(-1.0, None), (None, 1.0)], [0.0, 0.0])
    assert not space.presses(np.array([-1.0, 1.0]), np.array([1.0, -1.0])).any()
    assert space.presses(np.array([2.0, -2.0]), np.array([-1.0, 1.0])).all()


@pytest.mark.parametrize("x0", [1e308, LARGEST, -LARGEST, 1e200, 1e17, 5e-324])
@pytest.mark.parametrize("region", [None, 1.0, 5e-324, LARGEST])
def test_every_region_is_a_box_and_can_grow(x0, region):
    space = Space(None, [x0, 0.0], region)
    for _ in range(1050):
        box = space.box
        assert np.isfinite([*box.lower, *box.upper, *box.half_width]).all()
        assert (box.lower < box.upper).all()
        assert ((box.lower <= [x0, 0]) & ([x0, 0] <= box.upper)).all()
        space.grow(np.array([x0, 0.0]), np.array([True, True]))
    assert (space.box.half_width > 1e307).all()


def test_equal_bounds_fix_variables():
    space = Space([(1.0, 1.0), (-5.0, 5.0), (2.0, 2.0)], [1.0, 0.0, 2.0])
    assert space.free.tolist() == [1]
    np.testing.assert_array_equal(space.full([3.0]), [1, 3, 2])
    np.testing.assert_array_equal(space.to_unit(np.array([1.0, 5.0, 2.0])), [1])
    assert len(Space([(1, 1)], None).free) == 0


def test_the_start_may_be_outside_by_rounding_only():
    for bound in (5.0, 1e-300, 1e300, -3.0):
        bounds = Bounds(bound, np.inf)
        below = bound - 8 * np.spacing(abs(bound))
        assert Space(bounds, [below]).start(np.random.default_rng(0)) == [bound]
        with pytest.raises(ValueError, match=r"x0\[0\] = .* is beyond the lower bound .* by "):
            Space(bounds, [bound - 64 * np.spacing(abs(bound))])


def test_a_start_outside_is_told_with_coordinate_numbers_and_excess():
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        Space([(0.1, 0.3)] * 3, [0.2, 0.3, 0.1 + 0.25])
    assert str(caught.value) == (
        "x0 must lie in the bounds: x0[2] = 0.35 is beyond the upper bound 0.3 by 0.04999999999999999"
    )


@pytest.mark.parametrize(
    "bounds",
    [
        BOX,
        np.array(BOX),
        Bounds([-5, 0], [5, 1]),
        [(-5, 5), np.array([0, 1])],
        iter(BOX),
        ((low, high) for low, high in BOX),
    ],
)
def test_bounds_come_in_many_forms(bounds):
    space = Space(bounds, None)
    np.testing.assert_array_equal([space.lower, space.upper], np.transpose(BOX))


@pytest.mark.parametrize("bounds", [Bounds(-5, 5), Bounds([-5], 5), Bounds(-5, [5, 5, 5])])
def test_scalar_bounds_are_of_all_variables(bounds):
    space = Space(bounds, [0.0, 0.0, 0.0])
    np.testing.assert_array_equal([space.lower, space.upper], [[-5] * 3, [5] * 3])


def test_only_bounded_variables_start_at_random():
    with pytest.raises(ValueError, match=r"x0 is needed where a variable has no bound: .* for variable 1"):
        Space([(0, 1), (0, None)], None)
    with pytest.raises(ValueError, match="bounds or x0 must be given"):
        Space(None, None)
