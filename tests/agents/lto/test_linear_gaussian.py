import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence

from agents.lto.linear_gaussian import Costs, Dynamics, Policy, constrained, divergence, regulate

F, T, D, H = 3, 6, 2, 4
M, N = D + 1, D + H * (D + 1)
N_HEAD = D + M + D  # of a point, what it told, and an action
REACH = 0.7


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def spd(*shape, seed=0):
    root = normal(*shape, shape[-1], seed=seed)
    return root @ root.mT + 0.3 * torch.eye(shape[-1], dtype=torch.float64)


def problem():
    dynamics = Dynamics(0.5 * normal(F, T, M, N_HEAD, seed=1), normal(F, T, M, seed=2), 0.1 * spd(F, T, M, seed=3))
    costs = Costs(spd(F, T, D, seed=4), normal(F, T, D, seed=5))
    gain = 0.2 * normal(F, T, D, N, seed=6)
    for t in range(T):  # nothing is known of points that were not
        gain[:, t, :, D + (t + 1) * M :] = 0
    reference = Policy(gain, normal(F, T, D, seed=7), 0.2 * spd(F, T, D, seed=8))
    start = torch.cat([normal(F, D + M, seed=9), torch.zeros(F, N - D - M, dtype=torch.float64)], 1)
    return dynamics, costs, reference, start


def dense(dynamics, t):
    """The transition's whole matrices, by the state and by the action, and its constant."""
    a, b, c = torch.zeros(F, N, N).double(), torch.zeros(F, N, D).double(), torch.zeros(F, N).double()
    a[:, :D, :D], b[:, :D] = torch.eye(D), REACH * torch.eye(D)
    a[:, D : D + M, : D + M], b[:, D : D + M] = dynamics.matrix[:, t].split([D + M, D], -1)
    c[:, D : D + M] = dynamics.offset[:, t]
    for slot in range(1, H):
        a[:, D + slot * M : D + (slot + 1) * M, D + (slot - 1) * M : D + slot * M] = torch.eye(M)
    return a, b, c


@pytest.mark.parametrize("discount", [1.0, 0.8])
def test_the_regulator_solves_the_riccati_recursion(discount):
    dynamics, costs, reference, _ = problem()
    eta = torch.tensor([0.1, 1.0, 30.0], dtype=torch.float64)
    policy = regulate(dynamics, costs, reference, eta, REACH, discount)
    p, s = torch.zeros(F, N, N).double(), torch.zeros(F, N).double()
    for t in reversed(range(T)):
        p, s = discount * p, discount * s
        p[:, :D, :D] += costs.curvature[:, t] / eta[:, None, None]
        s[:, :D] += costs.slope[:, t] / eta[:, None]
        a, b, c = dense(dynamics, t)
        trust, k, o = reference.covariance[:, t].inverse(), reference.gain[:, t], reference.offset[:, t]
        ahead = s + (p @ c[..., None])[..., 0]
        qaa, qaz = b.mT @ p @ b + trust, b.mT @ p @ a - trust @ k
        qa = ((b.mT @ ahead[..., None]) - trust @ o[..., None])[..., 0]
        gain, offset = -qaa.inverse() @ qaz, -(qaa.inverse() @ qa[..., None])[..., 0]
        size = min(D + (t + 1) * M, N)
        torch.testing.assert_close(policy.gain[:, t, :, :size], gain[:, :, :size])
        torch.testing.assert_close(policy.offset[:, t], offset)
        torch.testing.assert_close(policy.covariance[:, t], qaa.inverse())
        qzz = a.mT @ p @ a + k.mT @ trust @ k
        qz = (a.mT @ ahead[..., None] + k.mT @ trust @ o[..., None])[..., 0]
        p, s = qzz + qaz.mT @ gain, qz + (qaz.mT @ offset[..., None])[..., 0]


def joint(policy, dynamics, start):
    """The distribution of all actions and new w of a run, by brute force: mean and covariance."""
    size = T * (D + M)
    noise = torch.zeros(F, size, size).double()
    mean, basis = start, torch.zeros(F, N, size).double()
    rows, means = [], []
    for t in range(T):
        a, b, c = dense(dynamics, t)
        here = t * (D + M)
        noise[:, here : here + D, here : here + D] = policy.covariance[:, t]
        noise[:, here + D : here + D + M, here + D : here + D + M] = dynamics.covariance[:, t]
        action = policy.gain[:, t] @ basis
        action[:, :, here : here + D] += torch.eye(D)
        action_mean = (policy.gain[:, t] @ mean[..., None])[..., 0] + policy.offset[:, t]
        basis = a @ basis + b @ action
        basis[:, D : D + M, here + D : here + D + M] += torch.eye(M)
        mean = (a @ mean[..., None] + b @ action_mean[..., None])[..., 0] + c
        rows += [action, basis[:, D : D + M]]
        means += [action_mean, mean[:, D : D + M]]
    basis = torch.cat(rows, 1)
    return MultivariateNormal(torch.cat(means, 1), basis @ noise @ basis.mT)


