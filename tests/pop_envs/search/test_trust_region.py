import numpy as np
import pytest
import torch

from pop_envs.objectives.gp_prior import GPPrior, WidePrior
from pop_envs.search.trust_region import TrustRegion


def quadratic(batch=40, dim=3, seed=0, reach=0.7):
    """Random convex quadratics: an evaluation, their centres, and starts."""
    rng = np.random.default_rng(seed)
    root = torch.from_numpy(rng.normal(size=(batch, dim, dim)))
    hessian = root @ root.mT + 0.1 * torch.eye(dim, dtype=torch.float64)
    center = torch.from_numpy(rng.uniform(-reach, reach, (batch, dim)))

    def evaluate(x):
        g = (hessian @ (x - center)[..., None])[..., 0]
        return (g * (x - center)).sum(-1) / 2, g

    return evaluate, center, torch.from_numpy(rng.uniform(-1, 1, (batch, dim)))


def always(x):
    return torch.ones(len(x), dtype=torch.bool)


def follow(evaluate, x, steps):
    """A descent that goes wherever it proposes, and all that it saw."""
    descent = TrustRegion.start(x, *evaluate(x))
    values = [descent.y]
    for _ in range(steps):
        y, g = evaluate(descent.proposal)
        descent.update(descent.proposal, y, g, always(x))
        values.append(y)
    return descent, torch.stack(values, 1)


def test_quadratics_are_solved():
    evaluate, center, x = quadratic()
    descent, _ = follow(evaluate, x, 40)
    torch.testing.assert_close(descent.x, center, rtol=0, atol=1e-5)


def test_the_iterate_is_the_best_point_of_the_descent():
    functions = WidePrior().sample(64, 2, np.random.default_rng(0))
    x = torch.from_numpy(np.random.default_rng(1).uniform(-1, 1, (64, 2)))
    descent, values = follow(functions.value_and_grad, x, 30)
    # But for rounding, which contradicts slopes as noise does.
    assert ((descent.y - values.amin(1)) <= 1e-12 * (values.amax(1) - values.amin(1))).all()
    torch.testing.assert_close(functions.value_and_grad(descent.x)[0], descent.y)


@pytest.mark.parametrize("prior", [GPPrior(), WidePrior()], ids=["gp", "wide"])
def test_random_functions_are_descended_to_a_local_minimum(prior):
    functions = prior.sample(128, 2, np.random.default_rng(2))
    x = torch.from_numpy(np.random.default_rng(3).uniform(-1, 1, (128, 2)))
    first = functions.value_and_grad(x)[1].abs().amax(-1)
    descent, _ = follow(functions.value_and_grad, x, 50)
    at_wall = (descent.x.abs() == 1) & (descent.x * descent.g < 0)
    slope = descent.g.masked_fill(at_wall, 0.0).abs().amax(-1)
    assert (slope < 1e-4 * first).double().mean() > 0.95


def test_minima_at_walls_are_reached_exactly():
    evaluate, center, x = quadratic(reach=3.0)
    descent, _ = follow(evaluate, x, 60)
    x, g = descent.x, descent.g
    stationary = torch.where(x.abs() == 1, (x * g <= 0) | (g.abs() < 1e-4), g.abs() < 1e-4)
    assert (center.abs() > 1).any(1).double().mean() > 0.5
    assert stationary.all(1).double().mean() > 0.95


def slope(x):
    return x.sum(-1), torch.ones_like(x)


def one(*entries):
    return torch.tensor([entries], dtype=torch.float64)


