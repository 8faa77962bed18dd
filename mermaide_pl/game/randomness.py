"""Random numbers derived from the seed of a task, whatever batch it is in.

Each task has a 64-bit seed; each use of randomness is a *stream* of that task. Equal seed and
stream give equal numbers whatever the batch, its order, the number of episodes drawn along, the
number of devices or the floating-point type.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_MASK = (1 << 64) - 1
_NUMBERS_PER_COUNT = 8  # float32 numbers that Philox makes of one state of its counter


def mix(value: int) -> int:
    """Scramble 64 bits, one to one (the finaliser of splitmix64, Steele et al. 2014)."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def task_uniforms(
    seeds: Sequence[int], stream: str, shape: Sequence[int], first: int = 0
) -> Tensor:
    """Uniform numbers in the open interval (0, 1), drawn task by task.

    The first axis of `shape` can grow without changing the numbers before it.

    Args:
        seeds: one 64-bit seed per task, M of them.
        stream: name of the use of the numbers.
        shape: shape of one task's numbers.
        first: how many of each task's numbers to skip, a multiple of 8.

    Returns:
        float32 [M, *shape], on the CPU.
    """
    salt = zlib.crc32(stream.encode())
    numbers = np.empty((len(seeds), *shape), dtype=np.float32)
    if not numbers.size:
        return torch.from_numpy(numbers)
    for row, seed in zip(numbers, seeds, strict=True):
        # the key holds seed and stream side by side, so tasks cannot collide
        bits = np.random.Philox(key=seed << 32 | salt)
        generator = np.random.Generator(bits.advance(first // _NUMBERS_PER_COUNT))
        generator.random(dtype=np.float32, out=row)
    np.clip(numbers, 2.0**-25, 1.0 - 2.0**-24, out=numbers)
    return torch.from_numpy(numbers)
