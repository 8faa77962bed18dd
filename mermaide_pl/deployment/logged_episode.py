"""Recorded episodes with one agent that runs elsewhere, as support episodes to adapt on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch

from mermaide_pl.config.validation import check_number
from mermaide_pl.game import Game
from mermaide_pl.game.trajectory import Trajectory, relabel_target_first
from mermaide_pl.meta_learning.support import Support


@dataclass(frozen=True)
class Episode:
    """Observations of one episode, of at most T steps."""

    arms: list[int]  # arm pulled, agent labels
    levels: list[int]  # intervention level chosen
    agent_rewards: list[float] | None  # reward units, bonus included; None if not recorded
    propensities: list[float] | None  # probability of the level chosen; None if not recorded

    def __len__(self) -> int:
        return len(self.arms)

    def add(self, arm: int, level: int, agent_reward: float) -> None:
        """Add a step of an episode whose rewards are recorded."""
        assert self.agent_rewards is not None
        self.arms.append(arm)
        self.levels.append(level)
        self.agent_rewards.append(agent_reward)

    def until(self, step: int) -> Episode:
        """The steps before `step`."""
        rewards, propensities = self.agent_rewards, self.propensities
        return Episode(
            self.arms[:step],
            self.levels[:step],
            rewards and rewards[:step],
            propensities and propensities[:step],
        )


def support_of(
    episodes: Sequence[Episode],
    target_arm: int,
    game: Game,
    like: torch.Tensor,
    *,
    in_order: bool,
) -> list[Support]:
    """Recorded episodes of one agent as support episodes, those of equal length together.

    Args:
        episodes: at least one; all or none with propensities.
        target_arm: the principal's target, as the agent labels its arms.
        game: the rules.
        like: gives device and floating-point type.
        in_order: True if the order of the episodes counts, as for a principal that carries its
            state; then only neighbours are grouped.

    Returns:
        Groups with M = 1. Without propensities, the levels count as
        played by the principal itself.

    Raises:
        ValueError: if there is no such arm.
    """
    check_number("target_arm", target_arm, low=0, high=game.num_arms - 1)
    kept = episodes if in_order else sorted(episodes, key=len)
    runs = [list(run) for _, run in groupby(kept, key=len)]
    return [_support(run, target_arm, game, like) for run in runs]


def _support(
    episodes: Sequence[Episode], target_arm: int, game: Game, like: torch.Tensor
) -> Support:
    arms = like.new_tensor([[episode.arms for episode in episodes]], dtype=torch.int64)
    levels = like.new_tensor([[episode.levels for episode in episodes]], dtype=torch.int64)
    rewards = like.new_zeros(arms.shape)
    if episodes[0].agent_rewards is not None:
        rewards = like.new_tensor([[episode.agent_rewards for episode in episodes]])
    behaviour = None
    if episodes[0].propensities is not None:
        chances = [[episode.propensities for episode in episodes]]
        behaviour = torch.tensor(chances, dtype=torch.float64).log().to(like)
    target = arms.new_tensor([target_arm])
    sees_rewards = game.observation.sees_agent_rewards
    trajectory = Trajectory.of(
        game,
        target,
        arms=arms,
        levels=levels,
        agent_rewards=rewards,
        observed_arms=relabel_target_first(arms, target),
        observed_agent_rewards=rewards if sees_rewards else torch.zeros_like(rewards),
    )
    return Support(trajectory, behaviour)
