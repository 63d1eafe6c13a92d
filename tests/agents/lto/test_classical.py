import numpy as np
import pytest
import torch

from agents.lto.classical import RULES, Setting, best_momentum, costs, descend, grid
from pop_envs import LogisticRegression


def some(batch=5):
    rng = np.random.default_rng(0)
    return LogisticRegression().draw(batch, rng), torch.from_numpy(rng.standard_normal((batch, 4)))


@pytest.mark.parametrize(("rule", "decay"), [("gradient_descent", 0.0), ("momentum", 0.8)])
def test_pytorchs_sgd_takes_the_same_steps(rule, decay):
    functions, x0 = some()
    points, values = descend(functions, x0, 8, rule, [Setting(9.0, 0.1), Setting(0.7, decay)])
    x = x0.clone()
    optimizer = torch.optim.SGD([x], lr=0.7, momentum=decay)
    for t in range(9):
        torch.testing.assert_close(points[:, 1, t], x)
        y, x.grad = functions.value_and_grad(x)
        torch.testing.assert_close(values[:, 1, t], y)
        optimizer.step()


def test_conjugate_gradients_are_those_of_table_1():
    """In the paper a sum over past gradients, each times the product of the ratios of norms that follow it."""
    functions, x0 = some()
    points, _ = descend(functions, x0, 4, "conjugate_gradient", [Setting(0.5)])
    x, past = x0, []
    for t in range(5):
        torch.testing.assert_close(points[:, 0, t], x)
        past.append(functions.value_and_grad(x)[1])
        norms = [g.square().sum(-1, keepdim=True) for g in past]
        x = x - 0.5 * sum(norms[t] / norm * g for norm, g in zip(norms, past, strict=True))


def test_the_best_momentum_of_each_function_is_no_worse_than_the_one_for_all():
    functions, x0 = some()
    each, points = best_momentum(functions, x0, 10)
    shared, _ = best_momentum(functions, x0, 10, shared=True)
    assert len(set(shared)) == 1
    for i in range(5):
        row = torch.tensor([i])
        path, values = descend(functions.rows(row), x0[row], 10, "momentum", [each[i], shared[i]])
        torch.testing.assert_close(points[i], path[0, 0])
        assert costs(values)[0, 0] <= costs(values)[0, 1]


def test_costs_are_means_after_the_start_of_values_that_are_cut_off():
    values = torch.tensor([[1.0, 2.0, 4.0], [0.0, 1.0, torch.nan], [99.0, 1e200, torch.inf]], dtype=torch.float64)
    assert costs(values).tolist() == [3.0, 5.5, 10.0]


def test_grids():
    assert set(RULES) == {"gradient_descent", "momentum", "conjugate_gradient"}
    assert len(grid("momentum")) > len(grid("gradient_descent")) == len(set(grid("gradient_descent")))
