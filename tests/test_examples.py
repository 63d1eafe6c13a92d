"""Each example runs, writes its figure, prints its table, and shows what it claims."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name, folder, capsys):
    """What the example's ``main`` returns, the module, and what it prints."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = module.main(folder / "figure.png")
    assert 5_000 < (folder / "figure.png").stat().st_size < 200_000
    return module, found, capsys.readouterr().out


def test_nist_fits(tmp_path, capsys):
    module, found, printed = run("nist_fits", tmp_path, capsys)
    assert len(found) == 27
    assert "runs with 4 digits" in printed
    shares = {method: module.solved(found, method) for method in module.METHODS}
    assert shares["POP"] >= 0.55  # 0.69 when this was written, L-BFGS-B 0.63, least_squares 0.80
    assert shares["POP"] >= shares["L-BFGS-B"] - 0.05
    assert shares["least_squares"] > shares["POP"]  # which sees more


def test_gp_hyperparameters(tmp_path, capsys):
    _, found, printed = run("gp_hyperparameters", tmp_path, capsys)
    assert set(found) == {"Weight", "Waist", "Pulse"}
    assert all(name in printed for name in found)
    for row in found.values():
        ends = np.concatenate(list(row.values()))
        assert np.ptp(ends) > 0.5  # several maxima
        assert np.mean(row["POP"]) > np.mean(row["L-BFGS-B"])


def test_growth_fit(tmp_path, capsys):
    module, found, _ = run("growth_fit", tmp_path, capsys)
    at_best = {name: sum(value < 1.57 for _, value, _ in runs) for name, runs in found.items()}
    assert at_best["POP"] >= 14  # of 20; 16 when this was written, L-BFGS-B 12, least_squares 14
    assert at_best["POP"] > at_best["L-BFGS-B"]
    assert all(count < module.STARTS for count in at_best.values())  # there are others to fall into
    lag = min(found["POP"], key=lambda run: run[1])[0][3]
    assert lag == pytest.approx(0.15, abs=0.1)


def test_iris(tmp_path, capsys):
    module, found, _ = run("iris", tmp_path, capsys)
    ends = {name: losses[:, -1] for name, losses in found.items()}
    assert found["POP"].shape == (module.SEEDS, module.BUDGET)
    np.testing.assert_allclose(ends["POP"], ends["LBFGS"], atol=3e-4)
    assert ends["POP"].mean() < ends["Adam, 0.1"].mean() < ends["Adam, 0.01"].mean()


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_acquisition(tmp_path, capsys):
    module, found, _ = run("acquisition", tmp_path, capsys)
    below = module.shortfalls(found)
    assert below["POP, 1 start"].mean() <= 0.1
    assert below["L-BFGS-B, 2 starts"].mean() > 0.1  # a descent from the best raw samples is not enough
    spent = {name: runs[:, 1].mean() for name, runs in found.items()}
    assert spent["POP, 1 start"] == 101 < spent["L-BFGS-B, 10 starts"]


def test_an_example_runs_as_a_script(tmp_path):
    out = tmp_path / "fit.png"
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "growth_fit.py"), str(out)],
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "least_squares" in done.stdout
    assert out.is_file()
