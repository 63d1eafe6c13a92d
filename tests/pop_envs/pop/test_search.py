import numpy as np
import pytest
import torch

from pop_envs.objectives.plain_prior import PlainPrior
from pop_envs.pop.search import Search
from pop_envs.pop.step_rules import STEP_RULES, GradientStep, QuasiNewtonStep, SignedStep
from pop_envs.pop.tokens import LOWEST, SURROGATE, TRUST_REGION, FullTokens, OptionTokens, PaperTokens
from pop_envs.search.trust_region import TrustRegion

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


VALLEYS = PlainPrior(shares=(0.0, 1.0, 0.0, 0.0)).sample(30, 2, np.random.default_rng(0))


def proposed(search):
    """The points that the token proposes, by the names of the actions that lead there."""
    return search.tokens.proposals(search.trajectory)


def action_to(search, name):
    """The token's action, in single precision, as policies have it."""
    return search.token[..., search.tokens.features.index(name)]


@pytest.mark.parametrize("rule", STEP_RULES.values())
@pytest.mark.parametrize("tokens", [FullTokens, OptionTokens])
def test_actions_that_the_token_proposes_lead_to_the_proposals_exactly(rule, tokens):
    search = Search(rule(), tokens(), 40)
    x = points(30)
    search.start(x, *VALLEYS.value_and_grad(x))
    rng, rounded = np.random.default_rng(0), 0
    for _ in range(40):
        for name, point in proposed(search).items():
            action = action_to(search, name)
            others = [action_to(search, other) for other in proposed(search) if other != name]
            alone = ~torch.stack([(action == other).all(-1) for other in others]).any(0)
            assert torch.equal(search.propose(action.double())[alone], point[alone]), name
            rounded += (search.step_rule.move(search.trajectory, action.double()) != point).any(-1).sum().item()
        choice = list(proposed(search))[rng.integers(len(proposed(search)))]
        action = torch.where(torch.from_numpy(rng.random(30) < 0.8)[:, None], action_to(search, choice), points(30))
        search.update(*VALLEYS.value_and_grad(search.propose(action.double())))
    assert rounded > 1000  # what the step rule alone would have made of the actions


def test_an_action_that_differs_in_one_coordinate_is_an_action_as_any():
    search = begun()
    for name in proposed(search):
        action = action_to(search, name).clone()
        action[:, 1] = torch.nextafter(action[:, 1], torch.tensor(0.3))
        moved = search.step_rule.move(search.trajectory, action.double())
        assert torch.equal(search.propose(action.double()), moved), name


def test_steps_that_are_finer_than_any_action_are_made_exactly():
    # Near the minimum of a bowl the proposal is as near as that, and the least step of an action is 1e-8.
    search = Search(QuasiNewtonStep(), OptionTokens(), 40)
    x = points(20)

    def evaluate(x):
        g = (x - 0.3) * torch.tensor([1.0, 7.0])
        return (g * (x - 0.3)).sum(-1) / 2, g

    search.start(x, *evaluate(x))
    twin = TrustRegion.start(x, *evaluate(x))
    finest = 1.0
    for _ in range(40):
        action = action_to(search, TRUST_REGION)
        below = (twin.proposal - twin.x).abs().amax(-1)
        finest = min(finest, below.masked_fill(below == 0, 1.0).amin().item())
        x = search.propose(action.double())
        # Where the lowest descent is the present one both actions are one.
        assert torch.equal(x, twin.proposal)
        search.update(*evaluate(x))
        twin.update(x, *evaluate(x), torch.ones(20, dtype=torch.bool))
        assert torch.equal(search.trajectory.trust_region.proposal, twin.proposal)
    assert finest < 1e-12
    assert (twin.x - 0.3).abs().max() < 1e-13


def test_a_descent_that_was_left_is_gone_on_with_by_its_action():
    search, twin = (Search(SignedStep(), OptionTokens(), 30) for _ in range(2))
    x = points(30)
    for each in (search, twin):
        each.start(x, *VALLEYS.value_and_grad(x))

    def follow(each, name):
        each.update(*VALLEYS.value_and_grad(each.propose(action_to(each, name).double())))

    for _ in range(6):
        follow(search, TRUST_REGION)
        follow(twin, TRUST_REGION)
    follow(search, SURROGATE)
    jumped = (search.trajectory.jumps == 1) & (search.trajectory.y > twin.trajectory.trust_region.y)
    assert jumped.sum() > 5
    for _ in range(12):
        follow(search, LOWEST)
        follow(twin, LOWEST)
        assert torch.equal(search.trajectory.x[jumped], twin.trajectory.x[jumped])


def test_tokens_without_proposals_leave_actions_to_the_step_rule():
    search, x = Search(GradientStep(), PaperTokens(), BUDGET), points()
    search.start(x, *bowl(x))
    action = points(seed=4)
    assert torch.equal(search.propose(action), search.step_rule.move(search.trajectory, action))
