"""A meta-batch of tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mermaide_pl.agents import AgentGroup, Family, LearningRule, RewardModel
from mermaide_pl.game import AnyGame, Game, GameBatch


class TaskBatch:
    """A batch of M tasks: agents with their base rewards and the principal's target arms.

    Args:
        seeds: one 64-bit seed per task, the source of all its randomness.
        families: learning rules with the rows they cover.
        base_rewards: float [M, A], reward units.
        target_arm: int64 [M], agent labels.
        reward_model: distribution of the agents' own rewards.
        games: the game of each task, where the population draws it; None leaves it open.
        sizes_seed: 64-bit seed by which the sizes of the games were drawn.
    """

    # A plain class: Lightning takes dataclasses apart and cannot rebuild frozen ones.
    def __init__(
        self,
        seeds: Sequence[int],
        families: Sequence[Family],
        base_rewards: Tensor,
        target_arm: Tensor,
        reward_model: RewardModel,
        games: GameBatch | None = None,
        sizes_seed: int = 0,
    ) -> None:
        self.seeds = list(seeds)
        self.families = list(families)
        self.base_rewards = base_rewards
        self.target_arm = target_arm
        self.reward_model = reward_model
        self.games = games
        self.sizes_seed = sizes_seed

    def __len__(self) -> int:
        return len(self.seeds)

    @property
    def delta(self) -> Tensor:
        """Gap between each agent's best arm and its target, ``max_a r_a - r_{a*}``, float [M]."""
        target_reward = self.base_rewards.gather(1, self.target_arm.unsqueeze(1)).squeeze(1)
        return self.base_rewards.amax(1) - target_reward

    @property
    def sees_bonus(self) -> Tensor:
        """Mask of the agents that see the bonus before they act, bool [M]."""
        return self._mask(lambda rule: rule.sees_bonus)

    @property
    def best_responds(self) -> Tensor:
        """Mask of the agents that know what every arm pays, and pick the best, bool [M]."""
        return self._mask(lambda rule: rule.best_responds)

    def _mask(self, has: Callable[[LearningRule], bool]) -> Tensor:
        mask = torch.zeros(len(self), dtype=torch.bool, device=self.base_rewards.device)
        for family in self.families:
            mask[family.rows] = has(family.rule)
        return mask

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> TaskBatch:
        """The same tasks on another device, or with another floating-point type."""
        return TaskBatch(
            self.seeds,
            [Family(family.rule, family.rows.to(device)) for family in self.families],
            self.base_rewards.to(device=device, dtype=dtype),
            self.target_arm.to(device),
            self.reward_model.to(device, dtype),
            None if self.games is None else self.games.to(self.base_rewards.to(device, dtype)),
            self.sizes_seed,
        )

    def game(self, default: Game) -> AnyGame:
        """The games that the population drew for these tasks, or else the given one."""
        return default if self.games is None else self.games

    def agents(
        self, uniforms: Sequence[Tensor], reward_uniforms: Tensor, *, num_episodes: int
    ) -> AgentGroup:
        """Build the agents, untrained and ready to play; see `AgentGroup`."""
        return AgentGroup(
            self.families,
            self.base_rewards,
            self.target_arm,
            self.reward_model,
            uniforms,
            reward_uniforms,
            num_episodes=num_episodes,
        )
