import numpy as np
import pytest
import torch

from pop_envs import BoxObjective, GPPrior, WidePrior
from pop_envs.objectives.reference import NUM_PROBES, reference_minimum, spread

CONVEX = {"p_convex": 1.0, "num_features": 1}
BOWL = {"p_bend": 0.0, "p_kink": 0.0, "p_power": 0.0, "p_contrast": 0.0}


@pytest.mark.parametrize("dim", [1, 2, 8])
def test_minimum_of_a_convex_quadratic_is_exact(dim):
    functions = GPPrior(**CONVEX).sample(40, dim, np.random.default_rng(0))
    torch.testing.assert_close(reference_minimum(functions), torch.zeros(40, dtype=torch.float64), rtol=0, atol=1e-14)


def test_minimum_at_a_wall_is_exact():
    functions = GPPrior(**CONVEX, beta2=(1.2, 1.5)).sample(40, 2, np.random.default_rng(0))
    at_corner = functions.value_and_grad(torch.ones(40, 2, dtype=torch.float64))[0]
    torch.testing.assert_close(reference_minimum(functions), at_corner, rtol=0, atol=1e-14)


def test_minimum_of_ill_conditioned_rotated_quadratics():
    config = WidePrior(**CONVEX, **BOWL, p_rotated=1, condition=(1e4, 1e4), beta2=(-0.3, 0.3))
    minimum = reference_minimum(config.sample(40, 2, np.random.default_rng(0)))
    assert (minimum >= 0).all()
    assert minimum.amax() < 1e-10


@pytest.mark.parametrize("config", [GPPrior(), WidePrior(p_heavy=0, p_ripple=0, p_contrast=0)], ids=type)
def test_minimum_holds_against_a_dense_grid(config):
    functions = config.sample(48, 2, np.random.default_rng(1))
    ticks = torch.linspace(-1, 1, 101, dtype=torch.float64)
    grid = functions.values_on(torch.cartesian_prod(ticks, ticks)).amin(-1)
    above = (reference_minimum(functions) - grid) / spread(functions)
    assert (above < 1e-3).double().mean() >= 0.9


def test_minimum_is_never_above_the_probes():
    functions = WidePrior().sample(20, 5, np.random.default_rng(0))
    probes = torch.quasirandom.SobolEngine(5, scramble=True, seed=0).draw(NUM_PROBES, dtype=torch.float64)
    lowest = functions.values_on(2 * probes - 1).amin(-1)
    assert (reference_minimum(functions) <= lowest).all()


def test_spread_scales_with_the_function_and_ignores_a_constant():
    def scaled(a, b):
        return BoxObjective(lambda x: (a * (x**2).sum(-1) + b, 2 * a * x), [-1, -1], [1, 1])

    one = spread(scaled(1, 0))
    torch.testing.assert_close(spread(scaled(5, 3)), 5 * one)
    # Mean of x1^2 + x2^2 over the square is 2/3; its minimum on the probes is near 0.
    assert one.item() == pytest.approx(2 / 3, abs=0.05)


def test_spread_of_a_constant_and_of_nothing_finite_is_one():
    for value in (3.0, np.nan, np.inf):
        flat = BoxObjective(lambda x, v=value: (np.full(len(x), v), np.zeros_like(x)), [-1, -1], [1, 1])
        assert spread(flat).item() == 1


def test_points_without_a_value_are_left_out():
    def half(x):
        y = np.where(x[:, 0] > 0, np.nan, (x**2).sum(-1))
        return y, 2 * x

    minimum = reference_minimum(BoxObjective(half, [-1, -1], [1, 1]))
    assert 0 <= minimum.item() < 1e-6
