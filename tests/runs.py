"""Runs of ``minimize`` that threads and processes make at once, here for processes that are spawned to find them."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

import pop_optimizer


def wavy(x):
    return (x**2).sum() + np.cos(5 * x).sum(), 2 * x - 5 * np.sin(5 * x)


def path(i):
    """Of one of many runs, of one to eight dimensions."""
    dim = 1 + i % 8
    center = np.linspace(-0.5, 0.7, dim)
    bounds = [(-2, 2)] * dim
    return pop_optimizer.minimize(lambda x: wavy(x - center), np.full(dim, 0.9), bounds=bounds, jac=True, budget=8)


def paths_of_eight_threads(count):
    """The bytes of ``count`` paths."""
    with ThreadPoolExecutor(8) as pool:
        return [found.x_iters.tobytes() for found in pool.map(path, range(count))]
