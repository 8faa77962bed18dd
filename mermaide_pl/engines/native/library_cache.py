"""A folder of compiled kernels; only files that no other user can have written are loaded.

Loading a library runs its code. So the folder, the library and the digest beside it must belong to
this user, and no other user may write to them. Each is opened once, and the open file is checked
and loaded, wherever its name leads by then; so the folders above do not matter.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from mermaide_pl.engines.native.binary_interface import load

_LOGGER = logging.getLogger(__name__)
_LONGEST_WAIT = 900.0  # s, for another process that builds
_ENDS = ("", ".sha256")  # of a library and its digest


class LibraryCache:
    """A folder, made if need be and held open.

    Args:
        path: the folder.

    Raises:
        OSError: if there is none, or it is not this user's alone.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = path
        self._folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _check_own(os.fstat(self._folder), "the folder")
        except OSError:
            os.close(self._folder)
            raise

    def __enter__(self) -> LibraryCache:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._folder)

    def kernel(
        self, name: str, build: Callable[[], bytes], try_out: Callable[[str, int], None]
    ) -> ctypes.CDLL:
        """The kernel in the file `name`, built if there is no valid one.

        Args:
            name: of the file.
            build: makes the library.
            try_out: raises for a library that does not work, given a path that leads to it, and the
                number of the open file, which a child process needs to follow the path.

        Raises:
            OSError: if the folder cannot be used.
        """
        with suppress(OSError):
            return self._load(name)
        with self._locked():
            try:
                return self._load(name)  # another process may have built it
            except FileNotFoundError:
                pass
            except OSError as error:
                _LOGGER.warning("%s is rebuilt instead of loaded: %s", self._path / name, error)
            self._store(name, build(), try_out)
            return self._load(name)

    def _load(self, name: str) -> ctypes.CDLL:
        with self._open(name) as library, self._open(f"{name}.sha256") as digest:
            if digest.read() != _digest(library.read(), name):
                raise OSError(f"{name}.sha256 is the digest of another file")
            # left open: the loader takes a second file by the same path for the first
            return load(self._leads_to(os.dup(library.fileno()), name))

    def _store(self, name: str, content: bytes, try_out: Callable[[str, int], None]) -> None:
        """Replace the library by another, if that works."""
        fresh = f"{name}.new"
        try:
            self._write(fresh, content)
            with self._open(fresh) as library:
                try_out(self._leads_to(library.fileno(), fresh), library.fileno())
                self._write(f"{fresh}.sha256", _digest(content, name))
            for end in _ENDS:  # a process killed in between leaves a pair that is not valid
                os.replace(
                    fresh + end, name + end, src_dir_fd=self._folder, dst_dir_fd=self._folder
                )
        finally:
            for end in _ENDS:
                self._remove(fresh + end)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One process builds, the others wait."""
        until = time.monotonic() + _LONGEST_WAIT
        with self._open("lock", "a+b") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until:
                        raise TimeoutError(
                            "timed out waiting for another process that builds the kernel"
                        ) from None
                    time.sleep(0.1)
            yield

    @contextmanager
    def _open(self, name: str, mode: str = "rb") -> Iterator[IO[bytes]]:
        """Open a regular file that is this user's alone."""

        def in_the_folder(name: str, flags: int) -> int:
            flags |= os.O_NOFOLLOW | os.O_NONBLOCK  # no waiting for a pipe in its place
            return os.open(name, flags, 0o600, dir_fd=self._folder)

        with open(name, mode, opener=in_the_folder) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise OSError(f"{name} is not a regular file")
            _check_own(status, name)
            yield file

    def _write(self, name: str, content: bytes) -> None:
        self._remove(name)  # what a killed process left
        with self._open(name, "xb") as file:
            file.write(content)

    def _remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._folder)

    def _leads_to(self, file: int, name: str) -> str:
        """A path that leads to an open file; to its name, where the system has no such paths."""
        path = f"/proc/self/fd/{file}"
        return path if os.path.exists(path) else str(self._path / name)


def _check_own(status: os.stat_result, name: str) -> None:
    """Refuse a file that belongs to another user, or that others may write."""
    if status.st_uid != os.geteuid():
        raise PermissionError(f"{name} belongs to user {status.st_uid}, not to {os.geteuid()}")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(f"{name} is writable by others, run chmod -R go-w on it")


def _digest(content: bytes, name: str) -> bytes:
    """The line that `sha256sum` prints for a library."""
    return f"{hashlib.sha256(content).hexdigest()}  {name}\n".encode()
