"""The benchmark of the recurrences."""

import pytest
from peers.workload import Workload
from recurrence import CONTESTANTS, measure

from mermaide_pl.engines.native.coverage import network_shape
from mermaide_pl.principals import GRU, MinGRU


def test_contestants_are_what_they_are_called():
    workload = Workload(num_steps=4)
    weights = workload.initial_weights(0)
    built = {name: kind(workload, weights, seed=0) for name, kind in CONTESTANTS.items()}
    recurrences = [one.principal.architecture.recurrence for one in built.values()]
    assert recurrences == [GRU(), GRU(), MinGRU()]
    assert [one.engine_name for one in built.values()] == ["native", "torch", "torch"]
    assert network_shape(built["MinGRU, torch"].principal) is None


def test_the_rest_of_a_step_is_what_its_rollouts_leave():
    rows = measure(Workload(num_tasks=2, num_episodes=2, num_steps=6), rounds=2)
    assert [row["recurrence"] for row in rows] == list(CONTESTANTS)
    for row in rows:
        assert 0.0 < row["rollouts_s"] < row["step_s"] < 60.0
        assert row["rest_s"] == pytest.approx(row["step_s"] - row["rollouts_s"])
