import math

import numpy as np
import pytest
import torch

from pop_envs.objectives.plain_prior import PlainPrior
from pop_envs.search.surrogate import Surrogate
from pop_envs.search.trajectory import Trajectory

NAN, INF = float("nan"), float("inf")
STEPS = 40


def row(*values):
    return torch.tensor([values], dtype=torch.float64)


def start(y=2.0, x=(0.5, -0.5), g=(1.0, -4.0)):
    return Trajectory.start(row(*x), torch.tensor([y], dtype=torch.float64), row(*g), capacity=STEPS + 1)


def observe(run, y, x=(0.1, 0.2), g=(1.0, 2.0), action=(0.0, 0.0)):
    run.update(row(*action), row(*x), torch.tensor([y], dtype=torch.float64), row(*g))
    return run


def test_running_moments_best_and_improvement():
    values = np.random.default_rng(0).normal(1e3, 5.0, STEPS)
    run = start(values[0])
    for t, y in enumerate(values[1:], 1):
        observe(run, y)
        seen = values[: t + 1]
        assert run.t.item() == t
        assert run.mean.item() == pytest.approx(seen.mean(), rel=1e-12)
        assert (run.m2 / (t + 1)).item() == pytest.approx(seen.var(), rel=1e-9)
        assert run.best_y.item() == seen.min()
        assert run.worst_y.item() == seen.max()
        assert run.improvement.item() == max(0.0, values[:t].min() - y)


def test_scale_is_the_largest_gradient_entry_so_far():
    run = start(g=(1.0, -4.0))
    assert run.scale.item() == 4
    observe(run, 1.0, g=(0.5, 0.5))
    assert (run.scale.item(), run.growth.item()) == (4, 0)
    observe(run, 1.0, g=(-12.0, 0.5))
    assert run.scale.item() == 12
    assert run.growth.item() == pytest.approx(math.log(3))


def test_differences():
    run = observe(start(), 1.5, x=(0.1, 0.2), g=(3.0, 1.0), action=(0.3, -0.7))
    torch.testing.assert_close(run.dx, row(-0.4, 0.7))
    torch.testing.assert_close(run.dg, row(2.0, 5.0))
    assert run.dy.item() == -0.5
    torch.testing.assert_close(run.action, row(0.3, -0.7))
    torch.testing.assert_close(run.best_x, row(0.1, 0.2))


def test_downhill_else_straight_on_else_inward():
    run = observe(start(x=(0.5, -0.5)), 1.0, x=(0.1, 0.2), g=(3.0, 0.0))
    assert run.downhill.tolist() == [[-1, 1]]  # downhill; where it is flat, as the last move went
    assert start(x=(0.5, -0.5), g=(0.0, 0.0)).downhill.tolist() == [[-1, 1]]  # no move yet: inward
    assert start(x=(1.0, -1.0), g=(-1.0, 1.0)).downhill.tolist() == [[1, -1]]  # walls reflect later


def test_without_a_trust_region_the_proposed_direction_is_downhill():
    run = Trajectory.start(row(0.5, -0.5), torch.zeros(1).double(), row(1.0, 0.0), trust_region=False)
    assert run.proposed.tolist() == run.downhill.tolist() == [[-1, 1]]
    run.update(row(0.0, 0.0), row(0.1, 0.2), torch.ones(1).double(), row(-3.0, 0.0))
    assert run.proposed.tolist() == run.downhill.tolist() == [[1, 1]]


@pytest.mark.parametrize("bad", [NAN, INF, -INF, 1e200])
def test_a_point_without_a_value_is_the_worst_and_its_gradient_points_back(bad):
    run = observe(start(2.0, x=(0.5, -0.5)), 7.0, x=(0.2, 0.2))
    observe(run, bad, x=(-0.5, 0.5), g=(NAN, INF))
    assert not run.valid.item()
    assert run.y.item() == 7
    assert (run.best_y.item(), run.worst_y.item(), run.improvement.item()) == (2, 7, 0)
    torch.testing.assert_close(run.best_x, row(0.5, -0.5))
    retreat = run.x - run.best_x
    torch.testing.assert_close(run.g / run.g.abs().amax(), retreat / retreat.abs().amax())
    assert run.scale.item() == run.g.abs().amax().item() == 4
    observe(run, 1.0)
    assert run.valid.item()
    assert run.improvement.item() == 1


