"""Every id that the suite registers in Gymnasium. Nothing is built before ``gymnasium.make``."""

from __future__ import annotations

from typing import Any

import gymnasium

from pop_envs.objectives import vlse
from pop_envs.pop.env import POPEnv, POPVectorEnv
from pop_envs.pop.task import FULL


def register_all() -> None:
    """Registers ``POP-v0`` and ``POP-full-v0``, the other two families', and ``VLSE/Ackley-v0`` and its kin."""
    for name, arguments in (("POP-v0", {}), ("POP-full-v0", vars(FULL))):
        gymnasium.register(
            name,
            "pop_envs.pop.env:POPEnv",
            vector_entry_point="pop_envs.pop.env:POPVectorEnv",
            kwargs=dict(arguments),
        )
    gymnasium.register(
        "RoverDescent-v0", "pop_envs.rover.env:RoverEnv", vector_entry_point="pop_envs.rover.env:RoverVectorEnv"
    )
    gymnasium.register(
        "LearningToOptimize-v0",
        "pop_envs.lto.env:LearningToOptimizeEnv",
        vector_entry_point="pop_envs.lto.env:LearningToOptimizeVectorEnv",
    )
    for name in vlse.names():
        gymnasium.register(
            vlse_id(name),
            "pop_envs.registration:make_vlse",
            vector_entry_point="pop_envs.registration:make_vlse_vector",
            kwargs={"function": name},
        )


def vlse_id(name: str) -> str:
    """The Gymnasium id of a VLSE function: that of ``bukin_n6`` is ``VLSE/BukinN6-v0``.

    Raises:
        ValueError: If there is no function of this name.
    """
    vlse.function(name)
    return f"VLSE/{name.title().replace('_', '')}-v0"


def make_vlse(function: str, dim: int | None = None, **kwargs: Any) -> POPEnv:
    """``POPEnv`` on one function; further arguments are its own."""
    return POPEnv(objective=vlse.problem(function, dim).objective(), **kwargs)


def make_vlse_vector(num_envs: int, function: str, dim: int | None = None, **kwargs: Any) -> POPVectorEnv:
    """``POPVectorEnv`` on one function; further arguments are its own."""
    return POPVectorEnv(num_envs=num_envs, objective=vlse.problem(function, dim).objective(), **kwargs)
