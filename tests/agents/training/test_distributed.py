"""Processes that train together: their update is that of one, they resume, and they end together."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import multiprocessing

from pop_optimizer.checkpoint import CARD, load_checkpoint
from updates import BUDGET, EPISODES, made, with_actions, worker

ROOT = Path(__file__).parents[3]
UPDATES = 2
TINY = (
    "quick --priors gp --functions {functions} --episodes 8 --batch-episodes 4 --epochs 1 --budget 4 --width 8 "
    "--heads 2 --minutes 30 --out {out}"
)


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def test_two_processes_with_half_of_the_functions_each_make_the_update_of_one_with_all(tmp_path):
    actions = np.random.default_rng(0).uniform(-1, 1, (UPDATES, BUDGET, EPISODES, 2)).astype(np.float32)
    untrained = {name: weights.clone() for name, weights in made(EPISODES).policy.state_dict().items()}
    whole = with_actions(made(EPISODES), actions)
    multiprocessing.spawn(worker, (actions, free_port(), tmp_path), nprocs=2)
    expected = torch.arange(6.0) ** 2
    expected = (expected - expected.mean()) / (expected.std() + 1e-8)
    for rank in range(2):
        found, advantages, steps = torch.load(tmp_path / f"{rank}.pt")
        assert steps == UPDATES * EPISODES * BUDGET
        torch.testing.assert_close(advantages, expected[3 * rank : 3 * rank + 3])
        for name, weights in whole.items():
            own = torch.ones_like(weights, dtype=torch.bool)
            if name.endswith("qkv.bias"):
                own[8:16] = False  # of the keys: their gradients are rounding errors, which Adam makes large
            torch.testing.assert_close(found[name][own], weights[own], atol=1e-5, rtol=0, msg=name)
    assert max((whole[name] - untrained[name]).abs().max() for name in whole) > 5e-3


def torchrun(out, functions, *more, module="agents.train"):
    port = ["--master-port", str(free_port())]
    settings = TINY.format(functions=functions, out=out).split()
    return subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *port, str(module), *settings, *more],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def quick_script(tmp_path):
    """The command line, with few validation functions and no pictures; its second process can be told to die."""
    script = tmp_path / "train.py"
    script.write_text(
        "import os, signal\n"
        "from matplotlib.figure import Figure\n"
        "import agents.train\n"
        "from agents.training import callbacks\n"
        "from agents.training.validation import ValidationSet\n"
        "whole = ValidationSet.of\n"
        "ValidationSet.of = lambda prior, budget, size=6, dim=2: whole(prior, budget, 4, 2)\n"
        "callbacks.draw_paths = lambda *_: Figure(figsize=(1, 1))\n"
        "if 'DIES' in os.environ and os.environ['RANK'] == os.environ['DIES']:\n"
        "    train, updates = agents.train.EpisodicPPO.train, iter(range(3))\n"
        "    def trained(model):\n"
        "        if next(updates) == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        train(model)\n"
        "    agents.train.EpisodicPPO.train = trained\n"
        "agents.train.main()\n"
    )
    return script


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="NCCL needs two GPUs: what it does has been seen on none")
def test_two_gpus_train_together(quick_script, tmp_path):
    done = torchrun(tmp_path, 24, "--device", "cuda", module=quick_script)
    said, _ = done.communicate(timeout=300)
    assert done.returncode == 0, said
    assert load_checkpoint(tmp_path / "quick-0")[1].functions == 24


def test_a_training_in_two_processes_goes_on_after_one_was_killed(quick_script, tmp_path, monkeypatch):
    monkeypatch.setenv("DIES", "1")
    killed = torchrun(tmp_path, 1000, module=quick_script)
    said, _ = killed.communicate(timeout=300)
    assert killed.returncode != 0
    words = " ".join(said.split())
    assert "Another process has ended: stopped, and saved." in words, said
    assert "torchrun --nproc-per-node 2 -m agents.train quick" in words
    assert "--resume" in words
    folder = tmp_path / "quick-0"
    seen = json.loads((folder / CARD).read_text())["functions"]
    assert 16 <= seen < 1000

    monkeypatch.delenv("DIES")
    done = torchrun(tmp_path, 64, "--resume", module=quick_script)
    said, _ = done.communicate(timeout=300)
    assert done.returncode == 0, said
    card = load_checkpoint(folder)[1]
    assert card.functions == 64
    assert said.count("Training in") == 1  # the other process is silent
