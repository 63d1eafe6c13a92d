import math

import numpy as np
import pytest
import torch

from pop_envs.objectives.landscapes import (
    FAMILIES,
    NUM_START_UNIFORMS,
    REGION,
    LandscapePrior,
    newton_step,
)


def landscapes(*families, batch=64, seed=0):
    return LandscapePrior(families or FAMILIES).sample(batch, 2, np.random.default_rng(seed))


def own_precision(f):
    """Of the kernel, in the paper's coordinates (batch, 2, 2)."""
    p11, p12, p22 = f.precision.unbind(1)
    return torch.stack([p11, p12, p12, p22], -1).view(-1, 2, 2) / REGION**2


def test_derivatives_are_those_of_the_values():
    f = landscapes()
    x = torch.from_numpy(np.random.default_rng(1).uniform(-1, 1, (64, 2))).requires_grad_()
    y = f.values_at(x[:, None])[:, 0]
    (g,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    hessian = torch.stack([torch.autograd.grad(g[:, i].sum(), x, retain_graph=True)[0] for i in (0, 1)], 1)
    got = f.derivatives(x.detach())
    scale = 1 + f.weights.abs().sum(1)
    torch.testing.assert_close(got[0], y.detach(), rtol=1e-9, atol=1e-9)
    assert ((got[1] - g).norm(dim=1) / scale).max() < 1e-11
    assert ((got[2] - hessian).flatten(1).norm(dim=1) / scale).max() < 1e-10


def test_the_field_takes_its_values_at_the_anchors():
    f = landscapes("saddle")
    at_anchors = f.values_at(f.anchors)
    assert (f.anchors.abs() * REGION <= 1).all()
    assert (f.anchors[:, 0] >= 0).all()
    assert (f.anchors[:, 2] <= 0).all()
    torch.testing.assert_close(at_anchors[:, 0].sign(), at_anchors[:, 2].sign())
    torch.testing.assert_close(at_anchors[:, 0].sign(), -at_anchors[:, 1].sign())
    assert f.deviation(f.anchors).max() < 1e-4, "what is known is not noisy"


def test_a_valley_is_v_times_a_gaussian():
    f = landscapes("valley")
    x = torch.from_numpy(np.random.default_rng(1).uniform(-1, 1, (64, 2)))
    own = REGION * x
    q = torch.einsum("bi,bij,bj->b", own, own_precision(f), own)
    torch.testing.assert_close(f.value_and_grad(x)[0], f.minima * torch.exp(-q / 2))
    assert ((f.minima < 0) & (f.minima >= -5)).all()
    eigenvalues = 1 / torch.linalg.eigvalsh(own_precision(f)).flip(-1)
    ratio = eigenvalues[:, 1] / eigenvalues[:, 0]
    assert ((ratio > 100) & (ratio < 200)).all()
    torch.testing.assert_close(f.variance, 1 / (2 * math.pi * eigenvalues.prod(1).sqrt()))


def test_eigenvalues_and_depths_have_the_papers_distributions():
    f = landscapes("plateau", batch=4096)
    eigenvalues = 1 / torch.linalg.eigvalsh(own_precision(f))
    assert eigenvalues.mean().item() == pytest.approx(10, abs=0.1)
    assert eigenvalues.var().item() == pytest.approx(2, abs=0.15)
    assert f.minima.mean().item() == pytest.approx(-5, abs=0.1)
    assert f.minima.var().item() == pytest.approx(2, abs=0.15)
    assert (f.minima < 0).all()


def test_bowls_have_condition_numbers_of_at_most_nine_and_a_minimum_of_zero():
    f = landscapes("quadratic")
    hessian = f.derivatives(torch.zeros(64, 2, dtype=torch.float64))[2]
    eigenvalues = torch.linalg.eigvalsh(hessian)
    assert (eigenvalues[:, 1] / eigenvalues[:, 0]).max() <= 9
    assert f.value_and_grad(f.minimizer)[0].abs().max() == 0
    assert f.minimizer.abs().max() <= 0.5


@pytest.mark.parametrize("family", FAMILIES)
def test_minima_are_known(family):
    f = landscapes(family, batch=32)
    y, g, hessian = f.derivatives(f.minimizer)
    torch.testing.assert_close(y, f.minima, rtol=1e-9, atol=1e-12)
    scale = hessian.flatten(1).norm(dim=1)
    assert (g.norm(dim=1) / scale).max() < 1e-9
    assert (torch.linalg.eigvalsh(hessian) > 0).all()
    ticks = torch.linspace(-2, 2, 101, dtype=torch.float64)
    elsewhere = f.values_on(torch.cartesian_prod(ticks, ticks)).amin(1)
    assert (elsewhere >= f.minima - 1e-9 * f.minima.abs()).all()


def test_a_batch_equals_single_functions_of_the_same_generator():
    prior = LandscapePrior()
    together = prior.sample(8, 2, np.random.default_rng(3))
    rng = np.random.default_rng(3)
    for i in range(8):
        alone = prior.sample(1, 2, rng)
        x = torch.rand(1, 5, 2, dtype=torch.float64)
        torch.testing.assert_close(alone.values_at(x), together.rows(torch.tensor([i])).values_at(x))
        torch.testing.assert_close(alone.minimizer[0], together.minimizer[i])


def test_families_have_equal_shares_and_rows_can_be_replaced():
    f = landscapes(batch=4000)
    assert np.bincount(f.family.numpy()) / 4000 == pytest.approx([0.25] * 4, abs=0.03)
    valleys = landscapes("valley", batch=2)
    f.put(torch.tensor([3, 5]), valleys)
    assert f.family[[3, 5]].tolist() == [1, 1]
    assert torch.equal(f.minima[[3, 5]], valleys.minima)


def test_starts_are_far_enough_from_the_minimum():
    f = landscapes(batch=400)
    x = f.starts(torch.from_numpy(np.random.default_rng(2).random((400, NUM_START_UNIFORMS))))
    bowls = f.family == 0
    distance = (x - f.minimizer).norm(dim=1)[bowls]
    assert ((distance >= 0.5) & (distance <= 1)).all()
    away = REGION * (x - f.minimizer)
    mahalanobis = torch.einsum("bi,bij,bj->b", away, own_precision(f), away).sqrt()
    assert (mahalanobis[~bowls] > 0.5 - 1e-9).all()
    for family, (low, high) in {1: (0.5, 1.5), 3: (1.0, 3.0)}.items():
        ring = mahalanobis[f.family == family]
        assert low <= ring.min() < ring.max() <= high


def test_noise_vanishes_at_anchors_and_is_the_fields_far_away():
    f = landscapes("plateau", "valley")
    there = f.deviation(torch.tensor([[[0.0, 0.0], [1e6, 0.0]]], dtype=torch.float64).expand(64, -1, -1))
    assert there[:, 0].max() < 1e-8
    torch.testing.assert_close(there[:, 1], f.variance.sqrt())
    assert landscapes("quadratic").deviation(torch.zeros(64, 1, 2, dtype=torch.float64)).max() == 0


def test_newtons_step_solves_the_quadratic_or_turns_downhill():
    hessian = torch.tensor([[[4.0, 1.0], [1.0, 3.0]], [[2.0, 0.0], [0.0, -1.0]]], dtype=torch.float64)
    gradient = torch.tensor([[1.0, 2.0], [1.0, 1.0]], dtype=torch.float64)
    plain, down = newton_step(gradient, hessian, positive=False), newton_step(gradient, hessian)
    torch.testing.assert_close(hessian[0] @ plain[0], -gradient[0])
    assert torch.equal(plain[1], torch.tensor([-0.5, 1.0], dtype=torch.float64))
    assert torch.equal(down[1], torch.tensor([-0.5, -1.0], dtype=torch.float64))


def test_arguments():
    with pytest.raises(ValueError, match="2 dimensions, got dim=3"):
        LandscapePrior().num_uniforms(3)
    with pytest.raises(ValueError, match="family must be one of"):
        LandscapePrior(("hill",))
    with pytest.raises(ValueError, match="at least one"):
        LandscapePrior(())