def test_a_start_without_a_value_is_forgotten_at_the_first_one():
    run = start(NAN, g=(NAN, NAN))
    assert not run.valid.item()
    assert run.best_y.item() == INF
    observe(run, NAN)
    observe(run, 5.0, x=(0.3, 0.3))
    assert (run.best_y.item(), run.mean.item(), run.m2.item()) == (5, 5, 0)
    assert (run.improvement.item(), run.dy.item()) == (0, 0)
    torch.testing.assert_close(run.best_x, row(0.3, 0.3))
    assert observe(run, 4.0).improvement.item() == 1


def test_missing_gradient_entries_count_as_flat():
    assert observe(start(), 1.0, g=(NAN, 2.0)).g.tolist() == [[0, 2]]


def test_put_replaces_the_asked_rows_only():
    def runs(seed, batch):
        rng = np.random.default_rng(seed)
        x, g = (torch.from_numpy(rng.uniform(-1, 1, (batch, 2))) for _ in range(2))
        run = Trajectory.start(x, x.sum(-1), g, capacity=3)
        run.update(x / 2, x / 3, g.sum(-1), g + x)
        return run

    whole, part = runs(0, 4), runs(1, 2)
    whole.put(torch.tensor([2, 0]), part)
    untouched = runs(0, 4)
    for name in ("t", "x", "y", "g", "best_x", "best_y", "mean", "m2", "scale", "proposed_step", "dx", "downhill"):
        new, old, put = (getattr(run, name) for run in (whole, untouched, part))
        assert torch.equal(new[[1, 3]], old[[1, 3]]), name
        assert torch.equal(new[[2, 0]], put), name
    assert torch.equal(whole.trust_region.proposal[[2, 0]], part.trust_region.proposal)
    assert torch.equal(whole.trust_region.curvature.rho[[2, 0]], part.trust_region.curvature.rho)
    assert torch.equal(whole.trust_region.curvature.s[[1, 3]], untouched.trust_region.curvature.s[[1, 3]])
    for name in vars(whole.surrogate):
        new, old, put = (getattr(run.surrogate, name) for run in (whole, untouched, part))
        assert torch.equal(new[[1, 3]], old[[1, 3]]), name
        assert torch.equal(new[[2, 0]], put), name


def test_runs_without_trust_region_or_surrogate_are_the_same_runs():
    whole = observe(start(), 1.0)
    for trust_region, capacity in ((False, 0), (True, 0), (False, 2)):
        run = Trajectory.start(row(0.5, -0.5), torch.tensor([2.0]).double(), row(1.0, -4.0), trust_region, capacity)
        observe(run, 1.0)
        run.put(torch.tensor([0]), run)
        assert (run.trust_region is not None, run.surrogate is not None) == (trust_region, capacity > 0)
        for name in ("x", "y", "g", "best_x", "best_y", "mean", "m2", "scale", "downhill"):
            assert torch.equal(getattr(run, name), getattr(whole, name)), name


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_the_surrogate_sees_what_counts(bad):
    run = observe(start(2.0, x=(0.5, -0.5)), 7.0, x=(0.2, 0.2))
    observe(run, bad, x=(-0.5, 0.5), g=(NAN, NAN))
    observe(run, 3.0, x=(0.9, 0.1))
    surrogate = Surrogate.start(row(0.5, -0.5), torch.tensor([2.0]).double(), STEPS + 1)
    for y, x in ((7.0, (0.2, 0.2)), (7.0, (-0.5, 0.5)), (3.0, (0.9, 0.1))):  # no value is the worst one
        surrogate.update(row(*x), torch.tensor([y]).double())
    for name in vars(surrogate):
        assert torch.equal(getattr(run.surrogate, name), getattr(surrogate, name)), name


def test_points_without_a_value_count_for_the_surrogate_as_the_first_value_there_is():
    places = ((0.5, -0.5), (0.4, 0.4), (-0.9, 0.1), (0.2, 0.3))
    run = start(NAN, x=places[0], g=(NAN, NAN))
    surrogate = Surrogate.start(row(*places[0]), torch.tensor([70.0]).double(), STEPS + 1)
    for x, y, counts in zip(places[1:], (NAN, 70.0, 68.0), (70.0, 70.0, 68.0), strict=True):
        observe(run, y, x=x)
        surrogate.update(row(*x), torch.tensor([counts]).double())
    for name in vars(surrogate):
        torch.testing.assert_close(getattr(run.surrogate, name), getattr(surrogate, name), rtol=0, atol=0, msg=name)


