"""The model of cost, and the measurement in one process."""

import pytest

from benchmarks.scaling import Scaling, measure, predicted


def test_the_model_of_cost():
    found = {"rollout_cpu": 1.5, "update_cpu": 0.5, "minibatches": 8, "tensors": 10, "bytes": 1e6}
    scaling = Scaling(episodes=100, latency=1e-3, bandwidth=1e8)
    assert predicted(scaling, found, 1) == pytest.approx(50)
    # Two messages of ten tensors, and as many bytes as there are.
    assert predicted(scaling, found, 2) == pytest.approx(200 / (2 + 8 * (2 * 10 * 1e-3 + 1e6 / 1e8)))
    assert predicted(Scaling(episodes=100, latency=0, bandwidth=float("inf")), found, 64) == pytest.approx(64 * 50)


def test_one_process_sends_no_messages():
    found = measure(Scaling(episodes=4, updates=1))
    assert found["messages"] == 0
    assert found["processes"] == 1
    assert min(found["rollout_cpu"], found["update_cpu"]) > 0
