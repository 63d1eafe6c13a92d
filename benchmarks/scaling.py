"""What a training in several processes costs: ``torchrun --nproc-per-node 2 -m benchmarks.scaling``, or one by python.

CPU time tells what each process computes, whoever else does; the wall time of the fastest update tells what came out.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import torch
import tyro
from rich.console import Console
from rich.table import Table
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from torch import distributed

from agents.train import new_model
from agents.training.config import PRESETS
from agents.training.distributed import rank, together, world_size
from agents.training.globals import lent_globals


@dataclass(frozen=True)
class Scaling:
    """What is measured.

    Attributes:
        episodes: Functions of an update of each process.
        updates: Updates, of which the fastest counts.
        machines: Numbers of processes for which the model of cost is told.
        bandwidth: Of the network between them, in bytes a second.
        latency: Of a message between them, in seconds.
    """

    episodes: int = 128
    updates: int = 4
    machines: tuple[int, ...] = (1, 2, 8, 64)
    bandwidth: float = 1e10
    latency: float = 2e-5


class Stopwatch(BaseCallback):
    """CPU and wall seconds of the rollouts and of the updates between them."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: dict[str, list[tuple[float, float]]] = {"rollout": [], "update": []}

    def _on_training_start(self) -> None:
        self._last = (time.process_time(), time.perf_counter())

    def _on_step(self) -> bool:
        return True

    def _mark(self, part: str) -> None:
        now = (time.process_time(), time.perf_counter())
        self.parts[part].append((now[0] - self._last[0], now[1] - self._last[1]))
        self._last = now

    def _on_rollout_start(self) -> None:
        self._mark("update")

    def _on_rollout_end(self) -> None:
        self._mark("rollout")


def measure(scaling: Scaling) -> dict[str, float]:
    """Seconds of the parts of an update of one process, and what a message costs."""
    usual = PRESETS["quick"][1]
    episodes = scaling.episodes * world_size()
    config = replace(usual, episodes=episodes, batch_episodes=episodes // 4, priors=("wide",))
    with lent_globals(1):
        model, watch = new_model(config), Stopwatch()
        model.set_logger(configure(None, []))
        model.learn((scaling.updates + 1) * episodes * config.task.budget, callback=watch)
        sizes = [weights.numel() for weights in model.policy.parameters()]
        message = _messages(sizes)
    found = {"processes": float(world_size()), "tensors": float(len(sizes)), "bytes": 4.0 * sum(sizes)}
    for part, seconds in watch.parts.items():
        cpu, wall = zip(*seconds[1:], strict=True)  # the first meets cold caches
        found |= {f"{part}_cpu": min(cpu), f"{part}_wall": min(wall)}
    return found | {"messages": message, "minibatches": 4.0 * config.epochs}


def _messages(sizes: list[int]) -> float:
    """Wall seconds of averaging all gradients once, the fastest of many."""
    if world_size() == 1:
        return 0.0
    gradients, fastest = [torch.zeros(size) for size in sizes], float("inf")
    for _ in range(50):
        start = time.perf_counter()
        for gradient in gradients:
            distributed.all_reduce(gradient)
        fastest = min(fastest, time.perf_counter() - start)
    return fastest


def predicted(scaling: Scaling, found: dict[str, float], processes: int) -> float:
    """Functions a second of so many processes on cores of their own, by the model of cost.

    An update takes a process's rollout and its gradients, which do not depend on the others, and for each
    minibatch a ring all-reduce of each tensor: 2 (N - 1) messages, of 2 (N - 1) / N of the bytes in all.
    """
    rounds = 2 * (processes - 1)
    each = rounds * found["tensors"] * scaling.latency + rounds / processes * found["bytes"] / scaling.bandwidth
    seconds = found["rollout_cpu"] + found["update_cpu"] + found["minibatches"] * each
    return processes * scaling.episodes / seconds


def main() -> None:
    """Measures in this process, or with those that torchrun has started, and prints what the first found."""
    scaling = tyro.cli(Scaling, description=Scaling.__doc__)
    with together("cpu"):
        found = measure(scaling)
        if rank() > 0:
            return
    report(scaling, found, Console())


def report(scaling: Scaling, found: dict[str, Any], console: Console) -> None:
    """Prints the parts, and the model's numbers."""
    parts = Table("part of an update", "CPU seconds", "wall seconds", title=f"{found['processes']:.0f} processes")
    for part in ("rollout", "update"):
        parts.add_row(part, f"{found[f'{part}_cpu']:.3f}", f"{found[f'{part}_wall']:.3f}")
    parts.add_row("messages", "", f"{found['minibatches'] * found['messages']:.4f}")
    console.print(parts)
    wall = found["rollout_wall"] + found["update_wall"]
    console.print(f"{found['processes'] * scaling.episodes / wall:,.0f} functions/s of wall time", highlight=False)
    for processes in scaling.machines:
        rate = predicted(scaling, found, processes)
        console.print(f"by the model, {processes} processes: {rate:,.0f} functions/s", highlight=False)


if __name__ == "__main__":
    main()
