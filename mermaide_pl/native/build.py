"""Builds the native kernel on first use and keeps it in the user's cache."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import logging
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

Kernel: TypeAlias = Literal["auto", "torch", "native"]
"""Which code runs the hot loops: ``native`` C++, ``torch``, or ``auto``, native where it can be."""

_SOURCE = Path(__file__).with_name("kernel.cpp")
_LOGGER = logging.getLogger(__name__)

# The vector width that torch chose for this processor, and what the compiler needs for it;
# `ATEN_CPU_CAPABILITY` changes both. Nothing here relaxes IEEE arithmetic: NaN stays NaN.
_FLAGS = {
    "AVX512": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma"],
    "AVX2": ["-mavx2", "-mfma", "-mf16c"],
}


@cache
def library() -> ctypes.CDLL | str:
    """The kernel, built if it is not in the cache; or, in one line, why there is none.

    The cache is ``$XDG_CACHE_HOME/mermaide_pl`` (by default ``~/.cache/mermaide_pl``).
    """
    try:
        return ctypes.CDLL(str(_built()))
    except Exception as error:  # whatever a compiler or a file system may come up with
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        _LOGGER.warning("no native kernel, PyTorch runs instead: %s", reason)
        return reason


def _built() -> Path:
    """The kernel's file, built if it is not there."""
    capability = torch.backends.cpu.get_cpu_capability()
    flags = ["-O3", *_FLAGS.get(capability, [])]
    flags += [f"-DCPU_CAPABILITY={capability}", f"-DCPU_CAPABILITY_{capability}"]
    key = repr((torch.__version__, platform.machine(), flags)).encode() + b"".join(
        path.read_bytes() for path in (_SOURCE, *sorted(_SOURCE.parent.glob("*.h")))
    )
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mermaide_pl"
    built = home / f"kernel-{hashlib.sha256(key).hexdigest()[:16]}.so"
    if not built.is_file():
        home.mkdir(parents=True, exist_ok=True)
        with (home / "lock").open("w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # one process builds, the others wait
            if not built.is_file():
                _build(built, flags)
    return built


def check_kernel(kernel: Kernel) -> None:
    """Refuse an unknown choice, and ``native`` where there is no kernel.

    Raises:
        ValueError: one line that says why.
    """
    if kernel not in get_args(Kernel):
        raise ValueError(f"kernel must be one of {', '.join(get_args(Kernel))}, got {kernel!r}")
    if kernel == "native" and isinstance(library(), str):
        reason = library()
        raise ValueError(f"kernel: native is not available here ({reason}), allowed: auto, torch")


def uses_native(kernel: Kernel, like: Tensor) -> bool:
    """Whether the kernel computes on tensors like this one; builds it if need be."""
    computable = like.device.type == "cpu" and like.dtype in (torch.float32, torch.float64)
    return kernel != "torch" and computable and not isinstance(library(), str)


def _build(built: Path, flags: list[str]) -> None:
    from torch.utils import cpp_extension  # slow to import, needed once

    compiler = shlex.split(os.environ.get("CXX") or "c++")
    if shutil.which(compiler[0]) is None:
        raise RuntimeError(f"no C++ compiler '{compiler[0]}', set CXX to one")
    _LOGGER.info("building the native kernel, once, in about 15 seconds ...")
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=built.parent) as folder:
        output = Path(folder) / built.name
        command = [*compiler, "-std=c++20", "-shared", "-fPIC", "-pthread", *flags, str(_SOURCE)]
        command += [f"-isystem{path}" for path in cpp_extension.include_paths()]
        command += [f"-L{path}" for path in cpp_extension.library_paths()]
        command += ["-ltorch_cpu", "-lc10", "-o", str(output)]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "error" in line]
            raise RuntimeError(f"{compiler[0]} failed: {(lines or ['no message'])[0]}")
        os.replace(output, built)  # whole or not at all
    _LOGGER.info("built %s in %.0f s", built, time.perf_counter() - started)
