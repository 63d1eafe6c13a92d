"""A real-coded genetic algorithm (Deb and Agrawal, 1995), pymoo's implementation."""

from __future__ import annotations

import numpy as np
from pymoo.algorithms.soo.nonconvex.ga import GA
from pymoo.core.problem import Problem
from pymoo.core.termination import NoTermination
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.mutation.pm import PM

from benchmarks.budget import Array, Evaluate


def genetic_algorithm(
    evaluate: Evaluate,
    x0: Array,
    budget: int,
    rng: np.random.Generator,
    *,
    share: float = 0.2,
    crossover_eta: float = 15.0,
    mutation_eta: float = 20.0,
) -> None:
    """Tournaments, simulated binary crossover and polynomial mutation with pymoo's defaults.

    pymoo's population of 100 members leaves a budget of 50 no second generation.
    So a generation is ``share`` of the budget, at least 4 members and at most pymoo's 100. The start is the first
    member, the others are uniform. ``crossover_eta`` tells how near children are to their parents, ``mutation_eta`` how
    small mutations are.
    """
    members = int(np.clip(share * (budget + 1), 4, 100))
    population = rng.uniform(-1.0, 1.0, (members, len(x0)))
    population[0] = x0
    algorithm = GA(
        pop_size=members,
        sampling=population,
        crossover=SBX(eta=crossover_eta),
        mutation=PM(eta=mutation_eta),
        termination=NoTermination(),
        seed=int(rng.integers(2**31)),
    )
    algorithm.setup(Problem(n_var=len(x0), n_obj=1, xl=-1.0, xu=1.0))
    # pymoo gives up when it finds no child that is not there already.
    while (children := algorithm.ask()) is not None:
        children.set("F", np.array([[evaluate(x)[0]] for x in children.get("X")]))
        algorithm.tell(children)
