"""Agents of several families side by side: the agents of one meta-batch during a rollout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from mermaide_pl.agents.base import LearningRule
from mermaide_pl.agents.rewards import RewardModel


@dataclass(frozen=True)
class Family:
    """The tasks of a batch that share a learning rule."""

    rule: LearningRule  # hyper-parameters of the m tasks below
    rows: Tensor  # [m] int64, their indices among the M tasks, ascending


class AgentGroup:
    """M agents, B independent copies of each, playing T steps.

    Args:
        families: learning rules and the tasks they cover; together every task once.
        base_rewards: float [M, A].
        target_arm: int64 [M], agent labels.
        reward_model: distribution of the agents' own rewards.
        uniforms: numbers of each family's rule, float [T, m, B, K], or 1 for B if an agent draws
            the same in all its episodes.
        reward_uniforms: numbers of the agents' own rewards, float [T, M, B], or 1 for B.
        num_episodes: B.
    """

    def __init__(
        self,
        families: Sequence[Family],
        base_rewards: Tensor,
        target_arm: Tensor,
        reward_model: RewardModel,
        uniforms: Sequence[Tensor],
        reward_uniforms: Tensor,
        *,
        num_episodes: int,
    ) -> None:
        self._families = families
        self._base_rewards = base_rewards
        self._target_arm = target_arm.unsqueeze(1)
        self._reward_model = reward_model
        self._num_episodes = num_episodes
        rows = torch.cat([family.rows for family in families])
        if sorted(rows.tolist()) != list(range(len(base_rewards))):
            raise ValueError(f"families must cover each of the {len(base_rewards)} tasks once")
        self.rules: list[LearningRule] = [family.rule.to(base_rewards) for family in families]
        self._draws = list(uniforms)
        self._reward_draws = reward_uniforms
        self._uniforms = [draws.expand(-1, -1, num_episodes, -1) for draws in uniforms]
        self._reward_uniforms = reward_uniforms.expand(-1, -1, num_episodes)
        # the bonus as passed to rules that do not see it
        self._no_bonus = base_rewards.new_zeros(len(base_rewards), num_episodes)
        self._order = None if len(families) == 1 else torch.argsort(rows)
        self.start()

    def start(self) -> None:
        """Reset the agents to the state before their first step."""
        self._states: list[Any] = [
            rule.init(
                self._base_rewards[family.rows],
                self._target_arm[family.rows, 0],
                self._num_episodes,
            )
            for family, rule in zip(self._families, self.rules, strict=True)
        ]

    def tensors(self) -> list[Tensor]:
        """All tensors in which these agents differ from others of the same families."""
        hyper_parameters = [
            getattr(rule, item.name) for rule in self.rules for item in fields(rule)
        ]
        draws = [*self._draws, self._reward_draws]
        return [self._base_rewards, self._target_arm, *draws, *hyper_parameters]

    def act(self, step: int, bonus: Tensor) -> Tensor:
        """Arms the agents pull in `step` if `bonus` [M, B] is on the target; int64 [M, B].

        It is that beyond the bonus on the others, where these are paid too. Changes nothing, so it
        also answers "what would it do if".
        """
        arms = [
            rule.act(
                state,
                self._of(family, bonus if rule.sees_bonus else self._no_bonus),
                uniforms[step],
            )
            for family, rule, state, uniforms in zip(
                self._families, self.rules, self._states, self._uniforms, strict=True
            )
        ]
        return arms[0] if self._order is None else torch.cat(arms)[self._order]

    def learn(
        self, step: int, arms: Tensor, bonus: Tensor, other_bonus: Tensor | None = None
    ) -> Tensor:
        """Pay the agents and let them learn.

        Args:
            step: index of the step.
            arms: arms pulled, int64 [M, B].
            bonus: bonus that was on the target arm, float [M, B].
            other_bonus: bonus that was on each other arm, float [M, B]; None for none.

        Returns:
            The rewards paid, bonus included, float [M, B].
        """
        rewards = self._reward_model.sample(
            self._base_rewards.gather(1, arms), self._reward_uniforms[step]
        )
        is_target = arms == self._target_arm
        rewards = rewards + bonus * is_target
        if other_bonus is not None:
            rewards = rewards + other_bonus * ~is_target
        for index, family in enumerate(self._families):
            self._states[index] = self.rules[index].update(
                self._states[index],
                self._of(family, arms),
                self._of(family, rewards),
                self._uniforms[index][step],
            )
        return rewards

    def _of(self, family: Family, values: Tensor) -> Tensor:
        return values if self._order is None else values[family.rows]
