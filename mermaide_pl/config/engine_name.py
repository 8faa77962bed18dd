"""Names of the engines."""

from typing import Literal, TypeAlias

EngineName: TypeAlias = Literal["auto", "torch", "native"]
"""``native`` (C++), ``torch``, or ``auto``: native where it is possible, else torch."""
