"""Distributions of the base rewards of agents."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from mermaide_pl.config.validation import check_number


class BaseRewards(ABC):
    """Distribution of the base rewards of one agent."""

    @property
    def num_arms(self) -> int | None:
        """A, if it is fixed."""
        return None

    @abstractmethod
    def draw(self, uniforms: Tensor) -> Tensor:
        """Base rewards in reward units, float [M, A], from uniform numbers [M, A]."""


@dataclass(frozen=True)
class UniformRewards(BaseRewards):
    """Independent and uniform on [low, high]."""

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        check_number("UniformRewards.low", self.low)
        check_number("UniformRewards.high", self.high, above=self.low)

    def draw(self, uniforms: Tensor) -> Tensor:
        """Stretch the uniform numbers."""
        return self.low + (self.high - self.low) * uniforms


@dataclass(frozen=True)
class NormalRewards(BaseRewards):
    """Independent normal with `mean` and `scale`, truncated to [low, high]."""

    mean: float = 0.5
    scale: float = 0.2
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        check_number("NormalRewards.mean", self.mean)
        check_number("NormalRewards.scale", self.scale, above=0.0)
        check_number("NormalRewards.low", self.low)
        check_number("NormalRewards.high", self.high, above=self.low)

    def draw(self, uniforms: Tensor) -> Tensor:
        """Invert the truncated normal distribution function."""
        bounds = (torch.tensor([self.low, self.high]) - self.mean) / self.scale
        below_low, below_high = torch.special.ndtr(bounds.double())
        quantile = torch.special.ndtri(below_low + (below_high - below_low) * uniforms.double())
        return (self.mean + self.scale * quantile).to(uniforms).clamp(self.low, self.high)


@dataclass(frozen=True)
class FixedRewards(BaseRewards):
    """The same base rewards for every agent."""

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        for value in self.values:
            check_number("FixedRewards.values", value)
        object.__setattr__(self, "values", tuple(float(value) for value in self.values))

    @property
    def num_arms(self) -> int:
        """As many as there are values."""
        return len(self.values)

    def draw(self, uniforms: Tensor) -> Tensor:
        """Return the same values for every task."""
        if len(self.values) != uniforms.shape[1]:
            raise ValueError(
                f"FixedRewards.values has {len(self.values)} values for {uniforms.shape[1]} arms"
            )
        return torch.tensor(self.values).to(uniforms).expand_as(uniforms).clone()


@dataclass(frozen=True)
class EqualRewards(BaseRewards):
    """The same base reward for every arm of every agent, whatever their number."""

    value: float = 0.0

    def __post_init__(self) -> None:
        check_number("EqualRewards.value", self.value)

    def draw(self, uniforms: Tensor) -> Tensor:
        """Return the value for every arm."""
        return torch.full_like(uniforms, self.value)
