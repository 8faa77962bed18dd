"""Rules by which the principal's target arm is chosen."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from mermaide_pl.config.validation import check_number


class TargetRule(ABC):
    """Rule by which the principal's target arm is chosen."""

    @abstractmethod
    def choose(self, base_rewards: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
        """Choose the target arm of each task.

        Args:
            base_rewards: float [M, A].
            uniforms: uniform numbers [M, 2].

        Returns:
            Base rewards [M, A] (a rule may change the target's) and target arms, int64 [M].
        """


@dataclass(frozen=True)
class UniformTarget(TargetRule):
    """Uniform among the arms that are not the agent's best."""

    def choose(self, base_rewards: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
        """Draw a rank from second best to worst."""
        num_arms = base_rewards.shape[1]
        rank = 1 + (uniforms[:, :1] * (num_arms - 1)).long()
        order = base_rewards.argsort(dim=1, descending=True)
        return base_rewards, order.gather(1, rank).squeeze(1)


@dataclass(frozen=True)
class SecondBestTarget(TargetRule):
    """The agent's second best arm."""

    def choose(self, base_rewards: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
        """Take rank two."""
        return base_rewards, base_rewards.argsort(dim=1, descending=True)[:, 1]


@dataclass(frozen=True)
class FixedTarget(TargetRule):
    """The same arm for every agent, in agent labels; it may be the agent's best."""

    arm: int

    def __post_init__(self) -> None:
        check_number("FixedTarget.arm", self.arm, low=0)

    def choose(self, base_rewards: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
        """Return the same arm for every task."""
        num_tasks, num_arms = base_rewards.shape
        check_number("FixedTarget.arm", self.arm, high=num_arms - 1)
        return base_rewards, torch.full((num_tasks,), self.arm, device=base_rewards.device)


@dataclass(frozen=True)
class GapTarget(TargetRule):
    """A uniformly chosen non-best arm whose base reward is moved to a drawn distance from the best.

    The distance ``delta = max_a r_a - r_{a*}`` is uniform on [low, high], in reward units.
    """

    low: float = 0.1
    high: float = 0.5

    def __post_init__(self) -> None:
        check_number("GapTarget.low", self.low, low=0.0)
        check_number("GapTarget.high", self.high, low=self.low)

    def choose(self, base_rewards: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
        """Choose the arm, then set its reward to ``max - delta``."""
        base_rewards, target = UniformTarget().choose(base_rewards, uniforms)
        delta = self.low + (self.high - self.low) * uniforms[:, 1:]
        moved = base_rewards.amax(1, keepdim=True) - delta
        return base_rewards.scatter(1, target.unsqueeze(1), moved), target
