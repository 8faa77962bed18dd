"""Compiles the native kernel, when the package is built or at first use.

It imports nothing of the package, so that `setup.py` can run it by itself.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent
_SOURCE = _FOLDER / "csrc" / "kernel.cpp"
_INTERFACE = _FOLDER / "binary_interface.py"
_LONGEST = 600.0  # s, time-out of a command

PACKAGED = _FOLDER / "kernels"
"""The folder of the kernels that were compiled when the package was built; there may be none."""

BASELINE = "DEFAULT"
"""The instruction set that every processor of a kind has."""

_FLAGS = {
    "AVX2": ("-mavx2", "-mfma"),
    "AVX512": ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma"),
}
# Beyond contraction nothing here relaxes IEEE arithmetic: NaN stays NaN.
_OPTIONS = ("-std=c++20", "-O3", "-ffp-contract=fast", "-Werror=switch", "-pthread", "-fPIC")


def instruction_sets() -> list[str]:
    """The instruction sets that kernels are compiled for here, by PyTorch's names."""
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    return [BASELINE, *(_FLAGS if is_x86 else ())]


def file_name(instruction_set: str) -> str:
    """The name of the kernel's file, unique to its source, processor and options."""
    options = (platform.machine(), *_OPTIONS, *_FLAGS.get(instruction_set, ()))
    key = repr(options).encode() + b"".join(
        path.read_bytes() for path in (_SOURCE, *sorted(_SOURCE.parent.glob("*.h")))
    )
    return f"kernel-{hashlib.sha256(key).hexdigest()[:16]}.so"


def compile_kernel(instruction_set: str) -> bytes:
    """Compile the kernel by ``c++``, or by the compiler named in ``CXX``.

    Returns:
        The content of the library's file.

    Raises:
        RuntimeError: one line, if that fails.
    """
    compiler = shlex.split(os.environ.get("CXX") or "c++") or ["c++"]
    if shutil.which(compiler[0]) is None:
        raise RuntimeError(f"C++ compiler '{compiler[0]}' not found, set CXX to one")
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "kernel.so"
        options = [*_OPTIONS, *_FLAGS.get(instruction_set, ()), "-shared", str(_SOURCE)]
        _run([*compiler, *options, "-o", str(output)], f"{compiler[0]} failed")
        if not output.is_file():
            raise RuntimeError(f"{compiler[0]} wrote no library")
        return output.read_bytes()


def try_out(path: str, *files: int) -> None:
    """Run a kernel in a process of its own, so that a bad one crashes only that.

    Args:
        path: leads to it.
        files: open files that the path may refer to.

    Raises:
        RuntimeError: one line, if it does not load or compute.
    """
    command = [sys.executable, "-I", str(_INTERFACE), path]
    _run(command, "the compiled library does not work", pass_fds=files)


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
