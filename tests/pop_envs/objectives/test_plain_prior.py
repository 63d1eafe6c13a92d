from dataclasses import fields, replace

import gymnasium as gym
import numpy as np
import pytest
import torch
from scipy.optimize import rosen, rosen_der

from pop_envs import POPVectorEnv
from pop_envs.objectives.base import Uniforms
from pop_envs.objectives.plain_prior import BOWL, CURVE, REGRESSION, VALLEY, PlainFunctions, PlainPrior, _link
from pop_envs.objectives.priors import PRIORS

DIMS = [1, 2, 3, 8, 33]
KINDS = {"bowl": BOWL, "valley": VALLEY, "regression": REGRESSION, "curve": CURVE}


def only(kind, **changes):
    """The prior of one kind of functions."""
    return PlainPrior(shares=tuple(float(kind == each) for each in range(4)), **changes)


def uniform(batch, dim, seed=0, low=-1.0, high=1.0):
    return torch.from_numpy(np.random.default_rng(seed).uniform(low, high, (batch, dim)))


def sample(prior, batch, dim, seed=0):
    return prior.sample(batch, dim, np.random.default_rng(seed))


def equal(one, other):
    """Whether two batches are the same to the last bit."""
    return all(torch.equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(one) if f.init)


def same(one, other):
    """As ``equal``, but for the last bits of exponentials, which vectors round in other ways."""
    for f in fields(one):
        if f.init:
            torch.testing.assert_close(getattr(one, f.name), getattr(other, f.name), rtol=1e-14, atol=0)
    return True


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def kind(request):
    return request.param


@pytest.fixture(params=DIMS)
def dim(request):
    return request.param


def test_gradients_against_finite_differences(kind, dim):
    for changes in ({"p_quartic": 0.0}, {"p_rotated": 1.0, "p_quartic": 1.0}):
        functions, x = sample(only(kind, **changes), 60, dim), uniform(60, dim, low=-0.99, high=0.99)
        _, g = functions.value_and_grad(x)
        for d in range(dim):
            h = 1e-6 * torch.eye(dim, dtype=torch.float64)[d]
            upper, lower = (functions.value_and_grad(x + step)[0] for step in (h, -h))
            error = (g[:, d] - (upper - lower) / 2e-6).abs()
            # Rounding of the two values, and the third derivative.
            assert (error < 1e-8 * upper + 1e-7 * g.abs().amax(-1) + 1e-9).all(), d


def test_the_minimum_is_zero_at_the_target_and_nowhere_is_less(kind, dim):
    functions = sample(only(kind), 200, dim)
    assert functions.minimum == 0.0
    assert ((functions.target >= -0.8) & (functions.target <= 0.8)).all()
    y, g = functions.value_and_grad(functions.target)
    assert (y < 1e-200).all()  # a bowl keeps its powers off zero
    assert (g.abs() < 1e-14).all()
    for radius in (1e-3, 0.1, 1.0):
        x = (functions.target + radius * uniform(200, dim, seed=1)).clamp(-1, 1)
        assert (functions.value_and_grad(x)[0] > 0).all()


def test_values_on_shared_points_are_those_of_value_and_grad(kind, dim):
    functions, points = sample(only(kind), 7, dim), uniform(5, dim)
    values = functions.values_on(points)
    assert values.shape == (7, 5)
    for j, point in enumerate(points):
        torch.testing.assert_close(values[:, j], functions.value_and_grad(point.expand(7, -1))[0], rtol=1e-12, atol=0)


def test_a_batch_equals_functions_drawn_one_by_one(dim):
    whole, rng = sample(PlainPrior(), 40, dim, seed=3), np.random.default_rng(3)
    assert set(whole.kind.tolist()) == {BOWL, VALLEY, REGRESSION, CURVE}
    x = uniform(40, dim)
    y, g = whole.value_and_grad(x)
    for i in range(40):
        one = PlainPrior().sample(1, dim, rng)
        assert same(one, whole.rows(torch.tensor([i])))
        alone = one.value_and_grad(x[i : i + 1])
        torch.testing.assert_close(alone[0][0], y[i], rtol=1e-10, atol=1e-15)
        torch.testing.assert_close(alone[1][0], g[i], rtol=1e-10, atol=1e-12)


