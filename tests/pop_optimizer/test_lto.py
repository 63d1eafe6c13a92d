import json

import numpy as np
import pytest
import torch

import pop_optimizer
from pop_envs import LogisticRegression, LTOTask
from pop_envs.objectives.learning_tasks import TASKS, functions_for
from pop_optimizer.checkpoint import CARD, WEIGHTS, CheckpointError
from pop_optimizer.lto import POLICIES, LTOCard, load_policy, save_policy
from pop_optimizer.networks.steps import StepNetwork


def made_card(network, **task):
    return LTOCard("gps", 1, 2.0, 3, LTOTask(**task), network.shape)


def descent(history=25, dim=4, size=0.5, max_step=4.0):
    """A network that is, for small gradients, gradient descent: hidden units in pairs, almost linear at zero."""
    network = StepNetwork(history, dim, hidden=dim)
    with torch.no_grad():
        network.hidden.weight.zero_()
        network.hidden.weight[:, history : history + dim] = 1e-3 * torch.eye(dim)
        network.hidden.bias.zero_()
        network.output.weight.copy_(-2e3 * size / max_step * torch.eye(dim))
    return network


@pytest.fixture
def folder(tmp_path):
    network = descent()
    save_policy(tmp_path / "policy", network, made_card(network))
    return tmp_path / "policy"


def loss(row=0):
    functions, x0 = functions_for("test", LogisticRegression(), 3)

    def fun(x):
        y, g = functions.value_and_grad(torch.from_numpy(x).expand(3, -1))
        return y[row].item(), g[row].numpy()

    return fun, x0[row].numpy()


def test_it_takes_the_steps_of_its_policy(folder):
    fun, x0 = loss()
    result = pop_optimizer.predicted_step_descent(fun, x0, True, 30, policy=folder)
    x = x0
    for point, value in zip(result.x_iters, result.func_vals, strict=True):
        np.testing.assert_allclose(point, x, atol=2e-3)
        assert value == fun(point)[0]
        x = point - 0.5 * fun(point)[1]
    assert result.success
    assert result.nit == 30
    assert result.nfev == result.njev == 31
    best = np.argmin(result.func_vals)
    assert result.fun == result.func_vals[best]
    np.testing.assert_array_equal(result.x, result.x_iters[best])
    np.testing.assert_allclose(result.jac, fun(result.x)[1])


def test_a_gradient_of_its_own_and_arguments(folder):
    fun, x0 = loss()
    plain = pop_optimizer.predicted_step_descent(fun, x0, True, 5, policy=folder)
    apart = pop_optimizer.predicted_step_descent(
        lambda x, a: fun(x)[0], x0, jac=lambda x, a: fun(x)[1], budget=5, policy=folder, args=(1,)
    )
    np.testing.assert_array_equal(plain.x_iters, apart.x_iters)
    differences = pop_optimizer.predicted_step_descent(lambda x: fun(x)[0], x0, budget=5, policy=folder)
    np.testing.assert_allclose(differences.x_iters, plain.x_iters, atol=1e-4)
    assert differences.nfev == 6 * 5


def test_callbacks_and_values_that_are_not_finite_end_it(folder):
    def stop(x):
        raise StopIteration

    fun, x0 = loss()
    result = pop_optimizer.predicted_step_descent(fun, x0, True, policy=folder, callback=stop)
    assert (result.nit, result.success, result.message) == (1, False, "The callback asked to stop.")
    result = pop_optimizer.predicted_step_descent(lambda x: (np.nan, 0 * x), x0, True, policy=folder)
    assert (result.nit, result.success) == (0, False)
    assert "not finite" in result.message


def test_other_dimensions_are_refused_by_name(folder):
    with pytest.raises(ValueError, match=r"chooses steps of 4 coordinates, got x0 of shape \(12,\)"):
        pop_optimizer.predicted_step_descent(lambda x: (0.0, x), np.zeros(12), True, policy=folder)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"policy": "linear"}, FileNotFoundError, "no policy 'linear': expected a folder with policy.safetensors"),
        ({"jac": 3}, ValueError, "jac must be True"),
        ({"budget": 0}, ValueError, "budget must be a positive integer"),
        ({"fun": lambda x: (0.0, x[:2])}, ValueError, r"the gradient of fun must have shape \(4,\), got \(2,\)"),
    ],
)
def test_wrong_arguments_are_named(folder, wrong, error, message):
    fun, x0 = loss()
    with pytest.raises(error, match=message):
        pop_optimizer.predicted_step_descent(**{"fun": fun, "x0": x0, "jac": True, "policy": folder, **wrong})


def test_checkpoints_come_back_and_damage_is_seen(folder):
    network, card = load_policy(folder)
    for name, tensor in descent().state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], tensor)
    assert card.task == LTOTask()
    assert json.loads((folder / CARD).read_text()) == json.loads(json.dumps(card.record()))
    with pytest.raises(CheckpointError, match="something else than a POP policy"):
        pop_optimizer.load_checkpoint(folder)
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS).write_bytes(content)
    with pytest.raises(CheckpointError, match="do not match their checksum"):
        load_policy(folder)


def test_a_task_of_ones_own_is_read_back_as_the_default(tmp_path):
    network = descent(dim=6)
    save_policy(tmp_path, network, made_card(network, task=LogisticRegression(features=5), history=25))
    assert load_policy(tmp_path)[1].policy["dim"] == 6


def test_at_rest_the_network_stays():
    network = StepNetwork(3, 2)
    assert network(torch.zeros(5, 9)).abs().max() < 1e-7


@pytest.mark.parametrize("name", TASKS)
def test_the_policies_that_ship_beat_gradient_descent_in_forty_steps(name):
    """Gradient descent with the step size that is best on the training functions."""
    network, card = load_policy(POLICIES / name)
    assert card.task.task == name
    assert card.policy["dim"] == network.output.out_features == TASKS[name]().dim
    functions, x0 = functions_for("validation", TASKS[name](), 30)
    x = x0
    search = card.task.make_search()
    search.start(x0, *functions.value_and_grad(x0))
    step = {"logistic": 2.0, "robust": 1.0, "network": 0.5, "logistic_2d": 2.0}[name]
    for _ in range(40):
        moved = search.propose(network(search.observe()).double())
        search.update(moved, *functions.value_and_grad(moved))
        x = x - step * functions.value_and_grad(x)[1]
    assert search.y.median() < functions.value_and_grad(x)[0].median()
