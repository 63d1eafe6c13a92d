import math

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from pop_envs import LogisticRegression, NetworkClassifier, RobustRegression
from pop_envs.objectives.learning_tasks import (
    TASKS,
    LogisticLosses,
    NetworkLosses,
    RobustLosses,
    TrainingSet,
    functions_for,
)

ALL = [
    *(make() for make in TASKS.values()),
    LogisticRegression(features=1, instances=10),
    NetworkClassifier(gaussians=5, features=3, hidden=4, classes=3),
]


def drawn(task, batch=6, seed=0):
    rng = np.random.default_rng(seed)
    return task.draw(batch, rng), torch.from_numpy(rng.standard_normal((batch, task.dim)))


@pytest.mark.parametrize("task", ALL, ids=repr)
def test_gradients_are_those_of_finite_differences(task):
    functions, x = drawn(task, batch=32)
    y, g = functions.value_and_grad(x)
    assert y.dtype == g.dtype == torch.float64
    assert y.shape == (32,)
    step = 1e-6 * torch.eye(task.dim, dtype=torch.float64)
    numeric = torch.stack(
        [(functions.value_and_grad(x + e)[0] - functions.value_and_grad(x - e)[0]) / 2e-6 for e in step], 1
    )
    off = (g - numeric).abs().amax(1)
    # A kink of a ReLU within the step is rare, and no error.
    assert (off < 1e-7).double().mean() > (0.9 if isinstance(task, NetworkClassifier) else 0.999)
    assert (off < 0.05).all()


