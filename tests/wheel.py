"""What a user gets from the wheel: ``python tests/wheel.py FOLDER``, part of ``make check``.

The wheel is unpacked into an environment of its own, outside of the project. A program runs there that needs all
weights that ship, and mypy checks, strictly, another one that uses the public names.
"""

import subprocess
import sys
import sysconfig
import tempfile
import venv
import zipfile
from pathlib import Path

PROGRAM = """
import gymnasium as gym
import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import OptimizeResult

import pop_envs
import pop_optimizer


def bowl(x: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
    return float((x**2).sum()), 2 * x


result: OptimizeResult = pop_optimizer.minimize(bowl, [1.0, 2.0], jac=True, bounds=[(-3, 3), (None, 4)], budget=20)
optimizer = pop_optimizer.Optimizer(bounds=[(-3, 3)] * 2, budget=10)
while not optimizer.done:
    point: npt.NDArray[np.float64] = optimizer.ask()
    optimizer.tell(point, *bowl(point))
best: float = optimizer.fun
optimizer.no_such_name
batch: OptimizeResult = pop_optimizer.minimize_batch(bowl, np.ones((3, 2)), bounds=[(-3, 3)] * 2)
parameter = torch.nn.Parameter(torch.zeros(2))
torch_optimizer: torch.optim.Optimizer = pop_optimizer.POP([parameter], budget=10)
rover: OptimizeResult = pop_optimizer.rover_descent(lambda x: float((x**2).sum()), [1.0], budget=100)
steps: OptimizeResult = pop_optimizer.predicted_step_descent(bowl, np.zeros(4), jac=True, policy="logistic")
policy, card = pop_optimizer.load_checkpoint("runs/quick-0")
functions: int = card.functions
task: pop_envs.POPTask = policy.task

env = pop_envs.POPEnv(dim=2, budget=10, prior=pop_envs.GPPrior(), reward="log_gap")
observation, info = env.reset(seed=0)
observation, reward, terminated, truncated, info = env.step(np.zeros(2, np.float32))
envs = pop_envs.POPVectorEnv(num_envs=4, prior="wide")
pop_envs.POPEnv(budget="ten")
single: gym.Env[npt.NDArray[np.float32], npt.NDArray[np.float32]] = env
objective: pop_envs.Objective = pop_envs.BoxObjective(lambda x: ((x**2).sum(-1), 2 * x), [-1.0], [1.0])
"""
RUN = """
import sys
import gymnasium as gym
import pop_envs, pop_optimizer
assert pop_optimizer.__file__.startswith(sys.prefix) and pop_envs.__file__.startswith(sys.prefix)
bowl = lambda x: ((x ** 2).sum(), 2 * x)
assert pop_optimizer.minimize(bowl, [1.0, 2.0], jac=True, budget=20).success
assert pop_optimizer.rover_descent(lambda x: (x ** 2).sum(), [1.0, 2.0], budget=500).fun < 1
for policy, dim in {"logistic": 4, "robust": 4, "network": 12, "logistic_2d": 2}.items():
    pop_optimizer.predicted_step_descent(bowl, [0.1] * dim, jac=True, policy=policy)
for name in ("POP-v0", "RoverDescent-v0", "LearningToOptimize-v0", "VLSE/Levy-v0"):
    gym.make(name).reset(seed=0)
"""
EXPECTED = ('has no attribute "no_such_name"', 'has incompatible type "str"; expected "int"')
"""The two mistakes that the program makes, so that nothing else than a check that looks will do."""


def main(folder: Path) -> None:
    (wheel,) = folder.glob("*.whl")
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        venv.create(home / "venv")
        (packages,) = (home / "venv").glob("lib/python*/site-packages")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(packages)
        assert (packages / "pop_envs" / "py.typed").is_file()
        assert (packages / "pop_optimizer" / "py.typed").is_file()
        # Dependencies are those of this environment, without the project, which is in it as an editable install.
        (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"), "utf-8")
        (home / "program.py").write_text(PROGRAM, "utf-8")
        names = "\n".join(
            f"from {package} import {name} as {name}"
            for package in ("pop_envs", "pop_optimizer")
            for name in __import__(package).__all__
        )
        (home / "names.py").write_text(names + "\n", "utf-8")
        python = home / "venv" / "bin" / "python"
        subprocess.run([python, "-I", "-c", RUN], cwd=home, check=True)
        command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", python]
        cache = Path(__file__).parents[1] / "build" / "mypy"
        done = subprocess.run(
            [*command, f"--cache-dir={cache}", "--no-color-output", "program.py", "names.py"],
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
        )
        wrong = [line for line in done.stdout.splitlines() if ": error: " in line]
        unexpected = [line for line in wrong if not any(part in line for part in EXPECTED)]
        if unexpected or len(wrong) != len(EXPECTED) or done.stderr:
            sys.exit(f"mypy, from outside on {wheel.name}:\n{done.stdout}{done.stderr}")
    print(f"mypy --strict, from outside on {wheel.name}: no error but the two that the program makes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
