import numpy as np
import pytest
import torch

from pop_envs.pop.search import Search
from pop_envs.pop.step_rules import QuasiNewtonStep
from pop_envs.pop.tokens import FullTokens

BUDGET = 6


def bowl(x):
    return (x**2).sum(-1), 2 * x


def points(batch=3, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).uniform(-1, 1, (batch, 2)))


def begun(batch=3, seed=0):
    search = Search(QuasiNewtonStep(), FullTokens(), BUDGET)
    x = points(batch, seed)
    search.start(x, *bowl(x))
    return search


def step(search, seed=1):
    search.update(*bowl(search.propose(points(len(search.trajectory.x), seed))))


def test_values_need_points_that_were_proposed():
    search = begun()
    with pytest.raises(RuntimeError, match="propose comes before update"):
        search.update(*bowl(points()))
    step(search)
    with pytest.raises(RuntimeError, match="propose comes before update"):  # once each
        search.update(*bowl(points()))
    search.propose(points())
    search.start(points(), *bowl(points()))
    with pytest.raises(RuntimeError, match="propose comes before update"):  # they were those of other runs
        search.update(*bowl(points()))


def test_what_was_proposed_last_counts():
    search, twin = begun(), begun()
    search.propose(points(seed=5))
    step(search)
    step(twin)
    assert torch.equal(search.trajectory.x, twin.trajectory.x)
    assert torch.equal(search.token, twin.token)


def test_callers_may_write_into_what_they_gave_and_got():
    search, twin = Search(QuasiNewtonStep(), FullTokens(), BUDGET), begun()
    x = points()
    y, g = bowl(x)
    search.start(x, y, g)
    for part in (x, y, g):
        part.fill_(9)
    for t in range(BUDGET):
        assert torch.equal(search.token, twin.token)
        x = search.propose(points(seed=t))
        y, g = bowl(x)
        x.fill_(9)
        search.update(y, g)
        y.fill_(-9)
        g.fill_(9)
        step(twin, seed=t)
    for name in ("x", "y", "g", "best_x", "best_y", "mean", "dx", "dg"):
        assert torch.equal(getattr(search.trajectory, name), getattr(twin.trajectory, name)), name
    assert torch.equal(search.token, twin.token)


def test_put_replaces_the_asked_rows_only():
    whole, untouched = begun(4), begun(4)
    step(whole)
    step(untouched)
    whole.put(torch.tensor([2, 0]), begun(2, seed=3))
    assert whole.trajectory.t.tolist() == [0, 1, 0, 1]
    for t in range(2):
        assert torch.equal(whole.token[[1, 3]], untouched.token[[1, 3]])
        assert not torch.isclose(whole.token[[0, 2], :, 1], untouched.token[[0, 2], :, 1]).any()
        step(whole, seed=t)
        step(untouched, seed=t)


def test_rows_that_were_put_go_on_as_they_would_have():
    whole, part = begun(4), begun(2, seed=3)
    step(whole)
    step(part)
    step(part)
    index = torch.tensor([2, 0])
    whole.put(index, part)
    assert torch.equal(whole.token[index], part.token)
    for t in range(2, BUDGET):
        action = points(4, seed=t)
        whole.update(*bowl(whole.propose(action)))
        part.update(*bowl(part.propose(action[index])))
        torch.testing.assert_close(whole.trajectory.x[index], part.trajectory.x, rtol=0, atol=1e-12)
        torch.testing.assert_close(whole.token[index], part.token, rtol=0, atol=1e-6)
    assert whole.done.tolist() == [True, False, True, False]


def test_points_proposed_before_rows_were_put_are_void():
    search = begun()
    search.propose(points())
    search.put(torch.tensor([1]), begun(1))
    with pytest.raises(RuntimeError, match="propose comes before update"):
        search.update(*bowl(points()))


def test_runs_are_done_when_their_budget_is_spent():
    search = begun()
    for t in range(BUDGET):
        assert not search.done.any(), t
        step(search, seed=t)
    assert search.done.all()
