"""The game between one principal and one agent: levels, bonuses and cost."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from mermaide_pl.config.validation import (
    LARGEST_REWARD,
    check_count,
    check_number,
)
from mermaide_pl.game.observation import Observation, PartialInformation

TIE_TOLERANCE = 1e-6
"""Reward units within which two values tie, so that rounding does not decide who wins a tie."""


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
