"""The command that compares the contestants."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import w1
from peers.worker import READY, Worker

SCRIPT = Path(w1.__file__)


def test_ratios_of_medians():
    entries = {
        "ours_native": {"median_s": 0.1},
        "ours_torch": {"median_s": 0.5},
        "higher_per_task": {"median_s": 4.0},
    }
    assert w1.ratios(entries, {}, floor_s=0.05) == {
        "per_task_higher_over_ours": pytest.approx(40.0),
        "learn2learn_over_ours": None,
        "torchopt_over_ours": None,
        "jax_over_ours": None,
        "jax_tuned_over_ours": None,
        "ours_torch_over_ours": pytest.approx(5.0),
        "per_task_higher_over_ours_torch": pytest.approx(8.0),
        "ours_over_floor": pytest.approx(2.0),
        "rollout_numpy_over_ours": None,
    }


def test_worker_answers_by_line():
    worker = Worker([sys.executable, str(SCRIPT), "--worker", "numpy_simulator"], w1.ONE_THREAD)
    try:
        assert worker.status == READY
        assert 0.0 < worker.ask("rollout") < 30.0
        assert 20.0 < worker.ask("memory") < 150.0  # without torch, and without the parent's
    finally:
        worker.close()


def test_worker_says_what_is_missing():
    hide_jax = "import sys; sys.modules['jax'] = None; import runpy; sys.argv = sys.argv[1:];"
    run = f"{hide_jax} runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-c", run, str(SCRIPT), "--worker", "jax"]
    worker = Worker(command, {"PYTHONPATH": str(SCRIPT.parent)})
    worker.close()
    assert "jax" in worker.status


def test_results_of_the_command(tmp_path):
    out = tmp_path / "w1.json"
    command = [sys.executable, str(SCRIPT), "--only", "numpy_simulator", "--rounds", "2"]
    done = subprocess.run(
        [*command, "--out", str(out)], capture_output=True, text=True, check=True, timeout=120
    )
    assert "numpy_simulator" in done.stdout
    results = json.loads(out.read_text())
    assert results["command"].startswith("python benchmarks/w1.py --only numpy_simulator")
    assert results["contestants"] == {}
    entry = results["rollouts"]["numpy_simulator"]
    assert len(entry["seconds"]) == results["rounds"] == 2
    assert entry["min_s"] <= entry["median_s"] <= entry["max_s"]
    assert results["floor"]["seconds"] == pytest.approx(
        sum(results["floor"]["flops"].values()) / results["floor"]["flops_per_s"]
    )
