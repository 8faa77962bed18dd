import os
import socket
import subprocess
import sys

import optuna
import pytest
import sqlalchemy
from optuna.trial import TrialState

from mermaide_pl.sweeps.settings import Parameter, Sweep
from mermaide_pl.sweeps.study import WORKER, attempts, open_study, places, take_over

# ask and tell are for tests; the sweep itself runs `optimize`, which gives signs of life
pytestmark = pytest.mark.filterwarnings("ignore:Heartbeat of storage:UserWarning")
SWEEP = Sweep("fit.yaml", {"x": Parameter(0.0, 1.0)}, num_random_trials=2, heartbeat=10)


@pytest.fixture
def opened(tmp_path):
    return open_study(SWEEP, "search", tmp_path, {})


def begin(study, storage, worker="elsewhere:1", age=0):
    """A running trial whose worker gave its last sign of life some seconds ago."""
    trial = study.ask()
    trial.suggest_float("x", 0.0, 1.0)
    trial.set_user_attr(WORKER, worker)
    trial.report(0.5, 10)
    storage.record_heartbeat(trial._trial_id)
    if age:
        with storage.engine.begin() as connection:
            change = (
                "UPDATE trial_heartbeats SET heartbeat = datetime('now', :ago) WHERE trial_id = :id"
            )
            connection.execute(
                sqlalchemy.text(change), {"ago": f"-{age} seconds", "id": trial._trial_id}
            )
    return trial


def states(study) -> list[str]:
    return [trial.state.name for trial in study.get_trials()]


def test_a_live_worker_keeps_its_trial(opened):
    begin(*opened, age=39)  # less than four heartbeats
    assert take_over(opened[0]) == []
    assert states(opened[0]) == ["RUNNING"]


def test_a_trial_of_a_dead_worker_is_queued_as_it_was(opened):
    study, storage = opened
    begin(study, storage)
    dead = begin(study, storage, age=45)
    last = begin(study, storage)
    take_over(study)
    assert states(study) == ["RUNNING", "FAIL", "RUNNING", "WAITING"]
    again = study.ask()
    assert again.number == 3
    assert again.suggest_float("x", 0.0, 1.0) == dead.params["x"]
    assert study.get_trials()[3].intermediate_values == {10: 0.5}
    assert places(study.get_trials()) == {0: 0, 1: 1, 2: 2, 3: 1}
    assert [trial.number for trial in attempts(study).values()] == [0, 3, last.number]
    assert places([*study.get_trials(), study.ask()._cached_frozen_trial])[4] == 3


def test_a_worker_that_is_gone_from_this_host_is_waited_for(opened):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    host = socket.gethostname()
    begin(*opened, worker=f"{host}:{gone.pid}")
    begin(*opened, worker=f"{host}:{os.getppid()}")
    begin(*opened, worker=f"elsewhere:{gone.pid}")
    assert [trial.number for trial in take_over(opened[0])] == [0]
    assert states(opened[0]) == ["RUNNING"] * 3  # not taken, for it may be a mistake


def draw(folder, interrupted: bool) -> list[float]:
    """The values drawn in six trials of x -> x, of which the third may be interrupted."""
    found = []
    study, storage = open_study(SWEEP, "search", folder, {})
    for number in range(6):
        if interrupted and number == 2:
            begin(study, storage, age=45)
            study, storage = open_study(SWEEP, "search", folder, {})
            take_over(study)
        trial = study.ask()
        found.append(trial.suggest_float("x", 0.0, 1.0))
        study.tell(trial, found[-1])
    return found


def test_draws_are_those_of_the_seed_also_after_an_interruption(tmp_path):
    first, second, third = (
        draw(tmp_path / name, name == "second") for name in ("first", "second", "third")
    )
    assert first == third
    assert first == second
    assert len(set(first)) == 6


def test_workers_at_the_same_time_draw_different_points(tmp_path):
    studies = [open_study(SWEEP, "search", tmp_path, {})[0] for _ in range(2)]
    trials = [study.ask() for study in studies for _ in range(4)]
    drawn = {trial.suggest_float("x", 0.0, 1.0) for trial in trials}
    assert len(drawn) == 8


def test_the_storage_is_an_optuna_study(opened, tmp_path):
    study, storage = opened
    trial = study.ask()
    storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)  # how one is put back
    loaded = optuna.load_study(study_name="search", storage=f"sqlite:///{tmp_path}/study.db")
    assert [one.state for one in loaded.get_trials()] == [TrialState.WAITING]
    assert loaded.ask().number == trial.number
    assert attempts(loaded) == {}  # nobody has begun it
