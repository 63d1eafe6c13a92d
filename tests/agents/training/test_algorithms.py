"""Every stock algorithm trains, stops, goes on, and leaves a model that minimizes, as POP's own does."""

import json
from dataclasses import replace

import numpy as np
import pytest
import yaml
from matplotlib.figure import Figure
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

import pop_optimizer
from agents.train import train
from agents.training import algorithms, callbacks
from agents.training.algorithms import STOCK, hyperparameters
from agents.training.callbacks import HISTORY, STATE
from agents.training.config import PRESETS, TrainConfig
from agents.training.folders import CONFIG
from agents.training.validation import ValidationSet
from pop_envs import POPTask
from pop_optimizer.checkpoint import CARD

TINY = {"n_envs": 4, "policy_kwargs": {"net_arch": [8]}}
ON = {"n_steps": 15, "batch_size": 20}  # 60 steps of 4 environments: ten functions
OFF = {"buffer_size": 400, "learning_starts": 20, "batch_size": 16, "train_freq": 5}


@pytest.fixture(scope="module", autouse=True)
def few_validation_functions():
    whole = ValidationSet.of
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ValidationSet, "of", lambda prior, budget, size=6, dim=2: whole(prior, budget, 6, dim))
        patch.setattr(callbacks, "draw_paths", lambda *_: Figure(figsize=(1, 1)))
        yield


def tiny_file(algorithm, folder):
    """Hyper-parameters of a short training, in rl_zoo3's format."""
    own = hyperparameters(algorithm) | TINY
    if issubclass(STOCK[algorithm], OffPolicyAlgorithm):
        own |= OFF
    else:
        own |= {name: value for name, value in ON.items() if name in own}
    if algorithm == "recurrent_ppo":
        own["policy_kwargs"] = {"net_arch": [8], "lstm_hidden_size": 8}
    path = folder / f"{algorithm}.yml"
    path.write_text(yaml.safe_dump({"POP-v0": own}))
    return path


def config_of(algorithm, folder, **changes):
    config = PRESETS["quick"][1].changed(budget=6, width=8, heads=2, minutes=5.0, validate_every=60.0)
    changes = {"hyperparameters": tiny_file(algorithm, folder), **changes}
    return replace(config, algorithm=algorithm, functions=40, out=folder, **changes)


def wave(x):
    return (x**2).sum() + np.cos(3 * x).sum(), 2 * x - 3 * np.sin(3 * x)


def minimized(policy, **options):
    return pop_optimizer.minimize(wave, [0.6, -0.3], bounds=[(-1, 1)] * 2, jac=True, budget=6, policy=policy, **options)


@pytest.mark.parametrize(("algorithm", "extractor"), [*((name, False) for name in STOCK), ("sac", True), ("ppo", True)])
def test_it_trains_and_goes_on_and_minimizes(algorithm, extractor, tmp_path):
    config = config_of(algorithm, tmp_path, extractor=extractor)
    scores = train(config)
    assert {"gp", "wide", "plain"} <= set(scores)
    assert all({algorithm, f"{algorithm}, sampled", "Adam"} <= set(methods) for methods in scores.values())
    folder = tmp_path / f"{algorithm}-0"
    assert config.folder == folder
    assert {STATE, CARD, CONFIG, HISTORY, "log", "paths.png"} <= {path.name for path in folder.iterdir()}
    card = json.loads((folder / CARD).read_text())
    assert (card["algorithm"], card["functions"]) == (algorithm, 40)
    assert card["task"] == config.task.record()
    assert card["policy"]["n_envs"] == 4

    train(replace(config, functions=60, resume=True))
    assert json.loads((folder / CARD).read_text())["functions"] == 60
    model = STOCK[algorithm].load(folder / STATE, device="cpu")
    assert model.num_timesteps == 60 * 6
    if isinstance(model, OffPolicyAlgorithm):
        model.load_replay_buffer(folder / algorithms.REPLAY)
        assert model.replay_buffer.size() == 60 * 6 // 4  # what was there before the pause among it

    paths = [minimized(given).x_iters for given in (model, model.policy, folder, folder / STATE, str(folder / STATE))]
    assert len(paths[0]) == 7
    for path in paths[1:]:
        np.testing.assert_array_equal(path, paths[0])
    other = pop_optimizer.minimize(wave, [0.6, -0.3], bounds=[(-1, 1)] * 2, jac=True, budget=6, checkpoint=folder)
    np.testing.assert_array_equal(other.x_iters, paths[0])


def test_the_files_have_the_task_of_training_and_settings_that_the_algorithms_take():
    for name in STOCK:
        told = yaml.safe_load((algorithms._FOLDER / f"{name}.yml").read_text())
        assert set(told) == {"POP-v0", "POP-full-v0"}
        assert told["POP-v0"] == told["POP-full-v0"]
        env = told["POP-v0"]["env_kwargs"]
        assert env.pop("observation") == "token"
        assert POPTask(**env) == TrainConfig().task
        assert told["POP-v0"]["n_timesteps"] > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 1e-4}, "learning_rate are settings of episodic_ppo"),
        ({"dims": (2, 3)}, "one number of coordinates and one budget"),
        ({"budgets": (20,)}, "one number of coordinates and one budget"),
    ],
)
def test_settings_that_an_algorithm_does_not_have_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(algorithm="sac", **changes)
    with pytest.raises(ValueError, match="settings of other algorithms"):
        TrainConfig(extractor=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("POP-v0: {policy: [}", "must be a YAML file"),
        ("CartPole-v1: {policy: MlpPolicy}", "an entry POP-v0"),
        ("POP-v0: {n_envs: 2}", "must name a policy"),
    ],
)
def test_files_that_say_nothing_of_it_are_refused(text, message, tmp_path):
    (tmp_path / "sac.yml").write_text(text)
    with pytest.raises(ValueError, match=message):
        hyperparameters("sac", tmp_path / "sac.yml")


def test_a_setting_that_does_not_exist_is_named(tmp_path):
    (tmp_path / "wrong.yml").write_text("POP-v0: {policy: MlpPolicy, clip_range: 5}")
    with pytest.raises(ValueError, match="do not fit sac"):
        train(config_of("sac", tmp_path, hyperparameters=tmp_path / "wrong.yml"))
