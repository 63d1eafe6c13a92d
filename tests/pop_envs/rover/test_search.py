import torch

from pop_envs.rover.search import Scales, Search


def rover(x=((0.5, -0.25),), alpha=0.25, delta=0.125):
    x = torch.tensor(x, dtype=torch.float64)
    each = torch.ones(len(x), dtype=torch.float64)
    return Search.start(x, alpha * each, delta * each, 5)


EAST = torch.tensor([[1.0, 0.0]], dtype=torch.float64)


def test_a_step_is_that_of_eq_4():
    search = rover()
    search.sense(torch.rand(1, 25, dtype=torch.float64))
    search.move(EAST, torch.tensor([[0.5, -0.25]]))
    assert search.x.tolist() == [[0.75, -0.25]]
    assert search.scales.alpha.tolist() == [0.375]
    assert search.scales.delta.tolist() == [0.09375]


def test_the_grid_is_centred_and_its_middle_is_the_value():
    search = rover()
    points = search.points
    torch.testing.assert_close(points.mean(1), search.x)
    assert torch.equal(points[:, 12], search.x)
    torch.testing.assert_close(points[0, 0], search.x[0] - 0.125 * torch.tensor([2.0, 2.0]).double())
    search.sense((points**2).sum(-1))
    assert search.y.item() == 0.3125


def test_actions_are_clipped():
    for action, expected in ((7.0, 2.0), (-7.0, 0.5)):
        scales = Scales(torch.ones(1).double(), torch.ones(1).double()).changed(
            torch.tensor([[action, action]]), torch.tensor([True])
        )
        assert scales.alpha.item() == scales.delta.item() == expected


def test_a_value_that_is_not_finite_halves_step_and_scales():
    search = rover()
    values = torch.rand(1, 25, dtype=torch.float64)
    values[0, 7] = torch.nan
    search.sense(values)
    search.move(EAST, torch.tensor([[1.0, 1.0]]))
    assert search.x.tolist() == [[0.625, -0.25]]
    assert search.scales.alpha.item() == 0.125
    assert search.scales.delta.item() == 0.0625


def test_where_nothing_is_seen_the_rover_turns_back():
    search = rover()
    search.sense(torch.rand(1, 25, dtype=torch.float64))
    search.move(EAST, torch.zeros(1, 2))
    search.sense(torch.full((1, 25), torch.inf, dtype=torch.float64))
    search.move(EAST, torch.zeros(1, 2))
    assert search.x.tolist() == [[0.625, -0.25]]
    search.sense(torch.full((1, 25), torch.nan, dtype=torch.float64))
    search.move(EAST, torch.zeros(1, 2))
    assert search.x.tolist() == [[0.5625, -0.25]]


def test_scales_stay_numbers():
    scales = Scales(torch.tensor([1e150, 1e-150]).double(), torch.tensor([1e-150, 1e150]).double())
    for action in (1.0, -0.5):
        changed = scales.changed(torch.full((2, 2), action), torch.tensor([True, True]))
        for each in changed:
            assert ((each >= 1e-150) & (each <= 1e150)).all()


def test_put_replaces_rows():
    search = rover(((0.0, 0.0), (1.0, 1.0)))
    search.put(torch.tensor([1]), rover(((5.0, 6.0),), alpha=2.0))
    assert search.x.tolist() == [[0, 0], [5, 6]]
    assert search.scales.alpha.tolist() == [0.25, 2]
