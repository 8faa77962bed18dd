"""Whoever starts the processes, the commands end as in one process, also where they fail."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
MERMAIDE = ["-m", "mermaide_pl"]
TORCHRUN = ["-m", "torch.distributed.run", "--nproc-per-node", "2", *MERMAIDE]
ON_TWO = ["--config", str(ROOT / "conf" / "ddp.yaml")]
FIT = ["fit", "--config", "fit.yaml"]
MINE = ["--model.game.observation", "parts.Mine"]
FILES = {
    "population.yaml": {"families": [{"rule": "mermaide_pl.agents.UCB"}], "num_arms": 3},
    "failing.yaml": {"families": [{"factory": "failing.Learner"}], "num_arms": 3},
    "fit.yaml": {
        "model": {
            "game": {"num_arms": 3, "num_steps": 8},
            "architecture": {"hidden_size": 8, "policy_size": 8},
        },
        "data": {
            "train_population": "population.yaml",
            "meta_batch_size": 16,
            "steps_per_epoch": 10,
            "num_val_tasks": 5,
            "num_test_tasks": 7,
        },
        "trainer": {
            "max_epochs": 2,
            "accelerator": "cpu",
            "precision": "64-true",
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
        },
    },
}
PARTS = """
from mermaide_pl.game import PartialInformation

class Mine(PartialInformation):
    pass
"""
FAILING = """
import os

class Learner:
    def __init__(self, n_arms, seed):
        self.step = -1

    def act(self):
        self.step += 1
        if self.step == 4 and os.environ.get("LOCAL_RANK") == "1":
            raise OSError("no more disk")
        return 0

    def learn(self, arm, reward):
        pass
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with the files above, and `one.ckpt`, trained by one process."""
    place = tmp_path_factory.mktemp("place")
    for name, content in FILES.items():
        (place / name).write_text(yaml.safe_dump(content))
    (place / "failing.py").write_text(FAILING)
    (place / "parts.py").write_text(PARTS)
    started(place, [*MERMAIDE, *FIT, "--trainer.default_root_dir", "one"])
    checkpoint_in(place / "one").rename(place / "one.ckpt")
    return place


def environment(**more: str) -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)} | more


def started(place: Path, command: list[str], code: int = 0) -> str:
    """What a command prints, standard error included."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=place,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stdout[-2000:]
    return done.stdout


def started_as_slurm_does(place: Path, command: list[str]) -> None:
    """Two tasks of one step, as `srun` would start them."""
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        port = str(any_port.getsockname()[1])
    tasks = [
        subprocess.Popen(
            [sys.executable, *command],
            cwd=place,
            env=environment(
                MASTER_ADDR="127.0.0.1",
                MASTER_PORT=port,
                SLURM_JOB_ID="1",
                SLURM_JOB_NAME="mermaide",
                SLURM_NTASKS="2",
                SLURM_NTASKS_PER_NODE="2",
                SLURM_NNODES="1",
                SLURM_NODEID="0",
                SLURM_PROCID=rank,
                SLURM_LOCALID=rank,
                SLURM_NODELIST="localhost",
            ),
        )
        for rank in ("0", "1")
    ]
    assert [task.wait(timeout=120) for task in tasks] == [0, 0]


def checkpoint_in(folder: Path) -> Path:
    (path,) = folder.rglob("*.ckpt")
    return path


# the installed command finds itself; `-m` is what other tests below start
@pytest.mark.parametrize("launcher", ["lightning", "torchrun", "slurm"])
def test_whoever_starts_the_processes(launcher, place):
    command = [*FIT, *ON_TWO, "--trainer.default_root_dir", launcher]
    if launcher == "slurm":
        started_as_slurm_does(place, [*MERMAIDE, *command])
    elif launcher == "torchrun":
        started(place, [*TORCHRUN, *command])
    else:
        script = str(Path(sys.executable).with_name("mermaide"))
        # what was imported is imported in all
        started(place, [script, "--import", "parts", *command, *MINE])
    expected, actual = (
        torch.load(path, weights_only=True)
        for path in (place / "one.ckpt", checkpoint_in(place / launcher))
    )
    assert actual["global_step"] == expected["global_step"] == 20
    for part in ("state_dict", "optimizer_states"):
        torch.testing.assert_close(actual[part], expected[part], rtol=0.0, atol=1e-9)


