import numpy as np
import pytest
from PIL import Image

from pop_envs.objectives import vlse
from pop_optimizer.__main__ import METHODS, Recorder, main, named_problem, run
from pop_optimizer.classical import BudgetExhausted

MINE = """
import numpy as np
calls = 0
def bowl(x):
    global calls
    calls += 1
    return float(((x - 0.25) ** 2).sum())
def both(x):
    return bowl(x), 2 * (x - 0.25)
def slope(x):
    return 2 * (x - 0.25)
constant = 3
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A module of one's own in the current folder."""
    (tmp_path / "mine_for_main.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "mine_for_main"


def test_draws_and_prints_a_vlse_function(tmp_path, capsys):
    out = tmp_path / "new" / "figure.png"
    main(["six_hump_camel", "--budget", "12", "--out", str(out)])
    with Image.open(out) as picture:
        assert picture.format == "PNG"
        assert picture.width > 2 * picture.height  # three landscapes and the curves
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["best", "value", "found", "at", "evaluations", "regret"]
    assert [line.split("  ")[0] for line in lines[1:4]] == list(METHODS)
    assert all(line.split()[-2] == "13" for line in lines[1:4])
    f_min = vlse.problem("six_hump_camel").f_min
    for line in lines[1:4]:
        *_, value, _, _, regret = line.split()
        assert float(regret) == pytest.approx(float(value) - f_min, rel=0.01, abs=1e-7)


def test_the_same_seed_runs_the_same():
    problem = named_problem("levy", None, None, None)
    x0 = np.array([0.3, -0.4])
    one, two = (run(problem, x0, 20, seed=1) for _ in range(2))
    for name, recorder in one.items():
        np.testing.assert_array_equal(recorder.points[0], x0)
        np.testing.assert_array_equal(recorder.points, two[name].points)
        assert len(recorder.values) == 21


def test_more_dimensions_have_curves_alone(tmp_path, capsys):
    out = tmp_path / "curves.png"
    main(["rosenbrock", "--dim", "5", "--budget", "10", "--out", str(out)])
    with Image.open(out) as picture:
        assert picture.width < 2 * picture.height
    assert "rosenbrock in 5-D" in capsys.readouterr().out


def test_an_animation_has_a_picture_for_each_step(tmp_path):
    main(["beale", "--budget", "5", "--animate", "--out", str(tmp_path / "beale.gif")])
    with Image.open(tmp_path / "beale.gif") as picture:
        assert picture.format == "GIF"
        assert picture.n_frames == 6


@pytest.mark.parametrize(
    ("function", "jac", "price"),
    [("bowl", [], 3), ("bowl", ["--jac", "3-point"], 5), ("both", ["--jac", "true"], 1), ("bowl", "slope", 1)],
)
def test_a_function_of_ones_own(mine, function, jac, price, capsys, tmp_path):
    jac = ["--jac", f"{mine}:{jac}"] if isinstance(jac, str) else jac
    bounds = ["--bounds", "-1", "1", "-2", "2", "--start", "0.5", "-1.5"]
    main([f"{mine}:{function}", *bounds, *jac, "--budget", "15", "--no-contour"])
    printed = capsys.readouterr().out
    assert (tmp_path / f"{mine}.{function}.png").is_file()
    assert "regret" not in printed
    assert (f"each takes {price} calls" in printed) == (price > 1)
    pop = next(line for line in printed.splitlines() if line.startswith("POP"))
    assert float(pop.split()[1]) < 1e-6


def test_the_budget_ends_a_run_and_bad_values_are_infinite():
    class Bad:
        def value_and_grad(self, x):
            return x[:, 0] * np.nan, x

    recorder = Recorder(Bad(), budget=1)
    assert recorder(np.zeros(2))[0] == np.inf
    recorder(np.full(2, 5.0))
    np.testing.assert_array_equal(recorder.points[1], [1, 1])
    with pytest.raises(BudgetExhausted):
        recorder(np.zeros(2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["akley"], "did you mean ackley"),
        (["ackley", "--dim", "0"], "dim must be an integer"),
        (["ackley", "--bounds", "0", "1"], "--bounds and --jac are for functions of your own"),
        (["ackley", "--budget", "0"], "--budget must be a positive integer, got 0"),
        (["ackley", "--seed", "-1"], "--seed must not be negative, got -1"),
        (["ackley", "--start", "1"], "--start must have 2 numbers, got 1"),
        (["ackley", "--start", "1", "99"], "--start must lie in the bounds"),
        (["no_such_module:f", "--bounds", "0", "1"], "there is no module 'no_such_module'"),
        (["MINE:bowll", "--bounds", "0", "1"], "did you mean bowl?"),
        (["MINE:constant", "--bounds", "0", "1"], "has no function 'constant': it has bowl, both, slope"),
        (["MINE:bowl"], "needs --bounds LOWER UPPER"),
        (["MINE:bowl", "--bounds", "0", "1", "2"], "needs --bounds LOWER UPPER"),
        (["MINE:bowl", "--bounds", "1", "0"], "finite with lower < upper"),
        (["MINE:bowl", "--bounds", "0", "1", "--dim", "2"], "--bounds tells the dimension"),
        (["MINE:bowl", "--bounds", "0", "1", "--jac", "4-point"], "--jac must be true"),
    ],
)
def test_bad_arguments_are_named(mine, arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        main([argument.replace("MINE", mine) for argument in arguments])
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_missing_matplotlib_is_named(monkeypatch, capsys):
    monkeypatch.setattr("pop_envs.checks.find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="2"):
        main(["ackley"])
    assert "matplotlib must be installed" in capsys.readouterr().err


def test_a_module_that_misses_another_says_which(mine, tmp_path, capsys):
    (tmp_path / "broken_for_main.py").write_text("import no_such_thing")
    with pytest.raises(SystemExit, match="2"):
        main(["broken_for_main:f", "--bounds", "0", "1"])
    assert "No module named 'no_such_thing'" in capsys.readouterr().err
