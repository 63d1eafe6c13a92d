from functools import partial

import numpy as np
import pytest
import torch
from rich.console import Console
from scipy.optimize import minimize

from benchmarks.lto import claims as claims_module
from benchmarks.lto import rivals as rivals_module
from benchmarks.lto.claims import Claims, bootstrap, margins, run, summary
from benchmarks.lto.rivals import BOX, RIVALS, Boxed, best_so_far, lbfgs, rover_values, tuned, wolfe_lbfgs
from pop_envs import LogisticRegression, LTOTask
from pop_envs.objectives.learning_tasks import functions_for
from pop_optimizer.lto import LTOCard, save_policy
from pop_optimizer.networks.steps import StepNetwork


@pytest.fixture
def quick(monkeypatch):
    """One step size of L-BFGS to tune over, and fewer functions."""
    monkeypatch.setattr(rivals_module, "LBFGS_STEPS", (0.5,))
    few = partial(functions_for, size=10)
    for module in (rivals_module, claims_module):
        monkeypatch.setattr(module, "functions_for", few)
    rivals_module.tuned.cache_clear()
    yield
    rivals_module.tuned.cache_clear()


def some(batch=3):
    rng = np.random.default_rng(0)
    return LogisticRegression().draw(batch, rng), torch.from_numpy(rng.standard_normal((batch, 4)))


def test_margins_by_hand():
    values = {name: np.full((2, 3), height) for name, height in zip(RIVALS, (4.0, 3.0, 2.0, 1.0), strict=True)}
    values["mine"] = np.full((2, 3), 1.5)
    found = margins(values, RIVALS)
    assert {name: each[0, 0] for name, each in found.items()} == {
        "gradient_descent": -3.0,
        "momentum": -2.0,
        "conjugate_gradient": -1.0,
        "lbfgs": 1.0,  # over the conjugate gradient, the best of the other rivals
        "mine": -0.5,
    }


def test_summary_counts_iterations_after_the_start():
    falling = np.linspace(1, 0, 101)[None].repeat(2, 0)
    values = dict.fromkeys(RIVALS, falling + 0.1)
    values["lbfgs"] = np.where(np.arange(101) < 50, 2.0, 0.0)[None].repeat(2, 0)
    values["mine"] = falling
    (row,) = summary(values)
    assert row["ahead of momentum"] == 100
    assert row["ahead of L-BFGS"] == row["of the best of four"] == 49
    assert row["of L-BFGS in 1-10"] == 10
    assert row["of the best of four in 30-100"] == 20
    assert row["in 5-100"] == 45


def test_bootstrap_bands_hold_the_mean_and_shrink():
    samples = np.random.default_rng(1).normal(size=(400, 2))
    low, high = bootstrap(samples)
    assert (low < samples.mean(0)).all()
    assert (samples.mean(0) < high).all()
    np.testing.assert_allclose(high - low, 2 * 1.96 / 20, rtol=0.2)


def test_lbfgs_converges_one_evaluation_at_a_time():
    functions, x0 = some()
    points, values = lbfgs(functions, x0, 60, 0.5)
    torch.testing.assert_close(functions.on(points)[0], values)
    assert values.shape == (3, 61)
    torch.testing.assert_close(values[:, 0], functions.value_and_grad(x0)[0])
    wolfe = wolfe_lbfgs(functions, x0, 60)
    assert wolfe.shape == (3, 61)
    for i in range(3):
        function = functions.rows(torch.tensor([i]))

        def fun(x, function=function):
            y, g = function.value_and_grad(torch.from_numpy(x)[None])
            return y.item(), g[0].numpy()

        least = minimize(fun, x0[i].numpy(), jac=True, method="BFGS").fun
        assert values[i, -1].item() == pytest.approx(least, abs=1e-6)
        assert best_so_far(wolfe)[i, -1].item() == pytest.approx(least, abs=1e-6)


def test_losses_in_a_box():
    functions, x0 = some()
    boxed = Boxed(functions, x0)
    u = torch.full((3, 4), 0.1, dtype=torch.float64)
    y, g = functions.value_and_grad(x0 + BOX * u)
    torch.testing.assert_close(boxed.value_and_grad(u), (y, BOX * g))
    torch.testing.assert_close(boxed.values_on(u[:1])[:, 0], y)
    torch.testing.assert_close(boxed.rows(torch.tensor([2])).value_and_grad(u[:1])[0], y[2:])


def test_the_rover_begins_at_the_start_and_finds_lower_values():
    functions, x0 = some()
    values = rover_values(functions, x0, 80, 3.0)
    assert values.shape == (3, 81)
    torch.testing.assert_close(values[:, 0], functions.value_and_grad(x0)[0])
    assert (best_so_far(values)[:, -1] < values[:, 0]).all()
    torch.testing.assert_close(rover_values(functions, x0, 80, 3.0), values)


def test_tuned_settings_are_of_the_grid_and_in_the_middle_of_it(quick):
    settings = tuned(LogisticRegression())
    assert set(settings) == set(RIVALS)
    assert settings["momentum"].decay > 0
    assert 2.0**-6 < settings["gradient_descent"].step_size < 2.0**6


def test_best_so_far():
    values = torch.tensor([[3.0, torch.nan, 1.0, 2.0]])
    assert best_so_far(values).tolist() == [[3.0, 3.0, 1.0, 1.0]]


def test_a_small_run_writes_tables_and_figures(tmp_path, monkeypatch, quick):
    monkeypatch.setattr(claims_module, "STEPS", 12)
    monkeypatch.setattr(claims_module, "EVALUATIONS", (4, 12))
    network = StepNetwork(25, 4)
    card = LTOCard("ppo", 0, 1.0, 1, LTOTask(), network.shape)
    for label in ("gps", "ppo"):
        save_policy(tmp_path / label / "logistic", network, card)
    learned = tuple(f"{label}={tmp_path / label}/{{task}}" for label in ("gps", "ppo"))
    run(Claims(("logistic",), learned, ("ppo",), (), tmp_path / "out"), Console(quiet=True))
    assert (tmp_path / "out" / "margins.png").stat().st_size < 150_000
    text = (tmp_path / "out" / "summary.md").read_text()
    assert "## logistic" in text
    assert "| ppo |" in text
    assert "POP, in a box" in text
    assert "Rover Descent" in text
