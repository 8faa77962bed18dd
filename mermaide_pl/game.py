"""The game between one principal and one agent: levels, bonuses, cost and what is observed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from mermaide_pl.config.validation import (
    LARGEST_REWARD,
    check_count,
    check_number,
    check_probability,
)

TIE_TOLERANCE = 1e-6
"""Reward units within which two values tie, so that rounding does not decide who wins a tie."""


class Observation(ABC):
    """What the principal gets to see of a step; each channel may be noisy."""

    sees_agent_rewards: bool
    arm_flip: float

    def arms(self, arms: Tensor, uniforms: Tensor, num_arms: int) -> Tensor:
        """Replace each arm, with probability `arm_flip`, by another one drawn uniformly.

        Args:
            arms: arms pulled, int64 [M, B].
            uniforms: uniform numbers in (0, 1), float [M, B, 3]; the first two are used.
            num_arms: A.

        Returns:
            The arms seen, int64 [M, B], labelled as the input.
        """
        if self.arm_flip == 0.0:
            return arms
        shift = 1 + (uniforms[..., 1] * (num_arms - 1)).long().clamp(max=num_arms - 2)
        return torch.where(uniforms[..., 0] < self.arm_flip, (arms + shift) % num_arms, arms)

    @abstractmethod
    def agent_rewards(self, rewards: Tensor, uniforms: Tensor) -> Tensor:
        """The agent's rewards as seen, float [M, B]; uniforms [M, B, 3], the third is used."""


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

    def agent_rewards(self, rewards: Tensor, uniforms: Tensor) -> Tensor:
        """Add the observation noise."""
        if self.reward_noise == 0.0:
            return rewards
        return rewards + self.reward_noise * torch.special.ndtri(uniforms[..., 2])


@dataclass(frozen=True)
class Game:
    """Rules of the game, the same for every agent.

    Principal's reward of a step: ``1[a_t = a*] - cost * bonuses[u_t]``; the cost is paid whether or
    not the target was pulled. The agent receives ``bonuses[u_t] * 1[a_t = a*]`` on top of its own
    reward.

    Args:
        num_arms: A, at least 2.
        num_steps: T, steps of an episode, at least 1.
        bonuses: bonus of each level in reward units; the first is 0, the rest are above 0.
        cost: what the principal pays for one unit of bonus.
        observation: what the principal sees.
    """

    num_arms: int = 10
    num_steps: int = 200
    bonuses: tuple[float, ...] = (0.0, 1.0)
    cost: float = 0.5
    observation: Observation = PartialInformation()

    def __post_init__(self) -> None:
        check_count("Game.num_arms", self.num_arms, low=2)
        check_count("Game.num_steps", self.num_steps, low=1)
        check_number("Game.cost", self.cost, low=0.0, high=LARGEST_REWARD)
        for bonus in self.bonuses:
            check_number("Game.bonuses", bonus, low=-LARGEST_REWARD, high=LARGEST_REWARD)
        object.__setattr__(self, "bonuses", tuple(float(bonus) for bonus in self.bonuses))
        if len(self.bonuses) < 2 or self.bonuses[0] != 0.0:
            raise ValueError(
                f"Game.bonuses must start with 0 and hold at least 2 levels, got {self.bonuses}"
            )
        for bonus in self.bonuses[1:]:
            check_number("Game.bonuses (after the first)", bonus, above=0.0)

    def __str__(self) -> str:
        """The numbers of the game, for people."""
        bonuses = ", ".join(f"{bonus:g}" for bonus in self.bonuses)
        sees = "full" if self.observation.sees_agent_rewards else "partial"
        return (
            f"{self.num_arms} arms, {self.num_steps} steps, bonuses {bonuses}, cost {self.cost:g},"
            f" {sees} information"
        )

    @property
    def num_levels(self) -> int:
        """L."""
        return len(self.bonuses)

    def bonus_of(self, levels: Tensor, like: Tensor) -> Tensor:
        """Bonus of each level, in reward units, with the dtype of `like`."""
        return _bonus_table(self.bonuses, like.dtype, levels.device)[levels]

    def principal_rewards(self, aligned: Tensor, bonus: Tensor) -> Tensor:
        """Principal's reward ``1[a_t = a*] - cost * b(u_t)``.

        Args:
            aligned: whether the target arm was pulled, bool, any shape.
            bonus: bonus put on the target arm in that step, float, same shape.
        """
        return aligned.to(bonus.dtype) - self.cost * bonus


@cache
def _bonus_table(bonuses: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(bonuses, dtype=dtype, device=device)
