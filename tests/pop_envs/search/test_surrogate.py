from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pop_envs.objectives.gp_prior import WidePrior
from pop_envs.search.surrogate import LENGTHSCALE, NOISE, NUM_CANDIDATES, XI, Surrogate

DIMS = [1, 2, 3, 10, 40]
CAPACITY = 64


def walk(dim, steps=12, batch=30, seed=0):
    """Points (steps + 1, batch, dim) in the box and values (steps + 1, batch) that are far from standardized."""
    rng = np.random.default_rng(seed)
    points = torch.from_numpy(rng.uniform(-1, 1, (steps + 1, batch, dim)))
    return points, torch.from_numpy(rng.normal(-70, 5, (steps + 1, batch)))


def start(x, y):
    return Surrogate.start(x, y, CAPACITY)


def fitted(points, values):
    surrogate = start(points[0], values[0])
    for x, y in zip(points[1:], values[1:], strict=True):
        surrogate.update(x, y)
    return surrogate


def kernel(a, b):
    return (-((a[:, :, None] - b[:, None]) ** 2).mean(-1) / (2 * LENGTHSCALE**2)).exp()


def model(surrogate, points, values):
    """Means and deviations (batch, NUM_CANDIDATES) from all seen at once (Rasmussen & Williams, eq. 2.25-2.26)."""
    seen, y = points.transpose(0, 1), values.T[..., None]
    ones = torch.ones_like(y)
    inverse = (kernel(seen, seen) + NOISE * torch.eye(len(points), dtype=y.dtype)).inverse()
    constant = (ones.mT @ inverse @ y) / (ones.mT @ inverse @ ones)
    unit = ((y - constant).mT @ inverse @ (y - constant) / len(points)).sqrt()
    cross = kernel(surrogate.candidates, seen)
    means = constant + cross @ inverse @ (y - constant)
    variance = 1 - (cross @ inverse * cross).sum(-1)
    return ((means - y.amin(1, keepdim=True)) / unit)[..., 0], variance.sqrt()


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("steps", [1, 2, 12, 60])
def test_mean_and_deviation_are_a_gaussian_process_and_the_proposal_is_most_probably_better(dim, steps):
    points, values = walk(dim, steps)
    surrogate = fitted(points, values)
    means, deviations = model(surrogate, points, values)
    chosen = torch.special.log_ndtr((-XI - means) / deviations).argmax(-1)
    rows = torch.arange(len(chosen))
    assert torch.equal(surrogate.proposal, surrogate.candidates[rows, chosen])
    torch.testing.assert_close(surrogate.mean, means[rows, chosen], rtol=0, atol=1e-9)
    torch.testing.assert_close(surrogate.deviation, deviations[rows, chosen], rtol=0, atol=1e-9)


@pytest.mark.parametrize("dim", DIMS)
def test_what_is_whitened_is_the_inverse_cholesky_factor_times_covariances_values_ones_and_identity(dim):
    points, values = walk(dim)
    surrogate, seen = fitted(points, values), points.transpose(0, 1)
    identity = torch.eye(13, dtype=torch.float64)
    factor = torch.linalg.cholesky(kernel(seen, seen) + NOISE * identity)
    offsets = (values - values[0]).T[..., None]
    columns = [kernel(seen, surrogate.candidates), offsets, torch.ones_like(offsets), identity.expand(30, 13, 13)]
    whitened = torch.linalg.solve_triangular(factor, torch.cat(columns, -1), upper=False)
    expected = torch.zeros(30, CAPACITY, NUM_CANDIDATES + 2 + CAPACITY).double()
    expected[:, :13, : whitened.shape[2]] = whitened
    torch.testing.assert_close(surrogate.whitened, expected, rtol=0, atol=1e-9)


def test_one_point_by_hand():
    x = torch.tensor([[0.0, 0.0]], dtype=torch.float64)
    surrogate = start(x, torch.tensor([5.0], dtype=torch.float64))
    farthest = surrogate.candidates.square().sum(-1).amax() / 2
    assert surrogate.proposal.square().sum() / 2 == farthest
    assert surrogate.mean.item() == 0
    expected = (1 - (-farthest / LENGTHSCALE**2).exp() / (1 + NOISE)).sqrt()
    assert surrogate.deviation.item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("dim", DIMS)
