"""Recorded episodes of principals and agents, and the legend of all tensor axes.

Axis legend, used in every shape comment of the package:

====== =====================================================================
``M``  tasks; one task is one learning agent with its base rewards and target
``B``  episodes played with each task, independent of each other
``T``  steps of an episode
``A``  arms of the agent
``L``  intervention levels of the principal; level 0 is "do not intervene"
``C``  columns of the pay-off table: the target and, if they are paid too, the others
``H``  hidden units of the recurrent state
``F``  features of one step's input
====== =====================================================================

Two labellings of the arms occur. *Agent labels* index ``base_rewards``. *Principal labels*
swap the target arm with arm 0, so that for every learned principal "arm 0" is the arm it wants
(`relabel_target_first`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import Field, dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from mermaide_pl.game.budget import allowed_levels
from mermaide_pl.game.game_batch import AnyGame


def relabel_target_first(arms: Tensor, target_arm: Tensor) -> Tensor:
    """Swap the labels of arm 0 and of each task's target arm; its own inverse.

    Args:
        arms: arms in either labelling, int64 [M, ...].
        target_arm: each task's target in agent labels, int64 [M].

    Returns:
        The arms in the other labelling, int64, same shape.
    """
    target = target_arm.view(-1, *[1] * (arms.dim() - 1))
    swapped = torch.where(arms == target, torch.zeros_like(arms), arms)
    return torch.where(arms == 0, target.expand_as(arms), swapped)


@dataclass(frozen=True)
class Trajectory:
    """Recorded episodes of M tasks.

    Rewards are in reward units. `levels` were chosen before `arms` of the same step.
    """

    arms: Tensor  # [M, B, T] int64, arm pulled, agent labels
    levels: Tensor  # [M, B, T] int64, intervention level chosen
    aligned: Tensor  # [M, B, T] bool, the target arm was pulled
    rewards: Tensor  # [M, B, T] float, principal's reward, from the true arms, not the observed
    agent_rewards: Tensor  # [M, B, T] float, reward the agent received, bonus included
    observed_arms: Tensor  # [M, B, T] int64, what the principal saw, principal labels
    observed_agent_rewards: Tensor  # [M, B, T] float, zero where the principal cannot see it
    game: AnyGame  # the rules by which they were played

    def __post_init__(self) -> None:
        for field in self.records():
            shape = getattr(self, field.name).shape
            if shape != self.arms.shape or len(shape) != 3:
                raise ValueError(
                    f"Trajectory.{field.name} must be [M, B, T] = {tuple(self.arms.shape)},"
                    f" got {tuple(shape)}"
                )

    @classmethod
    def records(cls) -> tuple[Field[Any], ...]:
        """The fields that are tensors [M, B, T]."""
        return tuple(field for field in fields(cls) if field.name != "game")

    @classmethod
    def of(
        cls,
        game: AnyGame,
        target_arm: Tensor,
        *,
        arms: Tensor,
        levels: Tensor,
        agent_rewards: Tensor,
        observed_arms: Tensor,
        observed_agent_rewards: Tensor,
    ) -> Trajectory:
        """Build a trajectory from the recorded tensors; alignment and rewards follow from them.

        Args:
            game: the rules.
            target_arm: each task's target in agent labels, int64 [M].
            arms: as the field of that name, like the rest.
            levels: see above.
            agent_rewards: see above.
            observed_arms: see above.
            observed_agent_rewards: see above.
        """
        aligned = arms == target_arm[:, None, None]
        return cls(
            arms=arms,
            levels=levels,
            aligned=aligned,
            rewards=game.principal_rewards(aligned, game.outlay_of(levels, agent_rewards)),
            agent_rewards=agent_rewards,
            observed_arms=observed_arms,
            observed_agent_rewards=observed_agent_rewards,
            game=game,
        )

    def map(self, function: Callable[[Tensor], Tensor]) -> Trajectory:
        """The same with a function applied to every tensor."""
        changed: dict[str, Any] = {
            item.name: function(getattr(self, item.name)) for item in self.records()
        }
        return replace(self, **changed)

    def steps(self, chosen: slice) -> Trajectory:
        """Some of the steps."""
        return self.map(lambda record: record[:, :, chosen])

    def per_episode(self) -> Trajectory:
        """Each episode as a task of its own, [M * B, 1, T]."""
        _, num_episodes, num_steps = self.arms.shape
        one = self.map(lambda record: record.reshape(-1, 1, num_steps))
        return replace(one, game=self.game.repeated(num_episodes))

    def episodes(self, chosen: slice) -> Trajectory:
        """Some of the episodes."""
        return self.map(lambda record: record[:, chosen])

    @classmethod
    def joined(cls, parts: Sequence[Trajectory]) -> Trajectory:
        """Episodes with the same tasks, one after the other along B."""
        joined = {
            item.name: torch.cat([getattr(part, item.name) for part in parts], dim=1)
            for item in cls.records()
        }
        return cls(**joined, game=parts[0].game)

    @property
    def allowed_levels(self) -> Tensor | None:
        """Levels that the budgets left at every step, bool [M, B, T, L]; None without budgets."""
        if not self.game.has_budget:
            return None
        pays = self.game.interventions_of(self.levels, self.rewards)
        step = torch.arange(self.levels.shape[2], device=pays.device).to(pays).unsqueeze(-1)
        return allowed_levels(self.game, pays.cumsum(2) - pays, step)

    @property
    def returns(self) -> Tensor:
        """Mean principal's reward per episode, float [M, B]."""
        return self.rewards.mean(-1)

    @property
    def alignment(self) -> Tensor:
        """Share of steps on which the target arm was pulled, float [M, B]."""
        return self.aligned.to(self.rewards.dtype).mean(-1)

    @property
    def intervention_rate(self) -> Tensor:
        """Share of steps with an intervention (level above 0), float [M, B]."""
        return (self.levels > 0).to(self.rewards.dtype).mean(-1)
