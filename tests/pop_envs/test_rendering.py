import subprocess
import sys
from itertools import pairwise

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.error import DependencyNotInstalled
from gymnasium.wrappers import RecordVideo
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from pop_envs import BoxObjective, GPPrior, POPEnv, POPVectorEnv
from pop_envs.rendering import draw_landscape, draw_path, draw_values

HEIGHT, WIDTH = 448, 512


class Counted(BoxObjective):
    """A bowl away from the centre; counts the pictures of it."""

    landscapes = 0

    def __init__(self, dim=2, **kwargs):
        super().__init__(lambda x: ((x**2).sum(-1), 2 * x), [0.0] * dim, [4.0] * dim, **kwargs)

    def values_on(self, points):
        self.landscapes += len(points) > 1000
        return super().values_on(points)


@pytest.fixture
def ax():
    return Figure().subplots()


@pytest.mark.parametrize(("dim", "panels"), [(1, 2), (2, 2), (5, 1)])
def test_frames_of_an_episode(dim, panels):
    env = POPEnv(dim=dim, budget=5, step_rule="signed", render_mode="rgb_array", reward="log_gap")
    env.reset(seed=0)
    frames = [env.render()]
    for _ in range(5):
        env.step(np.full(dim, 0.9, np.float32))
        frames.append(env.render())
    for before, after in pairwise(frames):
        assert after.shape == (HEIGHT, WIDTH * panels, 3)
        assert after.dtype == np.uint8
        assert (before != after).any()
    again = np.abs(env.render().astype(int) - frames[-1])
    assert (again > 2).mean() < 1e-4  # the layout may move by a rounding


def test_the_landscape_is_found_once_an_episode():
    objective = Counted(minimum=0.0)
    env = POPEnv(objective=objective, budget=3, render_mode="rgb_array")
    for episode in range(2):
        env.reset(seed=episode)
        env.render()
        for _ in range(3):
            env.step(env.action_space.sample())
            env.render()
        assert objective.landscapes == episode + 1


def test_vector_env_gives_a_frame_for_each():
    envs = POPVectorEnv(2, budget=2, dim=3, render_mode="rgb_array")
    envs.reset(seed=0)
    first, second = envs.render()
    assert (first != second).any()
    single = POPEnv(budget=2, dim=3, render_mode="rgb_array")
    single.reset(seed=1)
    np.testing.assert_array_equal(second, single.render())
    for _ in range(2):
        envs.step(envs.action_space.sample())
    # They have restarted: the frames are those of new episodes, of one point each.
    assert len(envs.episodes._painters[0].xs) == 1


def test_record_video(tmp_path):
    env = RecordVideo(gym.make("POP-v0", dim=3, budget=4, render_mode="rgb_array"), str(tmp_path / "videos"))
    env.reset(seed=0)
    for _ in range(4):
        env.step(env.action_space.sample())
    env.close()
    (video,) = tmp_path.glob("videos/*.mp4")
    assert video.stat().st_size > 1000


def test_path_in_own_coordinates(ax):
    objective = Counted()
    xs = np.array([[-1.0, -1.0], [0.0, 0.5], [1.0, 1.0]])
    draw_landscape(ax, objective)
    draw_path(ax, objective, xs, np.array([3.0, 1.0, 2.0]), budget=4)
    assert (ax.get_xlim(), ax.get_ylim()) == ((0, 4), (0, 4))
    _, path = (c for c in ax.collections if isinstance(c, LineCollection))
    np.testing.assert_array_equal(path.get_segments(), [[[0, 0], [2, 3]], [[2, 3], [4, 4]]])
    points, start, best = (c.get_offsets().tolist() for c in ax.collections[-3:])
    assert points == [[0, 0], [2, 3], [4, 4]]
    assert start == [[0, 0]]
    assert best == [[2, 3]]
    assert len(np.unique(path.get_colors(), axis=0)) == 2


def test_path_on_a_curve(ax):
    functions = GPPrior().sample(1, 1, np.random.default_rng(0))
    draw_landscape(ax, functions)
    x, y = ax.lines[0].get_data()
    torch.testing.assert_close(
        torch.from_numpy(y), functions.value_and_grad(torch.from_numpy(x)[:, None])[0], rtol=1e-4, atol=1e-4
    )
    draw_path(ax, functions, np.array([[0.5], [0.1]]), np.array([1.0, 2.0]))
    assert ax.collections[-1].get_offsets().tolist() == [[0.5, 1.0]]


@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize("value", [np.nan, 1.0])
def test_landscapes_of_nothing_to_see(ax, dim, value):
    flat = BoxObjective(lambda x: (np.full(len(x), value), np.zeros_like(x)), [0.0] * dim, [1.0] * dim)
    draw_landscape(ax, flat)
    assert ax.get_xlim() == (0, 1)


def test_landscapes_have_two_dimensions_at_most(ax):
    with pytest.raises(ValueError, match="one or two dimensions, got 3"):
        draw_landscape(ax, Counted(dim=3))


def test_values_and_gaps(ax):
    draw_values(ax, np.array([3.0, 4.0, 2.0]))
    assert ax.lines[0].get_ydata().tolist() == [3, 3, 2]
    assert ax.get_yscale() == "linear"
    ax.clear()
    draw_values(ax, np.array([3.0, 4.0, 1.0]), minimum=1.0, budget=9)
    assert ax.get_yscale() == "log"
    assert ax.lines[0].get_ydata().tolist() == [2, 2, 2e-12]
    assert ax.get_xlim() == (-0.5, 9.5)


def test_missing_matplotlib_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    env = POPEnv(render_mode="rgb_array")
    env.reset(seed=0)
    with pytest.raises(DependencyNotInstalled, match=r"pop-optimizer\[render\]"):
        env.render()


def test_matplotlib_is_not_imported_before_it_is_needed():
    code = "import sys, gymnasium, pop_envs; gymnasium.make('POP-v0').reset(); assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
