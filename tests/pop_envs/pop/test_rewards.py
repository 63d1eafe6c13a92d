import pytest
import torch

from pop_envs.pop.rewards import Improvement, LogGap
from pop_envs.search.trajectory import Trajectory

NAN = float("nan")


def one(value):
    return torch.tensor([value], dtype=torch.float64)


def rewards(values, reward, spread, minimum=NAN):
    x = torch.zeros(1, 1, dtype=torch.float64)
    run = Trajectory.start(x, one(values[0]), x + 1)
    paid = []
    for y in values[1:]:
        run.update(x, x, one(y), x + 1)
        paid.append(reward(run, one(spread), one(minimum)).item())
    return paid


def test_equation_6_by_hand():
    assert rewards([5.0, 7.0, 3.0, 4.0, -1.0], Improvement(), 2.0) == [0, 1, 0, 2]


def test_improvements_add_up_to_the_whole_fall():
    values = [5.0, 7.0, 3.0, 4.0, -1.0, -1.5, 0.0]
    assert sum(rewards(values, Improvement(), 1.0)) == pytest.approx(5.0 + 1.5)


def test_log_gap_by_hand():
    # Spread 2, minimum 1: the gaps are 2, 2e-1, 2e-1, 2e-3 of values, hence 1, 0.1, 0.1, 0.001 of the spread.
    paid = rewards([3.0, 1.2, 2.0, 1.002], LogGap(), 2.0, 1.0)
    assert paid == pytest.approx([0.9 + 0.25 * 1, 0, 0.099 + 0.25 * 2])


def test_log_gap_pays_nothing_below_its_floor_or_below_the_reference():
    paid = rewards([1.0, 1e-8, 1e-10, 1e-11, -0.5], LogGap(), 1.0, 0.0)
    assert paid == pytest.approx([1 + 0.25 * 8, 0.25 * 2, 0, 0.5], abs=1e-6)


@pytest.mark.parametrize("bad", [NAN, float("inf")])
def test_a_point_without_a_value_is_worth_nothing(bad):
    assert rewards([bad, bad, 3.0, bad, 2.0], Improvement(), 1.0) == [0, 0, 0, 1]
    assert rewards([bad, bad, 3.0, bad, 2.0], LogGap(), 1.0, 1.0)[:3] == [0, 0, 0]
