import math
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from agents.rover.direction import (
    DirectionConfig,
    angles,
    cross_entropy,
    held_out,
    mean_angle,
    mirrored,
    taught,
    train_direction,
)
from pop_envs.objectives.landscapes import FAMILIES
from pop_envs.rover.grid import grid_offsets
from pop_envs.rover.network import load_direction

SMALL = {"functions": 2048, "steps": 2, "updates": 60, "batch": 256, "channels": 8, "width": 16}


def test_teachers_states():
    states = taught(FAMILIES, 256, 3, 5, (0.1, 0.1), np.random.default_rng(0))
    assert len(states.seen) == len(states.directions) == len(states.family) > 700
    torch.testing.assert_close(states.directions.norm(dim=1), torch.ones(len(states.seen)))
    again = taught(FAMILIES, 256, 3, 5, (0.1, 0.1), np.random.default_rng(0))
    assert torch.equal(states.seen, again.seen)


def test_the_loss_is_eq_2():
    told, directions = torch.tensor([[3.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    draws = [cross_entropy(told, directions, torch.Generator().manual_seed(i)).item() for i in range(2000)]
    angle = torch.linspace(-math.pi / 2, math.pi / 2, 2001)
    expected = math.log1p(math.exp(-3)) + torch.log1p(torch.exp(-3 * angle.cos())).mean().item()
    assert np.mean(draws) == pytest.approx(expected, rel=0.02)
    assert cross_entropy(-told, directions, torch.Generator().manual_seed(0)) > cross_entropy(
        told, directions, torch.Generator().manual_seed(0)
    )


def test_the_mean_angle_follows_the_likelier_teacher():
    turns = torch.tensor([0.0, 0.3, 1.5, 3.0, math.pi], dtype=torch.float64)
    told = 7 * torch.stack([turns.cos(), turns.sin()], 1)
    east = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    for turn, each in zip(turns, told, strict=True):
        assert mean_angle(each[None], east).item() == pytest.approx(turn.item(), abs=3e-3)
    labels = torch.tensor([[1.0, 0.0]] * 6 + [[0.0, 1.0]] * 4, dtype=torch.float64)
    means = [mean_angle(each.expand(10, 2), labels).item() for each in told]
    assert np.argmin(means) == 0
    assert np.isfinite(torch.func.grad(lambda v: mean_angle(v, east))(-east).numpy()).all()


@pytest.mark.parametrize("which", range(8))
def test_symmetries_move_grid_and_direction_alike(which):
    slope = torch.tensor([0.8, -0.6])

    def plane(direction):  # falls along the direction
        return (grid_offsets(5).float() @ direction).view(1, 5, 5)

    seen, direction = mirrored(plane(slope), slope[None], which)
    torch.testing.assert_close(seen, plane(direction[0]))


def test_angles_are_in_degrees():
    states = held_out(FAMILIES, 5, 0.1, functions=64)
    turned = torch.stack([-states.directions[:, 1], states.directions[:, 0]], 1)
    told = iter((states.directions, turned, -states.directions))
    means = [angles(lambda seen: next(told), states).mean().item() for _ in range(3)]
    assert means == pytest.approx([0, 90, 180], abs=0.05)


def test_training_learns_saves_and_resumes(tmp_path):
    config = DirectionConfig(out=tmp_path, resolution=(0.1, 0.1), **(SMALL | {"updates": 400}))
    network = train_direction(config)
    states = held_out(("quadratic", "plateau"), 5, 0.1, functions=256)
    assert angles(network, states).mean() < 45
    loaded = load_direction(config.folder)
    torch.testing.assert_close(loaded(states.seen), network(states.seen))
    with pytest.raises(FileExistsError, match="holds a run"):
        train_direction(config)
    longer = DirectionConfig(out=tmp_path, resolution=(0.1, 0.1), resume=True, **SMALL)
    with pytest.raises(ValueError, match="other settings"):
        train_direction(longer)


KILLED = """
import os, signal, sys
from pathlib import Path
from agents.rover import direction
from tests.agents.rover.test_direction import SMALL

saves = []

def write(*arguments, **settings):
    saves.append(whole(*arguments, **settings))
    if len(saves) == 3:
        os.kill(os.getpid(), signal.SIGKILL)

whole, direction.write_weights = direction.write_weights, write
config = direction.DirectionConfig(out=Path(sys.argv[1]), minutes=1e6, save_every=1e-3, **SMALL)
direction.train_direction(config)
"""


def test_a_run_that_was_killed_goes_on_as_if_it_had_not_been(tmp_path):
    outs = tmp_path / "killed", tmp_path / "whole"
    died = subprocess.run([sys.executable, "-c", KILLED, str(outs[0])], check=False)
    assert died.returncode == -signal.SIGKILL
    ends = []
    for out, resume in zip(outs, (True, False), strict=True):
        config = DirectionConfig(out=out, minutes=1e6, resume=resume, **SMALL)
        train_direction(config)
        ends.append(torch.load(config.folder / "state.pt", weights_only=True))
    assert ends[0]["done"] == ends[1]["done"] == 60
    for name, value in ends[0]["network"].items():
        assert torch.equal(value, ends[1]["network"][name]), name


def test_a_run_that_was_cut_off_goes_on(tmp_path):
    whole = DirectionConfig(out=tmp_path, name="whole", resolution=(0.1, 0.1), **SMALL)
    part = DirectionConfig(out=tmp_path, name="part", resolution=(0.1, 0.1), minutes=1e-3, **SMALL)
    train_direction(part)
    rest = DirectionConfig(out=tmp_path, name="part", resolution=(0.1, 0.1), resume=True, **SMALL)
    assert train_direction(rest)(torch.rand(2, 5, 5)).shape == (2, 2)
    with pytest.raises(FileNotFoundError, match="nothing to resume"):
        train_direction(DirectionConfig(out=tmp_path, name="none", resume=True, **SMALL))
    assert whole.lasting() == part.lasting()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"resolution": (1.0, 0.5)}, "resolution must be two positive numbers in order"),
        ({"functions": 100}, "functions must be a multiple of 2048"),
        ({"minutes": 0}, "minutes must be positive"),
        ({"loss": "eq5"}, "loss must be one of"),
        ({"steps": 0}, "steps must be a positive integer"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        DirectionConfig(**settings)
