"""A small comparison on two nodes of Ray, of which one is lost, against one process."""

import json
import logging
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import yaml
from ray import cloudpickle
from ray.cluster_utils import Cluster
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mermaide_pl.cli.main import main
from mermaide_pl.config.validation import check_number
from mermaide_pl.evaluation.records import read_rows
from mermaide_pl.experiments.comparison import on_ray
from mermaide_pl.experiments.comparison.on_ray import Place, finish_on_ray, finish_one
from mermaide_pl.experiments.comparison.runs import Run, compare
from mermaide_pl.experiments.comparison.settings import Condition
from mermaide_pl.runtime.processes import is_alive
from mermaide_pl.runtime.run_folders import LOCK

ROOT = Path(__file__).parents[3]
POPULATION = {
    "families": [{"rule": "UCB", "hyper_parameters": {"beta": [0.2, 0.5]}}],
    "num_arms": 3,
}
CONFIG = {
    "methods": {"ours": {"architecture": {"hidden_size": 4, "policy_size": 4}}},
    "train_populations": {"ucb": "population.yaml"},
    "test_populations": ["population.yaml"],
    "game": {"num_arms": 3, "num_steps": 12},
    "seeds": [0, 1, 2],
    "agent_steps": 20 * 4 * 9 * 12 * 2,
    "num_validations": 20,
    "num_val_tasks": 8,
    "meta_batch_size": 4,
    "num_agents": 12,
}


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """The current folder, with a comparison to run."""
    (tmp_path / "population.yaml").write_text(yaml.safe_dump(POPULATION))
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_worker_niceness", "0")  # else workers starve on a busy machine
    return tmp_path


