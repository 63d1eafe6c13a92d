import copy
import io

import numpy as np
import pytest
import torch

import pop_optimizer
from pop_optimizer import POP

POINTS = torch.linspace(-1, 1, 20, dtype=torch.float64)[:, None]


def made(seed=0, dtype=torch.float64, **options):
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(1, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1)).to(dtype)
    return model, POP(model.parameters(), **options)


def closure_of(model, optimizer, losses=None):
    points = POINTS.to(next(model.parameters()).dtype)

    def closure():
        optimizer.zero_grad()
        loss = ((model(points) - torch.sin(3 * points)) ** 2).mean()
        loss.backward()
        if losses is not None:
            losses.append(loss.item())
        return loss

    return closure


def flat(model):
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()]).double()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_small_model_is_fitted_and_left_at_its_best(dtype):
    model, optimizer = made(dtype=dtype, budget=100)
    losses = []
    closure = closure_of(model, optimizer, losses)
    lowest = [optimizer.step(closure) for _ in range(100)]
    assert len(losses) == 101  # the start's is one more
    np.testing.assert_allclose(lowest, np.minimum.accumulate(losses)[1:])
    assert lowest[-1] < 1e-3
    np.testing.assert_allclose(closure().item(), lowest[-1], rtol=1e-5)


def test_it_is_the_run_of_minimize():
    model, optimizer = made(budget=20)
    start, closure = flat(model), closure_of(model, optimizer)

    def fun(x):
        rest = torch.from_numpy(x)
        with torch.no_grad():
            for p in model.parameters():
                p.copy_(rest[: p.numel()].view_as(p))
                rest = rest[p.numel() :]
        return closure(), torch.cat([p.grad.reshape(-1) for p in model.parameters()])

    expected = pop_optimizer.minimize(fun, start.numpy(), jac=True, budget=20)
    model, optimizer = made(budget=20)
    for _ in range(20):
        optimizer.step(closure_of(model, optimizer))
    np.testing.assert_array_equal(flat(model).numpy(), expected.x)


def test_groups_have_bounds_and_regions_of_their_own():
    free, bounded = (torch.zeros(2, dtype=torch.float64, requires_grad=True) for _ in range(2))
    optimizer = POP([{"params": [free], "region": 9.0}, {"params": [bounded], "lower": -0.5, "upper": 1.0}])

    def closure():
        optimizer.zero_grad()
        loss = ((free - 7) ** 2).sum() + ((bounded - 5) ** 2).sum()
        loss.backward()
        return loss

    for _ in range(40):
        optimizer.step(closure)
    np.testing.assert_allclose(free.detach(), 7.0, atol=1e-6)
    np.testing.assert_allclose(bounded.detach(), 1.0, atol=1e-9)


@pytest.mark.parametrize("steps", [0, 1, 7])
def test_a_run_goes_on_from_its_state_bit_for_bit(steps):
    model, optimizer = made(budget=15)
    for _ in range(steps):
        optimizer.step(closure_of(model, optimizer))
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    other, resumed = made(seed=0 if steps == 0 else 1, budget=15)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(flat(other), flat(model))
    for _ in range(15 - steps):
        optimizer.step(closure_of(model, optimizer))
        resumed.step(closure_of(other, resumed))
    assert torch.equal(flat(other), flat(model))


def test_more_steps_than_the_budget_extend_it():
    model, optimizer = made(budget=5)
    losses = [optimizer.step(closure_of(model, optimizer)) for _ in range(60)]
    assert losses[-1] < 0.1 * losses[4]


def test_a_copy_goes_on_alike():
    model, optimizer = made(budget=12)
    for _ in range(3):
        optimizer.step(closure_of(model, optimizer))
    other = copy.deepcopy((model, optimizer))
    for m, o in ((model, optimizer), other):
        for _ in range(9):
            o.step(closure_of(m, o))
    assert torch.equal(flat(model), flat(other[0]))


def test_a_parameter_without_a_gradient_stays_in_the_search():
    used, unused = (torch.ones(2, dtype=torch.float64, requires_grad=True) for _ in range(2))
    optimizer = POP([used, unused])

    def closure():
        optimizer.zero_grad()
        loss = (used**2).sum()
        loss.backward()
        return loss

    for _ in range(20):
        optimizer.step(closure)
    np.testing.assert_allclose(used.detach(), 0.0, atol=1e-6)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="give step a closure"):
        made()[1].step()
    with pytest.raises(ValueError, match="real floating-point"):
        POP([torch.zeros(2, dtype=torch.int64)])
    with pytest.raises(ValueError, match="budget must be a positive integer"):
        made(budget=0)
    _, optimizer = made()
    with pytest.raises(TypeError, match="the closure must return a number"):
        optimizer.step(lambda: None)
    with pytest.raises(ValueError, match="region must be"):
        made(region=-1.0)[1].step(lambda: 0.0)