def test_outcomes():
    x = one(0.0, 0.0)
    descent = TrustRegion.start(x, *slope(x), far=False)
    assert descent.outcome.item() == -1
    torch.testing.assert_close(descent.proposal, one(-0.2, -0.2))
    assert descent.predicted_reduction.item() == pytest.approx(0.4)
    descent.update(descent.proposal, *slope(descent.proposal), always(x))
    assert descent.outcome.item() == 1
    # No curvature was seen: it extrapolates, and would go four times as far if the region did not end at three.
    torch.testing.assert_close(descent.proposal, one(-0.8, -0.8))
    y, g = slope(descent.proposal)
    descent.update(descent.proposal, y + 9, g, always(x))
    assert descent.outcome.item() == 0
    torch.testing.assert_close(descent.x, one(-0.2, -0.2))
    torch.testing.assert_close(descent.proposal, one(-0.4, -0.4))  # as at first
    descent.update(descent.proposal, y + 9, g, always(x))
    torch.testing.assert_close(descent.proposal, one(-0.3, -0.3))  # half as far
    away = one(0.9, 0.9)
    descent = TrustRegion.start(x, *slope(x), far=False)
    descent.update(away, *slope(away), always(x))
    assert descent.outcome.item() == -1
    assert torch.equal(descent.x, away)
    torch.testing.assert_close(descent.proposal, one(0.7, 0.7))


def test_accepted_points_are_counted_since_the_start_and_rejected_ones_since_the_last_accepted():
    x = one(0.8, 0.8)
    descent = TrustRegion.start(x, *slope(x))
    counts = [(descent.accepts.item(), descent.rejects.item())]
    for worse in (0, 9, 9, 0, 9):
        y, g = slope(descent.proposal)
        descent.update(descent.proposal, y + worse, g, always(x))
        counts.append((descent.accepts.item(), descent.rejects.item()))
    assert counts == [(0, 0), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]
    away = -descent.x.sign()
    descent.update(away, *slope(away), always(x))
    assert (descent.accepts.item(), descent.rejects.item()) == (0, 0)


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e140])
def test_the_first_step_goes_a_quarter_of_the_way_to_the_walls_downhill_of_each_coordinate(scale):
    x, g = one(0.6, 0.6, -0.2, 0.3, 1.0, -1.0, 1.0), scale * one(2.0, -1e-9, 5.0, 0.0, -3.0, 4.0, 1.0)
    proposal = TrustRegion.start(x, x[:, 0], g).proposal
    torch.testing.assert_close(proposal, one(0.2, 0.7, -0.4, 0.3, 1.0, -1.0, 0.5), rtol=0, atol=1e-15)


def test_after_a_first_step_that_was_rejected_the_next_is_along_the_steepest_descent():
    x, g = one(0.0, 0.0), one(3.0, -4.0)
    descent = TrustRegion.start(x, x[:, 0], g)
    torch.testing.assert_close(descent.proposal, one(-0.25, 0.25))
    descent.update(descent.proposal, x[:, 0] + 1, g, always(x))
    torch.testing.assert_close(descent.proposal, 0.125 * one(-0.75, 1.0))  # its largest entry is half as long


@pytest.mark.parametrize("dim", [1, 2, 9])
def test_descents_that_are_sent_somewhere_begin_with_a_fifth_in_the_root_mean_square_along_the_steepest_descent(dim):
    g = torch.from_numpy(np.random.default_rng(0).normal(size=(20, dim)))
    x = torch.zeros_like(g)
    expected = -0.2 * g / g.square().mean(-1, keepdim=True).sqrt()
    torch.testing.assert_close(TrustRegion.start(x, x[:, 0], g, far=False).proposal, expected)
    for far in (False, True):  # after a restart, however it began: at the walls, where it went no further
        descent = TrustRegion.start(x + 0.99, x[:, 0], x - 1, far=far)
        descent.update(x, x[:, 0], g, always(x))
        assert (descent.outcome == -1).all()
        torch.testing.assert_close(descent.proposal, expected)


def test_a_proposal_leads_as_far_again_in_any_direction_as_its_step_is_long():
    x = one(0.0, 0.0)
    descent = TrustRegion.start(x, *slope(x))  # proposes (-0.25, -0.25), a quarter of a half-width away
    for point, near in (((-0.25, -0.25), True), ((0.25, -0.25), True), ((0.2, 0.25), True), ((0.26, 0.25), False)):
        assert descent.leads_to(one(*point)).item() is near
        descent.update(one(*point), *slope(one(*point)), always(x))
        assert (descent.outcome.item() != -1) is near
        descent = TrustRegion.start(x, *slope(x))


