"""A curriculum over dimensions: two coordinates first, later more. ``python examples/curriculum.py``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from gymnasium.vector import AutoresetMode

from agents import EpisodicPPO, TrajectoryPolicy
from agents.vec_env import DrawnVecEnv
from pop_envs import POPVectorEnv
from pop_envs.pop.task import FULL


def main(
    dims: Sequence[int] = (2, 4, 8), updates: int = 5, episodes: int = 64, **shape: int
) -> tuple[EpisodicPPO, list[int]]:
    """Trains ``updates`` updates in each number of coordinates; returns the model, and where each update was made."""
    played: list[int] = []

    def draw(rng: np.random.Generator) -> POPVectorEnv:
        dim = dims[min(len(played) // updates, len(dims) - 1)]
        played.append(dim)
        return made(dim)

    def made(dim: int) -> POPVectorEnv:
        # Fewer functions of more coordinates, so that each update takes the same time.
        return POPVectorEnv(
            max(1, episodes * dims[0] // dim),
            dim=dim,
            **vars(FULL),
            observation="token",
            autoreset_mode=AutoresetMode.DISABLED,
        )

    env = DrawnVecEnv(made(dims[0]), draw)
    env.seed(0)
    model = EpisodicPPO(
        TrajectoryPolicy,
        env,
        batch_episodes=episodes // 2,
        n_epochs=2,
        policy_kwargs={"head": "options", "depth": 1, "mixing": True, **shape},
        device="cpu",
    )
    for dim in dims:  # one policy for all of them: its weights belong to no number of coordinates
        model.learn(updates * episodes * dims[0] // dim * FULL.budget, reset_num_timesteps=dim == dims[0])
        print(f"{model.num_timesteps:,} steps made, the last of them in {played[-2]} coordinates")
    return model, played


if __name__ == "__main__":
    main()