def test_the_divergence_is_that_of_the_runs_distributions():
    dynamics, costs, reference, start = problem()
    policy = regulate(dynamics, costs, reference, torch.ones(F).double(), REACH)
    expected = kl_divergence(joint(policy, dynamics, start), joint(reference, dynamics, start))
    torch.testing.assert_close(divergence(policy, reference, dynamics, start, REACH), expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(divergence(reference, reference, dynamics, start, REACH), torch.zeros(F).double())


def test_the_multiplier_meets_the_bound():
    dynamics, costs, reference, start = problem()
    for bound in (0.1, 2.0):
        policy, eta, reached = constrained(
            dynamics, costs, reference, start, REACH, bound, torch.ones(F).double(), sweeps=30, tolerance=0.01
        )
        torch.testing.assert_close(reached, torch.full((F,), bound).double(), rtol=0.02, atol=0)
        torch.testing.assert_close(divergence(policy, reference, dynamics, start, REACH), reached)
        assert (eta > 0).all()


def test_a_shared_multiplier_bounds_the_mean():
    dynamics, costs, reference, start = problem()
    eta = torch.ones(F).double()
    policy, eta, reached = constrained(
        dynamics, costs, reference, start, REACH, 1.0, eta, shared=True, sweeps=30, tolerance=0.01
    )
    assert (eta == eta[0]).all()
    assert reached.mean().item() == pytest.approx(1.0, rel=0.02)
    assert reached.std() > 0.01
    torch.testing.assert_close(policy.gain, regulate(dynamics, costs, reference, eta, REACH).gain)


def test_far_from_any_bound_the_point_goes_straight_to_the_minimum():
    dynamics, _, reference, start = problem()
    target = normal(F, D, seed=11)
    curvature = spd(F, D, seed=12)
    costs = Costs(
        curvature[:, None].expand(-1, T, -1, -1), -(curvature @ target[..., None])[..., 0][:, None].expand(-1, T, -1)
    )
    policy = regulate(dynamics, costs, reference, torch.full((F,), 1e-9).double(), REACH)
    action = policy.mean(start[:, None, None].expand(-1, T, 1, -1))[:, 0, 0]
    torch.testing.assert_close(start[:, :D] + REACH * action, target, atol=1e-6, rtol=0)


def test_a_large_multiplier_leaves_the_reference_as_it_is():
    dynamics, costs, reference, _ = problem()
    policy = regulate(dynamics, costs, reference, torch.full((F,), 1e12).double(), REACH)
    for a, b in zip(policy, reference, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


def test_means_of_samples():
    _, _, reference, start = problem()
    z = start[:, None, None].expand(-1, T, 2, -1)
    expected = (reference.gain[1, 3] @ start[1]) + reference.offset[1, 3]
    torch.testing.assert_close(reference.mean(z)[1, 3, 1], expected)


@pytest.mark.parametrize("bound", [0.5])
def test_the_new_policy_costs_less(bound):
    dynamics, costs, reference, start = problem()
    policy, *_ = constrained(dynamics, costs, reference, start, REACH, bound, torch.ones(F).double())

    def expected_cost(policy):
        mean, total = start, 0
        cov = torch.zeros(F, N, N).double()
        for t in range(T):
            a, b, c = dense(dynamics, t)
            closed = a + b @ policy.gain[:, t]
            mean = (closed @ mean[..., None])[..., 0] + (b @ policy.offset[:, t][..., None])[..., 0] + c
            cov = closed @ cov @ closed.mT + b @ policy.covariance[:, t] @ b.mT
            cov[:, D : D + M, D : D + M] += dynamics.covariance[:, t]
            x, curvature = mean[:, :D], costs.curvature[:, t]
            total = total + ((curvature @ x[..., None])[..., 0] * x).sum(-1) / 2 + (costs.slope[:, t] * x).sum(-1)
            total = total + (curvature * cov[:, :D, :D]).sum((-2, -1)) / 2
        return total

    assert (expected_cost(policy) < expected_cost(reference)).all()