@pytest.mark.parametrize("scale", [1e-140, 1e-6, 1e140])
def test_the_size_of_the_gradients_changes_no_step(scale):
    evaluate, _, x = quadratic()

    def scaled(x):
        return tuple(part * scale for part in evaluate(x))

    for steps in (0, 1, 5):
        plain, other = (follow(f, x, steps)[0] for f in (evaluate, scaled))
        torch.testing.assert_close(other.proposal, plain.proposal, rtol=0, atol=1e-9)


def test_a_restart_at_a_point_that_is_no_better_is_gone_on_from_too():
    evaluate, _, x = quadratic(batch=1, dim=2)
    descent = TrustRegion.start(x, *evaluate(x), far=False)
    away = -x.sign()
    y, g = evaluate(away)
    descent.update(away, y + 1000, g, always(x))
    assert descent.outcome.item() == -1
    assert torch.equal(descent.x, away)
    assert descent.y.item() == y.item() + 1000


def test_a_point_without_a_value_teaches_no_curvature():
    evaluate, _, x = quadratic(batch=1, dim=2)
    descent = TrustRegion.start(x, *evaluate(x))
    descent.update(descent.proposal, descent.y + 1, torch.ones_like(x), ~always(x))
    assert descent.outcome.item() == 0
    assert (descent.curvature.rho == 0).all()


def test_rows_are_independent():
    evaluate, _, x = quadratic(batch=6)
    whole, _ = follow(evaluate, x, 7)

    for i in range(6):

        def one(x, i=i):
            y, g = evaluate(x.expand(6, -1))
            return y[i : i + 1], g[i : i + 1]

        alone, _ = follow(one, x[i : i + 1], 7)
        torch.testing.assert_close(alone.proposal[0], whole.proposal[i], rtol=1e-9, atol=1e-12)


def test_the_second_value_that_rises_although_slopes_of_a_short_step_fall_is_accepted():
    """A slope whose values lie; long steps contradict nothing."""
    descent = TrustRegion.start(one(0.0), torch.zeros(1).double(), one(1.0))
    lengths, outcomes = [], []
    for _ in range(12):
        lengths.append((descent.proposal - descent.x).abs().item())
        descent.update(descent.proposal, descent.y + 1, one(1.0), always(descent.x))
        outcomes.append(descent.outcome.item())
    short = [length < 0.05 for length in lengths]
    first = short.index(True)
    assert 0 < first < 10
    assert outcomes == [float(i > first and is_short) for i, is_short in enumerate(short)]
    assert sum(outcomes) > 1
    assert descent.x.item() < 0
    descent.update(one(0.9), torch.zeros(1).double(), one(1.0), always(descent.x))
    assert descent.outcome.item() == -1
    assert descent.contradictions.item() == 0


@pytest.mark.parametrize(("g", "exact"), [(-1.0, False), (1.0, True)])
def test_values_decide_where_the_slope_has_turned_or_they_are_exact(g, exact):
    descent = TrustRegion.start(one(0.0), torch.zeros(1).double(), one(1.0))
    for _ in range(8):
        descent.update(descent.proposal, descent.y + 1, one(g), always(descent.x), exact=exact)
        assert descent.outcome.item() == 0
    assert descent.x.item() == 0


def test_a_descent_survives_noise():
    """Noise of a hundredth on values that differ by less: slopes lead on."""
    evaluate, _, x = quadratic(batch=200, dim=2)
    rng = np.random.default_rng(0)
    descent = TrustRegion.start(x, *evaluate(x))
    for _ in range(40):
        y, g = evaluate(descent.proposal)
        noisy = y + 0.01 * torch.from_numpy(rng.normal(size=200))
        descent.update(descent.proposal, noisy, g, always(x))
    assert (evaluate(descent.x)[0] < 1e-6).double().mean() > 0.9
