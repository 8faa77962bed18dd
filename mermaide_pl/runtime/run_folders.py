"""Folders of a run, and locks that stop two runs from writing to the same one."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.cli import SaveConfigCallback
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

from mermaide_pl.config.validation import one_line

LOCK = ".mermaide.lock"
"""Name of the lock file in an occupied folder; one left behind by a killed run locks nothing."""
_ATTEMPTS = 100  # each fails only if another run has ended at that moment
_PAUSE = 1.0  # seconds between two attempts of one that waits
_held: dict[Path, int] = {}  # folders of this process, and the files that hold the locks


@contextmanager
def occupied(*folders: str | Path, patience: float = 0.0) -> Iterator[None]:
    """Lock folders for this process; missing ones are created, and removed again if left empty.

    The system holds the lock and frees it when the process ends, in whatever way. Children do not
    inherit it. A process may lock a folder again that it holds already. A folder that cannot be
    written to, or whose file system has no locks, is not protected.

    Args:
        folders: paths; those that are not local are ignored.
        patience: seconds to wait for another process that holds a folder.

    Raises:
        ValueError: one line that names the folder, and the process that holds it.
    """
    with ExitStack() as taken:
        for folder in folders:
            path = Path(folder).resolve()
            if path in _held or "://" in str(folder):
                continue
            is_new = not path.exists()
            file = _lock(path, folder, patience)
            if file is not None:
                _held[path] = file
                taken.callback(_free, path, is_new)
        yield


def _lock(path: Path, named: str | Path, patience: float) -> int | None:
    """Lock a folder; the open lock file, or None if the folder cannot be locked."""
    for _ in range(_ATTEMPTS):
        try:
            path.mkdir(parents=True, exist_ok=True)
            file = _opened(path / LOCK)
        except FileNotFoundError:  # another run has ended, and removed the folder
            continue
        except OSError:  # the first write there reports why it is impossible
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = one_line(os.pread(file, 200, 0).decode(errors="replace")) or "another process"
            os.close(file)
            if patience > 0.0:
                time.sleep(_PAUSE)
                return _lock(path, named, patience - _PAUSE)
            raise ValueError(
                f"{named} is in use by another run, {holder}: choose another folder, or wait until"
                " that one has ended"
            ) from None
        except OSError:
            os.close(file)
            return None
        if _is_at(file, path / LOCK):
            with suppress(OSError):  # the lock is valid without its text
                os.ftruncate(file, 0)
                os.pwrite(file, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
            return file
        os.close(file)
    return None


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except PermissionError:  # left by a run of another user
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)


def _is_at(file: int, path: Path) -> bool:
    """True if an open file is still at its path."""
    try:
        return os.path.samestat(os.fstat(file), path.lstat())
    except OSError:
        return False


def _free(path: Path, is_new: bool) -> None:
    file = _held.pop(path, None)
    if file is None:  # this is a child of the process that has it
        return
    with suppress(OSError):
        if _is_at(file, path / LOCK):
            (path / LOCK).unlink()
        if is_new:
            path.rmdir()  # if nothing is in it
    os.close(file)


def _disown() -> None:
    while _held:
        os.close(_held.popitem()[1])


os.register_at_fork(after_in_child=_disown)


def log_folders(trainer: pl.Trainer) -> list[Path]:
    """Folders of a trainer's CSV and TensorBoard loggers, or else of its saved configuration."""
    folders = [
        Path(logger.log_dir)
        for logger in trainer.loggers
        if isinstance(logger, CSVLogger | TensorBoardLogger)
    ]
    callbacks = vars(trainer)["callbacks"]  # which has no type
    if not trainer.loggers and any(isinstance(one, SaveConfigCallback) for one in callbacks):
        folders.append(Path(trainer.default_root_dir))
    return folders


def checkpoint_folders(trainer: pl.Trainer) -> list[Path]:
    """Folders to which a trainer writes checkpoints, known also before it has begun."""
    folder = trainer.default_root_dir
    if trainer.loggers:  # as Lightning does
        logger = trainer.loggers[0]
        version = logger.version
        version = version if isinstance(version, str) else f"version_{version}"
        folder = os.path.join(logger.save_dir or folder, str(logger.name), version)
    return [
        Path(getattr(callback, "dirpath", None) or os.path.join(folder, "checkpoints"))
        for callback in trainer.checkpoint_callbacks
    ]
