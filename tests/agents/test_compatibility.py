"""What works with POP-v0 and POP-full-v0: each cell of the table in docs/algorithms.md."""

import pickle
import re
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from gymnasium.wrappers import RecordVideo
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.env_checker import check_env as check_env_sb3
from stable_baselines3.common.vec_env import VecMonitor, VecNormalize

from agents.vec_env import GymnasiumVecEnv
from pop_envs.pop.task import FULL

PAGE = (Path(__file__).parents[2] / "docs" / "algorithms.md").read_text("utf-8")
IDS = ("POP-v0", "POP-full-v0")
OBSERVATIONS = ("trajectory", "token")
CELLS = pytest.mark.parametrize(
    "settings",
    [{"id": name, "observation": kind} for name in IDS for kind in OBSERVATIONS],
    ids=lambda s: "-".join(s.values()),
)
BUDGET = 3


def single(settings, **more):
    return gym.make(**settings, budget=BUDGET, **more)


def batched(settings):
    return GymnasiumVecEnv(gym.make_vec(**settings, budget=BUDGET, num_envs=2))


def zeros(env):
    return np.zeros(env.action_space.shape, np.float32)


@CELLS
def test_check_env(settings):
    check_env(single(settings).unwrapped, skip_render_check=True)
    check_env_sb3(single(settings), warn=False)


@CELLS
def test_vec_normalize_of_rewards(settings):
    env = VecNormalize(batched(settings), norm_obs=False)
    PPO("MlpPolicy", env, n_steps=3, batch_size=6, n_epochs=1, device="cpu").learn(6)
    assert env.ret_rms.count > 1


@CELLS
def test_vec_monitor(settings):
    env = VecMonitor(batched(settings))
    env.seed(0)
    env.reset()
    for _ in range(BUDGET):
        _, _, dones, infos = env.step(np.zeros((2, 2)))
    assert dones.all()
    assert [info["episode"]["l"] for info in infos] == [BUDGET] * 2


@CELLS
def test_eval_callback(settings, tmp_path):
    callback = EvalCallback(
        VecMonitor(batched(settings)), n_eval_episodes=2, eval_freq=3, best_model_save_path=tmp_path, verbose=0
    )
    PPO("MlpPolicy", VecMonitor(batched(settings)), n_steps=3, batch_size=6, n_epochs=1, device="cpu").learn(
        6, callback
    )
    assert np.isfinite(callback.last_mean_reward)
    assert (tmp_path / "best_model.zip").is_file()


@CELLS
def test_record_video(settings, tmp_path):
    env = RecordVideo(single(settings, render_mode="rgb_array"), tmp_path / "videos", disable_logger=True)
    env.reset(seed=0)
    for _ in range(BUDGET):
        env.step(zeros(env))
    env.close()
    assert (tmp_path / "videos" / "rl-video-episode-0.mp4").stat().st_size > 1000


@CELLS
def test_async_vector_env(settings):
    envs = AsyncVectorEnv([lambda: single(settings)] * 2, context="fork", autoreset_mode=AutoresetMode.SAME_STEP)
    try:
        seen, _ = envs.reset(seed=5)
        own = single(settings)
        np.testing.assert_array_equal(seen[1], own.reset(seed=6)[0])
        np.testing.assert_array_equal(envs.step(np.zeros((2, 2), np.float32))[0][1], own.step(zeros(own))[0])
    finally:
        envs.close()


@CELLS
def test_pickling(settings):
    env = single(settings)
    env.reset(seed=1)
    env.step(zeros(env))
    other = pickle.loads(pickle.dumps(env))
    np.testing.assert_array_equal(other.step(zeros(env))[0], env.step(zeros(env))[0])


def test_the_table_has_these_rows_and_these_ids():
    table = re.search(r"^\| What works with it.*?\n\n", PAGE, re.DOTALL | re.MULTILINE)[0]
    rows = [line.split("|")[1].strip(" `") for line in table.strip().splitlines()[2:]]
    tested = sorted(name.removeprefix("test_") for name in globals() if re.match("test_(?!the_)", name))
    assert sorted(re.sub(r"\W.*", "", name).lower().replace("_", "") for name in rows) == sorted(
        name.replace("_of_rewards", "").replace("_", "") for name in tested
    )
    assert all(name in table.splitlines()[0] for name in IDS)


def test_the_full_variant_is_what_training_starts_from():
    env = gym.make("POP-full-v0").unwrapped
    assert env.episodes.core.task == FULL


def test_the_example_of_the_page_runs(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "algorithms.md", "exec"), {})
    assert capsys.readouterr().out.split() == ["51"]
