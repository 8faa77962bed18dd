"""Episodes of an agent that somebody else runs, as the support that a principal adapts on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mermaide_pl.game import Game
from mermaide_pl.trajectory import Trajectory, relabel_target_first


@dataclass
class ObservedSteps:
    """What was observed of an episode, step by step: T numbers each."""

    arms: list[int] = field(default_factory=list)  # agent labels
    levels: list[int] = field(default_factory=list)  # as played
    agent_rewards: list[float] = field(default_factory=list)  # reward units, zero where hidden

    def __len__(self) -> int:
        return len(self.arms)

    def add(self, arm: int, level: int, agent_reward: float) -> None:
        """Add a step."""
        self.arms.append(arm)
        self.levels.append(level)
        self.agent_rewards.append(agent_reward)


def support_of(
    episodes: Sequence[ObservedSteps], target_arm: int, game: Game, like: Tensor
) -> Trajectory:
    """Episodes with one agent, stacked.

    Only equally long ones can be: those of full length if there are any, else those of the length
    that has the most steps in all.

    Args:
        episodes: at least one.
        target_arm: agent label.
        game: the rules.
        like: gives device and dtype.

    Returns:
        Axes [1, B, T], B the number of episodes of that length.
    """
    lengths = [len(episode) for episode in episodes]
    full = game.num_steps
    chosen = full if full in lengths else max(lengths, key=lambda T: (T * lengths.count(T), T))

    def stacked(name: str, dtype: torch.dtype) -> Tensor:
        rows = [getattr(episode, name) for episode in episodes if len(episode) == chosen]
        return torch.tensor([rows], dtype=dtype, device=like.device)

    arms, levels = stacked("arms", torch.int64), stacked("levels", torch.int64)
    agent_rewards = stacked("agent_rewards", like.dtype)
    target, aligned = torch.tensor([target_arm], device=like.device), arms == target_arm
    return Trajectory(
        arms=arms,
        levels=levels,
        aligned=aligned,
        rewards=game.principal_rewards(aligned, game.bonus_of(levels, like)),
        agent_rewards=agent_rewards,
        observed_arms=relabel_target_first(arms, target),
        observed_agent_rewards=agent_rewards,
    )
