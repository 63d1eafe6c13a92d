import json
import sys

import pytest

from agents.training.callbacks import HISTORY
from agents.training.folders import CONFIG
from benchmarks.lto.trainings import main, row

ENTRIES = [
    {"long_cost": 3.0, "value": 2.0, "long_value": 9.0, "seconds": 0.0, "timesteps": 0},
    {"long_cost": 0.25, "value": 0.24, "long_value": 0.2, "seconds": 30.0, "timesteps": 1200},
    {"long_cost": 0.3, "value": 0.3, "long_value": 0.3, "seconds": 60.0, "timesteps": 2400},
]


@pytest.fixture
def training(tmp_path):
    folder = tmp_path / "trial" / "lto-network-ppo-scratch-1"
    folder.mkdir(parents=True)
    settings = {"preset": "network", "algorithm": "ppo", "scratch": True, "seed": 1}
    (folder / CONFIG).write_text(json.dumps(settings))
    (folder / HISTORY).write_text("".join(json.dumps(entry) + "\n" for entry in ENTRIES))
    return folder


def test_the_best_counts(training):
    found = row(training)
    assert found["algorithm"] == "ppo, from scratch"
    assert [found[name] for name in ("minutes", "first", "best", "last")] == ["1.0", "3", "0.2500", "0.3"]
    assert [found[name] for name in ("best, at step 40", "at 100", "seed")] == ["0.2400", "0.2000", 1]


def test_the_command(training, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["trainings", str(training.parent)])
    main()
    assert "| network | ppo, from scratch | trial | 1 | 1.0 | 2,400 |" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["trainings", str(training)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
