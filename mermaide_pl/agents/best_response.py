"""The Stackelberg follower."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mermaide_pl.agents.base import LearningRule
from mermaide_pl.game import TIE_TOLERANCE


@dataclass
class BestResponse(LearningRule):
    """Knows its base rewards, sees the bonus on offer, and plays the best reply.

    ``argmax_a base_reward_a + bonus * 1[a = a*]``; ties go to the principal (within
    `TIE_TOLERANCE`). It learns nothing.

    Source: the follower of the single-round game, Banerjee et al., "MERMAIDE", TMLR 2023.
    """

    sees_bonus: ClassVar[bool] = True
    best_responds: ClassVar[bool] = True

    def num_uniforms(self, num_arms: int) -> int:
        """None: the reply is deterministic."""
        return 0

    def init(
        self, base_rewards: Tensor, target_arm: Tensor, num_episodes: int
    ) -> tuple[Tensor, Tensor]:
        """The known quantities: base rewards [M, A] and the target arm as a mask [M, A]."""
        is_target = torch.zeros_like(base_rewards).scatter_(1, target_arm.unsqueeze(1), 1.0)
        return base_rewards, is_target

    def act(self, state: tuple[Tensor, Tensor], bonus: Tensor, uniforms: Tensor) -> Tensor:
        """The best reply to the bonus."""
        base_rewards, is_target = (part.unsqueeze(1) for part in state)
        values = base_rewards + bonus.unsqueeze(-1) * is_target
        is_best = values >= values.amax(-1, keepdim=True) - TIE_TOLERANCE
        return (is_best * (1.0 + is_target)).argmax(-1)

    def update(
        self, state: tuple[Tensor, Tensor], arms: Tensor, rewards: Tensor, uniforms: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the state unchanged: the rule does not learn."""
        return state
