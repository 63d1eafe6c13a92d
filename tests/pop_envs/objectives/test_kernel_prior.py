import numpy as np
import pytest
import torch
from scipy.special import ive

from pop_envs.objectives.kernel_prior import KERNELS, KernelPrior

LENGTH, PERIODIC = 0.5, 0.8


def kernel(name, r):
    """Covariance of a one-dimensional process at distances r."""
    z = np.abs(r) / LENGTH
    return {
        "rbf": np.exp(-(z**2) / 2),
        "matern32": (1 + np.sqrt(3) * z) * np.exp(-np.sqrt(3) * z),
        "matern52": (1 + np.sqrt(5) * z + 5 * z**2 / 3) * np.exp(-np.sqrt(5) * z),
        "rational_quadratic": 1 / (1 + z**2 / 2),
        "periodic": np.exp(-2 * np.sin(np.pi * z) ** 2 / PERIODIC**2),
        "cosine": np.cos(2 * np.pi * z),
    }[name]


def prior(*kernels, **settings):
    lengths = {"lengthscale": (LENGTH, LENGTH), "periodic_lengthscale": (PERIODIC, PERIODIC)}
    return KernelPrior(kernels=kernels, num_features=32, **{"p_single": 1, **lengths, **settings})


def check_covariance(config, covariance, count=8000):
    """E[f(x) f(x')] over functions in one dimension, within 4.5 standard errors."""
    functions = config.sample(count, 1, np.random.default_rng(0))
    x = torch.full((count, 1), 0.1, dtype=torch.float64)
    at_x = functions.value_and_grad(x)[0]
    for r in (0.0, 0.1, 0.2, 0.35, 0.8):
        product = (at_x * functions.value_and_grad(x - r)[0]).numpy()
        assert abs(product.mean() - covariance(r)) < 4.5 * product.std() / count**0.5, r


@pytest.mark.parametrize("name", KERNELS)
def test_features_have_the_kernels_covariance(name):
    check_covariance(prior(name), lambda r: kernel(name, r))


@pytest.mark.parametrize("name", ["rbf", "periodic"])
def test_features_of_a_product_have_its_covariance(name):
    check_covariance(prior(name, p_single=0, p_product=1), lambda r: kernel(name, r) ** 2)


@pytest.mark.parametrize("name", ["matern52", "cosine"])
def test_features_of_a_sum_have_its_covariance(name):
    check_covariance(prior(name, p_single=0, p_product=0), lambda r: kernel(name, r))


def test_harmonics_are_distributed_as_the_fourier_coefficients_of_the_periodic_kernel():
    lengths, n = torch.tensor([[0.5], [1.0], [2.0]], dtype=torch.float64), 100_000
    places = (torch.arange(n, dtype=torch.float64) + 0.5).expand(3, n) / n
    harmonics = KernelPrior._harmonics(lengths, places)
    for row, length in zip(harmonics, lengths[:, 0].tolist(), strict=True):
        for order in range(-4, 5):
            assert (row == order).double().mean() == pytest.approx(ive(order, length**-2), abs=2 / n)


def test_lengthscales_differ_between_coordinates():
    functions = KernelPrior(kernels=("rbf",), p_single=1).sample(200, 2, np.random.default_rng(1))
    roughness = functions.frequency.square().mean(-1).log()  # (dim, batch)
    assert roughness.std(1).min() > 0.5
    assert abs(np.corrcoef(roughness)[0, 1]) < 0.3


@pytest.mark.parametrize("kernels", [(), ("rbf", "linear")])
def test_unknown_kernels_are_refused(kernels):
    with pytest.raises(ValueError, match="kernels must"):
        KernelPrior(kernels=kernels)
