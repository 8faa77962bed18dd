import errno
import fcntl
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

from mermaide_pl.runtime.run_folders import LOCK, checkpoint_folders, log_folders, occupied

FORK = multiprocessing.get_context("fork")


def hold(folder: Path, said: Any) -> None:
    with occupied(folder):
        said.send("taken")
        time.sleep(60)


@contextmanager
def another(target: Callable[..., None], *arguments: Any) -> Iterator[Any]:
    """A process that runs `target`, from when it has said something."""
    ours, theirs = FORK.Pipe()
    process = FORK.Process(target=target, args=(*arguments, theirs))
    process.start()
    process.said = ours.recv()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def test_a_folder_is_for_one_process(tmp_path):
    folder = tmp_path / "run"
    with another(hold, folder) as process:
        with pytest.raises(ValueError, match="in use") as caught, occupied(folder):
            pass
        assert str(caught.value) == (
            f"{folder} is in use by another run, process {process.pid} on {socket.gethostname()}:"
            " choose another folder, or wait until that one has ended"
        )
        with occupied(tmp_path):  # which is another folder
            pass
    with occupied(folder), occupied(folder, folder / "."):
        assert (folder / LOCK).read_text().startswith(f"process {os.getpid()} ")
    assert list(folder.iterdir()) == []


def test_a_killed_process_leaves_no_lock(tmp_path):
    with another(hold, tmp_path) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert (tmp_path / LOCK).exists()
        with occupied(tmp_path):
            pass
    assert not (tmp_path / LOCK).exists()


def hold_and_fork(folder: Path, said: Any) -> None:
    with occupied(folder):
        child = FORK.Process(target=time.sleep, args=(60,))
        child.start()
        said.send(child.pid)
        time.sleep(60)


def test_children_do_not_inherit_the_lock(tmp_path):
    with another(hold_and_fork, tmp_path) as process:
        try:
            with pytest.raises(ValueError, match="in use"), occupied(tmp_path):
                pass
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            os.kill(process.said, 0)  # lives on
            with occupied(tmp_path):
                pass
        finally:
            os.kill(process.said, signal.SIGKILL)


def test_a_child_leaves_the_lock_to_its_parent(tmp_path):
    def take(said: Any) -> None:
        try:
            with occupied(tmp_path):
                said.send("taken")
        except ValueError:
            said.send("refused")

    with occupied(tmp_path):
        with another(take) as process:
            assert process.said == "refused"
        assert (tmp_path / LOCK).exists()


def race(folder: Path, gate: Any, won: Any) -> None:
    gate.wait()
    try:
        with occupied(folder):
            with won.get_lock():
                won.value += 1
            gate.wait()  # until all have tried
    except ValueError:
        gate.wait()


def test_of_many_at_the_same_moment_one_wins(tmp_path):
    for number in range(10):
        gate, won = FORK.Barrier(6), FORK.Value("i", 0)
        arguments = tmp_path / str(number), gate, won
        processes = [FORK.Process(target=race, args=arguments) for _ in range(6)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert won.value == 1


def in_turn(folder: Path, counter: Path) -> None:
    done = 0
    while done < 50:
        try:
            with occupied(folder):
                number = int(counter.read_text())
                counter.write_text(str(number + 1))
                done += 1
        except ValueError:
            continue


def test_removing_lock_and_folder_lets_nobody_slip_in(tmp_path):
    counter = tmp_path / "counter"
    counter.write_text("0")
    arguments = tmp_path / "run", counter
    processes = [FORK.Process(target=in_turn, args=arguments) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert counter.read_text() == "200"


def _fail(number: int, *_: Any) -> None:
    raise OSError(number, os.strerror(number))


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks(number, tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", partial(_fail, number))
    with occupied(tmp_path):
        pass


@pytest.mark.parametrize("function", ["open", "mkdir"])
def test_a_folder_that_cannot_be_written(function, tmp_path, monkeypatch):
    monkeypatch.setattr(os, function, partial(_fail, errno.EROFS))
    with occupied(tmp_path / "run"):
        pass


def test_the_lock_follows_no_link(tmp_path):
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / LOCK).symlink_to(tmp_path / "precious")
    with occupied(tmp_path / "run"):
        pass
    assert (tmp_path / "precious").read_text() == "mine"
    assert (tmp_path / "run" / LOCK).is_symlink()


def folders(**settings: Any) -> tuple[list[str], list[str]]:
    trainer = pl.Trainer(accelerator="cpu", default_root_dir="root", **settings)
    return (
        [path.as_posix() for path in log_folders(trainer)],
        [path.as_posix() for path in checkpoint_folders(trainer)],
    )


def test_folders_that_a_run_writes_to(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    board, table = TensorBoardLogger("a", "b", "c", sub_dir="d"), CSVLogger("e", "f", 3)
    assert folders(logger=[board, table]) == (["a/b/c/d", "e/f/version_3"], ["a/b/c/checkpoints"])
    mine = ModelCheckpoint("mine")
    assert folders(logger=False, callbacks=[mine]) == ([], [str(tmp_path / "mine")])
    assert folders(logger=False) == ([], ["root/checkpoints"])
    assert folders(logger=False, enable_checkpointing=False) == ([], [])
