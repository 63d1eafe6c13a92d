"""What PPO learns by each way of looking at a run: the same features, and a row for each training."""

import pytest
import torch

from agents import TrajectoryExtractor
from benchmarks import extractors
from benchmarks.extractors import WAYS, EveryStep, Extractors, run, table
from pop_envs import POPVectorEnv


def test_all_outputs_are_another_way_to_the_same_features():
    envs = POPVectorEnv(3, budget=5)
    observations, _ = envs.reset(seed=0)
    envs.action_space.seed(0)
    torch.manual_seed(0)
    newest, every = (kind(envs.single_observation_space, depth=2) for kind in (TrajectoryExtractor, EveryStep))
    every.load_state_dict(newest.state_dict())
    for _ in range(4):
        seen = torch.from_numpy(observations)
        torch.testing.assert_close(every(seen), newest(seen), rtol=1e-4, atol=1e-5)
        observations, *_ = envs.step(envs.action_space.sample())


def test_one_row_for_each_way_and_seed_which_is_kept(tmp_path, monkeypatch):
    settings = Extractors(steps=8, seeds=(0, 1), num_envs=1, size=3, jobs=1, out=tmp_path)
    monkeypatch.setattr(extractors, "PPO_SETTINGS", {"n_steps": 8, "batch_size": 8, "n_epochs": 1})
    results = run(settings)
    assert list(zip(results["way"], results["seed"], strict=True)) == [(way, s) for s in (0, 1) for way in WAYS]
    assert (results["rate"] > 0).all()
    assert table(results).count("\n") == 2 + len(WAYS)

    def never(*_):
        raise AssertionError("it is there already")

    monkeypatch.setattr(extractors, "_train_one", never)
    assert run(settings).equals(results)
    with pytest.raises(ValueError, match="results of other settings"):
        run(Extractors(steps=9, seeds=(0,), num_envs=1, size=3, jobs=1, out=tmp_path))