def test_each_uniform_number_is_used_and_none_is_missing(dim, monkeypatch):
    taken = []
    take = Uniforms.take
    monkeypatch.setattr(Uniforms, "take", lambda self, n: taken.append(n) or take(self, n))
    sample(PlainPrior(), 3, dim)
    assert sum(taken) == PlainPrior().num_uniforms(dim)


def test_rows_and_put():
    functions, x = sample(PlainPrior(), 20, 3), uniform(20, 3)
    index = torch.tensor([3, 1, 3, 17])
    torch.testing.assert_close(functions.rows(index).value_and_grad(x[index])[0], functions.value_and_grad(x)[0][index])
    assert len(functions.rows(index)) == 4
    before, other = replace(functions), sample(PlainPrior(), 2, 3, seed=1)
    kept = [before.rows(torch.tensor([i])) for i in range(20)]
    functions.put(torch.tensor([4, 0]), other)
    for i in range(20):
        expected = {4: other.rows(torch.tensor([0])), 0: other.rows(torch.tensor([1]))}.get(i, kept[i])
        assert equal(functions.rows(torch.tensor([i])), expected)


def test_kinds_are_as_frequent_as_their_shares():
    for shares in (PlainPrior.shares, (0.7, 0.1, 0.15, 0.05)):
        found = sample(PlainPrior(shares=shares), 4000, 2).kind.bincount(minlength=4) / 4000
        assert ((found - torch.tensor(shares)).abs() < 4 * 0.5 / 4000**0.5).all()


@pytest.mark.parametrize("rotated", [0.0, 1.0])
def test_bowls_are_quadratics_of_eigenvalues_within_their_condition_number(dim, rotated):
    prior = only(BOWL, condition=(1e4, 1e4), p_quartic=0.0, p_rotated=rotated)
    functions = sample(prior, 50, dim)
    # The gradient of a quadratic is linear: column after column, it is the Hessian.
    columns = [functions.value_and_grad(functions.target + row)[1] for row in torch.eye(dim, dtype=torch.float64)]
    hessian = torch.stack(columns, -1)
    torch.testing.assert_close(hessian, hessian.mT, rtol=0, atol=1e-12)
    eigenvalues = torch.linalg.eigvalsh(hessian)
    expected = (2 * functions.scale.square()).sort(-1).values
    torch.testing.assert_close(eigenvalues, expected, rtol=0, atol=1e-12)
    assert ((expected <= 2) & (expected >= 2e-4)).all()
    diagonal = (hessian - torch.diag_embed(hessian.diagonal(dim1=1, dim2=2))).abs().amax((1, 2)) < 1e-9
    assert diagonal.double().mean() == (1.0 - rotated if dim > 1 else 1.0)


def test_condition_numbers_are_log_uniform_and_reached():
    scale = sample(only(BOWL, p_quartic=0.0), 4000, 33).scale
    decades = 2 * (scale.amax(-1) / scale.amin(-1)).log10() / np.log10(PlainPrior.condition[1])
    assert decades.max() <= 1
    # Of 33 places in a row of length 1 the outermost are 32/34 apart.
    assert decades.mean() == pytest.approx(32 / 34 / 2, abs=0.02)
    assert decades.std() == pytest.approx(32 / 34 / 12**0.5, abs=0.02)


def test_quartic_bowls_are_sums_of_fourth_powers():
    functions, x = sample(only(BOWL, p_quartic=1.0, p_rotated=0.0), 30, 4), uniform(30, 4)
    y, g = functions.value_and_grad(x)
    offset = x - functions.target
    torch.testing.assert_close(y, (functions.scale.square() * offset**4).sum(-1))
    torch.testing.assert_close(g, 4 * functions.scale.square() * offset**3)


