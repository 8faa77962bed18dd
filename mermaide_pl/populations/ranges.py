"""Ranges from which numbers of agents and games are drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from mermaide_pl.config.validation import check_number


@dataclass(frozen=True)
class Interval:
    """Values drawn from [low, high], uniformly or, with `log`, with a uniform logarithm."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        check_number("Interval.low", self.low)
        check_number("Interval.high", self.high, low=self.low)
        if self.log:
            check_number("Interval.low of a logarithmic interval", self.low, above=0.0)


@dataclass(frozen=True)
class Usually:
    """`value` with probability `share`, else values drawn from `otherwise`."""

    value: float
    share: float
    otherwise: list[float] | Interval

    def __post_init__(self) -> None:
        check_number("Usually.value", self.value)
        check_number("Usually.share", self.share, low=0.0, high=1.0)
        if not isinstance(self.otherwise, Interval) and not self.otherwise:
            raise ValueError("Usually.otherwise: the list of values is empty")


Range: TypeAlias = float | list[float] | Interval | Usually
"""One value, a list to choose from uniformly, an interval, or mostly one value."""


def corners(values: Range) -> list[float]:
    """The values of a list, or the ends of an interval."""
    if isinstance(values, Usually):
        return [values.value, *corners(values.otherwise)]
    if isinstance(values, Interval):
        return [values.low, values.high]
    return values if isinstance(values, list) else [values]


def draw(values: Range, uniforms: Tensor) -> Tensor:
    """Values drawn from a range, float64, from uniform numbers of any shape."""
    uniforms = uniforms.double()
    if isinstance(values, Usually):
        beyond = (uniforms - values.share) / (1.0 - values.share or 1.0)
        others = draw(values.otherwise, beyond.clamp(0.0, 1.0 - 2.0**-52))
        return torch.where(uniforms < values.share, values.value, others)
    if not isinstance(values, Interval):
        choices = torch.tensor(values, dtype=torch.float64).reshape(-1)
        return choices[(uniforms * len(choices)).long()]
    if values.log:
        low, high = math.log(values.low), math.log(values.high)
        return (low + (high - low) * uniforms).exp()
    return values.low + (values.high - values.low) * uniforms


def in_words(values: Range) -> str:
    """The range, for people."""
    if isinstance(values, Usually):
        return f"{values.value:g} ({values.share:.0%}), {in_words(values.otherwise)}"
    if isinstance(values, Interval):
        return f"{values.low:g} to {values.high:g}"
    return ", ".join(f"{value:g}" for value in (values if isinstance(values, list) else [values]))
