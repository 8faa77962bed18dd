"""Distributions of the reward paid for an arm, given the arm's base reward."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from mermaide_pl.config.validation import LARGEST_REWARD, check_number


class RewardModel(ABC):
    """Distribution of an agent's own reward around the base reward of the arm it pulled."""

    def check(self, base_rewards: Tensor) -> None:
        """Refuse base rewards that this distribution cannot have; by default only huge ones.

        Raises:
            ValueError: naming the allowed range.
        """
        for extreme in (base_rewards.min().item(), base_rewards.max().item()):
            check_number("base rewards", extreme, low=-LARGEST_REWARD, high=LARGEST_REWARD)

    @abstractmethod
    def sample(self, means: Tensor, uniforms: Tensor) -> Tensor:
        """Draw rewards with the given means; `means` and `uniforms` are float [M, ...]."""

    def with_scale(self, scale: Tensor) -> RewardModel:
        """The same with a standard deviation of its own for each task, reward units, float [M].

        Raises:
            ValueError: if the standard deviation is not free to choose.
        """
        raise ValueError(f"{type(self).__name__} has no noise whose scale could be drawn")

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> RewardModel:
        """The same on another device, or with another floating-point type."""
        return self


@dataclass(frozen=True)
class GaussianReward(RewardModel):
    """Base reward plus Gaussian noise with standard deviation `scale`, in reward units."""

    scale: float = 0.1

    def __post_init__(self) -> None:
        check_number("GaussianReward.scale", self.scale, low=0.0, high=LARGEST_REWARD)

    def sample(self, means: Tensor, uniforms: Tensor) -> Tensor:
        """Add the noise."""
        return means + self.scale * torch.special.ndtri(uniforms)

    def with_scale(self, scale: Tensor) -> RewardModel:
        """See the base class."""
        return GaussianRewardPerTask(scale)


class GaussianRewardPerTask(RewardModel):
    """Base reward plus Gaussian noise with a standard deviation for each task.

    Args:
        scale: reward units, float [M].
    """

    def __init__(self, scale: Tensor) -> None:
        self.scale = scale

    def sample(self, means: Tensor, uniforms: Tensor) -> Tensor:
        """Add the noise."""
        scale = self.scale.view(-1, *[1] * (uniforms.dim() - 1))
        return means + scale * torch.special.ndtri(uniforms)

    def to(
        self, device: torch.device | str, dtype: torch.dtype | None = None
    ) -> GaussianRewardPerTask:
        """See the base class."""
        return GaussianRewardPerTask(self.scale.to(device=device, dtype=dtype))


@dataclass(frozen=True)
class BernoulliReward(RewardModel):
    """One with the base reward as probability, else zero."""

    def check(self, base_rewards: Tensor) -> None:
        """Refuse base rewards outside [0, 1], as they are probabilities here."""
        low, high = base_rewards.min().item(), base_rewards.max().item()
        if low < 0.0 or high > 1.0:
            raise ValueError(
                "BernoulliReward needs base rewards in [0, 1] (they are probabilities),"
                f" got values from {low:.3g} to {high:.3g}"
            )

    def sample(self, means: Tensor, uniforms: Tensor) -> Tensor:
        """Toss the coins."""
        return (uniforms < means).to(means.dtype)


@dataclass(frozen=True)
class NoiseFreeReward(RewardModel):
    """Exactly the base reward."""

    def sample(self, means: Tensor, uniforms: Tensor) -> Tensor:
        """The mean itself."""
        return means
