import torch

from agents.lto.classical import Setting
from benchmarks.lto import paths as paths_module
from benchmarks.lto.paths import Paths, draw, paths_of
from benchmarks.lto.rivals import RIVALS
from pop_envs.objectives.learning_tasks import TASKS, functions_for


def test_paths_begin_together_and_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(paths_module, "tuned", lambda task: dict.fromkeys(RIVALS, Setting(0.5)))
    paths = Paths(functions=(2, 0))
    points, values = paths_of(paths)
    assert set(points) == {*RIVALS, "gps"}
    functions, starts = functions_for("test", TASKS["logistic_2d"](), 3)
    for name, each in points.items():
        assert each.shape == (2, 41, 2)
        torch.testing.assert_close(each[:, 0], starts[[2, 0]])
        torch.testing.assert_close(values[name][:, 0], functions.value_and_grad(starts)[0][[2, 0]])
        assert (values[name][:, -1] < values[name][:, 0]).all()
    file = tmp_path / "paths.png"
    draw(paths).savefig(file)
    assert file.stat().st_size > 10_000
