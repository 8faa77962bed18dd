"""Atomic file writing, used for every file of the package: replaced whole or not at all."""

from __future__ import annotations

import glob
import os
import platform
import stat
import sys
import threading
from contextlib import suppress
from itertools import count
from pathlib import Path

from mermaide_pl.config.validation import one_line
from mermaide_pl.runtime.processes import is_alive


def write_whole(path: str | Path, content: str | bytes | memoryview) -> None:
    """Write a file whole or not at all: no reader sees half of it, and no crash leaves half of it.

    The content goes to a temporary file beside it, which then replaces it with the permissions of
    the old file. A link stays, and its target is replaced. Anything but a regular file
    (``/dev/stdout``, a pipe) is written to directly.

    Args:
        path: the file; its folder is created if missing.
        content: bytes, or a text, which is written in UTF-8.

    Raises:
        ValueError: one line that names the file and says why it cannot be written.
    """
    path = Path(path)
    if isinstance(content, str):  # file names in it may contain bytes that are not UTF-8
        content = content.encode("utf-8", "backslashreplace")
    try:
        _write(path, content)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ValueError(one_line(f"{path} cannot be written: {reason}")) from None


def set_aside(path: Path) -> Path:
    """Rename a file or folder to the first free name of ``NAME.1``, ``NAME.2`` and so on.

    Returns:
        Its new path.
    """
    names = (path.with_name(f"{path.name}.{number}") for number in count(1))
    return path.rename(next(name for name in names if not name.exists()))


def _write(path: Path, content: bytes | memoryview) -> None:
    try:
        old = os.stat(path)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(Path(os.path.realpath(path)), content, None)
        return
    stream = _standard_stream(old)
    if stream is None and stat.S_ISREG(old.st_mode):
        os.close(os.open(path, os.O_WRONLY))  # a read-only file is not replaced
        _replace(Path(os.path.realpath(path)), content, stat.S_IMODE(old.st_mode))
        return
    with open(path if stream is None else os.dup(stream), "wb") as file:
        file.write(content)


def _replace(path: Path, content: bytes | memoryview, mode: int | None) -> None:
    ours = f".mermaide.{platform.node()}."
    for left in path.parent.glob(f"{glob.escape(ours)}*.tmp"):
        process = left.name.removeprefix(ours).split(".")[0]
        if not (process.isdecimal() and is_alive(int(process))):
            left.unlink(missing_ok=True)  # left by a process that was killed
    beside = path.with_name(f"{ours}{os.getpid()}.{threading.get_native_id()}.tmp")
    try:
        beside.unlink(missing_ok=True)
        with beside.open("xb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)  # absent after os.replace


def _standard_stream(file: os.stat_result) -> int | None:
    """The descriptor of standard output or error if it is this file, which must stay in place."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # there may be none
            if os.path.samestat(os.fstat(stream.fileno()), file):
                stream.flush()
                return stream.fileno()
    return None
