"""Engines, which compute the rollouts and the principal's forward passes."""

from __future__ import annotations

from typing import get_args

from mermaide_pl.config.engine_name import EngineName
from mermaide_pl.engines.engine import Engine, TorchEngine
from mermaide_pl.engines.native.build import library
from mermaide_pl.engines.native.engine import NativeEngine
from mermaide_pl.engines.noise import Noise, Stream, draw_noise

__all__ = [
    "AUTO",
    "Engine",
    "EngineName",
    "NativeEngine",
    "Noise",
    "Stream",
    "TorchEngine",
    "choose_engine",
    "draw_noise",
]

AUTO: Engine = NativeEngine(TorchEngine())
"""C++ where it is possible, else PyTorch."""


def choose_engine(name: EngineName) -> Engine:
    """The engine of that name.

    Raises:
        ValueError: one line, if the name is unknown, or for ``native`` without a library here.
    """
    if name not in get_args(EngineName):
        raise ValueError(f"engine must be one of {', '.join(get_args(EngineName))}, got {name!r}")
    if name == "native" and isinstance(reason := library(), str):
        raise ValueError(f"engine: native is not available here ({reason}), allowed: auto, torch")
    return TorchEngine() if name == "torch" else NativeEngine(TorchEngine())
