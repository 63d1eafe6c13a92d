"""Updates of one process and of two, here for processes that are spawned to find them."""

import os

import torch

from agents import EpisodicPPO, TrajectoryPolicy
from agents.training.distributed import standardized, together
from agents.vec_env import DrawnVecEnv
from pop_envs import GPPrior, POPVectorEnv

EPISODES, BUDGET = 8, 4
SHAPE = {"head": "gaussian", "width": 8, "depth": 1, "heads": 2}


def made(episodes, part=0):
    def draw(_=None):
        return POPVectorEnv(
            episodes,
            budget=BUDGET,
            tokens="full",
            observation="token",
            prior=GPPrior(num_features=8),
            autoreset_mode="Disabled",
        )

    env = DrawnVecEnv(draw(), draw, part)
    env.seed(3)
    torch.manual_seed(0)
    return EpisodicPPO(
        TrajectoryPolicy,
        env,
        batch_episodes=episodes,
        n_epochs=3,
        learning_rate=3e-3,
        policy_kwargs=SHAPE,
        device="cpu",
    )


def with_actions(model, actions):
    """Plays given actions (updates, steps, environments, dim), scored as the policy would have drawn them."""
    left = iter(actions.reshape(-1, *actions.shape[2:]))
    step = model.policy.network.step

    def stepped(tokens, cache):
        distribution, values = step(tokens, cache)
        distribution.sample = lambda: torch.as_tensor(next(left))
        return distribution, values

    model.policy.network.step = stepped
    model.learn(len(actions) * EPISODES * BUDGET)
    return {name: weights.clone() for name, weights in model.policy.state_dict().items()}


def worker(rank, actions, port, folder):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "RANK": str(rank)}
    torch.set_num_threads(1)
    with together("cpu"):
        half = EPISODES // 2
        model = made(half, rank)
        found = with_actions(model, actions[:, :, rank * half : (rank + 1) * half])
        advantages = torch.arange(6.0)[3 * rank : 3 * rank + 3] ** 2
        torch.save((found, standardized(advantages), model.num_timesteps), folder / f"{rank}.pt")
