import numpy as np
import pytest
import torch

from pop_envs.objectives.base import BoxObjective
from pop_envs.objectives.landscapes import LandscapePrior
from pop_envs.rover.directions import Best, Gradient, Newton, Seeing, derivatives, normalized
from pop_envs.rover.grid import grid_offsets, rescaled
from pop_envs.rover.network import DirectionNetwork, load_direction, shipped_direction


def drawn(*families, batch=32):
    functions = LandscapePrior(families).sample(batch, 2, np.random.default_rng(0))
    return functions, torch.from_numpy(np.random.default_rng(1).uniform(-1, 1, (batch, 2)))


def test_newton_points_at_the_minimum_of_a_bowl_and_is_the_best_there():
    functions, x = drawn("quadratic")
    toward = normalized(functions.minimizer - x)
    torch.testing.assert_close(Newton()(None, functions, x), toward)
    best, length = Best().step(functions, x)
    torch.testing.assert_close(best, toward)
    torch.testing.assert_close(length, (functions.minimizer - x).norm(dim=1), rtol=0.01, atol=1e-6)


def test_the_gradient_is_the_best_where_newton_climbs():
    functions, _ = drawn("plateau")
    p22 = functions.precision[:, 2]
    x = torch.tensor([[0.0, 1.0]], dtype=torch.float64) * (2 / p22.sqrt())[:, None]  # two deviations away
    gradient, newton, best = (teacher(None, functions, x) for teacher in (Gradient(), Newton(), Best()))
    assert ((newton * -gradient).sum(1) > 0).all(), "an ascent"
    torch.testing.assert_close(best, gradient)


def test_hessians_by_differences():
    def quartic(x):
        return (x**4).sum(-1), 4 * x**3

    x = torch.tensor([[0.3, -0.4]], dtype=torch.float64)
    _, _, hessian = derivatives(BoxObjective(quartic, [-1, -1], [1, 1]), x)
    torch.testing.assert_close(hessian[0], torch.diag(12 * x[0] ** 2), rtol=1e-6, atol=1e-7)


def test_directions_have_length_one_or_zero():
    vectors = torch.tensor([[3e200, 4e200], [3e-200, -4e-200], [0, 0], [torch.nan, 1], [torch.inf, 1]])
    vectors = vectors.double()
    vectors[0], vectors[1] = torch.tensor([[3e200, 4e200], [3e-200, -4e-200]], dtype=torch.float64)
    expected = torch.tensor([[0.6, 0.8], [0.6, -0.8], [0, 0], [0, 0], [0, 0]], dtype=torch.float64)
    torch.testing.assert_close(normalized(vectors), expected)


def test_a_constant_grid_shows_no_direction():
    seeing = Seeing(DirectionNetwork().eval())
    assert seeing(torch.zeros(2, 5, 5), None, None).abs().max() == 0
    lengths = seeing(torch.rand(4, 5, 5), None, None).norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones(4, dtype=torch.float64))


def test_the_shipped_network_points_downhill():
    functions, x = drawn("quadratic", "plateau", batch=256)
    seen, _ = rescaled(functions.values_at(x[:, None] - 0.1 * grid_offsets(5)))
    told, gradient = Seeing(shipped_direction())(seen, functions, x), Gradient()(seen, functions, x)
    assert ((told * gradient).sum(1) > 0).double().mean() > 0.97
    bowls, x = drawn("quadratic", batch=256)
    seen, _ = rescaled(bowls.values_at(x[:, None] - 0.1 * grid_offsets(5)))
    assert (Seeing(shipped_direction())(seen, bowls, x) * Newton()(None, bowls, x)).sum(1).min() > 0.99


@pytest.mark.parametrize("n", [5, 7])
def test_differences_tell_both_teachers_directions(n):
    functions, x = drawn("quadratic", "valley", "plateau")
    seen, _ = rescaled(functions.values_at(x[:, None] - 0.01 * grid_offsets(n)))
    descent, newton, shape = DirectionNetwork(n)._teachers(seen)
    for told, teacher in ((descent, Gradient()), (newton, Newton())):
        torch.testing.assert_close(told.double(), teacher(None, functions, x), rtol=0, atol=2e-2)
    assert shape.abs().max() <= 2**0.5 + 1e-6
    _, _, hessian = derivatives(functions, x)
    expected = (hessian[:, 0, 0] - hessian[:, 1, 1]) / hessian.norm(dim=(1, 2))
    torch.testing.assert_close(shape[:, 0].double(), expected, rtol=0, atol=2e-2)


def test_a_grid_that_curves_along_one_line_leads_down_the_line():
    line = (grid_offsets(5)[:, 0] + 3.5).square().view(1, 5, 5).float() / 30
    told = Seeing(DirectionNetwork().eval())(torch.cat([line, line.mT]), None, None)
    torch.testing.assert_close(told, torch.tensor([[1.0, 0.0], [0.0, 1.0]]).double())


def test_a_network_in_the_papers_form_gives_eq_2s_y_itself():
    network = DirectionNetwork(channels=4, width=8, differences=False).eval()
    assert [tuple(layer.weight.shape) for layer in network.dense if hasattr(layer, "weight")] == [(8, 8), (2, 8)]
    assert network(torch.rand(3, 5, 5)).shape == (3, 2)


def test_networks():
    for n in (3, 6):
        with pytest.raises(ValueError, match=f"odd grid of at least 5 x 5, got n={n}"):
            DirectionNetwork(n)
    with pytest.raises(FileNotFoundError, match="make train FAMILY=rover-direction"):
        load_direction("nowhere")
    assert DirectionNetwork(7)(torch.rand(2, 7, 7)).shape == (2, 2)
