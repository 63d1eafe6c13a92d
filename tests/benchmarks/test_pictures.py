import numpy as np
import torch
from PIL import Image

from benchmarks import pictures
from pop_envs.objectives.gp_prior import GPPrior
from pop_envs.objectives.priors import validation_functions, validation_starts
from pop_optimizer.ask_tell import run
from pop_optimizer.checkpoint import load_checkpoint


def watched(steps, batch=4):
    policy, _ = load_checkpoint(pictures.SHIPPED)
    functions, x = validation_functions(GPPrior(), batch), torch.from_numpy(validation_starts(batch))
    return policy, functions, x, pictures.watch(policy, functions, x, steps)


def test_a_run_that_is_watched_is_the_policys_own():
    policy, functions, x, seen = watched(pictures.BUDGET)
    points, values = run(policy, functions, x, pictures.BUDGET, deterministic=True)
    np.testing.assert_array_equal(seen.points, points)
    np.testing.assert_array_equal(seen.values, values)
    np.testing.assert_allclose(seen.chances.sum(-1), 1, atol=1e-5)
    assert (seen.options == seen.chances.argmax(-1)).mean() > 0.99  # the mode, but for ties
    assert set(np.unique(seen.options)) == {0, 1, 2}


def test_the_posterior_that_is_drawn_is_the_surrogates():
    _, _, _, seen = watched(8, batch=3)
    surrogate = seen.search.trajectory.surrogate
    for i in range(3):
        mean, deviation = pictures.posterior(seen.points[i], seen.values[i], surrogate.proposal[i : i + 1].numpy())
        np.testing.assert_allclose(mean, surrogate.mean[i], rtol=1e-6)
        np.testing.assert_allclose(deviation, surrogate.deviation[i], rtol=1e-6)


def test_a_film_has_a_frame_for_each_point(tmp_path):
    film = pictures.FILMS["lto_v0"]
    short = film._replace(settings=film.settings | {"budget": 3})
    pictures.save_film(short, tmp_path / "film.gif")
    with Image.open(tmp_path / "film.gif") as shown:
        assert shown.n_frames == 4
        assert shown.info["loop"] == 0
