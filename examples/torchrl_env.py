"""TorchRL's ``GymEnv`` on ``POP-v0``: ``pip install torchrl``, then ``python examples/torchrl_env.py``."""

from __future__ import annotations

import torch
from tensordict.nn import TensorDictModule
from torch import nn
from torchrl.envs import GymEnv
from torchrl.envs.utils import check_env_specs

import pop_envs  # noqa: F401 (registers POP-v0)


def main(steps: int = 50) -> tuple[tuple[int, ...], float]:
    """Plays an episode with an untrained network; returns the observations' shape and the return."""
    torch.manual_seed(0)
    env = GymEnv("POP-full-v0", observation="token", budget=steps, device="cpu")
    check_env_specs(env)
    dim, features = env.observation_spec["observation"].shape
    network = nn.Sequential(nn.Flatten(-2), nn.Linear(dim * features, 32), nn.Tanh(), nn.Linear(32, dim), nn.Tanh())
    episode = env.rollout(steps, TensorDictModule(network, in_keys=["observation"], out_keys=["action"]))
    gained = float(episode["next", "reward"].sum())
    print(f"{episode.shape[0]} steps, return {gained:.2f}, done: {bool(episode['next', 'done'][-1])}")
    return tuple(episode["observation"].shape), gained


if __name__ == "__main__":
    main()
