import json
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from sb3_contrib import RecurrentPPO

from agents.rover.policy import PolicyConfig, network_of, train_policy
from agents.rover.rollout import held_out_core, log10_gaps, on_objective, rollout
from pop_envs.objectives.base import BoxObjective
from pop_envs.rover.task import RoverTask
from pop_optimizer.networks.rover import RoverNetwork
from pop_optimizer.rover import load_rover

TASK = RoverTask(budget=6)
SMALL = {
    "task": TASK,
    "steps": 200,
    "envs": 8,
    "batch": 24,
    "epochs": 1,
    "channels": 4,
    "width": 8,
    "off_policy_envs": 4,
    "off_policy_batch": 16,
    "updates": 1,
    "buffer": 200,
    "stack": 2,
}


@pytest.mark.parametrize("algorithm", ["recurrent_ppo", "ppo", "td3", "ddpg", "sac"])
def test_every_algorithm_trains_and_its_network_is_its_policy(tmp_path, monkeypatch, algorithm):
    models = []

    def kept(model, shape):
        models.append(model)
        return network_of(model, shape)

    monkeypatch.setattr("agents.rover.policy.network_of", kept)
    config = PolicyConfig(out=tmp_path, algorithm=algorithm, **SMALL)
    best = train_policy(config)
    history = [json.loads(line) for line in (config.folder / "validation.jsonl").read_text().splitlines()]
    assert best == min(entry["log10_gap"] for entry in history)
    policy = load_rover(config.folder)
    assert policy.network.stack == (1 if algorithm == "recurrent_ppo" else 2)
    model, network = models[-1], network_of(models[-1], config.shape)
    state, memory, starts = network.new_state(3), None, np.ones(3, dtype=bool)
    stacked = np.zeros((3, 2, 5, 5), np.float32)
    for _ in range(3):
        seen = np.random.default_rng(0).random((3, 5, 5), dtype=np.float32)
        ours, state = network(torch.from_numpy(seen), state)
        if algorithm == "recurrent_ppo":
            theirs, memory = model.predict(seen, memory, starts, deterministic=True)
            starts = np.zeros(3, dtype=bool)
        else:
            stacked = np.concatenate([stacked[:, 1:], seen[:, None]], 1)
            theirs, _ = model.predict(stacked.reshape(3, 10, 5), deterministic=True)
        np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-5)


def test_a_run_is_resumed_with_the_same_settings_only(tmp_path):
    config = PolicyConfig(out=tmp_path, **SMALL)
    train_policy(config)
    with pytest.raises(FileExistsError, match="holds a run"):
        train_policy(config)
    resumed = PolicyConfig(out=tmp_path, resume=True, **SMALL)
    train_policy(resumed)
    history = [json.loads(line) for line in (config.folder / "validation.jsonl").read_text().splitlines()]
    assert [entry["steps"] for entry in history] == [0, 240, 240], "it had made its steps"
    with pytest.raises(ValueError, match="other settings"):
        train_policy(PolicyConfig(out=tmp_path, resume=True, **(SMALL | {"width": 16})))
    with pytest.raises(FileNotFoundError, match="nothing to resume"):
        train_policy(PolicyConfig(out=tmp_path, resume=True, seed=5, **SMALL))


KILLED = """
import os, signal, sys
from pathlib import Path
from agents.rover import policy
from tests.agents.rover.test_policy import SMALL

saves = []

def write(*arguments, **card):
    saves.append(whole(*arguments, **card))
    if len(saves) == 3:
        os.kill(os.getpid(), signal.SIGKILL)

whole, policy.write_weights = policy.write_weights, write
config = policy.PolicyConfig(out=Path(sys.argv[1]), minutes=1e6, validate_every=40, **SMALL)
policy.Keeper.best = property(lambda keeper: float("inf"), lambda keeper, value: None)  # so that every save writes
policy.train_policy(config)
"""


def test_a_run_that_was_killed_goes_on_as_if_it_had_not_been(tmp_path):
    outs = tmp_path / "killed", tmp_path / "whole"
    died = subprocess.run([sys.executable, "-c", KILLED, str(outs[0])], check=False)
    assert died.returncode == -signal.SIGKILL
    configs = [PolicyConfig(out=out, minutes=1e6, validate_every=40, **SMALL) for out in outs]
    saved = RecurrentPPO.load(configs[0].folder / "state.zip").num_timesteps
    assert 0 < saved < 200
    train_policy(replace(configs[0], resume=True))
    train_policy(configs[1])
    ends = [RecurrentPPO.load(config.folder / "state.zip") for config in configs]
    assert ends[0].num_timesteps == ends[1].num_timesteps
    for one, other in zip(*(end.policy.state_dict().values() for end in ends), strict=True):
        assert torch.equal(one, other)
    told = [(config.folder / "validation.jsonl").read_text().splitlines() for config in configs]
    scores = [[(entry["steps"], entry["log10_gap"]) for entry in map(json.loads, lines)] for lines in told]
    assert scores[0] == scores[1]


def test_a_run_may_begin_with_the_weights_of_another(tmp_path):
    first = PolicyConfig(out=tmp_path, **SMALL)
    train_policy(first)
    after = PolicyConfig(out=tmp_path, name="after", begin=str(first.folder), **SMALL)
    train_policy(after)
    ends, starts = (
        [json.loads(line) for line in (config.folder / "validation.jsonl").read_text().splitlines()]
        for config in (first, after)
    )
    assert starts[0]["log10_gap"] == ends[-1]["log10_gap"]


def test_a_fixed_resolution_stays(tmp_path):
    config = PolicyConfig(out=tmp_path, fixed_resolution=True, **SMALL)
    assert np.isfinite(train_policy(config))


def test_validation_landscapes_are_always_the_same():
    one, two = (held_out_core(TASK, 32) for _ in range(2))
    assert torch.equal(one.search.values, two.search.values)
    other = held_out_core(TASK, 32, purpose=2)
    assert not torch.equal(one.search.values, other.search.values)


def test_a_rollout_tells_the_path():
    core = held_out_core(TASK, 16)
    runs = rollout(core, RoverNetwork())
    assert runs.values.shape == (16, 7)
    torch.testing.assert_close(runs.values, core.path.values)
    torch.testing.assert_close(core.functions.values_at(runs.x), runs.values)
    assert (runs.lowest <= runs.values).all()
    steps = (runs.x[:, 1:] - runs.x[:, :-1]).norm(dim=-1)
    torch.testing.assert_close(steps, runs.alpha[:, :-1])


def test_gaps_are_of_the_best_so_far():
    values = np.array([[11.0, 2.0, 6.0, 1.0]])
    np.testing.assert_allclose(log10_gaps(values, np.array([1.0])), [[0, -1, -1, -8]])
    assert log10_gaps(np.array([[1.0, 1.0]]), np.array([1.0])).max() == -8


def test_a_function_of_ones_own():
    sphere = BoxObjective(lambda x: ((x**2).sum(-1), 2 * x), [-1, -1], [1, 1], minimum=0.0)
    x = torch.full((5, 2), 0.5, dtype=torch.float64)
    scales = torch.full((5,), 0.1, dtype=torch.float64)
    runs = on_objective(RoverNetwork(), sphere, x, scales, scales, TASK)
    assert torch.equal(runs.x[:, 0], x)
    assert torch.equal(runs.minimum, torch.zeros(5, dtype=torch.float64))
