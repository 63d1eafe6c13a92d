import numpy as np
import pytest
import torch

from pop_envs.prior import WidePrior
from pop_envs.scout import _NEAREST, NUM_POINTS, Scout

DIMS = [1, 2, 3, 10, 40]


def walk(dim, steps=12, batch=30, seed=0):
    """Points (steps + 1, batch, dim) in the box and values (steps + 1, batch) that are far from standardized."""
    rng = np.random.default_rng(seed)
    points = torch.from_numpy(rng.uniform(-1, 1, (steps + 1, batch, dim)))
    return points, torch.from_numpy(rng.normal(-70, 5, (steps + 1, batch)))


def scouted(points, values):
    scout = Scout.start(points[0], values[0])
    for x, y in zip(points[1:], values[1:], strict=True):
        scout.observe(x, y)
    return scout


def model(scout, points, values):
    """Forecasts and clearances (batch, NUM_POINTS) from all that was seen at once."""
    distances = (scout.points[:, :, None] - points.transpose(0, 1)[:, None]).square().mean(-1).sqrt()
    weights = 1 / (distances**2 + _NEAREST)
    means = (weights * values.T[:, None]).sum(-1) / weights.sum(-1)
    low, high = values.amin(0)[:, None], values.amax(0)[:, None]
    return (means - low) / (high - low), distances.amin(-1)


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("steps", [1, 2, 12, 60])
def test_forecast_and_clearance_are_shepards_mean_and_the_nearest_distance(dim, steps):
    points, values = walk(dim, steps)
    scout = scouted(points, values)
    forecasts, clearances = model(scout, points, values)
    torch.testing.assert_close(scout.clearances, clearances, rtol=1e-9, atol=1e-12)
    chosen = (forecasts - clearances / clearances.amax(-1, keepdim=True)).argmin(-1)
    rows = torch.arange(len(chosen))
    assert torch.equal(scout.target, scout.points[rows, chosen])
    torch.testing.assert_close(scout.forecast, forecasts[rows, chosen], rtol=0, atol=1e-9)
    torch.testing.assert_close(scout.clearance, clearances[rows, chosen], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dim", DIMS)
def test_a_forecast_is_never_worse_than_the_clearance_makes_up_for(dim):
    points, values = walk(dim)
    scout = Scout.start(points[0], values[0])
    for x, y in zip(points[1:], values[1:], strict=True):
        scout.observe(x, y)
        # The point of the largest clearance has a score of at most 0, whatever its forecast.
        assert (scout.forecast <= scout.clearance / scout.clearances.amax(-1)).all()
        # A lower forecast is to be had for a smaller clearance only.
        forecasts = (scout.weighted / scout.weight - scout.low[:, None]) / (scout.high - scout.low)[:, None]
        lower = forecasts < scout.forecast[:, None] - 1e-12
        assert (scout.clearances.masked_fill(~lower, 0.0).amax(-1) < scout.clearance).all()


def test_a_forecast_by_hand():
    x = torch.tensor([[0.0, 0.0], [0.6, -0.8]], dtype=torch.float64)[:, None]
    scout = scouted(x, torch.tensor([[5.0], [3.0]], dtype=torch.float64))
    near, far = (scout.target[0] - x[1, 0]).square().sum() / 2, scout.target[0].square().sum() / 2
    expected = 1 / (1 + (far + _NEAREST) / (near + _NEAREST))  # 1 at the start, 0 at the better point
    assert scout.forecast.item() == pytest.approx(expected.item(), rel=1e-12)
    assert scout.clearance.item() == pytest.approx(min(near, far).item() ** 0.5, rel=1e-12)


@pytest.mark.parametrize("dim", DIMS)
def test_at_a_point_seen_the_forecast_is_its_value_and_the_clearance_zero(dim):
    points, values = walk(dim)
    scout = Scout.start(points[0], values[0])
    for k in (7, 20, 33):
        scout.observe(scout.points[:, k], values[k % 5])
    means = scout.weighted / scout.weight + scout.first[:, None]
    for k in (7, 20, 33):
        assert (scout.clearances[:, k] == 0).all()
        # Points are 1/32 apart at least, and the weight of another one is that of its distance.
        assert ((means[:, k] - values[k % 5]).abs() < 0.005 * (scout.high - scout.low)).all()


@pytest.mark.parametrize("dim", DIMS)
def test_points_are_spread_evenly_and_lie_in_the_box(dim):
    points, values = walk(dim)
    scout = Scout.start(points[0], values[0])
    assert scout.points.shape == (30, NUM_POINTS, dim)
    assert scout.points.abs().max() <= 1
    # Each coordinate of the first 2^k Sobol points is an even grid; around the torus it starts where the run does.
    half = 1 / NUM_POINTS
    offsets = (scout.points - points[0][:, None] + half) % 2 - half
    grid = torch.arange(NUM_POINTS).double() * 2 * half
    torch.testing.assert_close(offsets.sort(1).values, grid[None, :, None].expand_as(offsets), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("place", ["anywhere", "lower walls", "upper walls", "centre"])
def test_the_start_is_one_of_its_points(dim, place):
    points, values = walk(dim)
    places = {"anywhere": points[0], "lower walls": -1.0, "upper walls": 1.0, "centre": 0.0}
    start = torch.zeros_like(points[0]) + places[place]
    scout = Scout.start(start, values[0])
    assert torch.equal(scout.points[:, 0], start)
    assert (scout.clearances[:, 0] == 0).all()
    assert scout.points.abs().max() <= 1


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize(("factor", "shift"), [(1.0, 1e4), (1e-6, 0.0), (1e6, 0.0), (37.0, -5e5), (1e140, 0.0)])
def test_shifted_and_scaled_values_lead_to_the_same_place(dim, factor, shift):
    points, values = walk(dim)
    for steps in (1, 2, 13):
        plain = scouted(points[:steps], values[:steps])
        changed = scouted(points[:steps], factor * values[:steps] + shift)
        assert torch.equal(changed.target, plain.target)
        torch.testing.assert_close(changed.forecast, plain.forecast, rtol=0, atol=1e-8)
        assert torch.equal(changed.clearance, plain.clearance)


@pytest.mark.parametrize("dim", DIMS)
def test_where_all_values_are_the_same_it_goes_as_far_as_it_can(dim):
    points, _ = walk(dim)
    for constant in (0.0, 3.0, -1e150):
        scout = scouted(points, torch.full(points.shape[:2], constant, dtype=torch.float64))
        assert (scout.forecast == 0).all()
        assert torch.equal(scout.clearance, scout.clearances.amax(-1))


def test_the_first_target_on_a_line_is_at_the_farther_wall():
    x = torch.linspace(-1, 0.99, 20).double()[:, None]
    scout = Scout.start(x, torch.zeros(20).double())
    # Points are 1/32 apart.
    assert (scout.clearance - (1 + x[:, 0].abs())).abs().max() <= 1 / 32
    assert (scout.target * torch.where(x > 0, -1, 1) > 0).all()


@pytest.mark.parametrize("dim", DIMS)
def test_extreme_values_leave_it_finite(dim):
    points, values = walk(dim)
    values[5] = 1e150
    values[6] = -1e150
    scout = scouted(points, values)
    assert ((scout.forecast >= 0) & (scout.forecast <= 1)).all()
    assert scout.target.isfinite().all()
    assert torch.equal(scout.clearances, scouted(*walk(dim)).clearances)


@pytest.mark.parametrize("dim", DIMS)
def test_a_target_that_was_visited_is_not_proposed_again_at_once(dim):
    functions = WidePrior().sample(100, dim, np.random.default_rng(0))
    x, _ = walk(dim, batch=100)
    scout, seen = Scout.start(x[0], functions.value_and_grad(x[0])[0]), [x[0]]
    for _ in range(3):
        x = scout.target
        assert (torch.stack(seen) - x).abs().amax(-1).min() > 1e-6
        scout.observe(x, functions.value_and_grad(x)[0])
        seen.append(x)


def test_it_goes_to_the_better_of_two_places_that_are_as_far():
    # On a line, seen at both walls and in the middle: the gaps' midpoints are alike but for the values around them.
    x = torch.tensor([0.0, -1.0, 1.0]).double()[:, None, None]
    for left, right, side in ((0.0, 2.0, -1), (2.0, 0.0, 1)):
        scout = scouted(x, torch.tensor([[1.0], [left], [right]]).double())
        assert 0.25 < scout.target.item() * side < 0.75


def test_rows_are_independent():
    points, values = walk(3, batch=6)
    whole = scouted(points, values)
    for i in range(6):
        alone = scouted(points[:, i : i + 1], values[:, i : i + 1])
        assert torch.equal(alone.target[0], whole.target[i])
        torch.testing.assert_close(alone.forecast[0], whole.forecast[i], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(alone.clearances[0], whole.clearances[i], rtol=1e-12, atol=1e-12)


def test_what_is_seen_is_remembered_in_any_order():
    points, values = walk(2)
    order = torch.tensor([0, *torch.randperm(12, generator=torch.Generator().manual_seed(0)) + 1])
    one, other = scouted(points, values), scouted(points[order], values[order])
    assert torch.equal(one.target, other.target)
    assert torch.equal(one.clearances, other.clearances)
    torch.testing.assert_close(one.forecast, other.forecast, rtol=0, atol=1e-9)
