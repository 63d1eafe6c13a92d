import numpy as np
import torch
from torch import nn

from benchmarks.rover.high_dimensions import by_newton, by_rover, by_torch, iris, logistic


def test_the_network_has_193_parameters_in_three_layers():
    loss, blocks = iris()
    assert [len(block) for block in blocks] == [50, 110, 33]
    assert sorted(i for block in blocks for i in block) == list(range(193))
    theta = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 193)))
    assert loss(theta).shape == (2,)
    assert torch.allclose(loss(torch.zeros(1, 193, dtype=torch.float64)), torch.tensor(3.0).double().log())


def test_the_networks_loss_is_pytorchs():
    from sklearn.datasets import load_iris

    loss, blocks = iris()
    theta = torch.from_numpy(np.random.default_rng(0).normal(size=193))
    layers = [nn.Linear(4, 10), nn.Linear(10, 10), nn.Linear(10, 3)]
    for layer, block in zip(layers, blocks, strict=True):
        part = theta[block].view(layer.in_features + 1, layer.out_features)
        layer.weight.data, layer.bias.data = part[:-1].T.clone(), part[-1].clone()
    data = load_iris()
    x = torch.from_numpy((data.data - data.data.mean(0)) / data.data.std(0))
    told = nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.Tanh(), layers[2])(x)
    expected = nn.functional.cross_entropy(told, torch.from_numpy(data.target))
    torch.testing.assert_close(loss(theta[None])[0], expected.detach(), check_dtype=False)


def test_logistic_regression_and_its_optimizers():
    loss, start = logistic(6, 0), np.random.default_rng(0).normal(size=6)
    best = by_newton(loss, start, 12)[-1]
    theta = torch.zeros(1, 6, dtype=torch.float64)
    assert torch.allclose(loss(theta), torch.tensor(2.0).double().log())
    gradient = by_torch(loss, start, 60, torch.optim.SGD)
    assert best <= gradient[-1] < gradient[0]
    rover, _, evaluations = by_rover(loss, start, 3, pairs="sampled", k=3, seed=0)
    assert rover[0] == gradient[0]
    assert evaluations > 4 * 49
