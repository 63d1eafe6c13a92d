import pytest
import torch

from pop_envs.rover.rewards import FromRecent, FromStart, Path, Value


def path(*values, minimum=1.0, budget=9):
    table = torch.full((1, budget + 1), torch.nan, dtype=torch.float64)
    table[0, : len(values)] = torch.tensor(values, dtype=torch.float64)
    return Path(table, torch.tensor([len(values) - 1]), torch.tensor([minimum], dtype=torch.float64))


def test_eq_5_is_minus_the_value():
    assert Value()(path(5.0, 3.0)).item() == -3


def test_eq_6_is_relative_to_the_start():
    assert FromStart()(path(5.0, 3.0, 2.0)).item() == -0.25
    assert FromStart()(path(1.0, 3.0)).item() == 0, "the start was a minimizer"


def test_eq_7_is_relative_to_the_last_k():
    values = (101.0, 9.0, 7.0, 5.0, 3.0, 2.0)
    assert FromRecent(5)(path(*values)).item() == pytest.approx(-1 / (8 + 6 + 4 + 2 + 1) * 5)
    assert FromRecent(2)(path(*values)).item() == pytest.approx(-1 / 1.5)
    assert FromRecent(5)(path(5.0, 3.0)).item() == pytest.approx(-2 / 3), "as many as there are"


def test_eq_7_is_at_least_minus_k_and_scale_free():
    assert FromRecent(5)(path(2.0, 2.0, 2.0, 2.0, 1e12)).item() == pytest.approx(-5, abs=1e-9)
    small, large = path(1.5, 1.25, 1.125), path(*(1e9 * v for v in (1.5, 1.25, 1.125)), minimum=1e9)
    torch.testing.assert_close(FromRecent()(small), FromRecent()(large))


def test_at_the_minimum_nothing_is_lost():
    assert FromRecent()(path(3.0, 1.0, 1.0, 1.0, 1.0, 1.0)).item() == 0
    assert FromRecent()(path(3.0, 1 + 1e-12)).item() == 0, "closer than 1e-10 of the start's gap"


def test_k_must_be_positive():
    with pytest.raises(ValueError, match="k must be a positive integer"):
        FromRecent(0)
