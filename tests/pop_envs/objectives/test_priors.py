import numpy as np
import pytest
import torch

from pop_envs import GPPrior
from pop_envs.objectives import priors

# The wide prior's powers are scaled by a spread that is found in single precision.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def uniform(batch, dim):
    return torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (batch, dim)))


@pytest.mark.parametrize("config", [make() for make in priors.PRIORS.values()], ids=type)
@pytest.mark.parametrize("draw", [priors.validation_functions, priors.final_test_functions])
def test_held_out_functions_are_fixed_and_are_no_training_functions(config, draw):
    x = uniform(8, 2)
    y = draw(config, 8, 2).value_and_grad(x)[0]
    torch.testing.assert_close(draw(config, 4, 2).value_and_grad(x[:4])[0], y[:4], **CLOSE)
    for seed in range(4):
        assert not torch.isclose(config.sample(8, 2, np.random.default_rng(seed)).value_and_grad(x)[0], y).any()


def test_validation_and_test_have_nothing_in_common():
    x = uniform(8, 2)
    validation, test = (draw(GPPrior(), 8, 2) for draw in (priors.validation_functions, priors.final_test_functions))
    assert not torch.isclose(validation.value_and_grad(x)[0], test.value_and_grad(x)[0]).any()
    starts = priors.validation_starts(8, 2)
    assert starts.shape == (8, 2)
    assert (np.abs(starts) <= 1).all()
    np.testing.assert_array_equal(starts, priors.validation_starts(8, 2))
    assert not np.isclose(starts, priors.final_test_starts(8, 2)).any()
