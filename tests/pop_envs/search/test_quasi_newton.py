import numpy as np
import pytest
import torch

from pop_envs.search.quasi_newton import QuasiNewton, memory


def spd(batch, dim, seed=0):
    """Positive definite matrices (batch, dim, dim) with eigenvalues in [0.1, 10]."""
    rng = np.random.default_rng(seed)
    axes = torch.linalg.qr(torch.from_numpy(rng.normal(size=(batch, dim, dim)))).Q
    return axes @ torch.diag_embed(torch.from_numpy(10 ** rng.uniform(-1, 1, (batch, dim)))) @ axes.mT


def normal(*shape, seed=1):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def begun(g, first_step):
    return QuasiNewton.start(g, torch.full_like(g[:, 0], first_step))


def free(x):
    return torch.zeros_like(x, dtype=torch.bool)


def times(matrix, vector):
    return (matrix @ vector[..., None])[..., 0]


def test_before_any_curvature_the_step_is_downhill_and_of_the_first_length():
    g = normal(5, 3)
    p = begun(g, 0.1).direction(g, free(g))
    torch.testing.assert_close(p, -0.1 * g / g.square().sum(-1, keepdim=True).sqrt())


@pytest.mark.parametrize("scale", [1e-280, 1e-200, 1e-150, 1e100, 1e150])
def test_the_first_length_is_free_of_the_gradients_size(scale):
    g = normal(5, 3)
    expected = begun(g, 0.1).direction(g, free(g))
    torch.testing.assert_close(begun(scale * g, 0.1).direction(scale * g, free(g)), expected)


def test_a_gradient_of_nothing_leads_nowhere():
    g = torch.zeros(2, 3).double()
    assert (begun(g, 0.1).direction(g, free(g)) == 0).all()


@pytest.mark.parametrize(("dim", "pairs"), [(1, 6), (3, 6), (4, 8), (10, 20), (40, 20)])
def test_more_pairs_are_kept_in_more_dimensions(dim, pairs):
    newton = begun(normal(2, dim), 0.1)
    assert newton.s.shape == newton.z.shape == (2, pairs, dim)
    assert newton.rho.shape == (2, pairs)


