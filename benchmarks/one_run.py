"""One run on a bowl: its time beyond the objective's, and its memory; ``python -m benchmarks.one_run 2 50``."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

import pop_optimizer

Vector = NDArray[np.float64]


class Bowl:
    """A quadratic of several variables that measures its own time.

    All times are the processor's, which other processes lengthen little.

    Attributes:
        bounds: Of its variables.
        evaluations: How many there were.
        seconds: What they took.
    """

    def __init__(self, dim: int) -> None:
        self._center = np.linspace(-0.3, 0.3, dim)
        self.bounds = [(-1.0, 1.0)] * dim
        self.evaluations, self.seconds = 0, 0.0

    def __call__(self, x: Vector) -> tuple[float, Vector]:
        """Value and gradient."""
        start = time.process_time()
        offset = x - self._center
        result = float(offset @ offset), 2 * offset
        self.evaluations += 1
        self.seconds += time.process_time() - start
        return result


def pop(dim: int, budget: int) -> float:
    """Seconds of a run of ``budget`` steps beyond the objective's own."""
    bowl, start = Bowl(dim), time.process_time()
    pop_optimizer.minimize(bowl, bounds=bowl.bounds, jac=True, budget=budget, seed=0)
    return time.process_time() - start - bowl.seconds


def dual_annealing(dim: int, budget: int) -> float:
    """The same of SciPy's dual annealing as it comes, for as many evaluations: it makes a few more, and is scaled."""
    bowl, start = Bowl(dim), time.process_time()

    def value(x: Vector) -> float:
        return bowl(x)[0]

    optimize.dual_annealing(value, bowl.bounds, maxfun=budget, rng=0)
    return (time.process_time() - start - bowl.seconds) * budget / bowl.evaluations


class Footprint(NamedTuple):
    """What a run took."""

    seconds: float
    """Beyond the objective's own."""
    above_import: float
    """Megabytes at most, less those after ``import pop_optimizer``."""
    peak: float
    """Megabytes at most."""


def footprint(dim: int, budget: int) -> Footprint:
    """Of a run of POP in a process of its own, with the policy's loading but for its time."""
    command = [sys.executable, "-m", "benchmarks.one_run", str(dim), str(budget)]
    return Footprint(*json.loads(subprocess.run(command, check=True, capture_output=True).stdout))


def _megabytes(name: str) -> float:
    """Of this process, as Linux tells: now (``VmRSS``) or at most (``VmHWM``)."""
    (found,) = re.findall(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"))
    return float(found) / 1024


def main() -> None:
    """Prints the footprint of a run whose dimension and budget the command line has."""
    imported = _megabytes("VmRSS")
    pop(1, 1)  # loads the policy
    seconds = pop(*map(int, sys.argv[1:]))
    peak = _megabytes("VmHWM")
    print(json.dumps(Footprint(seconds, peak - imported, peak)))


if __name__ == "__main__":
    main()