@pytest.mark.parametrize(("factor", "shift"), [(1.0, 100.0), (1.0, -100.0), (1e-6, 1.0), (1e3, 0.0)])
def test_a_start_without_a_value_leaves_the_surrogate_free_of_scale(factor, shift):
    def surrogates(factor=1.0, shift=0.0):
        run = start(NAN, g=(NAN, NAN))
        observe(run, NAN, x=(0.4, 0.4))
        for x in np.random.default_rng(0).uniform(-1, 1, (6, 2)):
            observe(run, factor * (x**2).sum() + shift, x=x)
            yield run.surrogate

    for changed, plain in zip(surrogates(factor, shift), surrogates(), strict=True):
        assert torch.equal(changed.proposal, plain.proposal)
        torch.testing.assert_close(changed.mean, plain.mean, rtol=0, atol=1e-6)


VALLEYS = PlainPrior(shares=(0.0, 1.0, 0.0, 0.0)).sample(60, 3, np.random.default_rng(0))


def begun(functions=VALLEYS, seed=1):
    x = torch.from_numpy(np.random.default_rng(seed).uniform(-1, 1, (len(functions), functions.dim)))
    return Trajectory.start(x, *functions.value_and_grad(x))


def go(run, x, functions=VALLEYS):
    run.update(torch.zeros_like(x), x, *functions.value_and_grad(x))


def descend(run, steps, functions=VALLEYS):
    """Steps of the present descent; its proposals."""
    proposals = []
    for _ in range(steps):
        proposals.append(run.trust_region.proposal)
        go(run, proposals[-1], functions)
    return torch.stack(proposals)


def worst_corner(run, functions=VALLEYS):
    """For each run the worst corner of the box that no descent of it leads to, and where there is one."""
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * functions.dim)
    near = [d.leads_to(c.expand_as(run.x)) for c in corners for d in (run.trust_region, run.kept)]
    near = torch.stack(near, -1).unflatten(-1, (len(corners), 2)).any(-1)
    return corners[functions.values_on(corners).masked_fill(near, -torch.inf).argmax(-1)], ~near.all(-1)


def tensors(descent):
    """All that a descent knows, by name."""
    own = {name: value for name, value in vars(descent).items() if name != "curvature"}
    return own | vars(descent.curvature)


@pytest.mark.parametrize("steps", [1, 4, 9])
@pytest.mark.parametrize("away", [1, 3, 5])
def test_a_descent_that_was_left_is_gone_on_with_bit_for_bit_when_its_proposal_is_taken(steps, away):
    stayed, strayed = begun(), begun()
    descend(stayed, steps)
    descend(strayed, steps)
    left, followed = strayed.trust_region.y, torch.ones(60, dtype=torch.bool)
    for k in range(away):  # to one corner, and later to another
        x, found = worst_corner(strayed)
        jump = followed & found if k in (0, 2) else torch.zeros_like(found)
        followed = jump if k == 0 else followed
        go(strayed, torch.where(jump[:, None], x, strayed.trust_region.proposal))
    assert torch.equal(strayed.jumps > 0, followed)
    worse = followed & (strayed.trust_region.y > left)
    assert worse.sum() >= 6
    lowest = strayed.lowest_descent
    assert torch.equal(lowest.proposal[worse], stayed.trust_region.proposal[worse])
    assert torch.equal(lowest.predicted_reduction[worse], stayed.trust_region.predicted_reduction[worse])
    assert not torch.isclose(strayed.trust_region.proposal[worse], stayed.trust_region.proposal[worse]).all(-1).any()
    go(strayed, torch.where(worse[:, None], lowest.proposal, strayed.trust_region.proposal))
    jumps = strayed.jumps
    descend(stayed, 1)
    for _ in range(12):
        here, there = tensors(strayed.trust_region), tensors(stayed.trust_region)
        for name, value in here.items():
            # What precedes a restart is switched off, wherever it lies in memory.
            assert torch.equal(value[worse], there[name][worse]), name
        descend(strayed, 1)
        descend(stayed, 1)
    assert torch.equal(strayed.jumps, jumps)  # to go on with a descent is to leave for none
    assert torch.equal(strayed.best_y[worse], stayed.best_y[worse])


