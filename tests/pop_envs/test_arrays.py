import numpy as np
import pytest
import torch

from pop_envs import arrays
from pop_envs.arrays import merged, namespace, replaced
from pop_envs.objectives.plain_prior import PlainPrior
from pop_envs.pop.search import Search
from pop_envs.pop.step_rules import STEP_RULES
from pop_envs.pop.tokens import TOKENS

FUNCTIONS = PlainPrior(shares=(0.0, 1.0, 0.0, 0.0)).sample(6, 3, np.random.default_rng(0))


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


X, Y, V = numbers(4, 3), numbers(4, 3, seed=1), numbers(4, seed=2)
CALLS = {
    "where": (X > 0, X, 0.0),
    "sign": (X,),
    "sqrt": (X**2,),
    "exp": (X,),
    "log": (X**2,),
    "log1p": (X**2,),
    "isfinite": (np.where(X > 0, X, np.inf),),
    "minimum": (X, Y),
    "maximum": (X, Y),
    "logaddexp": (X, Y),
    "sigmoid": (X,),
    "vecdot": (X, Y),
    "concat": ([X, Y], 1),
    "stack": ([X, Y],),
    "at_least": (X, 0.1),
    "at_most": (X, 0.1),
    "clip": (X, -0.5, 0.5),
    "longest_entry": (X,),
    "add_product": (X, V[:, None], Y),
    "subtract_product": (X, V[:, None], Y),
    "squared_distances": (numbers(4, 7, 3), X),
    "unbind": (numbers(2, 3, 4, 5), 2),
    "mean": (X, 1),
    "log_softmax": (X, 0),
    "lerp": (X, Y, np.linspace(0, 1, 12).reshape(4, 3)),
    "index": (5, X),
    "full": ((2, 3), 7.0, X),
    "zeros": ((2, 3), X),
    "integers": ((2, 3), X),
    "float32": (X,),
    "float64": (X > 0,),
    "copy": (X,),
}


def tensors(part):
    """The same in torch."""
    if isinstance(part, list):
        return [tensors(each) for each in part]
    return torch.from_numpy(part) if isinstance(part, np.ndarray) else part


@pytest.mark.parametrize("name", CALLS)
@np.errstate(all="ignore")
def test_both_kinds_have_the_same_functions(name):
    found = getattr(namespace(X), name)(*CALLS[name])
    expected = getattr(namespace(torch.ones(1)), name)(*map(tensors, CALLS[name]))
    for one, other in zip(
        *((each if isinstance(each, list | tuple) else [each]) for each in (found, expected)), strict=True
    ):
        assert isinstance(one, np.ndarray)
        assert one.dtype == other.numpy().dtype
        np.testing.assert_allclose(one, other.numpy(), rtol=2e-15, atol=1e-15)


def test_both_kinds_have_the_same_names():
    numpy, torch_ = (
        {name for name in vars(kind) if not name.startswith("_")} for kind in (arrays._NumPy, arrays._Torch)
    )
    assert numpy == torch_


def test_draws_are_those_of_the_generator_in_both():
    for name in ("uniform", "normal"):
        one, other = (
            getattr(namespace(like), name)(like, torch.Generator().manual_seed(3))
            for like in (np.zeros((4, 3), np.float32), torch.zeros(4, 3))
        )
        np.testing.assert_array_equal(one, other.numpy())


@pytest.mark.parametrize("rows", [(0, 0, 0, 0), (1, 1, 1, 1), (0, 1, 1, 0)])
def test_rows_are_merged(rows):
    rows = np.array(rows, bool)
    expected = [np.where(rows[:, None], X, Y), np.where(rows, V, 0)]
    for found in (
        merged(rows, (X, V), (Y, 0 * V)),
        merged(torch.from_numpy(rows), tensors([X, V]), tensors([Y, 0 * V])),
    ):
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_rows_are_replaced_in_a_copy():
    before = X.copy()
    for rows in (np.array([2, 0]), np.array([False, True, False, True])):
        found = replaced(X, rows, Y[:2])
        np.testing.assert_array_equal(found[rows], Y[:2])
        np.testing.assert_array_equal(X, before)


def finite(run, prefix=""):
    """All arrays of a state, by name, in NumPy."""
    for name, part in vars(run).items():
        if hasattr(part, "__dict__") and not isinstance(part, torch.Tensor):
            yield from finite(part, f"{prefix}{name}.")
        elif part is not None:
            yield prefix + name, np.asarray(part)


@pytest.mark.parametrize("rule", STEP_RULES)
@pytest.mark.parametrize("tokens", TOKENS)
@np.errstate(all="ignore")
def test_a_search_is_the_same_in_numpy_and_torch(rule, tokens, monkeypatch):
    """From the same points, whole states: also where values are not finite, and points are forgotten."""
    monkeypatch.setattr("pop_envs.pop.search.CAPACITY", 8)
    kinds = [Search(STEP_RULES[rule](), TOKENS[tokens](), 14) for _ in range(2)]
    x = np.random.default_rng(1).uniform(-1, 1, (6, 3))

    def evaluate(x, t):
        y, g = (part.numpy().copy() for part in FUNCTIONS.value_and_grad(torch.from_numpy(x)))
        if t in (0, 3):
            y[0], g[0], g[1, 0] = np.nan, np.nan, np.inf
        return y, g

    y, g = evaluate(x, 0)
    kinds[0].start(x, y, g)
    kinds[1].start(*map(torch.from_numpy, (x, y, g)))
    rng = np.random.default_rng(2)
    for t in range(1, 15):
        action = rng.uniform(-1, 1, (6, 3))
        names = list(kinds[0].tokens.proposals(kinds[0].trajectory))
        for i, name in enumerate(names):  # each run's action leads to one proposal, or anywhere
            action[i] = kinds[0].token[i, :, kinds[0].tokens.features.index(name)]
        x, other = kinds[0].propose(action), kinds[1].propose(torch.from_numpy(action))
        assert isinstance(x, np.ndarray)
        if not names:
            np.testing.assert_allclose(x, other, rtol=1e-9, atol=1e-9)
        y, g = evaluate(x, t)
        # Both go on from the same point, for rounding of one step must not grow in the next.
        for each, point, answers in ((kinds[0], x, (y, g)), (kinds[1], torch.from_numpy(x), tensors([y, g]))):
            each._proposed = each._proposed[0], point
            each.update(*answers)
        np.testing.assert_allclose(kinds[0].token, kinds[1].token, rtol=0, atol=1e-4)
        states = [dict(finite(each.trajectory)) for each in kinds]
        assert list(states[0]) == list(states[1])
        for name, part in states[0].items():
            assert part.dtype == states[1][name].dtype, name
            np.testing.assert_allclose(part, states[1][name], rtol=1e-6, atol=1e-8, err_msg=f"{name}, step {t}")
        np.testing.assert_array_equal(kinds[0].done, kinds[1].done)
