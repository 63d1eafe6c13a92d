from benchmarks.lto.speed import Speed, measure


def test_steps_take_longer_than_evaluations_alone():
    steps, evaluations = measure(Speed(num_envs=64, rounds=1), "robust")
    assert 0 < steps < evaluations
