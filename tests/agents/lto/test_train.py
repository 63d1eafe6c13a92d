import json
import re

import pytest

from agents.lto.config import PRESETS, LTOConfig
from agents.lto.train import main, score, train
from agents.training.callbacks import HISTORY, STATE
from pop_envs import LTOTask
from pop_envs.objectives.learning_tasks import TASKS, functions_for
from pop_optimizer.lto import load_policy

SMALL = {"minutes": 0.005, "validate_every": 1e-4, "functions": 3, "trajectories": 4, "components": 2}
SMALL |= {"epochs": 1, "first_epochs": 1}
TASK = LTOTask("logistic_2d", history=4, budget=8)


def config(tmp_path, **changes):
    return LTOConfig(preset="logistic_2d", out=tmp_path, task=TASK, **SMALL | changes)


@pytest.mark.parametrize("algorithm", ["gps", "unrolled", "ppo", "trpo", "sac"])
def test_a_training_leaves_its_best_policy_and_can_go_on(algorithm, tmp_path, capsys):
    settings = config(tmp_path, algorithm=algorithm)
    scores = train(settings)
    network, card = load_policy(settings.folder)
    assert score(network, TASK, *functions_for("validation", TASK.make_task())) == pytest.approx(scores, rel=1e-4)
    lines = [json.loads(line) for line in (settings.folder / HISTORY).read_text().splitlines()]
    assert scores["long_cost"] == pytest.approx(min(line["long_cost"] for line in lines), rel=1e-4)
    assert card.task == TASK
    assert card.algorithm == algorithm
    assert list((settings.folder / "log").iterdir())
    with pytest.raises(FileExistsError, match="holds a run: go on with --resume"):
        train(settings)
    with pytest.raises(ValueError, match="other settings of learning_rate"):
        train(config(tmp_path, algorithm=algorithm, resume=True, learning_rate=2e-3))
    again = config(tmp_path, algorithm=algorithm, resume=True, minutes=0.02)
    assert train(again)["long_cost"] <= scores["long_cost"] * 1.0001
    after = [json.loads(line) for line in (settings.folder / HISTORY).read_text().splitlines()]
    assert after[: len(lines)] == lines
    assert after[-1]["timesteps"] > lines[-1]["timesteps"]
    assert "checkpoint of" in capsys.readouterr().out


def test_from_scratch_and_against_the_targets(tmp_path):
    train(config(tmp_path, algorithm="ppo", scratch=True))
    train(config(tmp_path, algorithm="gps", reference="target", momentum="each"))
    assert {path.name for path in tmp_path.iterdir()} == {"lto-logistic_2d-ppo-scratch-0", "lto-logistic_2d-gps-0"}


def test_there_is_nothing_to_resume(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"nothing to resume in .*: no {STATE}"):
        train(config(tmp_path, resume=True))


def test_the_command_line(tmp_path, capsys):
    small = "--minutes=0.002 --functions=2 --trajectories=3 --components=2 --history=3 --budget=4"
    small = small.split()
    main(["logistic_2d", "--out", str(tmp_path), *small])
    assert (tmp_path / "lto-logistic_2d-gps-0" / "policy.safetensors").is_file()
    with pytest.raises(SystemExit) as ended:
        main(["logistic_2d", "--out", str(tmp_path), *small])
    assert ended.value.code == 2
    assert "go on with --resume" in re.sub(r"\s+", " ", capsys.readouterr().out)


def test_presets_are_the_tasks():
    assert set(PRESETS) == set(TASKS)
    for name, (_, preset) in PRESETS.items():
        assert preset.task.task == preset.preset == name


def test_settings_that_cannot_be():
    with pytest.raises(ValueError, match="trajectories must be a positive integer"):
        LTOConfig(trajectories=0)
    with pytest.raises(ValueError, match="divergence must be positive"):
        LTOConfig(divergence=0.0)
    with pytest.raises(ValueError, match="gap must be positive"):
        LTOConfig(gap=-1.0)