def test_the_lowest_of_the_descents_that_were_left_is_kept():
    def descents(run):
        kept, present = run.kept, run.trust_region
        lowest = kept if torch.equal(run.lowest_descent.proposal, kept.proposal) else present
        assert torch.equal(run.lowest_descent.proposal, lowest.proposal)
        assert torch.equal(run.lowest_descent.predicted_reduction, lowest.predicted_reduction)
        return kept.x.item(), present.x.item(), lowest.x.item()

    # On a line, uphill everywhere: it proposes to go a little further down, half way to the wall or by a fifth.
    run, uphill = Trajectory.start(row(-0.98), torch.tensor([5.0]).double(), row(1.0)), row(1.0)
    assert descents(run)[1:] == (-0.98, -0.98)
    for x, y, kept, present, lowest, jumps, since_best in (
        (0.9, 6.0, -0.98, 0.9, -0.98, 1, 1),
        (-0.1, 5.5, -0.98, -0.1, -0.98, 2, 2),  # what was left is lost: it is higher than what is kept
        (0.9, 1.0, -0.98, 0.9, 0.9, 3, 0),  # the present one is the lowest
        (-0.1, 9.0, 0.9, -0.1, 0.9, 4, 1),  # and is kept in the other's place
        (0.7, 2.0, 0.9, 0.9, 0.9, 4, 2),  # gone on with as it proposed, in vain
        (-0.99, 8.0, 0.9, -0.99, 0.9, 5, 3),  # the first one's proposal, which is lost
    ):
        assert not run.trust_region.leads_to(row(x)).item()
        run.update(row(0.0), row(x), torch.tensor([y], dtype=torch.float64), uphill)
        assert descents(run) == pytest.approx((kept, present, lowest))
        assert (run.jumps.item(), run.since_best.item()) == (jumps, since_best)
    assert run.trust_region.outcome.item() == -1


def test_a_descent_that_is_followed_is_left_for_nothing():
    run = begun()
    for k in range(1, 8):
        descend(run, 1)
        assert (run.jumps == 0).all()
        higher = run.trust_region.outcome == 0
        assert (run.since_best[higher] > 0).all()
        assert (run.since_best[~higher] == 0).all()
        assert torch.equal(run.lowest_descent.proposal, run.trust_region.proposal)
        assert torch.equal(run.kept.accepts, torch.zeros(60).double()), k  # it is still the start


def test_a_descent_without_a_value_is_lower_than_none():
    run = Trajectory.start(row(0.0), torch.tensor([NAN]).double(), row(NAN))
    run.update(row(0.0), row(0.9), torch.tensor([7.0]).double(), row(1.0))
    assert run.trust_region.x.item() == 0.9
    assert torch.equal(run.lowest_descent.proposal, run.trust_region.proposal)
    run.update(row(0.0), row(-0.3), torch.tensor([NAN]).double(), row(NAN))
    assert run.lowest_descent.proposal.item() == pytest.approx(0.7)


def test_rows_leave_and_go_on_each_for_itself():
    together, alone = begun(), []
    for i in range(12):
        alone.append(Trajectory.start(*(part[i : i + 1] for part in (together.x, together.y, together.g))))
    rng = np.random.default_rng(5)
    for _ in range(15):
        what = torch.from_numpy(rng.integers(3, size=60))[:, None]
        x = torch.where(what == 0, together.lowest_descent.proposal, together.trust_region.proposal)
        x = torch.where(what == 2, torch.from_numpy(rng.uniform(-1, 1, (60, 3))), x)
        go(together, x)
        for i, run in enumerate(alone):
            go(run, x[i : i + 1], VALLEYS.rows(torch.tensor([i])))
            for name in ("jumps", "since_best"):
                assert torch.equal(getattr(run, name)[0], getattr(together, name)[i]), name
            torch.testing.assert_close(run.lowest_descent.proposal[0], together.lowest_descent.proposal[i])
            torch.testing.assert_close(run.kept.y[0], together.kept.y[i])
    assert together.jumps.max() > 2


def test_put_replaces_kept_descents_too():
    whole, part, untouched, two = begun(), begun(VALLEYS.rows(torch.arange(2)), seed=2), begun(), torch.arange(2)
    for run, functions in ((whole, VALLEYS), (untouched, VALLEYS), (part, VALLEYS.rows(two))):
        descend(run, 6, functions)
        go(run, worst_corner(run, functions)[0], functions)
    index, others = torch.tensor([7, 3]), torch.tensor([i for i in range(60) if i not in (3, 7)])
    whole.put(index, part)
    for name, value in tensors(whole.kept).items():
        assert torch.equal(value[index], tensors(part.kept)[name]), name
        assert torch.equal(value[others], tensors(untouched.kept)[name][others]), name
    for name in ("jumps", "since_best"):
        assert torch.equal(getattr(whole, name)[index], getattr(part, name))
    assert torch.equal(whole.lowest_descent.proposal[index], part.lowest_descent.proposal)
    functions = VALLEYS.rows(torch.arange(60))
    functions.put(index, VALLEYS.rows(two))
    go(whole, whole.lowest_descent.proposal, functions)
    go(part, part.lowest_descent.proposal, VALLEYS.rows(two))
    torch.testing.assert_close(whole.trust_region.proposal[index], part.trust_region.proposal)