@pytest.mark.parametrize("count", [2, 5, 9])
def test_a_valley_of_known_parameters_is_rosenbrocks(count):
    """In o = z - 1: (z' - z^2) = o' - 2 o - o^2, but for the last coordinate, whose distance Rosenbrock leaves out."""
    functions = sample(only(VALLEY, p_rotated=0.0, p_pairs=0.0), 20, count)
    ones = torch.ones_like(functions.target)
    functions = replace(functions, slope=2 * ones, bend=ones, scale=ones, stiffness=10 * ones[:, :1])
    x = uniform(20, count)
    offset = x - functions.target
    y, g = functions.value_and_grad(x)
    last = offset[:, -1]
    np.testing.assert_allclose(y - last.square(), rosen(1 + offset.T.numpy()), rtol=1e-10)
    expected = torch.from_numpy(rosen_der(1 + offset.T.numpy()).T.copy())
    expected[:, -1] += 2 * last
    torch.testing.assert_close(g, expected, rtol=1e-10, atol=1e-10)


def test_on_the_floor_of_a_valley_its_sides_do_not_count():
    functions = sample(only(VALLEY, p_rotated=0.0, p_pairs=0.0), 50, 4)
    offset = [0.3 * uniform(50, 1)[:, 0]]
    for d in range(3):
        offset.append(functions.slope[:, d] * offset[-1] + functions.bend[:, d] * offset[-1] ** 2)
    floor = torch.stack(offset, -1)
    y = functions.value_and_grad(functions.target + floor)[0]
    # What rounding makes of the offset, the sides make much of.
    torch.testing.assert_close(y, (functions.scale * floor.square()).sum(-1), rtol=1e-6, atol=0)
    condition = (functions.scale.amax(-1) / functions.scale.amin(-1)) ** 2
    assert (condition <= PlainPrior.condition[1]).all()


def test_valleys_in_pairs_are_sums_of_functions_of_two_coordinates():
    functions = sample(only(VALLEY, p_pairs=1.0, p_rotated=0.0), 30, 6)
    x, shift = uniform(30, 6), torch.tensor([[0, 0, 0.1, 0.2, 0, 0]]).double()
    moved = functions.value_and_grad(x + shift)[1] - functions.value_and_grad(x)[1]
    assert (moved[:, [0, 1, 4, 5]] == 0).all()
    assert (moved[:, [2, 3]].abs() > 1e-6).all()
    whole = sample(only(VALLEY, p_pairs=0.0, p_rotated=0.0), 30, 6)
    moved = whole.value_and_grad(x + shift)[1] - whole.value_and_grad(x)[1]
    assert (moved[:, [1, 4]].abs() > 1e-6).all()