@pytest.mark.parametrize("task", ALL, ids=repr)
def test_gradients_are_those_of_autograd_and_differentiable_themselves(task):
    functions, x = drawn(task)
    x.requires_grad_(True)
    y, g = functions.value_and_grad(x)
    (automatic,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    torch.testing.assert_close(g, automatic)
    ours, theirs = (torch.autograd.grad(a.square().sum(), x, retain_graph=True)[0] for a in (g, automatic))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("task", ALL, ids=repr)
def test_a_batch_equals_functions_drawn_one_by_one(task):
    functions, x = drawn(task)
    rng = np.random.default_rng(0)
    for i in range(6):
        alone = task.draw(1, rng)
        torch.testing.assert_close(alone.value_and_grad(x[i : i + 1])[0], functions.value_and_grad(x)[0][i : i + 1])


@pytest.mark.parametrize("task", ALL, ids=repr)
def test_rows_puts_and_shared_points(task):
    functions, x = drawn(task)
    others, _ = drawn(task, seed=1)
    index = torch.tensor([4, 1])
    y, expected = functions.rows(index).value_and_grad(x[index])[0], functions.value_and_grad(x)[0][index]
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(functions.values_on(x)[[4, 1], [4, 1]], expected)
    functions.put(index, others.rows(index))
    torch.testing.assert_close(functions.value_and_grad(x)[0][index], others.value_and_grad(x)[0][index])
    assert len(functions) == 6


def test_logistic_losses_are_pytorchs():
    task = LogisticRegression()
    functions, x = drawn(task)
    sign = torch.ones(100, dtype=torch.float64)
    sign[:50] = -1
    logits = sign * (x[:, None] @ functions.design)[:, 0]
    expected = binary_cross_entropy_with_logits(logits, (sign > 0).double().expand(6, -1), reduction="none").mean(1)
    y = functions.value_and_grad(x)[0]
    torch.testing.assert_close(y, expected + 5e-4 / 2 * x[:, :3].square().sum(1))
    assert torch.equal(functions.design[:, 3], sign.expand(6, -1))


def test_logistic_losses_do_not_overflow():
    functions = LogisticLosses(torch.tensor([[[1.0, -1.0], [1.0, 1.0]]], dtype=torch.float64), 0.0)
    for size in (1e3, 1e100):
        y, g = functions.value_and_grad(torch.tensor([[size, 0.0]], dtype=torch.float64))
        assert y.item() == pytest.approx(size / 2)
        torch.testing.assert_close(g, torch.tensor([[0.5, -0.5]], dtype=torch.float64))


def test_robust_losses_by_hand():
    design = torch.tensor([[[1.0, 2.0], [1.0, 1.0]]], dtype=torch.float64)
    functions = RobustLosses(design, torch.tensor([[0.0, 1.0]], dtype=torch.float64), scale=3.0)
    y, g = functions.value_and_grad(torch.tensor([[1.0, 0.0]], dtype=torch.float64))  # residuals 1 and 1
    assert y.item() == pytest.approx(1 / 4)
    slope = 2 * 3 / 16  # 2 r c / (c + r^2)^2
    torch.testing.assert_close(g, torch.tensor([[slope * 3 / 2, slope]], dtype=torch.float64))


def test_robust_data_come_from_one_linear_map():
    functions = RobustRegression(noise=0.0).draw(3, np.random.default_rng(0))
    solution = torch.linalg.lstsq(functions.design.mT, functions.target[..., None]).solution[..., 0]
    y, g = functions.value_and_grad(solution)
    assert y.max() < 1e-20
    assert g.abs().max() < 1e-10


def test_network_losses_are_pytorchs():
    functions, x = drawn(NetworkClassifier(classes=3))
    for i in range(6):
        w, b, u, c = x[i].split([4, 2, 6, 3])
        logits = (u.view(3, 2) @ (w.view(2, 2) @ functions.inputs[i] + b[:, None]).relu() + c[:, None]).T
        expected = cross_entropy(logits, functions.target[i].argmax(0)) + 5e-4 / 2 * (
            w.square().sum() + u.square().sum()
        )
        torch.testing.assert_close(functions.value_and_grad(x)[0][i], expected)


@pytest.mark.parametrize(("gaussians", "classes"), [(2, 2), (4, 2), (3, 3)])
def test_every_labelling_but_those_that_are_all_alike_is_as_likely(gaussians, classes):
    task = NetworkClassifier(gaussians=gaussians, per_gaussian=1, classes=classes)
    ways = classes**gaussians - classes
    uniforms = torch.full((ways, task.num_uniforms(task.dim)), 0.5, dtype=torch.float64)
    uniforms[:, -1] = (torch.arange(ways) + 0.5) / ways
    labels = task.build(uniforms, task.dim).target.argmax(1)
    assert len(labels.unique(dim=0)) == ways
    assert (labels != labels[:, :1]).any(1).all()


def test_moments_of_the_data():
    functions = LogisticRegression(instances=2000).draw(400, np.random.default_rng(0))
    points = functions.design[:, :3, 1000:]
    means = points.mean(-1)
    assert means.std().item() == pytest.approx(1.0, abs=0.1)
    centered = points - means[..., None]
    covariance = (centered @ centered.mT / 1000).mean(0)
    torch.testing.assert_close(covariance, torch.eye(3, dtype=torch.float64), atol=0.1, rtol=0)


@pytest.mark.parametrize("task", [LogisticRegression(), RobustRegression(), NetworkClassifier()], ids=repr)
def test_turning_the_features_turns_the_weights(task):
    functions, x = drawn(task)
    rotation = torch.linalg.qr(torch.randn(6, task.features, task.features, dtype=torch.float64)).Q
    rows = x[:, : -1 if x.shape[1] == task.features + 1 else task.hidden * task.features]
    weights = rows.unflatten(1, (-1, task.features)) @ rotation.mT
    turned_x = torch.cat([weights.flatten(1), x[:, rows.shape[1] :]], 1)
    expected = functions.value_and_grad(x)[0]
    torch.testing.assert_close(functions.turned(rotation).value_and_grad(turned_x)[0], expected)


def test_a_training_set_draws_its_functions_turned_or_not():
    functions, x = drawn(LogisticRegression())
    plain, turned = (TrainingSet(functions, 3, turn) for turn in (False, True))
    known = functions.values_on(x)
    drawn_values = plain.draw(32, np.random.default_rng(0)).values_on(x)
    which = (drawn_values[:, None] - known).abs().sum(-1).argmin(1)
    torch.testing.assert_close(drawn_values, known[which])
    assert len(which.unique()) == 6
    many = turned.draw(32, np.random.default_rng(0))
    assert not torch.isclose(many.values_on(x)[:, None], known).all(-1).any()
    # What turning keeps: the Gram matrix of the instances.
    gram = functions.design[which].mT @ functions.design[which]
    torch.testing.assert_close(many.design.mT @ many.design, gram)


@pytest.mark.parametrize("name", TASKS)
def test_held_out_functions_are_fixed_and_have_nothing_in_common(name):
    task = TASKS[name]()
    purposes = ("training", "validation", "test")
    values = {}
    for purpose in purposes:
        functions, starts = functions_for(purpose, task, 4)
        values[purpose] = functions.value_and_grad(starts)[0]
        longer, more_starts = functions_for(purpose, task)
        assert len(longer) == len(more_starts) == (task.training_size if purpose == "training" else 100)
        torch.testing.assert_close(longer.rows(torch.arange(4)).value_and_grad(more_starts[:4])[0], values[purpose])
    assert len(torch.cat(list(values.values())).unique()) == 12


@pytest.mark.parametrize("task", ALL, ids=repr)
def test_other_numbers_of_coordinates_are_refused(task):
    with pytest.raises(ValueError, match=f"the model has {task.dim} parameters, got dim=99"):
        task.sample(1, 99, np.random.default_rng(0))


def test_dimensions_and_sizes():
    assert [task.dim for task in ALL[:3]] == [4, 4, 12]
    assert [task.training_size for task in ALL[:3]] == [90, 120, 80]
    kinds = [type(drawn(task)[0]) for task in ALL[:3]]
    assert kinds == [LogisticLosses, RobustLosses, NetworkLosses]
    assert math.prod(NetworkClassifier(gaussians=12).draw(2, np.random.default_rng(0)).inputs.shape) == 2 * 2 * 300
