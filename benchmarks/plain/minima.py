"""Recomputes the minima of the suite "mgh" that have no closed form: ``python -m benchmarks.plain.minima``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares

from benchmarks.plain import mgh
from benchmarks.plain.squares import Array, Residuals, residuals_and_jacobian

_FILE = Path(__file__).with_name("mgh.json")
_ROUNDS = 20


def polished(residuals: Residuals, near: Array) -> tuple[float, Array]:
    """A minimum and its minimizer (dim,), as precise as float64 is: Levenberg-Marquardt until nothing gets better."""
    x, best = near, np.inf

    def value(z: Array) -> Array:
        return residuals_and_jacobian(residuals, z)[0]

    def jacobian(z: Array) -> Array:
        return residuals_and_jacobian(residuals, z)[1]

    for _ in range(_ROUNDS):
        found = least_squares(
            value,
            x,
            jacobian,
            method="lm",
            x_scale="jac",
            ftol=1e-15,
            xtol=1e-15,
            gtol=1e-15,
            max_nfev=10_000,
        )
        if not 2 * found.cost < best:
            break
        x, best = found.x, 2 * float(found.cost)
    return best, x


def main() -> None:
    """Writes ``mgh.json``."""
    minima = {}
    for name in mgh.names():
        formula, dim = mgh.formula(name)
        if formula.minimizer is None:
            f_min, x = polished(formula.residuals, mgh.point(formula.start, dim))
            # Where the paper prints zero, what is left is rounding.
            printed = dict(zip(formula.dims, formula.published, strict=False)).get(dim, "0")
            minima[name] = {"f_min": 0.0 if float(printed) == 0 else f_min, "minimizer": x.tolist()}
    rows = (f'"{name}": {json.dumps(entry)}' for name, entry in minima.items())
    _FILE.write_text("{\n" + ",\n".join(rows) + "\n}\n", "utf-8")


if __name__ == "__main__":
    main()
