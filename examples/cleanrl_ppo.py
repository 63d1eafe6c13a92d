"""PPO in one file, in the manner of CleanRL (its ``ppo_continuous_action.py``), on a native vector environment.

``python examples/cleanrl_ppo.py --updates 200``: prints the mean return of each tenth update.
"""

from __future__ import annotations

from dataclasses import dataclass

import gymnasium as gym
import torch
import tyro
from torch import nn
from torch.distributions import Normal

import pop_envs  # noqa: F401 (registers POP-v0)


@dataclass
class Args:
    """What is trained."""

    env_id: str = "POP-full-v0"
    """POP-v0, as the paper has it, or POP-full-v0, with what learns best."""
    num_envs: int = 64
    """Functions that are optimized at once."""
    updates: int = 100
    """Rollouts of one episode each."""
    minibatches: int = 8
    epochs: int = 4
    learning_rate: float = 1e-3
    gamma: float = 0.99
    gae_lambda: float = 0.95
    clip: float = 0.2
    seed: int = 1


class Agent(nn.Module):
    """Actor and critic of one token each, with a Gaussian whose deviation does not depend on it."""

    def __init__(self, num_inputs: int, num_actions: int) -> None:
        super().__init__()

        def network(outputs: int, gain: float) -> nn.Sequential:
            last = nn.Linear(64, outputs)
            nn.init.orthogonal_(last.weight, gain)
            return nn.Sequential(nn.Flatten(), nn.Linear(num_inputs, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), last)

        self.mean, self.value = network(num_actions, 0.01), network(1, 1.0)
        self.log_std = nn.Parameter(torch.full((num_actions,), -1.0))

    def forward(self, obs: torch.Tensor) -> tuple[Normal, torch.Tensor]:
        """Distribution of actions and values (batch,) for tokens (batch, dim, features)."""
        return Normal(self.mean(obs), self.log_std.exp()), self.value(obs)[:, 0]


def main(args: Args) -> list[float]:
    """Trains; returns the mean return of each update's episodes."""
    torch.manual_seed(args.seed)
    envs = gym.make_vec(args.env_id, num_envs=args.num_envs, observation="token")
    steps = envs.unwrapped.budget
    dim, features = envs.single_observation_space.shape
    agent = Agent(dim * features, dim)
    optimizer = torch.optim.Adam(agent.parameters(), lr=args.learning_rate, eps=1e-5)
    obs, _ = envs.reset(seed=args.seed)
    returns = []
    for update in range(args.updates):
        seen, taken, log_probs, values, rewards = [], [], [], [], []
        for _ in range(steps):  # one whole episode: the budget's end is a termination, after which nothing is worth
            with torch.no_grad():
                tokens = torch.from_numpy(obs)
                distribution, value = agent(tokens)
                action = distribution.sample()
            obs, reward, *_ = envs.step(action.clamp(-1, 1).numpy())
            for kept, new in zip(
                (seen, taken, log_probs, values, rewards),
                (tokens, action, distribution.log_prob(action).sum(1), value, torch.as_tensor(reward).float()),
                strict=True,
            ):
                kept.append(new)
        advantage, advantages, following = torch.zeros(args.num_envs), [], torch.zeros(args.num_envs)
        for reward, value in zip(reversed(rewards), reversed(values), strict=True):
            advantage = reward + args.gamma * following - value + args.gamma * args.gae_lambda * advantage
            following = value
            advantages.insert(0, advantage)
        batch = [torch.cat(each) for each in (seen, taken, log_probs, values, advantages)]
        for _ in range(args.epochs):
            for index in torch.randperm(len(batch[0])).chunk(args.minibatches):
                tokens, action, before, value, gained = (each[index] for each in batch)
                distribution, predicted = agent(tokens)
                ratio = (distribution.log_prob(action).sum(1) - before).exp()
                scaled = (gained - gained.mean()) / (gained.std() + 1e-8)
                clipped = ratio.clamp(1 - args.clip, 1 + args.clip)
                policy_loss = -torch.min(scaled * ratio, scaled * clipped).mean()
                loss = policy_loss + 0.5 * (predicted - value - gained).square().mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
                optimizer.step()
        returns.append(float(torch.stack(rewards).sum(0).mean()))
        if update % 10 == 9:
            print(f"update {update + 1}: return {returns[-1]:.2f}")
    envs.close()
    return returns


if __name__ == "__main__":
    main(tyro.cli(Args))
