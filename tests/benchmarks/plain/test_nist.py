import numpy as np
import pytest

from benchmarks.plain import nist
from benchmarks.plain.minima import polished
from benchmarks.plain.squares import value_and_grad
from benchmarks.problems import block_problems, nist_blocks

# Residuals of Lanczos1 are 1e-13: eleven digits of the parameters are not enough for them. See below.
TOLERANCE = {"lanczos2": 2e-10}
# Rows and parameters of each dataset, as NIST's tables list them.
SIZES = {
    "misra1a": (14, 2),
    "chwirut2": (54, 3),
    "chwirut1": (214, 3),
    "lanczos3": (24, 6),
    "gauss1": (250, 8),
    "gauss2": (250, 8),
    "danwood": (6, 2),
    "misra1b": (14, 2),
    "kirby2": (151, 5),
    "hahn1": (236, 7),
    "nelson": (128, 3),
    "mgh17": (33, 5),
    "lanczos1": (24, 6),
    "lanczos2": (24, 6),
    "gauss3": (250, 8),
    "misra1c": (14, 2),
    "misra1d": (14, 2),
    "roszman1": (25, 4),
    "enso": (168, 9),
    "mgh09": (11, 4),
    "thurber": (37, 7),
    "boxbod": (6, 2),
    "rat42": (9, 3),
    "mgh10": (16, 3),
    "eckerle4": (35, 3),
    "rat43": (15, 4),
    "bennett5": (154, 3),
}


def test_all_27_datasets_are_there():
    assert tuple(SIZES) == tuple(nist.MODELS)
    for name, (rows, parameters) in SIZES.items():
        (problem,) = block_problems(f"nist-{name}")
        r, jacobian = problem.sum_of_squares.residuals(problem.own_starts[0])
        assert (r.shape, jacobian.shape, len(problem.own_starts)) == ((rows,), (rows, parameters), 2)
        assert problem.group.removesuffix(" difficulty") in ("lower", "average", "higher")


@pytest.mark.parametrize("name", [name for name in nist.MODELS if name != "lanczos1"])
def test_certified_parameters_have_the_certified_sum_of_squares(name):
    fit = nist.fit(name)
    y, _ = value_and_grad(fit.residuals, fit.minimizer[None])
    np.testing.assert_allclose(y, fit.f_min, rtol=TOLERANCE.get(name, 1e-10))


def test_lanczos1_has_the_certified_sum_of_squares_up_to_rounding():
    fit = nist.fit("lanczos1")
    f_min, b = polished(fit.residuals, fit.minimizer)
    np.testing.assert_allclose(b, fit.minimizer, rtol=1e-10)
    # Of values near 2.5, whose rounding is 2e-16, in each of 24 residuals.
    assert f_min == pytest.approx(fit.f_min, rel=0.1)


def test_certified_values_are_precise_enough_for_the_finest_accuracy():
    for block in nist_blocks():
        (problem,) = block_problems(block)
        f0 = min((problem.sum_of_squares.residuals(u)[0] ** 2).sum() for u in problem.own_starts)
        assert 1e-9 * (f0 - problem.f_min) > 5e-11 * problem.f_min  # they have eleven digits
