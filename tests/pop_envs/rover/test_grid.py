import numpy as np
import pytest
import torch

from pop_envs.rover.grid import grid_offsets, rescaled


def test_offsets_are_those_of_eq_1_around_the_middle():
    offsets = grid_offsets(5).view(5, 5, 2)
    for i in range(5):
        for j in range(5):
            assert offsets[i, j].tolist() == [3 - (i + 1), 3 - (j + 1)]
    assert torch.equal(grid_offsets(5)[12], torch.zeros(2, dtype=torch.float64))


def test_grids_are_rescaled_to_the_unit_interval():
    values = torch.from_numpy(np.random.default_rng(0).normal(size=(6, 25)))
    seen, trusted = rescaled(values)
    assert seen.shape == (6, 5, 5)
    assert trusted.all()
    expected = (values - values.amin(1, True)) / (values.amax(1, True) - values.amin(1, True))
    torch.testing.assert_close(seen.flatten(1).double(), expected, rtol=0, atol=1e-7)
    again, _ = rescaled(3e5 * values - 12)
    torch.testing.assert_close(again, seen)


@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_counts_as_the_worst(hole):
    values = torch.arange(25, dtype=torch.float64)[None].clone()
    values[0, 3] = hole
    seen, trusted = rescaled(values)
    assert not trusted.any()
    assert seen.flatten()[3] == seen.flatten()[24] == 1
    assert seen.isfinite().all()


def test_extremes():
    constant, _ = rescaled(torch.full((1, 25), 7.0, dtype=torch.float64))
    assert constant.abs().max() == 0
    nothing, trusted = rescaled(torch.full((1, 25), torch.nan, dtype=torch.float64))
    assert nothing.abs().max() == 0
    assert not trusted.any()
    wide = 1.7e308 * torch.linspace(-1, 1, 25, dtype=torch.float64)[None]
    assert rescaled(wide)[0].flatten().diff().allclose(torch.tensor(1 / 24))
