import numpy as np
import pytest
import torch

from benchmarks.problems import block_problems, prior_blocks, vlse_problem
from pop_envs.prior import PRIORS, final_test_functions


def test_the_blocks_hold_every_function_once_and_full_ones_keep_their_name():
    blocks = prior_blocks("gp", 2, 130)
    assert blocks == ("gp-2d-0..63", "gp-2d-64..127", "gp-2d-128..129")
    names = [problem.name for block in blocks for problem in block_problems(block)]
    assert names == [f"gp-2d-{i}" for i in range(130)]
    assert prior_blocks("gp", 2, 1024)[:2] == blocks[:2]


@pytest.mark.parametrize("prior", PRIORS)
def test_a_block_is_rows_of_the_final_test_functions(prior):
    dim = 3
    # Drawn among more than the block's own last row, as in a sweep of another count.
    functions = final_test_functions(PRIORS[prior](), 100, dim)
    points = torch.rand(5, dim, dtype=torch.float64) * 2 - 1
    block = prior_blocks(prior, dim, 67)[1]
    for number, problem in zip((64, 65, 66), block_problems(block), strict=True):
        assert problem.name == f"{prior}-{dim}d-{number}"
        assert problem.group == f"{prior}, {dim}-D"
        expected = functions.rows(torch.tensor([number]).expand(5)).value_and_grad(points)
        for i, point in enumerate(points):
            y, g = problem.objective.value_and_grad(point[None])
            torch.testing.assert_close(y, expected[0][i, None])
            torch.testing.assert_close(g, expected[1][i, None])


@pytest.mark.parametrize("prior", PRIORS)
def test_references_lie_below_what_many_points_find(prior):
    points = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (3000, 2)))
    for problem in block_problems(f"{prior}-2d-0..9"):
        assert problem.f_min <= problem.objective.values_on(points).min() + 1e-5 * abs(problem.f_min)
        assert problem.f_min < problem.f_ref


def test_a_vlse_function_is_its_own_block():
    assert block_problems("branin") == (vlse_problem("branin"),)


@pytest.mark.parametrize("block", ["spere", "uniform-2d-0..63", "gp-2d-0"])
def test_an_unknown_block_is_named(block):
    with pytest.raises(ValueError, match=rf"like 'gp-8d-0\.\.63', got '{block}'"):
        block_problems(block)
