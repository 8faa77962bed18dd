"""The principal's observation of a step: partial or full information, possibly noisy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from mermaide_pl.config.validation import LARGEST_REWARD, check_number, check_probability


class Observation(ABC):
    """The part of a step that the principal sees; each channel may be noisy."""

    sees_agent_rewards: bool
    arm_flip: float

    @property
    def num_uniforms(self) -> int:
        """Number of uniform numbers that a step reads; zero if no channel is noisy.

        All observations read the same ones, so that they flip the same arms.
        """
        return 3 if self.arm_flip > 0.0 else 0

    def arms(self, arms: Tensor, uniforms: Tensor, num_arms: int) -> Tensor:
        """Replace each arm, with probability `arm_flip`, by another one drawn uniformly.

        Args:
            arms: arms pulled, int64 [M, B].
            uniforms: numbers in (0, 1), float [M, B, `num_uniforms`]; the first two are used.
            num_arms: A.

        Returns:
            The arms seen, int64 [M, B], in the labels of the input.
        """
        if self.arm_flip == 0.0:
            return arms
        shift = 1 + (uniforms[..., 1] * (num_arms - 1)).long().clamp(max=num_arms - 2)
        return torch.where(uniforms[..., 0] < self.arm_flip, (arms + shift) % num_arms, arms)

    @abstractmethod
    def agent_rewards(self, rewards: Tensor, uniforms: Tensor) -> Tensor:
        """The agent's rewards as seen, float [M, B]; the third of the uniform numbers is used."""


@dataclass(frozen=True)
class PartialInformation(Observation):
    """The principal sees the arm pulled, flipped with probability `arm_flip`, and nothing else."""

    arm_flip: float = 0.0
    sees_agent_rewards = False

    def __post_init__(self) -> None:
        check_probability("PartialInformation.arm_flip", self.arm_flip)

    def agent_rewards(self, rewards: Tensor, uniforms: Tensor) -> Tensor:
        """Hide the rewards: zeros of the same shape."""
        return torch.zeros_like(rewards)


@dataclass(frozen=True)
class FullInformation(Observation):
    """The principal sees the arm and the agent's reward, each possibly noisy.

    The reward is what the agent received, bonus included, plus Gaussian noise of scale
    `reward_noise`.
    """

    arm_flip: float = 0.0
    reward_noise: float = 0.0
    sees_agent_rewards = True

    def __post_init__(self) -> None:
        check_probability("FullInformation.arm_flip", self.arm_flip)
        check_number(
            "FullInformation.reward_noise", self.reward_noise, low=0.0, high=LARGEST_REWARD
        )

    @property
    def num_uniforms(self) -> int:
        """See the base class."""
        return 3 if self.reward_noise > 0.0 else super().num_uniforms

    def agent_rewards(self, rewards: Tensor, uniforms: Tensor) -> Tensor:
        """Add the observation noise."""
        if self.reward_noise == 0.0:
            return rewards
        return rewards + self.reward_noise * torch.special.ndtri(uniforms[..., 2])