def test_what_was_not_imported_is_not_allowed(place):
    (error,) = errors(started(place, [*MERMAIDE, *FIT, *ON_TWO, *MINE], code=2))
    assert "if you trust its code, allow it: --import parts" in error


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_to_the_first_ends_all(by, place):
    command = [*FIT, *ON_TWO, "--trainer.max_epochs", "2000", "--trainer.default_root_dir", by.name]
    process = subprocess.Popen(
        [sys.executable, *MERMAIDE, *command],
        cwd=place,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    for _ in range(1200):
        if list((place / by.name).rglob("*.ckpt")):
            break
        time.sleep(0.1)
    process.send_signal(by)
    printed, _ = process.communicate(timeout=60)  # until none of them holds the pipe
    assert process.returncode == (-9 if by == signal.SIGKILL else 128 + by)
    assert "Traceback" not in printed


def test_fine_tuning_reports_once(place):
    command = [*FIT, *ON_TWO, "--model.init_from", "one.ckpt", "--trainer.max_epochs", "1"]
    printed = started(place, [*MERMAIDE, *command, "--trainer.default_root_dir", "tuned"])
    assert printed.count("Schedules tuned on the training population") == 1


def test_uneven_shares_are_scored_as_in_one_process(place):
    command = ["test", "--config", "fit.yaml", "--ckpt_path", "one.ckpt"]
    scores = [
        dict(re.findall(r"(test/\w+)\W+([\d.]+)", started(place, [*MERMAIDE, *command, *more])))
        for more in ([], ON_TWO)
    ]
    assert len(scores[0]) == 15
    assert scores[1].keys() == scores[0].keys()
    for name, value in scores[0].items():
        assert float(scores[1][name]) == pytest.approx(float(value), abs=1e-5), name


def test_evaluate_writes_the_same_file_and_table(place):
    command = ["evaluate", "--ckpt_path", "one.ckpt", "--population", "population.yaml"]
    command += ["--num_agents", "501", "--num_tuning_agents", "9", "--out", "out.json"]
    found = []
    for start in (
        [*MERMAIDE, *command],
        [*MERMAIDE, *command, "--devices", "2"],
        [*TORCHRUN, *command],
    ):
        printed = started(place, start)
        found.append((printed, (place / "out.json").read_bytes()))
        (place / "out.json").unlink()
    assert len(json.loads(found[0][1])) == 8
    assert "oracle" in found[0][0]
    assert found[1] == found[0]
    assert found[2] == found[0]


def errors(printed: str) -> list[str]:
    assert "mermaide_pl/cli.py" not in printed  # no traceback of ours
    return [line for line in printed.splitlines() if line.startswith("mermaide: error:")]


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (["--model.game.num_arms", "4"], "its agents have 3 arms, model.game has 4"),
        (["--data.num_val_tasks", "1"], "num_val_tasks on 2 devices .* at least 2, got 1"),
    ],
)
def test_a_mistake_is_reported_once(mistake, message, place):
    printed = started(place, [*MERMAIDE, *FIT, *ON_TWO, *mistake], code=2)
    (error,) = errors(printed)
    assert re.search(message, error)


def test_another_number_of_processes_than_started_is_a_mistake(place):
    printed = started(place, [*TORCHRUN, *FIT, *ON_TWO, "--trainer.devices", "3"], code=1)
    assert all("does not match the world size (2)" in error for error in errors(printed))
    assert errors(printed)


def test_a_failing_process_ends_the_others(place):
    mistake = ["--data.train_population", "failing.yaml"]
    printed = started(place, [*MERMAIDE, *FIT, *ON_TWO, *mistake], code=2)
    theirs, ours = errors(printed)
    assert re.search(r"failing\.Learner, val task 1, step 4: act\(\) failed: .*no more", theirs)
    assert "another process of this run has ended" in ours
