import subprocess
import sys

import numpy as np
import pytest
import torch

from benchmarks import vlse
from benchmarks.problems import (
    VARIANTS,
    block_problems,
    prior_blocks,
    scaled_blocks,
    variant_blocks,
    variant_problem,
    vlse_problem,
)
from benchmarks.sweep import Sweep, blocks
from pop_envs.objectives.priors import PRIORS, final_test_functions

# What the names of the functions seed: should these change, old results hold no more.
SHIFT = [-0.45275609651112386, 0.16981234696651504]  # of ackley's minimizer
TURN = [
    [-1.178870544372202, 0.6978251348635705, 0.0],
    [-0.6978251348635705, -1.178870544372202, 0.0],
    [0.0, 0.0, 1.3699254283484823],
]  # hartmann_3d


def test_the_blocks_hold_every_function_once_and_full_ones_keep_their_name():
    blocks = prior_blocks("gp", 2, 130)
    assert blocks == ("gp-2d-0..63", "gp-2d-64..127", "gp-2d-128..129")
    names = [problem.name for block in blocks for problem in block_problems(block)]
    assert names == [f"gp-2d-{i}" for i in range(130)]
    assert prior_blocks("gp", 2, 1024)[:2] == blocks[:2]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("powell-5d", "powell: dim must be an integer, a positive multiple of 4, got 5"),
        ("branin-5d", "branin: dim must be an integer, exactly 2, got 5"),
        ("chained_rosenbrock-1d", "rosenbrock: dim must be an integer, at least 2, got 1"),
        ("forrester_2008~rotated", "at least 2 dimensions, got 1"),
    ],
)
def test_a_function_that_cannot_be_had_says_why(block, message):
    with pytest.raises(ValueError, match=message):
        block_problems(block)


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
    assert (vlse_problem("branin").name, vlse_problem("branin").sample) == ("branin", "VLSE")


def test_functions_that_scale_do_so_in_every_dimension_they_have():
    scalable = {
        *("ackley", "griewank", "levy", "rastrigin", "schwefel", "perm_0_d_beta", "rotated_hyper_ellipsoid", "sphere"),
        *("sum_of_different_powers", "sum_squares", "trid", "zakharov", "dixon_price", "rosenbrock", "michalewicz"),
        *("perm_d_beta", "powell", "styblinski_tang"),
    }
    assert set(scaled_blocks(vlse.names(), 4)) == {f"{name}-4d" for name in scalable}
    for dim in (5, 10):
        assert set(scaled_blocks(vlse.names(), dim)) == {f"{name}-{dim}d" for name in scalable - {"powell"}}
    assert set(scaled_blocks(vlse.names(), 1)) < {f"{name}-1d" for name in scalable - {"rosenbrock", "trid", "powell"}}


@pytest.mark.parametrize("dim", [5, 10])
def test_a_scaled_function_is_the_vlse_function_in_that_dimension(dim):
    for name in scaled_blocks(vlse.names(), dim):
        (problem,) = block_problems(name)
        record = vlse.problem(name.split("-")[0], dim)
        assert (problem.name, problem.sample) == (name, f"VLSE, {dim}-D")
        assert (problem.group, problem.f_min, problem.dim) == (record.group, record.f_min, dim)
        values = problem.objective.values_on(torch.from_numpy(record.objective().to_unit(record.minimizers)))
        # Perm's powers reach 1e20, and their differences cannot be small.
        np.testing.assert_allclose(values, problem.f_min, rtol=2e-15, atol=1e-12 * max(1, problem.f_ref * 1e-6))
        assert problem.f_ref > problem.f_min


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_is_a_sample_of_its_own(variant):
    listed = variant_blocks(vlse.names(), variant)
    left_out = {"gramacy_lee_2012", "forrester_2008"} if variant == "rotated" else set()
    assert listed == tuple(f"{name}~{variant}" for name in vlse.names() if name not in left_out)
    for name in listed:
        (problem,) = block_problems(name)
        original = vlse_problem(name.split("~")[0])
        assert (problem.name, problem.sample) == (name, f"VLSE, {variant}")
        assert (problem.group, problem.dim, problem.f_min) == (original.group, original.dim, original.f_min)
        assert (problem.noise is not None) == (variant == "noisy")
        assert problem.f_ref > problem.f_min


