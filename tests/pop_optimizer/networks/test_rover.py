import pytest
import torch

from pop_optimizer.networks.rover import RoverNetwork


@pytest.mark.parametrize("shape", [{}, {"memory": "stack", "stack": 3}, {"memory": "stack", "squash": "tanh"}])
def test_actions_are_bounded_and_rows_independent(shape):
    torch.manual_seed(0)
    network = RoverNetwork(**shape).eval()
    network.dense[-1].weight.data.mul_(100)
    state, alone = network.new_state(4), network.new_state(1)
    for _ in range(3):
        seen = torch.rand(4, 5, 5)
        action, state = network(seen, state)
        single, alone = network(seen[2:3], alone)
        torch.testing.assert_close(single[0], action[2], rtol=1e-4, atol=1e-5)
    assert ((action >= -0.5) & (action <= 1)).all()


def test_memories_matter():
    torch.manual_seed(0)
    for shape in ({}, {"memory": "stack", "stack": 2}):
        network = RoverNetwork(**shape)
        first, state = network(torch.zeros(1, 5, 5), network.new_state(1))
        again, _ = network(torch.rand(1, 5, 5), state)
        third, _ = network(torch.rand(1, 5, 5), network.new_state(1))
        assert not torch.equal(again, third)
        assert first.shape == (1, 2)


def test_a_stack_holds_the_newest_grids_the_newest_last():
    network = RoverNetwork(memory="stack", stack=2)
    state = network.new_state(1)
    for value in (1.0, 2.0, 3.0):
        _, state = network(torch.full((1, 5, 5), value), state)
    assert state[0][0, :, 0, 0].tolist() == [2, 3]


def test_settings_are_checked():
    for bad, message in (
        ({"memory": "paper"}, "memory must be one of"),
        ({"squash": "no"}, "squash must be one of"),
        ({"stack": 2}, "an LSTM sees one grid"),
        ({"n": 3}, "at least 5 x 5"),
    ):
        with pytest.raises(ValueError, match=message):
            RoverNetwork(**bad)