def test_reflected_functions_are_the_same_in_other_axes(dim):
    for kind in (BOWL, VALLEY):
        turned = sample(only(kind, p_rotated=1.0), 30, dim)
        plain = replace(turned, axes=torch.zeros_like(turned.axes))
        one, other = turned.axes.unbind(1)
        torch.testing.assert_close(torch.linalg.vector_norm(turned.axes, dim=-1), torch.ones(30, 2).double())
        reflection = torch.eye(dim, dtype=torch.float64) - 2 * one[:, :, None] * one[:, None]
        reflection = (torch.eye(dim, dtype=torch.float64) - 2 * other[:, :, None] * other[:, None]) @ reflection
        offset = uniform(30, dim)
        y, g = turned.value_and_grad(turned.target + offset)
        expected, slope = plain.value_and_grad(plain.target + (reflection @ offset[..., None])[..., 0])
        torch.testing.assert_close(y, expected, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(g, (reflection.mT @ slope[..., None])[..., 0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", [0, 1, 2])
def test_regressions_by_hand(shape):
    functions, x = sample(only(REGRESSION), 10, 3), uniform(10, 3)
    functions = replace(functions, shape=torch.full((10, 1), float(shape), dtype=torch.float64))
    link = (np.tanh, np.exp, lambda z: z + np.sqrt(1 + z**2))[shape]
    for i in range(10):
        weight = functions.weight[i].numpy()
        assert weight.shape == (6, 3)
        residuals = link(weight @ x[i].numpy()) - link(weight @ functions.target[i].numpy())
        assert functions.value_and_grad(x)[0][i].item() == pytest.approx(np.mean(residuals**2), rel=1e-10)


def test_the_exponential_goes_straight_on_where_it_would_leave_all_scales():
    z, one = torch.tensor([[19.0, 20.0, 21.0, 50.0]]).double(), torch.ones(1, 1).double()
    values, slopes = _link(z, one)
    torch.testing.assert_close(values / np.exp(20), torch.tensor([[np.exp(-1), 1, 2, 31]]).double())
    torch.testing.assert_close(slopes / np.exp(20), torch.tensor([[np.exp(-1), 1, 1, 1]]).double())


@pytest.mark.parametrize("shape", [0, 1, 2])
@pytest.mark.parametrize("count", [1, 2, 5, 20])
def test_fits_of_curves_by_hand(shape, count):
    functions, x = sample(only(CURVE), 6, count), uniform(6, count)
    functions = replace(functions, shape=torch.full((6, 1), float(shape), dtype=torch.float64))
    response = (lambda z: np.exp(-z), lambda z: z / (1 + z), np.sin)[shape]
    rows = max(16, 2 * count)
    s = np.arange(1, rows + 1) / rows

    def curve(i, at):
        total = at[-1] if count % 2 else 0.0
        for k in range(count // 2):
            rate = functions.rate[i, 2 * k + 1].item() * np.exp(functions.spread[i].item() * at[2 * k + 1])
            total = total + at[2 * k] * response(rate * s)
        return total

    for i in range(6):
        expected = np.mean((curve(i, x[i].numpy()) - curve(i, functions.target[i].numpy())) ** 2)
        assert functions.value_and_grad(x)[0][i].item() == pytest.approx(expected, rel=1e-9)


def test_what_is_drawn_lies_in_its_range():
    prior, functions = PlainPrior(), sample(PlainPrior(), 2000, 3)
    for name, size in (("bend", functions.bend.abs()), ("slope", functions.slope), ("stiffness", functions.stiffness)):
        low, high = getattr(prior, name)
        assert low - 1e-9 <= size.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < size.max() <= high + 1e-9
    assert (functions.bend > 0).double().mean() == pytest.approx(0.5, abs=0.03)
    assert functions.power.unique().tolist() == [1.0, 2.0]
    assert (functions.power == 2).double().mean() == pytest.approx(prior.p_quartic, abs=0.036)
    assert functions.shape.unique().tolist() == [0.0, 1.0, 2.0]


def test_extreme_uniform_numbers_give_finite_functions(dim):
    for number in (0.0, 1 - 2.0**-53):
        rows = torch.full((4, PlainPrior().num_uniforms(dim)), number, dtype=torch.float64)
        rows[:, 0] = torch.tensor([0.0, 0.3, 0.7, 0.99])  # a kind each
        functions = PlainPrior().build(rows, dim)
        assert functions.kind.tolist() == [BOWL, VALLEY, REGRESSION, CURVE]
        for part in functions.value_and_grad(uniform(4, dim)):
            assert part.isfinite().all()


def test_pytorchs_default_dtype_changes_nothing(dim):
    def drawn():
        functions = sample(PlainPrior(), 30, dim)
        return functions, *functions.value_and_grad(uniform(30, dim)), functions.values_on(uniform(3, dim))

    one = drawn()
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        other = drawn()
    finally:
        torch.set_default_dtype(before)
    assert equal(one[0], other[0])
    assert all(part.dtype == torch.float64 for part in one[1:])
    assert all(torch.equal(a, b) for a, b in zip(one[1:], other[1:], strict=True))


@pytest.mark.parametrize("reward", ["improvement", "log_gap"])
def test_the_environment_knows_it_by_its_name_and_its_minimum(reward):
    assert PRIORS["plain"] is PlainPrior
    env = gym.make("POP-v0", prior="plain", reward=reward, step_rule="signed", dim=3)
    env.reset(seed=0)
    core = env.unwrapped.episodes.core
    assert isinstance(core.functions, PlainFunctions)
    assert core.minimum.tolist() == [0.0]
    for action in np.random.default_rng(0).uniform(-1, 1, (50, 3)).astype(np.float32):
        *_, info = env.step(action)
    y = core.functions.value_and_grad(torch.from_numpy(info["best_x"])[None])[0].item()
    assert info["best_value"] == pytest.approx(y)


def test_a_vector_environment_has_the_functions_of_single_ones():
    envs = POPVectorEnv(5, prior="plain", dim=4)
    envs.reset(seed=11)
    for i in range(5):
        alone = POPVectorEnv(1, prior="plain", dim=4)
        alone.reset(seed=11 + i)
        assert same(alone.episodes.core.functions, envs.episodes.core.functions.rows(torch.tensor([i])))
