import json
import sys

import fleet
import pytest


@pytest.mark.parametrize("kind", fleet.KINDS)
def test_what_is_timed(kind, monkeypatch):
    monkeypatch.setattr(fleet, "NUM_STEPS", 2)
    found = fleet.rate(kind, 6, 4, rounds=2)
    assert (found["learners"], found["batch"]) == (6, 4)
    assert found["us"] == pytest.approx(1e6 / found["decisions_per_cpu_second"])
    players = fleet.Players(kind, 6)
    adapted = [players.fleet.describe(learner, "adapted")["adapted"] for learner in range(6)]
    assert all((each is not None) == kind.endswith("adapted") for each in adapted)


def test_what_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(fleet, "NUM_STEPS", 2)
    monkeypatch.setattr(fleet, "KINDS", fleet.KINDS[:1])
    monkeypatch.setattr(fleet, "in_a_new_process", lambda *_: 1000.0)
    out = tmp_path / "fleet.json"
    given = ["--learners", "4", "--adapted", "3", "--rounds", "1", "--record", "2", "3"]
    monkeypatch.setattr(sys, "argv", ["fleet.py", *given, "--out", str(out)])
    fleet.main()
    written = json.loads(out.read_text())
    (row,) = written["decisions"]
    assert (row["kind"], row["batch"], row["bytes"]) == ("one game", 4, 1000.0)
    assert "adapt on 2 steps" in written["calls_us"]
    assert written["record"] == [2, 3]
    assert written["adapt_on_a_full_record_s"] > 0.0
    assert written["machine"]["cores_used"] == 1
