"""Several processes that train one policy: each plays its own environments, and their gradients are averaged.

``torchrun --nproc-per-node 2 -m agents.train`` starts them, and tells each its number.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType

import torch
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor, distributed

TIMEOUT = timedelta(minutes=30)
"""How long a process waits for the others, of which the first validates meanwhile."""


class WorkerLost(ChildProcessError):  # noqa: N818
    """Another process of the training has ended before it did."""


def world_size() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """The number of this process; the first, 0, validates and saves."""
    return distributed.get_rank() if distributed.is_initialized() else 0


@contextmanager
def together(device: str) -> Iterator[None]:
    """Joins the processes that torchrun has started, if it has: by NCCL where they compute on GPUs, else by gloo.

    Raises:
        WorkerLost: If another process ends before the training does.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    # Times are told between CPUs in any case.
    distributed.init_process_group("cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo", timeout=TIMEOUT)
    before = signal.signal(signal.SIGTERM, _terminated)  # which torchrun sends when another process has died
    try:
        yield
    except RuntimeError as error:
        if "gloo" in str(error) or isinstance(error, distributed.DistBackendError):
            raise WorkerLost("the connection to another process is lost") from error
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
        distributed.destroy_process_group()


def own_device(device: str) -> str:
    """The device of this process: of several GPUs in a machine each has its own."""
    return f"cuda:{os.environ['LOCAL_RANK']}" if device == "cuda" and "LOCAL_RANK" in os.environ else device


def share(number: int, name: str) -> int:
    """This process's part of a number, which must be a multiple of that of the processes.

    Raises:
        ValueError: If it is none.
    """
    if number % world_size():
        raise ValueError(f"{name} must be a multiple of the {world_size()} processes, got {number}")
    return number // world_size()


def first_says(number: float) -> float:
    """What the first process says of a number, so that all decide alike."""
    if world_size() == 1:
        return number
    told = torch.tensor(number, dtype=torch.float64)
    distributed.broadcast(told, src=0)
    return float(told)


def average_gradients(policy: BasePolicy) -> None:
    """Makes the policies of all processes equal, and each gradient the mean of all as soon as it is known.

    That is before SB3 clips their norm: so equal shares of a minibatch make the step that the whole would make.
    """
    if world_size() == 1:
        return
    for tensor in policy.state_dict().values():
        distributed.broadcast(tensor, src=0)
    for weights in policy.parameters():
        weights.register_post_accumulate_grad_hook(_average)


def _average(weights: Tensor) -> None:
    assert weights.grad is not None
    distributed.all_reduce(weights.grad)
    weights.grad /= world_size()


def standardized(advantages: Tensor) -> Tensor:
    """Advantages less their mean over their standard deviation, of this minibatch's shares in all processes.

    The shares must be equally large.
    """
    count = len(advantages) * world_size()
    centred = advantages.double() - _total(advantages.double().sum()) / count
    deviation = (_total(centred.square().sum()) / (count - 1)).sqrt()
    return (centred / (deviation + 1e-8)).to(advantages.dtype)  # as PPO has it


def _total(tensor: Tensor) -> Tensor:
    if world_size() > 1:
        distributed.all_reduce(tensor)
    return tensor


def ends_in_peace() -> None:
    """Lets this process save what it has, though torchrun tells it to end; and kills it half a minute later."""
    if world_size() > 1:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _terminated(number: int, frame: FrameType | None) -> None:
    ends_in_peace()
    raise WorkerLost("torchrun ends this process, for another one has ended")
