import numpy as np
import pytest

from benchmarks.paths import Paths, draw, trace
from benchmarks.problems import vlse_problem
from benchmarks.run import run_once, start_point
from benchmarks.sweep import methods


@pytest.mark.parametrize("name", ["adam", "random_search"])
def test_a_path_is_the_benchmarks_run(name):
    problem, (method,) = vlse_problem("levy"), methods(Paths(methods=(name,)).sweep())
    points, values = trace(method, problem, start=3, budget=20, seed=0)
    assert points.shape == (21, 2)
    np.testing.assert_array_equal(points[0], start_point(problem, 3, 0))
    row = run_once(method, problem, start=3, budget=20, seed=0)
    np.testing.assert_array_equal(np.minimum.accumulate(values), row["trace"])


def test_every_method_has_a_row_of_two_panels(tmp_path):
    out = tmp_path / "new" / "paths.png"
    draw(Paths(methods=("adam", "lbfgsb"), function="six_hump_camel", budget=5, out=out))
    assert out.stat().st_size > 10_000


def test_functions_that_cannot_be_drawn_are_refused():
    with pytest.raises(ValueError, match=r"one that can be drawn: ackley, .*got 'hartmann_6d'"):
        Paths(function="hartmann_6d")
