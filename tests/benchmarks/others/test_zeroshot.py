import numpy as np
import pytest
import torch
from scipy.optimize import approx_fprime

from benchmarks.others import zeroshot
from benchmarks.problems import block_problems, zeroshot_blocks


def test_there_are_twenty_functions():
    everywhere = {name for dim in range(2, 21) for name in zeroshot.functions(dim)}
    hartmann = {"hartmann_3d", "hartmann_4d", "hartmann_6d"}
    assert len(everywhere - hartmann) + 1 == 20
    assert [len(zeroshot.functions(dim)) for dim in (2, 3, 4, 5, 6, 8, 20, 21)] == [16, 9, 11, 8, 9, 10, 8, 0]


def test_each_has_its_minimum():
    for block in zeroshot_blocks((2, 3, 4, 6, 8)):
        (problem,) = block_problems(block)
        assert problem.name == block
        assert problem.sample == f"ZeroShotOpt, {problem.dim}-D"
        assert problem.f_ref > problem.f_min
    with pytest.raises(ValueError, match="branin is not among the functions in 3-D"):
        block_problems("zeroshot-branin-3d")


def test_cosine_8():
    function = zeroshot.cosine_8()
    y, g = function.value_and_grad(torch.zeros(1, 8, dtype=torch.float64))
    assert (y.item(), g.abs().max().item()) == (pytest.approx(-0.8), 0.0)
    point = np.linspace(-0.9, 0.7, 8)
    slopes = approx_fprime(point, lambda x: function.values_on(torch.from_numpy(x[None])).item(), 1e-7)
    np.testing.assert_allclose(function.value_and_grad(torch.from_numpy(point[None]))[1][0], slopes, atol=1e-5)