def test_the_variants_are_the_same_for_everyone():
    shift, turn = variant_problem("ackley", "shifted").objective, variant_problem("hartmann_3d", "rotated").objective
    np.testing.assert_allclose(shift.place, SHIFT, rtol=1e-12)
    np.testing.assert_allclose(turn.matrix, TURN, rtol=1e-12, atol=1e-15)
    assert not torch.equal(shift.place, variant_problem("levy", "shifted").objective.place)


def test_another_process_has_the_same_variants_bit_for_bit():
    blocks = ("branin~noisy", "branin~rotated", "hartmann_6d~shifted")
    code = f"""
from benchmarks.problems import block_problems
problems = [problem for block in {blocks} for problem in block_problems(block)]
described = [
    (p.name, p.f_ref, p.noise or (p.objective.penalty, p.objective.place.tolist(), p.objective.matrix.tolist()))
    for p in problems
]
"""
    there = subprocess.run(
        [sys.executable, "-c", f"{code}\nprint(described)"], capture_output=True, text=True, check=True
    )
    here = {}
    exec(code, here)
    assert there.stdout.strip() == repr(here["described"])


def test_a_sweep_lists_the_blocks_of_its_suites_and_each_holds_a_problem_of_its_own():
    suites = ("vlse", "shifted", "rotated", "noisy", "scaled", "gp")
    sweep = Sweep(suite=suites, functions=("levy", "branin", "forrester_2008", "powell"), dims=(4, 5), count=65)
    named = blocks(sweep)
    assert named == [
        *("levy", "branin", "forrester_2008", "powell"),
        *("levy~shifted", "branin~shifted", "forrester_2008~shifted", "powell~shifted"),
        *("levy~rotated", "branin~rotated", "powell~rotated"),
        *("levy~noisy", "branin~noisy", "forrester_2008~noisy", "powell~noisy"),
        *("levy-4d", "powell-4d", "levy-5d"),
        *("gp-4d-0..63", "gp-4d-64..64", "gp-5d-0..63", "gp-5d-64..64"),
    ]
    single = [problem.name for block in named[:-4] for problem in block_problems(block)]
    assert single == named[:-4]


def test_a_sweep_of_plain_problems_lists_them_all_and_each_knows_its_residuals():
    named = blocks(Sweep(suite=("mgh", "rosenbrock", "nist")))
    assert (len(named), named[:2], named[-1]) == (
        40 + 4 + 27,
        ["mgh-rosenbrock", "mgh-freudenstein_roth"],
        "nist-bennett5",
    )
    assert named[40:44] == [f"chained_rosenbrock-{dim}d" for dim in (2, 10, 100, 1000)]
    assert blocks(Sweep(suite=("rosenbrock",), rosenbrock_dims=(3,))) == ["chained_rosenbrock-3d"]
    samples = {}
    for name in named:
        (problem,) = block_problems(name)
        assert problem.name == name
        assert problem.sum_of_squares is problem.objective
        samples.setdefault(problem.sample, set()).add(None if problem.own_starts is None else len(problem.own_starts))
    assert samples == {"MGH": {1}, "Rosenbrock": {None}, "NIST": {2}}
    assert vlse_problem("branin").sum_of_squares is None


@pytest.mark.parametrize(
    ("suite", "functions", "dims"),
    [("scaled", ("branin",), (5,)), ("scaled", ("powell",), (5, 10)), ("rotated", ("forrester_2008",), (2,))],
)
def test_a_suite_without_any_function_is_named(suite, functions, dims):
    sweep = Sweep(suite=("vlse", suite), functions=functions, dims=dims)
    with pytest.raises(ValueError, match=rf"suite '{suite}' has none of the functions {functions[0]} .*--functions"):
        blocks(sweep)


@pytest.mark.parametrize(
    "block",
    [
        *("spere", "uniform-2d-0..63", "gp-2d-0", "spere-5d", "ackley-05d", "ackley-5d~shifted", "ackley~moved"),
        *("spere~noisy", "ackley~", "ackley~shifted~noisy", "mgh-spere", "nist-bard", "mgh-watson", "mgh-bard-3d"),
    ],
)
def test_an_unknown_block_is_named(block):
    with pytest.raises(ValueError, match=rf"like 'gp-8d-0\.\.63', got '{block}'"):
        block_problems(block)
