"""Sharing of the cores: all for the kernel, one for PyTorch's small operations.

Around the kernel PyTorch runs some hundred operations of a fraction of a millisecond. Splitting
each over threads gains little on a quiet machine, and beside a busy neighbour every one of them
waits for a thread that is not running: measured there, 30 times the time. The kernel hands out
whole tasks instead, so that a thread that is held up delays one task.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

LARGE = 1 << 22
"""Numbers in a tensor from which on PyTorch keeps its threads."""

_kernel_threads: int | None = None


def kernel_threads() -> int:
    """Threads of the kernel: those of PyTorch (`torch.set_num_threads`, ``OMP_NUM_THREADS``)."""
    return _kernel_threads or torch.get_num_threads()


@contextmanager
def one_thread_for_torch(largest: int) -> Iterator[None]:
    """Run PyTorch's operations on one thread, unless they are large; not the kernel.

    Args:
        largest: numbers in the largest tensor of the work inside.
    """
    global _kernel_threads
    before, outer = torch.get_num_threads(), _kernel_threads
    if largest >= LARGE:
        yield
        return
    _kernel_threads = kernel_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        _kernel_threads = outer
