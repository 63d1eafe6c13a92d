import numpy as np
import pytest
import torch

from pop_envs.objectives.gp_prior import GPPrior, WidePrior
from pop_envs.search.trust_region import FAR, NEAR, TrustRegion


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
    assert torch.equal(descent.y, values.amin(1))
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


def test_outcomes():
    def slope(x):
        return x[:, 0], torch.tensor([[1.0, 0.0]]).double().expand_as(x)

    x = torch.zeros(1, 2).double()
    descent = TrustRegion.start(x, *slope(x), first_step=0.2)
    assert descent.outcome.item() == -1
    torch.testing.assert_close(descent.proposal, torch.tensor([[-0.2, 0.0]]).double())
    assert descent.predicted_reduction.item() == pytest.approx(0.2)
    descent.update(descent.proposal, *slope(descent.proposal), always(x))
    assert descent.outcome.item() == 1
    # No curvature was seen: it extrapolates, four times as far.
    torch.testing.assert_close(descent.proposal, torch.tensor([[-1.0, 0.0]]).double())
    y, g = slope(descent.proposal)
    descent.update(descent.proposal, y + 9, g, always(x))
    assert descent.outcome.item() == 0
    torch.testing.assert_close(descent.x, torch.tensor([[-0.2, 0.0]]).double())
    torch.testing.assert_close(descent.proposal, torch.tensor([[-0.4, 0.0]]).double())  # as at first
    descent.update(descent.proposal, y + 9, g, always(x))
    torch.testing.assert_close(descent.proposal, torch.tensor([[-0.3, 0.0]]).double())  # half as far
    away = torch.tensor([[0.9, 0.9]]).double()
    descent = TrustRegion.start(x, *slope(x), first_step=0.2)
    descent.update(away, *slope(away), always(x))
    assert descent.outcome.item() == -1
    assert torch.equal(descent.x, away)
    torch.testing.assert_close(descent.proposal, torch.tensor([[0.9 - NEAR, 0.9]]).double())


@pytest.mark.parametrize(("options", "length"), [({}, FAR), ({"first_step": NEAR}, NEAR), ({"first_step": 0.1}, 0.1)])
def test_first_steps_have_their_length_downhill(options, length):
    x, g = torch.zeros(1, 2).double(), torch.tensor([[3.0, -4.0]]).double()
    proposal = TrustRegion.start(x, x[:, 0], g, **options).proposal
    torch.testing.assert_close(proposal, torch.tensor([[-0.6 * length, 0.8 * length]]).double())


def test_the_first_step_after_a_restart_has_its_length_downhill():
    x, away = torch.zeros(1, 2).double(), torch.tensor([[0.5, -0.5]]).double()
    descent = TrustRegion.start(x, x[:, 0], torch.tensor([[3.0, -4.0]]).double(), first_step=0.01)
    descent.update(away, x[:, 0], torch.tensor([[-8.0, 6.0]]).double(), always(x))
    assert descent.outcome.item() == -1
    torch.testing.assert_close(descent.proposal, torch.tensor([[0.5 + 0.8 * NEAR, -0.5 - 0.6 * NEAR]]).double())


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
    descent = TrustRegion.start(x, *evaluate(x), first_step=0.01)
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
