import torch

from agents.lto.dynamics import MixturePrior


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def linear_samples(functions=4, steps=3, samples=12, known=4, out=2, noise=0.0):
    """Transitions of linear systems, one for each function and step, and the systems."""
    matrix, offset = normal(functions, steps, out, known, seed=1), normal(functions, steps, out, seed=2)
    given = normal(functions, steps, samples, known, seed=3)
    told = given @ matrix.mT + offset[:, :, None] + noise * normal(functions, steps, samples, out, seed=4)
    return torch.cat([given, told], -1), matrix, offset


def fitted(transitions, **kwargs):
    prior = MixturePrior(**{"components": 2, **kwargs})
    prior.fit(transitions.flatten(0, 2))
    return prior.dynamics(transitions, 4)


def test_a_weak_prior_leaves_least_squares():
    transitions, matrix, offset = linear_samples()
    dynamics = fitted(transitions, strength=1e-9)
    torch.testing.assert_close(dynamics.matrix, matrix, atol=1e-4, rtol=0)
    torch.testing.assert_close(dynamics.offset, offset, atol=1e-4, rtol=0)
    assert dynamics.covariance.abs().max() < 1e-4


def test_the_prior_helps_where_samples_are_few():
    """All functions and steps have one system, which three samples each cannot tell, but the prior can."""
    one = normal(2, 4, seed=5)
    given = normal(20, 5, 3, 4, seed=6)
    transitions = torch.cat([given, given @ one.mT + 0.01 * normal(20, 5, 3, 2, seed=7)], -1)
    weak, strong = (fitted(transitions, strength=s) for s in (1e-6, 5.0))
    off = [(each.matrix - one).abs().mean() for each in (weak, strong)]
    assert off[1] < 0.003
    assert off[0] > 5 * off[1]


def test_models_go_through_the_samples_means():
    transitions, *_ = linear_samples(noise=0.5)
    dynamics = fitted(transitions)
    mean = transitions.mean(2)
    predicted = (dynamics.matrix @ mean[..., :4, None])[..., 0] + dynamics.offset
    torch.testing.assert_close(predicted, mean[..., 4:])
    assert (torch.linalg.eigvalsh(dynamics.covariance) > 0).all()


def test_units_do_not_matter():
    transitions, *_ = linear_samples(noise=0.5)
    units = torch.tensor([1e-3, 1.0, 50.0, 2.0, 1e3, 0.1], dtype=torch.float64)
    plain, scaled = fitted(transitions), fitted(transitions * units)
    torch.testing.assert_close(scaled.matrix * units[:4] / units[4:, None], plain.matrix, rtol=1e-4, atol=1e-6)