def test_candidates_are_spread_evenly_and_lie_in_the_box(dim):
    points, values = walk(dim)
    surrogate = start(points[0], values[0])
    assert surrogate.candidates.shape == (30, NUM_CANDIDATES, dim)
    assert surrogate.candidates.abs().max() <= 1
    # Each coordinate of the first 2^k Sobol points is an even grid; around the torus it starts where the run does.
    half = 1 / NUM_CANDIDATES
    offsets = (surrogate.candidates - points[0][:, None] + half) % 2 - half
    grid = torch.arange(NUM_CANDIDATES).double() * 2 * half
    torch.testing.assert_close(offsets.sort(1).values, grid[None, :, None].expand_as(offsets), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("place", ["anywhere", "lower walls", "upper walls", "centre"])
def test_the_start_is_a_candidate(dim, place):
    points, values = walk(dim)
    places = {"anywhere": points[0], "lower walls": -1.0, "upper walls": 1.0, "centre": 0.0}
    at = torch.zeros_like(points[0]) + places[place]
    surrogate = start(at, values[0])
    assert torch.equal(surrogate.candidates[:, 0], at)
    assert surrogate.candidates.abs().max() <= 1


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize(("factor", "shift"), [(1.0, 1e4), (1e-6, 0.0), (1e6, 0.0), (37.0, -5e5), (1e140, 0.0)])
def test_shifted_and_scaled_values_lead_to_the_same_place(dim, factor, shift):
    points, values = walk(dim)
    for steps in (1, 2, 13):
        plain = fitted(points[:steps], values[:steps])
        changed = fitted(points[:steps], factor * values[:steps] + shift)
        assert torch.equal(changed.proposal, plain.proposal)
        torch.testing.assert_close(changed.mean, plain.mean, rtol=0, atol=1e-8)
        assert torch.equal(changed.deviation, plain.deviation)


@pytest.mark.parametrize("dim", DIMS)
def test_where_all_values_are_the_same_it_goes_where_it_knows_least(dim):
    points, _ = walk(dim)
    for constant in (0.0, 3.0, -1e150):
        values = torch.full(points.shape[:2], constant, dtype=torch.float64)
        surrogate = fitted(points, values)
        assert (surrogate.mean == 0).all()
        cross, seen = kernel(surrogate.candidates, points.transpose(0, 1)), points.transpose(0, 1)
        inverse = (kernel(seen, seen) + NOISE * torch.eye(13, dtype=torch.float64)).inverse()
        deviations = (1 - (cross @ inverse * cross).sum(-1)).sqrt()
        torch.testing.assert_close(surrogate.deviation, deviations.amax(-1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dim", DIMS)
def test_extreme_values_leave_it_finite(dim):
    points, values = walk(dim)
    values[5] = 1e150
    values[6] = -1e150
    surrogate = fitted(points, values)
    for name in ("proposal", "mean", "deviation"):
        assert getattr(surrogate, name).isfinite().all(), name


def test_a_descent_that_has_converged_leaves_it_finite_and_sends_it_elsewhere():
    x = torch.tensor([[0.3, -0.2]], dtype=torch.float64)
    surrogate = start(-x, torch.ones(1).double())
    for k in range(CAPACITY - 1):
        surrogate.update(x, torch.tensor([10.0**-k]).double())
    assert surrogate.mean.isfinite().all()
    assert surrogate.deviation.item() > 0
    assert (surrogate.proposal - x).abs().amax() > 0.3


@pytest.mark.parametrize("dim", DIMS)
def test_a_proposal_that_was_visited_is_not_proposed_again_at_once(dim):
    functions = WidePrior().sample(100, dim, np.random.default_rng(0))
    x, _ = walk(dim, batch=100)
    surrogate, seen = start(x[0], functions.value_and_grad(x[0])[0]), [x[0]]
    for _ in range(3):
        x = surrogate.proposal
        assert (torch.stack(seen) - x).abs().amax(-1).min() > 1e-6
        surrogate.update(x, functions.value_and_grad(x)[0])
        seen.append(x)


def test_it_goes_to_the_better_of_two_places_that_are_as_far():
    # On a line, seen at both walls and in the middle: the gaps' midpoints are alike but for the values around them.
    x = torch.tensor([0.0, -1.0, 1.0]).double()[:, None, None]
    for left, right, side in ((0.0, 2.0, -1), (2.0, 0.0, 1)):
        surrogate = fitted(x, torch.tensor([[1.0], [left], [right]]).double())
        assert 0.25 < surrogate.proposal.item() * side < 0.75


def test_rows_are_independent():
    points, values = walk(3, batch=6)
    whole = fitted(points, values)
    for i in range(6):
        alone = fitted(points[:, i : i + 1], values[:, i : i + 1])
        assert torch.equal(alone.proposal[0], whole.proposal[i])
        torch.testing.assert_close(alone.mean[0], whole.mean[i], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(alone.deviation[0], whole.deviation[i], rtol=1e-12, atol=1e-12)


def test_what_is_seen_is_remembered_in_any_order():
    points, values = walk(2)
    order = torch.tensor([0, *torch.randperm(12, generator=torch.Generator().manual_seed(0)) + 1])
    one, other = fitted(points, values), fitted(points[order], values[order])
    assert torch.equal(one.proposal, other.proposal)
    torch.testing.assert_close(one.deviation, other.deviation, rtol=0, atol=1e-9)
    torch.testing.assert_close(one.mean, other.mean, rtol=0, atol=1e-9)


def kept(surrogate, row):
    """The points that a row keeps, and their values, less the first."""
    count = surrogate.count[row]
    return surrogate.seen[row, :count], surrogate.values[row, :count]


def check_model(surrogate, atol=1e-8):
    """Mean and deviation of each row are those of a Gaussian process on the points that it keeps."""
    for row in range(len(surrogate.count)):
        points, values = kept(surrogate, row)
        only = SimpleNamespace(candidates=surrogate.candidates[row : row + 1])
        means, deviations = model(only, points[:, None], values[:, None])
        chosen = torch.special.log_ndtr((-XI - means[0]) / deviations[0]).argmax()
        assert torch.equal(surrogate.proposal[row], surrogate.candidates[row, chosen])
        assert surrogate.mean[row].item() == pytest.approx(means[0, chosen].item(), abs=atol)
        assert surrogate.deviation[row].item() == pytest.approx(deviations[0, chosen].item(), abs=atol)
        assert (surrogate.seen[row, len(points) :] > 2).all()


@pytest.mark.parametrize("dim", DIMS)
def test_when_it_is_full_half_of_the_points_is_forgotten_and_the_rest_is_the_whole_model(dim):
    points, values = walk(dim, steps=40, batch=5)
    surrogate = Surrogate.start(points[0], values[0], 16)
    for t, (x, y) in enumerate(zip(points[1:], values[1:], strict=True), 1):
        surrogate.update(x, y)
        assert (surrogate.count == (t + 1 if t < 16 else 9 + (t - 16) % 8)).all()
        check_model(surrogate)
        for row in range(5):
            place, low = kept(surrogate, row)[0], values[: t + 1, row]
            best = (place == points[low.argmin(), row]).all(-1)
            assert best.any()  # it is never forgotten
            assert (kept(surrogate, row)[1][best] + values[0, row] - low.min()).abs().max() < 1e-9
            for known in place:
                assert (points[: t + 1, row] == known).all(-1).any()


@pytest.mark.parametrize("dim", DIMS)
def test_what_is_forgotten_is_what_a_pivoted_cholesky_factorization_leaves_over(dim):
    """Each point that is kept is the one with the largest posterior variance given those chosen before it."""
    points, values = walk(dim, steps=12, batch=4)
    surrogate = Surrogate.start(points[0], values[0], 12)
    for x, y in zip(points[1:12], values[1:12], strict=True):
        surrogate.update(x, y)
    before = surrogate.seen.clone()
    surrogate.update(points[12], values[12])
    for row in range(4):
        chosen = [int(values[:12, row].argmin())]
        while len(chosen) < 6:
            known, all_points = before[row, chosen], before[row]
            cross = kernel(all_points[None], known[None])[0]
            inverse = (kernel(known[None], known[None])[0] + NOISE * torch.eye(len(chosen)).double()).inverse()
            variance = 1 - (cross @ inverse * cross).sum(-1)
            variance[chosen] = -torch.inf
            chosen.append(int(variance.argmax()))
        assert torch.equal(surrogate.seen[row, :6], before[row, chosen])
        assert torch.equal(surrogate.seen[row, 6], points[12, row])


def test_points_that_were_seen_twice_are_forgotten_first():
    rng = np.random.default_rng(0)
    places = torch.from_numpy(rng.uniform(-1, 1, (8, 1, 2)))
    order = [0, 0, 1, 1, 2, 0, 3, 3, 4, 5, 5, 6, 7, 7, 7, 2]
    surrogate = Surrogate.start(places[0], torch.zeros(1).double(), 16)
    for k in order[1:]:
        surrogate.update(places[k], torch.tensor([float(k)]).double())
    surrogate.update(torch.full((1, 2), 0.99).double(), torch.ones(1).double())
    found = kept(surrogate, 0)[0][:8]
    assert sorted(map(tuple, found.tolist())) == sorted(map(tuple, places[:, 0].tolist()))


def test_the_best_point_is_kept_among_its_neighbours():
    x = torch.tensor([[0.1, 0.2]]).double()
    surrogate = Surrogate.start(x, torch.ones(1).double(), 8)
    for k in range(1, 40):  # a descent that converges
        surrogate.update(x + 0.5**k, torch.tensor([2.0**-k]).double())
        assert (kept(surrogate, 0)[0] == x + 0.5**k).all(-1).any()
        assert kept(surrogate, 0)[1].min().item() + 1 == pytest.approx(2.0**-k, abs=1e-12)
        check_model(surrogate)


def test_while_it_is_not_full_its_capacity_changes_nothing():
    points, values = walk(3, steps=15)
    surrogates = [Surrogate.start(points[0], values[0], capacity) for capacity in (16, 40, CAPACITY)]
    for x, y in zip(points[1:], values[1:], strict=True):
        for surrogate in surrogates:
            surrogate.update(x, y)
        one, *others = surrogates
        for other in others:
            assert torch.equal(other.proposal, one.proposal)
            torch.testing.assert_close(other.mean, one.mean, rtol=0, atol=1e-12)
            torch.testing.assert_close(other.deviation, one.deviation, rtol=0, atol=1e-12)
            columns = NUM_CANDIDATES + 2 + 16
            torch.testing.assert_close(other.whitened[:, :16, :columns], one.whitened, rtol=0, atol=1e-12)


def test_a_thousand_points_take_no_more_memory_than_its_capacity():
    points, values = walk(2, steps=1000, batch=2)
    surrogate = Surrogate.start(points[0], values[0], 32)
    sizes = {name: part.shape for name, part in vars(surrogate).items()}
    held = surrogate.points, surrogate.values, surrogate.whitened
    for x, y in zip(points[1:], values[1:], strict=True):
        surrogate.update(x, y)
        assert surrogate.count.max() <= 32
    assert {name: part.shape for name, part in vars(surrogate).items()} == sizes
    assert held[0] is surrogate.points
    assert held[1] is surrogate.values
    assert held[2] is surrogate.whitened
    check_model(surrogate)
    assert torch.equal(surrogate.low, values.amin(0) - values[0])


def test_rows_that_are_full_at_different_times_forget_each_for_itself():
    points, values = walk(2, steps=30, batch=3)
    surrogate = Surrogate.start(points[0], values[0], 8)
    alone = [Surrogate.start(points[0, i : i + 1], values[0, i : i + 1], 8) for i in range(3)]
    for t in range(1, 31):
        if t in (3, 14):  # the second begins anew
            alone[1] = Surrogate.start(points[t, 1:2], values[t, 1:2], 8)
            for name, part in vars(alone[1]).items():
                getattr(surrogate, name)[1] = part[0]
        surrogate.update(points[t], values[t])
        for i, one in enumerate(alone):
            one.update(points[t, i : i + 1], values[t, i : i + 1])
            for name, part in vars(one).items():
                torch.testing.assert_close(part[0], getattr(surrogate, name)[i], rtol=0, atol=1e-9, msg=name)
    assert len(surrogate.count.unique()) > 1
    check_model(surrogate)


@pytest.mark.parametrize(("factor", "shift"), [(1e-6, 0.0), (37.0, -5e5)])
def test_what_is_forgotten_does_not_depend_on_the_scale_of_values(factor, shift):
    points, values = walk(2, steps=60)
    one, other = Surrogate.start(points[0], values[0], 16), Surrogate.start(points[0], factor * values[0] + shift, 16)
    for x, y in zip(points[1:], values[1:], strict=True):
        one.update(x, y)
        other.update(x, factor * y + shift)
        assert torch.equal(one.seen, other.seen)
        assert torch.equal(one.proposal, other.proposal)
        torch.testing.assert_close(one.mean, other.mean, rtol=0, atol=1e-7)
