"""Tries a kernel out, as ``python -P trial.py KERNEL``: only that process dies of a bad one.

It imports nothing of the package, to be quick.
"""

from __future__ import annotations

import ctypes
import sys

FUNCTIONS = tuple(
    f"{name}_{dtype}"
    for name in ("think", "think_backward", "think_double_backward", "encode", "play")
    for dtype in ("float32", "float64")
)
"""What the kernel exports."""


def load(path: str) -> ctypes.CDLL:
    """The kernel in a file.

    Raises:
        OSError: if it cannot be loaded, or is not ours.
    """
    kernel = ctypes.CDLL(path)
    lacking = [name for name in FUNCTIONS if not hasattr(kernel, name)]
    if lacking:
        raise OSError(f"the library has no function {lacking[0]}")
    return kernel


def seen_at_step_1(kernel: ctypes.CDLL) -> list[float]:
    """What is seen after level 1 of 2 and arm 0 of 2: levels, time of 2 steps, arms."""
    arms, levels = (ctypes.c_int64 * 2)(0, 0), (ctypes.c_int64 * 2)(1, 1)
    rewards, features = (ctypes.c_double * 2)(), (ctypes.c_double * 10)()
    sizes = (1, 1, 2, 2, 2, 1, 1, 3, 1, 0, 0, 0)
    history = (0, 0, ctypes.addressof(rewards), 0x3FF0_0000_0000_0000)  # the bits of 1.0
    arrays = [ctypes.addressof(array) for array in (arms, levels, rewards, features)]
    call = (ctypes.c_int64 * 20)(*sizes, *history, *arrays)  # `FeatureCall` in game.h
    kernel.encode_float64(call, ctypes.c_int64(1))
    return features[5:]


if __name__ == "__main__":
    import torch  # noqa: F401 -- the kernel uses its libraries

    try:
        seen = seen_at_step_1(load(sys.argv[1]))
    except OSError as error:
        sys.exit(f"error: {error}")
    if seen != [0, 1, 0.5, 1, 0]:
        sys.exit(f"error: it computes {seen}")
