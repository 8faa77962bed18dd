"""Loads the native kernel that came with the package, or builds it on first use and caches it."""

from __future__ import annotations

import ctypes
import logging
import os
import tempfile
import time
from functools import cache
from pathlib import Path

import torch

from mermaide_pl.config.validation import one_line
from mermaide_pl.engines.native import binary_interface, compilation
from mermaide_pl.engines.native.library_cache import LibraryCache

_LOGGER = logging.getLogger(__name__)


@cache
def library() -> ctypes.CDLL | str:
    """The kernel for this processor; or, in one line, the reason why there is none.

    It is the one that came with the package, or else one built here and cached in
    ``$XDG_CACHE_HOME/mermaide_pl`` (by default ``~/.cache/mermaide_pl``).
    """
    try:
        name = compilation.file_name(_instruction_set())
        return _packaged(name) or _built(name)
    except Exception as error:  # any failure of a compiler or a file system
        reason = one_line(error)[:200] or type(error).__name__
        _LOGGER.warning("native kernel not available, using PyTorch instead: %s", reason)
        return reason


def _instruction_set() -> str:
    """The one that PyTorch chose for this processor; `ATEN_CPU_CAPABILITY` changes both."""
    chosen = torch.backends.cpu.get_cpu_capability()
    return chosen if chosen in compilation.instruction_sets() else compilation.BASELINE


def _packaged(name: str) -> ctypes.CDLL | None:
    """The kernel that came with the package, which is trusted as its code is.

    A source changed since then gives the kernel another name, under which none is found.
    """
    path = compilation.PACKAGED / name
    if not path.is_file():
        return None
    try:
        kernel = binary_interface.load(str(path))
        binary_interface.check(kernel)
    except OSError as error:  # built on a system with newer libraries, say
        reason = one_line(error)
        _LOGGER.warning("the kernel in the package does not work, one is built here: %s", reason)
        return None
    return kernel


def _built(name: str) -> ctypes.CDLL:
    """The kernel built here, from the cache or a folder of this process."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mermaide_pl"
    build = cache(_build)
    try:
        with LibraryCache(home) as kept:
            return kept.kernel(name, build, compilation.try_out)
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
        return own.kernel(name, build, compilation.try_out)


def _build() -> bytes:
    _LOGGER.info("building the native kernel, once, takes about 15 seconds ...")
    started = time.perf_counter()
    content = compilation.compile_kernel(_instruction_set())
    _LOGGER.info("built the kernel in %.0f s", time.perf_counter() - started)
    return content
