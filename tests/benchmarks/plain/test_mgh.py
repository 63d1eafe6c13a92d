import numpy as np
import pytest
from scipy.optimize import least_squares, minimize

from benchmarks.plain import mgh
from benchmarks.plain.minima import polished
from benchmarks.plain.squares import value_and_grad
from benchmarks.problems import block_problems, mgh_blocks, nist_blocks

PUBLISHED = [
    (name, formula, dict(zip(formula.dims, formula.published, strict=True))[dim])
    for name, (formula, dim) in ((name, mgh.formula(name)) for name in mgh.names())
    if formula.published
]
# By hand from the published formulas.
AT_START = {
    "rosenbrock": 24.2,
    "freudenstein_roth": 400.5,
    "brown_badly_scaled": 999998000003.0,
    "beale": 14.203125,
    "helical_valley": 2500.0,
    "powell_singular": 215.0,
    "wood": 19192.0,
    "watson-6d": 30.0,
    "extended_rosenbrock": 5 * 24.2,
    "extended_powell_singular": 3 * 215.0,
    "penalty_1-4d": 1e-5 * (0 + 1 + 4 + 9) + 29.75**2,
    "penalty_1-10d": 1e-5 * 285 + 384.75**2,
    "variably_dimensioned": 3.85 + 38.5**2 + 38.5**4,
    "brown_almost_linear": 9 * 5.5**2 + (1 - 2.0**-10) ** 2,
    "broyden_tridiagonal": 21.0,
    "broyden_banded": 360.0,
    "linear_full_rank": 10 * 1 + 20 * 2**2 - 2 * 10 * 2,
    "linear_rank_1": sum((55 * i - 1) ** 2 for i in range(1, 21)),
    "linear_rank_1_with_zeros": 2 + sum((44 * i - 1) ** 2 for i in range(1, 19)),
}


def unit_of_last_digit(printed):
    digits, _, exponent = printed.partition("e")
    return 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))


def test_all_35_problems_of_the_paper_are_there_in_its_order():
    assert [formula.number for formula in mgh.FORMULAS.values()] == list(range(1, 36))
    assert len(mgh.names()) == len(set(mgh.names())) == 40


@pytest.mark.parametrize(("name", "value"), AT_START.items())
def test_values_at_the_standard_start(name, value):
    fit = mgh.fit(name)
    np.testing.assert_allclose(value_and_grad(fit.residuals, fit.starts)[0], value, rtol=1e-13)


@pytest.mark.parametrize("name", mgh.names())
def test_the_minimizer_is_stationary_and_has_the_minimum(name):
    fit = mgh.fit(name)
    y0, _ = value_and_grad(fit.residuals, fit.starts)
    y, g = value_and_grad(fit.residuals, fit.minimizer[None])
    # Where the minimum is not zero, the rounding of it.
    assert abs(y[0] - fit.f_min) <= 1e-13 * fit.f_min + 1e-20
    lower, upper = fit.box
    assert np.abs(g * (upper - lower)).max() <= 1e-5 * (y0[0] - fit.f_min)


@pytest.mark.parametrize(("name", "formula", "printed"), PUBLISHED)
def test_minima_computed_anew_are_the_published_ones(name, formula, printed):
    fit = mgh.fit(name)
    f_min, _ = polished(formula.residuals, fit.starts[0])
    # The paper cuts some off after the last digit.
    assert abs(fit.f_min - float(printed)) < (unit_of_last_digit(printed) if float(printed) else 1e-30)
    np.testing.assert_allclose(f_min, fit.f_min, rtol=1e-8, atol=1e-28)  # Watson's is so ill-conditioned


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # SciPy squares what is infinite in the box
@pytest.mark.parametrize("block", [*mgh_blocks(), *nist_blocks()])
def test_no_descent_from_any_start_gets_below_the_minimum(block):
    (problem,) = block_problems(block)
    objective = problem.sum_of_squares
    f0 = min((objective.residuals(u)[0] ** 2).sum() for u in problem.own_starts)
    below = problem.f_min - 1e-10 * (f0 - problem.f_min)  # a tenth of the finest tau

    def seen(u):
        r, jacobian = objective.residuals(np.clip(u, -1, 1))
        y, g = (r**2).sum(), 2 * r @ jacobian
        return (y, g) if np.isfinite(y) and np.isfinite(g).all() else (1e300, np.zeros_like(u))

    bounds = [(-1, 1)] * problem.dim
    best = np.inf
    for u in (*problem.own_starts, *np.random.default_rng(1).uniform(-1, 1, (4, problem.dim))):
        best = min(best, minimize(seen, u, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxfun": 200}).fun)
        if np.isfinite(objective.residuals(u)[0]).all():
            found = least_squares(
                lambda z: objective.residuals(z)[0],
                u,
                lambda z: np.where(np.abs(j := objective.residuals(z)[1]) < 1e100, j, 0.0),
                bounds=(-1, 1),
                max_nfev=100,
            )
            best = min(best, 2 * found.cost)
    assert best >= below
