"""Builds the native kernel on first use and keeps it in the user's cache."""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

import torch

from mermaide_pl.config.validation import one_line
from mermaide_pl.engines.native import binary_interface
from mermaide_pl.engines.native.library_cache import LibraryCache

_SOURCE = Path(__file__).parent / "csrc" / "kernel.cpp"
_LOGGER = logging.getLogger(__name__)
_LONGEST = 600.0  # s, time-out of a command

# The vector width that torch chose for this processor, and what the compiler needs for it;
# `ATEN_CPU_CAPABILITY` changes both. Nothing here relaxes IEEE arithmetic: NaN stays NaN.
_FLAGS = {
    "AVX512": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma"],
    "AVX2": ["-mavx2", "-mfma", "-mf16c"],
}


@cache
def library() -> ctypes.CDLL | str:
    """The kernel, built if it is not in the cache; or, in one line, the reason why there is none.

    The cache is ``$XDG_CACHE_HOME/mermaide_pl`` (by default ``~/.cache/mermaide_pl``).
    """
    try:
        return _library()
    except Exception as error:  # any failure of a compiler or a file system
        reason = one_line(error)[:200] or type(error).__name__
        _LOGGER.warning("native kernel not available, using PyTorch instead: %s", reason)
        return reason


def _library() -> ctypes.CDLL:
    """The kernel, from the cache or a folder of this process."""
    name, flags = _name_and_flags()
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mermaide_pl"
    build = cache(lambda: _build(flags))
    try:
        with LibraryCache(home) as kept:
            return kept.kernel(name, build, _try_out)
    except OSError as error:
        reason = one_line(f"{home}: {error}")
    _LOGGER.warning(
        "the kernel is built for this process only and not cached, set XDG_CACHE_HOME to another"
        " folder to cache it: %s",
        reason,
    )
    # some file systems do not remove what is loaded
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        LibraryCache(Path(folder)) as own,
    ):
        return own.kernel(name, build, _try_out)


def _name_and_flags() -> tuple[str, list[str]]:
    """The kernel's file name, unique to its source and options, and the compiler's options."""
    capability = torch.backends.cpu.get_cpu_capability()
    flags = ["-O3", *_FLAGS.get(capability, [])]
    flags += [f"-DCPU_CAPABILITY={capability}", f"-DCPU_CAPABILITY_{capability}"]
    key = repr((torch.__version__, platform.machine(), flags)).encode() + b"".join(
        path.read_bytes() for path in (_SOURCE, *sorted(_SOURCE.parent.glob("*.h")))
    )
    return f"kernel-{hashlib.sha256(key).hexdigest()[:16]}.so", flags


def _build(flags: list[str]) -> bytes:
    """Compile the kernel; the content of its file."""
    from torch.utils import cpp_extension  # slow to import, needed once

    compiler = shlex.split(os.environ.get("CXX") or "c++") or ["c++"]
    if shutil.which(compiler[0]) is None:
        raise RuntimeError(f"C++ compiler '{compiler[0]}' not found, set CXX to one")
    _LOGGER.info("building the native kernel, once, takes about 15 seconds ...")
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "kernel.so"
        command = [
            *compiler,
            "-std=c++20",
            "-shared",
            "-fPIC",
            "-pthread",
            "-Werror=switch",
            *flags,
            str(_SOURCE),
        ]
        command += [f"-isystem{path}" for path in cpp_extension.include_paths()]
        command += [f"-L{path}" for path in cpp_extension.library_paths()]
        command += ["-ltorch_cpu", "-lc10", "-o", str(output)]
        _run(command, f"{compiler[0]} failed")
        if not output.is_file():
            raise RuntimeError(f"{compiler[0]} wrote no library")
        _LOGGER.info("built the kernel in %.0f s", time.perf_counter() - started)
        return output.read_bytes()


def _try_out(path: str, file: int) -> None:
    """Raise for a kernel that does not load or compute, tried out in a process of its own.

    Args:
        path: leads to it.
        file: the open file that the path may refer to.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-P", binary_interface.__file__, path]
    _run(command, "the compiled library does not work", env=environment, pass_fds=(file,))


def _run(command: list[str], complaint: str, **options: Any) -> None:
    """Run a command; if it fails, raise with the reason in one line."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_LONGEST,
            **options,
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{complaint}: timed out after {_LONGEST:.0f} s") from None
    except OSError as error:
        raise RuntimeError(f"{complaint}: {error}") from None
    if done.returncode:
        ended = signal.strsignal(-done.returncode) if done.returncode < 0 else "no message"
        lines = [line for line in done.stderr.splitlines() if "error" in line]
        raise RuntimeError(f"{complaint}: {(lines or [ended])[0]}")