@pytest.mark.parametrize("dim", [*range(1, 9), 20])
def test_conjugate_pairs_of_a_quadratic_give_newtons_direction(dim):
    hessian = spd(4, dim)
    moves = torch.linalg.inv(torch.linalg.cholesky(hessian)).mT  # columns are conjugate: M^T H M = 1
    newton = begun(normal(4, dim), 0.1)
    for i in range(dim):
        newton.update(moves[..., i], times(hessian, moves[..., i]))
    g = normal(4, dim, seed=2)
    torch.testing.assert_close(newton.direction(g, free(g)), -torch.linalg.solve(hessian, g), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("count", [1, 3, memory(4), memory(4) + 5])
def test_two_loops_equal_the_dense_bfgs_update(count):
    dim = 4
    hessian = spd(1, dim)[0].numpy()
    newton = begun(normal(1, dim), 0.1)
    pairs = [(s, hessian @ s) for s in np.random.default_rng(3).normal(size=(count, dim))]
    for s, z in pairs:
        newton.update(torch.from_numpy(s)[None], torch.from_numpy(z)[None])
    s, z = pairs[-1]
    inverse = np.eye(dim) * np.sqrt((s @ s) / (z @ z))
    for s, z in pairs[-memory(dim) :]:  # Nocedal & Wright, eq. 6.17
        v = np.eye(dim) - np.outer(z, s) / (s @ z)
        inverse = v.T @ inverse @ v + np.outer(s, s) / (s @ z)
    g = normal(1, dim, seed=4)
    np.testing.assert_allclose(newton.direction(g, free(g))[0], -inverse @ g[0].numpy(), rtol=1e-10)


def test_where_nothing_was_learned_the_scale_is_between_the_steps_of_barzilai_and_borwein():
    newton = begun(normal(1, 3), 0.1)
    newton.update(torch.tensor([[1.0, 0.0, 0.0]]).double(), torch.tensor([[2.0, 1.0, 0.0]]).double())
    g = torch.tensor([[0.0, 0.0, 1.0]]).double()  # across the move and the change of the gradient
    longer, shorter = 1 / 2, 2 / 5
    expected = torch.tensor([[0.0, 0.0, -((longer * shorter) ** 0.5)]]).double()
    torch.testing.assert_close(newton.direction(g, free(g)), expected)


def test_each_row_has_a_first_length_of_its_own():
    g, lengths = normal(3, 4), torch.tensor([0.1, 0.0, 7.0]).double()
    p = QuasiNewton.start(g, lengths).direction(g, free(g))
    torch.testing.assert_close(torch.linalg.vector_norm(p, dim=-1), lengths)


def test_the_newest_pair_is_reproduced_and_the_direction_descends():
    newton = begun(normal(8, 5), 0.1)
    for k in range(3 * memory(5)):  # each pair from another quadratic
        s = normal(8, 5, seed=10 + k)
        z = times(spd(8, 5, seed=k), s)
        newton.update(s, z)
        torch.testing.assert_close(newton.direction(z, free(z)), -s, rtol=1e-7, atol=1e-7)
        g = normal(8, 5, seed=90 + k)
        assert ((newton.direction(g, free(g)) * g).sum(-1) < 0).all()


@pytest.mark.parametrize("z", [[-1.0, 0.5], [0.0, 0.0], [0.0, 1.0], [float("nan"), 1.0]])
def test_pairs_without_positive_curvature_are_skipped(z):
    g = normal(1, 2)
    newton = begun(g, 0.1)
    newton.update(torch.tensor([[0.3, 0.1]]).double(), torch.tensor([[0.2, 0.4]]).double())
    before = newton.direction(g, free(g))
    newton.update(torch.tensor([[1.0, 0.0]]).double(), torch.tensor([z]).double())
    assert torch.equal(newton.direction(g, free(g)), before)


def test_rows_are_independent():
    hessian = spd(6, 3)
    batch = begun(normal(6, 3), 0.1)
    alone = [QuasiNewton.start(normal(6, 3)[i : i + 1], 0.1) for i in range(6)]
    g = normal(6, 3, seed=9)
    for k in range(9):
        s = normal(6, 3, seed=20 + k)
        z = times(hessian, s) * torch.where(torch.arange(6) % 3 == k % 3, -1.0, 1.0)[:, None]  # some are skipped
        batch.update(s, z)
        for i, one in enumerate(alone):
            one.update(s[i : i + 1], z[i : i + 1])
            torch.testing.assert_close(
                batch.direction(g, free(g))[i : i + 1], one.direction(g[i : i + 1], free(g[:1])), rtol=1e-12, atol=0
            )


@pytest.mark.parametrize("scale", [1e-310, 1e-200, 1e-150, 1e-100, 1e100])
def test_gradients_of_any_size_keep_the_direction_finite(scale):
    g = normal(4, 3) * scale
    newton = begun(g, 0.1)
    for k in range(3):
        s = normal(4, 3, seed=k)
        newton.update(s, s * scale)
        assert newton.direction(g, free(g)).isfinite().all()


def test_fixed_coordinates_stay_and_the_others_still_descend():
    hessian = spd(5, 4)
    newton = begun(normal(5, 4), 0.1)
    for k in range(4):
        s = normal(5, 4, seed=k)
        newton.update(s, times(hessian, s))
    g = normal(5, 4, seed=7)
    fixed = torch.arange(4).expand(5, -1) == torch.arange(5)[:, None] % 4
    p = newton.direction(g, fixed)
    assert (p[fixed] == 0).all()
    assert ((p * g).sum(-1) < 0).all()


def test_restarted_rows_begin_anew_and_the_others_go_on():
    hessian, g = spd(2, 3), normal(2, 3, seed=8)
    newton = begun(normal(2, 3), 0.1)
    for k in range(3):
        s = normal(2, 3, seed=k)
        newton.update(s, times(hessian, s))
    before = newton.direction(g, free(g))
    newton.restart(torch.tensor([True, False]), g, torch.full((2,), 0.2).double())
    after = newton.direction(g, free(g))
    torch.testing.assert_close(after[0], begun(g, 0.2).direction(g, free(g))[0])
    assert torch.equal(after[1], before[1])
