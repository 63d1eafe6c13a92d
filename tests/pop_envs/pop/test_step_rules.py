import numpy as np
import pytest
import torch

from pop_envs.pop.step_rules import STEP_RULES, GradientStep, QuasiNewtonStep, SignedStep
from pop_envs.search.trajectory import Trajectory


def some_run(batch=200, dim=3, steps=4, seed=0):
    """Runs on random convex quadratics."""
    rng = np.random.default_rng(seed)
    root = torch.from_numpy(rng.normal(size=(batch, dim, dim)))
    hessian = root @ root.mT + 0.1 * torch.eye(dim, dtype=torch.float64)
    center = torch.from_numpy(rng.uniform(-0.7, 0.7, (batch, dim)))

    def evaluate(x):
        g = (hessian @ (x - center)[..., None])[..., 0]
        return (g * (x - center)).sum(-1) / 2, g

    x = torch.from_numpy(rng.uniform(-1, 1, (batch, dim)))
    run = Trajectory.start(x, *evaluate(x))
    for _ in range(steps):
        x = torch.from_numpy(rng.uniform(-1, 1, (batch, dim)))
        run.update(x, x, *evaluate(x))
    return run


def filled(run, value):
    return torch.full_like(run.x, value)


def some_points(run, seed=7):
    """Points of the box, a third of them with coordinates at walls."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.uniform(-1.5, 1.5, run.x.shape)).clamp(-1, 1)


def test_equation_4_by_hand():
    x, g = torch.tensor([[0.5, -0.5]]).double(), torch.tensor([[2.0, -8.0]]).double()
    run = Trajectory.start(x, torch.zeros(1).double(), g)
    action = torch.tensor([[-0.5, -1.0]]).double()  # step sizes 1e-3 and 1e-6
    expected = x - torch.tensor([[1e-3 * 2 / 8, 1e-6 * -8 / 8]], dtype=torch.float64)
    torch.testing.assert_close(GradientStep().move(run, action), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("rule", [SignedStep(), QuasiNewtonStep()], ids=type)
@pytest.mark.parametrize(("action", "length"), [(-1, 1e-8), (0, (4e-8) ** 0.5), (1, 4)])
def test_lengths_of_signed_moves(rule, action, length):
    run = some_run()
    move = rule.displacement(run, filled(run, action))
    torch.testing.assert_close(move.abs(), filled(run, length), rtol=1e-12, atol=0)
    assert torch.equal(move.sign(), rule.direction(run))


@pytest.mark.parametrize("rule", [rule() for rule in STEP_RULES.values()], ids=type)
def test_moves_follow_the_direction_and_stay_in_the_box(rule):
    run = some_run()
    for action in (-1.0, 0.0, 1.0):
        moved = rule.move(run, filled(run, action)) - run.x
        assert ((moved + run.x).abs() <= 1).all()
        assert ((moved.sign() == rule.direction(run)) | (moved == 0)).all()


def test_directions():
    run = some_run()
    assert torch.equal(GradientStep().direction(run), -run.g.sign())
    assert torch.equal(SignedStep().direction(run), run.downhill)
    assert torch.equal(QuasiNewtonStep().direction(run), run.proposed_step.sign())
    flat = Trajectory.start(run.x, run.y, torch.zeros_like(run.g))
    flat.update(run.action, run.best_x, run.best_y, torch.zeros_like(run.g))
    assert (flat.proposed_step == 0).all()
    assert torch.equal(QuasiNewtonStep().direction(flat), flat.downhill)


def test_action_to_makes_exactly_the_quasi_newton_step():
    rule, run = QuasiNewtonStep(), some_run()
    proposal = run.trust_region.proposal
    possible = (run.proposed_step.abs() >= 1e-8) & (run.proposed_step.abs() <= 2)
    assert possible.double().mean() > 0.9
    for bounce in (False, True):  # nothing of it lies behind
        action = rule.action_to(run, proposal, bounce)
        step = rule.displacement(run, action)
        torch.testing.assert_close(step[possible], run.proposed_step[possible], rtol=1e-12, atol=0)
        torch.testing.assert_close(rule.move(run, action)[possible], proposal[possible], rtol=0, atol=1e-12)


@pytest.mark.parametrize("target", ["proposal", "any"])
@pytest.mark.parametrize("rule", [rule() for rule in STEP_RULES.values()], ids=type)
def test_action_to_makes_it_in_the_coordinates_that_agree_and_the_least_step_in_the_others(rule, target):
    run = some_run()
    target = run.trust_region.proposal if target == "proposal" else some_points(run)
    agrees = (target - run.x) * rule.direction(run) > 0
    read = rule.action_to(run, target)
    inside = agrees & (read.abs() < 1)
    assert inside.double().mean() > 0.3
    torch.testing.assert_close(rule.displacement(run, read)[inside], (target - run.x)[inside], rtol=1e-9, atol=0)
    assert (read[~agrees] == -1).all()


@pytest.mark.parametrize("rule", [SignedStep(), QuasiNewtonStep()], ids=type)
def test_what_lies_behind_is_not_approached_without_bouncing(rule):
    run = some_run()
    target = some_points(run)
    moved = rule.move(run, rule.action_to(run, target))
    behind = (target - run.x) * rule.direction(run) < 0
    assert behind.double().mean() > 0.3
    before, after = (target - run.x).abs(), (target - moved).abs()
    assert ((after - before)[behind].abs() <= 1.001e-8).all()
    assert (after[~behind] <= 1.001e-8).all()


@pytest.mark.parametrize("rule", [SignedStep(), QuasiNewtonStep()], ids=type)
@pytest.mark.parametrize("dim", [1, 3, 8])
def test_every_point_of_the_box_is_reached_off_the_wall_ahead(rule, dim):
    for seed in range(5):
        run = some_run(dim=dim, seed=seed)
        if seed % 2:
            run.x = some_points(run, seed)  # from walls, too
        target = some_points(run, seed + 100)
        apart = (target - run.x).abs() >= 1e-8
        moved = rule.move(run, rule.action_to(run, target, bounce=True))
        assert moved.abs().max() <= 1
        torch.testing.assert_close(moved[apart], target[apart], rtol=0, atol=1e-12)
        assert ((moved - target)[~apart].abs() <= 2.001e-8).all()


@pytest.mark.parametrize("rule", [SignedStep(), QuasiNewtonStep()], ids=type)
@pytest.mark.parametrize("distance", [-1e-3, -1e-6, -1e-10, 0.0, 1e-10, 1e-6, 1e-3])
def test_points_nearby_are_reached_as_well(rule, distance):
    run = some_run()
    target = (run.x + distance).clamp(-1, 1)
    moved = rule.move(run, rule.action_to(run, target, bounce=True))
    assert ((moved - target).abs() <= 1.001e-8).all()


def test_the_way_off_a_wall_by_hand():
    x, g = torch.tensor([[0.5, 0.5]]).double(), torch.tensor([[1.0, -1.0]]).double()
    run = Trajectory.start(x, torch.zeros(1).double(), g)
    target = torch.tensor([[0.7, 0.7]], dtype=torch.float64)  # behind, on the way down; ahead, on the way up
    lengths = SignedStep().size(SignedStep().action_to(run, target, bounce=True))
    assert lengths[0].tolist() == pytest.approx([1.5 + 1.7, 0.2], rel=1e-12)


def test_equation_4_does_not_bounce():
    run = some_run()
    target = some_points(run)
    assert torch.equal(GradientStep().action_to(run, target, bounce=True), GradientStep().action_to(run, target))


@pytest.mark.parametrize("rule", [SignedStep(), QuasiNewtonStep()], ids=type)
def test_walls_reflect(rule):
    run = some_run()
    for action in (0.8, 0.9, 1.0):
        x = run.x + rule.displacement(run, filled(run, action))
        while (x.abs() > 1).any():  # one wall after the other
            x = torch.where(x > 1, 2 - x, torch.where(x < -1, -2 - x, x))
        torch.testing.assert_close(rule.move(run, filled(run, action)), x, rtol=0, atol=1e-12)


@pytest.mark.parametrize("bounce", [False, True])
@pytest.mark.parametrize("rule", [rule() for rule in STEP_RULES.values()], ids=type)
def test_flat_functions_are_survived(rule, bounce):
    x = torch.tensor([[0.5, -1.0]]).double()
    run = Trajectory.start(x, torch.zeros(1).double(), torch.zeros_like(x), capacity=2)
    for target in (run.trust_region.proposal, run.surrogate.proposal):
        assert rule.action_to(run, target, bounce).isfinite().all()
    assert rule.move(run, filled(run, 1.0)).isfinite().all()
