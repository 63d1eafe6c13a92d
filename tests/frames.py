"""Results made by hand, for tests of what reads them."""

import numpy as np
import pandas as pd

from benchmarks import analysis
from benchmarks.run import COLUMNS

GROUPS = {"sphere": "bowl", "rosenbrock": "valley", "bukin_n6": "many minima"}


def frame(values, errors=(), budget=2, sample="VLSE", doubled=False):
    """Results by hand: ``values[method][function]`` lists each start's best value, or its trace; f_min 0, f_ref 1.

    The starts' values are 1. A trace may have an end before the budget's, where the run stopped.
    """
    evaluations = 2 * (budget + 1) if doubled else budget + 1
    rows = []
    for method, functions in values.items():
        for function, starts in functions.items():
            for start, found in enumerate(starts):
                seen = np.atleast_1d(found) if np.ndim(found) else np.linspace(1.0, found, evaluations)
                trace = np.append(seen, [seen[-1]] * (evaluations - len(seen)))
                error = "ValueError: broken | pipe" if (method, function, start) in errors else ""
                rows.append(
                    {
                        "method": method,
                        "function": function,
                        "group": GROUPS.get(function, sample),
                        "sample": sample,
                        "dim": 2,
                        "budget": budget,
                        "doubled": doubled,
                        "start": start,
                        "seed": 0,
                        "evaluations": len(seen),
                        "y0": 1.0,
                        "y_best": trace[-1],
                        "f_min": 0.0,
                        "f_ref": 1.0,
                        "seconds": 0.001 * len(seen),
                        "error": error,
                        "trace": trace,
                        "path": np.empty(0),
                    }
                )
    return analysis.with_measures(pd.DataFrame(rows))[list(COLUMNS)]


RESULTS = frame(
    {
        "fast": {"sphere": [1e-9, 0.0], "rosenbrock": [0.1, 0.01]},
        "slow": {"sphere": [1e-10, 0.1], "rosenbrock": [1.0, 0.1]},
        "wild": {"sphere": [0.5, 0.5], "rosenbrock": [0.01, 1.0]},
    },
    errors={("wild", "rosenbrock", 1)},
)
# In the order of a sweep, with dimension 16 after 8.
PRIOR_RESULTS = pd.concat(
    [
        frame(
            {"good": {"gp-8d-0": [0.0], "gp-8d-1": [0.1]}, "bad": {"gp-8d-0": [0.1], "gp-8d-1": [0.2]}},
            errors={("bad", "gp-8d-0", 0), ("bad", "gp-8d-1", 0)},
            sample="gp, 8-D",
        ),
        frame({"good": {"gp-16d-0": [0.0]}, "bad": {"gp-16d-0": [0.1]}}, sample="gp, 16-D"),
    ],
    ignore_index=True,
)
