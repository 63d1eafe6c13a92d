import json
import sys

import numpy as np
import pytest
import torch

from agents.rover.direction import angles, held_out
from agents.rover.policy import PolicyConfig
from agents.rover.rollout import held_out_core, log10_gaps
from benchmarks.rover import ablations, report, schedules, speed
from benchmarks.rover.angles import Unlearned
from benchmarks.rover.functions import STARTS, Values, core_at
from benchmarks.rover.landscapes import compare, perturbed
from benchmarks.rover.rivals import USUAL
from pop_envs.objectives import vlse
from pop_envs.rover.task import RoverTask


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(report, "FIGURES", tmp_path / "figures")
    return tmp_path


def test_tables_are_markdown(folders):
    report.table("angles", "Angles", ("a", "b"), [["x", "1"], ["y", "2"]])
    text = (folders / "results" / "angles.md").read_text()
    assert text == "Angles\n\n| a | b |\n|---|---:|\n| x | 1 |\n| y | 2 |\n"


def test_perturbed_rovers_stand_near_one_start_on_one_function():
    core = held_out_core(RoverTask(families=("plateau",), budget=3), 4)
    moved = perturbed(core, 2, 6, 1e-9)
    torch.testing.assert_close(moved.search.x, core.search.x[2].expand(6, 2), rtol=0, atol=1e-7)
    torch.testing.assert_close(moved.search.values, core.search.values[2].expand(6, 25), rtol=1e-5, atol=1e-6)
    assert len(torch.unique(moved.search.x[:, 0])) == 6


def test_all_methods_begin_at_the_rovers_start():
    core = held_out_core(RoverTask(families=("quadratic",), budget=4), 2)
    first = core.search.y.numpy()
    settings = {
        "gradient descent": {"rate": 0.01},
        "Nesterov": {"rate": 0.01, "momentum": 0.5},
        "Newton": {"damping": 1.0},
        "CMA-ES": {"sigma": 0.2},
        "Nelder-Mead": {"size": 0.2},
    }
    runs = compare(core, settings, 4)
    for name, curves in runs.items():
        np.testing.assert_allclose(curves.by_iteration[:, 0], first, err_msg=name)
    assert (runs["rover"].by_evaluation <= runs["rover"].by_iteration).all()
    minimum = core.functions.minima.numpy()
    assert log10_gaps(runs["Newton"].by_iteration, minimum, first)[:, 1].tolist() == [-8, -8]


def test_the_functions_starts_lie_in_their_boxes():
    for name, own in STARTS.items():
        objective = Values(vlse.problem(name, 2))
        starts = objective.to_unit([own])
        assert (np.abs(starts) <= 1).all()
        core = core_at(objective, starts, 2)
        assert core.search.y.item() == pytest.approx(vlse.problem(name, 2).value_and_grad([own])[0].item())
        assert core.search.scales.alpha.item() == core.search.scales.delta.item() == USUAL
        wider = core_at(objective, starts, 2, 1.0, "best")
        assert (wider.search.scales.alpha.item(), wider.search.scales.delta.item()) == (USUAL, 1.0)


def test_nothing_need_be_learned_for_a_bowl_or_a_valley():
    states = held_out(("quadratic", "valley"), 5, 0.02, functions=128)
    assert angles(Unlearned(), states).max() < 1


def test_every_variant_can_be_trained(tmp_path, monkeypatch):
    for name, changes in ablations.VARIANTS.items():
        assert (PolicyConfig(**changes).lasting() == PolicyConfig().lasting()) == name.startswith("LSTM")

    def train(config, console):
        config.folder.mkdir(parents=True)
        entry = {"log10_gap": -1.0, "steps": 9} | dict.fromkeys(ablations.FAMILIES, -1.0)
        (config.folder / "validation.jsonl").write_text("{}\n" + json.dumps(entry) + "\n")

    monkeypatch.setattr(ablations, "train_policy", train)
    settings = ablations.Settings(out=tmp_path)
    assert ablations._last("no memory (PPO)", 0, settings)["steps"] == 9
    assert ablations._last("no memory (PPO)", 0, settings)["steps"] == 9, "from what is kept"


def test_schedules_and_speed_run(folders, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["schedules", "--bowls", "5", "--longer", "31"])
    schedules.main()
    monkeypatch.setattr(sys, "argv", ["speed", "--num-envs", "4", "--rounds", "1"])
    speed.main()
    assert {path.stem for path in (folders / "figures").iterdir()} == {"schedules", "paths", "recovery"}
    assert {path.stem for path in (folders / "results").iterdir()} == {"recovery", "speed"}
    for path in (folders / "figures").iterdir():
        assert path.stat().st_size < 150_000
