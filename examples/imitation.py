"""Imitation of L-BFGS: a network learns to make its steps from the points seen. ``python examples/imitation.py``.

The expert is the limited-memory BFGS descent that goes along with each run. Tokens tell what it proposes; the student
sees all other features of the last few tokens, and is trained by regression on what the expert does.
"""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import torch
from torch import nn

import pop_envs  # noqa: F401 (registers POP-v0)
from pop_envs.pop.tokens import LOWEST, SURROGATE, TRUST_REGION

HIDDEN = (TRUST_REGION, LOWEST, SURROGATE, "log proposed step")
HISTORY = 4  # tokens that the student sees


def play(envs: gym.vector.VectorEnv, decide: object, seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Plays an episode: what the student sees (n, inputs), what the expert would do (n, 1), and the mean return."""
    space = envs.unwrapped.single_observation_space
    expert = space.features.index(TRUST_REGION)
    shown = [i for i, name in enumerate(space.features) if name not in HIDDEN]
    token, _ = envs.reset(seed=seed)
    last = np.zeros((HISTORY, *token.shape[:2], len(shown)), np.float32)
    seen, done, total = [], [], 0.0
    for _ in range(envs.unwrapped.budget):
        last = np.concatenate([last[1:], token[None, ..., shown]])
        inputs = np.moveaxis(last, 0, 2).reshape(-1, HISTORY * len(shown))  # each coordinate for itself
        action = token[..., expert]
        seen.append(inputs)
        done.append(action.reshape(-1, 1))
        token, reward, *_ = envs.step(action if decide is None else decide(inputs).reshape(action.shape))
        total += reward.mean()
    return np.concatenate(seen), np.concatenate(done), float(total)


def main(num_envs: int = 128, rounds: int = 3, epochs: int = 30) -> dict[str, float]:
    """Clones the expert, with DAgger's rounds; returns mean returns on functions not trained on."""
    torch.manual_seed(0)
    envs = gym.make_vec("POP-full-v0", num_envs=num_envs, observation="token", budget=30)
    seen, done, _ = play(envs, None, seed=0)
    student = nn.Sequential(nn.Linear(seen.shape[1], 64), nn.GELU(), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 1))

    def decide(inputs: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return student(torch.from_numpy(inputs)).clamp(-1, 1).numpy()

    optimizer = torch.optim.Adam(student.parameters(), lr=2e-3)
    returns = {"untrained": play(envs, decide, seed=10_000)[2]}
    for round_ in range(rounds):
        if round_:  # DAgger (Ross et al., 2011): what the expert would have done where the student goes
            more = play(envs, decide, seed=1000 * round_)
            seen, done = np.concatenate([seen, more[0]]), np.concatenate([done, more[1]])
        inputs, targets = torch.from_numpy(seen), torch.from_numpy(done)
        for _ in range(epochs):
            for index in torch.randperm(len(inputs)).split(512):
                loss = nn.functional.smooth_l1_loss(student(inputs[index]), targets[index], beta=0.1)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    returns |= {"student": play(envs, decide, seed=10_000)[2], "expert": play(envs, None, seed=10_000)[2]}
    print({name: round(each, 2) for name, each in returns.items()})
    return returns


if __name__ == "__main__":
    main()