def results(folder: Path) -> dict[str, object]:
    """All files of a comparison, but for the seconds that trainings took."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        if path.name == "training.json":
            found[str(path.relative_to(folder))] = json.loads(path.read_text()) | {"seconds": 0}
        elif path.name == "runs.csv":
            rows = [row | {"seconds": 0} for row in read_rows(path)]
            found[str(path.relative_to(folder))] = repr(rows)
        elif path.is_file():
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def wait_for(condition: Callable[[], object], seconds: float = 300.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def trainings(parent: int) -> dict[int, Path]:
    """Trainings that have a checkpoint and are in progress in children of a process."""
    found = {}
    for checkpoint in Path("logs/out").glob("*/seed*/ours/checkpoints/last.ckpt"):
        folder = checkpoint.parents[1]
        with suppress(OSError, IndexError):  # the worker is about to end
            pid = int((folder / LOCK).read_text().split()[1])
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            if f"PPid:\t{parent}" in lines and not (folder / "training.json").exists():
                found[pid] = folder
    return found


def raylet(node) -> int:
    return node.all_processes["raylet"][0].process.pid


def first_steps(folder: Path) -> list[int]:
    """The step at which each process that trained in a folder validated first."""
    found = []
    for path in folder.glob("events.out.tfevents.*"):
        events = EventAccumulator(str(path)).Reload()
        if "val/return" in events.Tags()["scalars"]:
            found.append(events.Scalars("val/return")[0].step)
    return sorted(found)


@pytest.mark.slow
def test_a_killed_worker_and_a_lost_node_change_no_byte(place):
    compare("config.yaml", "one_process/out", minutes=60.0)
    shutil.rmtree("logs")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    lost: list[Path] = []

    def lose() -> None:
        second, first = raylet(node), raylet(cluster.head_node)
        wait_for(lambda: trainings(second))
        lost.extend(trainings(second).values())
        cluster.remove_node(node, allow_graceful=False)
        wait_for(lambda: trainings(first))
        ((pid, folder),) = trainings(first).items()
        os.kill(pid, signal.SIGKILL)
        lost.append(folder)

    try:
        node = cluster.add_node(num_cpus=1)
        losing = threading.Thread(target=lose, daemon=True)
        losing.start()
        compare("config.yaml", "out", minutes=60.0, finish=partial(finish_on_ray, cluster.address))
        losing.join(60.0)
    finally:
        cluster.shutdown()
    assert len(lost) == 2
    for folder in lost:
        assert len(first_steps(folder)) > 1
        assert first_steps(folder)[1] > first_steps(folder)[0]  # it resumed
    assert results(place / "out") == results(place / "one_process" / "out")


def command(*options: str) -> list[str]:
    return ["compare", "--config", "config.yaml", "--out", "out", *options]


@pytest.mark.slow
@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM], ids=lambda by: by.name)
def test_a_signal_ends_all_workers(place, by):
    process = subprocess.Popen(
        [sys.executable, "-m", "mermaide_pl", *command("--ray", "local")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(lambda: list(Path("logs/out").glob("*/seed*/ours/checkpoints/last.ckpt")))
    workers = [int(lock.read_text().split()[1]) for lock in Path("out").glob(f"*/seed*/*/{LOCK}")]
    if by == signal.SIGINT:
        os.killpg(process.pid, by)  # as a terminal does
    else:
        process.send_signal(by)
    _, said = process.communicate(timeout=300.0)
    assert process.returncode == 128 + by
    assert said == f"mermaide: interrupted by {by.name}\n"
    wait_for(lambda: not any(map(is_alive, workers)))
    assert not list(place.rglob("*.shared"))


@pytest.mark.slow
def test_a_mistake_in_a_run_is_one_line(place, capfd):
    folder = place / "logs" / "out" / "ucb-partial-cost0.5" / "seed0"
    folder.mkdir(parents=True)
    (folder / "ours").touch()
    with pytest.raises(SystemExit) as ended:
        main(command("--ray", "local"))
    assert ended.value.code == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert re.match("mermaide: error: logs/out/.*/seed0/ours/settings.json cannot be written", line)


def test_a_cluster_that_does_not_answer_is_named(place, capfd):
    with pytest.raises(SystemExit) as ended:
        main(command("--ray", "nowhere.invalid:6379"))
    assert ended.value.code == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("mermaide: error: --ray nowhere.invalid:6379: ")


def test_without_time_nothing_is_started(place):
    compare("config.yaml", "out", minutes=0.0, finish=partial(finish_on_ray, "nowhere.invalid:1"))
    assert not Path("out").exists()


def test_without_ray_the_extra_is_named(place, monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, on_ray.__name__)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SystemExit):
        main(command("--ray", "local"))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("--ray needs ray, which is not installed: pip install 'mermaide-pl[ray]'")


def of(folder: Path) -> tuple[Place, Run]:
    """A place that is shared, and a run."""
    mark = Path("out", "mark.shared")
    (folder / mark).parent.mkdir()
    (folder / mark).touch()
    run = Run(Condition("ucb", "partial", 0.5), 0, "ours", Path("out", "run"))
    return Place(str(folder), (mark,)), run


def mistaken(_: Run) -> None:
    check_number("cost", -1.0, low=0.0)


def warned(run: Run) -> None:
    logging.getLogger("mermaide_pl.runtime").warning("%s is odd", run.method)


def broken(_: Run) -> None:
    int("red")


def finished(place: Place, run: Run, finish: Callable[[Run], None], until: float = math.inf):
    return finish_one(place, cloudpickle.dumps(finish), run, until)


def test_a_worker_reports_mistakes_and_warnings(place):
    there, run = of(place)
    assert finished(there, run, mistaken).mistake.startswith("cost must be")
    assert finished(there, run, warned).warnings == ["ours is odd"]
    with pytest.raises(ValueError, match="red"):
        finished(there, run, broken)


def test_no_run_begins_after_the_budget(place):
    outcome = finished(*of(place), mistaken, until=time.time() - 1.0)
    assert outcome.is_late
    assert outcome.mistake is None


def test_a_worker_waits_for_one_that_is_about_to_die(place, used_by_another, monkeypatch):
    there, run = of(place)
    monkeypatch.setattr(on_ray, "_FREES_LOCKS", 0.0)
    with used_by_another(place / run.folder):
        assert "in use by another run" in finished(there, run, warned).mistake
    monkeypatch.setattr(on_ray, "_FREES_LOCKS", 60.0)
    with used_by_another(place / run.folder):
        waiting = ThreadPoolExecutor().submit(finished, there, run, warned)
        time.sleep(0.5)
        assert not waiting.done()
    assert waiting.result(60.0).mistake is None


@pytest.mark.parametrize("gone", ["out/mark.shared", "."])
def test_a_folder_that_is_not_shared_is_named(place, monkeypatch, gone):
    monkeypatch.setattr(on_ray, "_SHOWS_MARKS", 0.0)
    there, run = of(place)
    if gone == ".":
        there = replace(there, folder=str(place / "nowhere"))
    else:
        Path(gone).unlink()
    mistake = finished(there, run, warned).mistake
    assert re.fullmatch(
        f"node .* does not see the files in {there.folder}/out: .* that all nodes share.*", mistake
    )
