"""Recorded episodes with one agent that runs elsewhere, as support episodes to adapt on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch

from mermaide_pl.config.validation import check_number
from mermaide_pl.game import AnyGame, Game
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
    """`support_of_agents` for one agent.

    Args:
        episodes: at least one; all or none with propensities.
        target_arm: the principal's target, as the agent labels its arms.
        game: the rules.
        like: gives device and floating-point type.
        in_order: as there.

    Returns:
        Groups with M = 1.

    Raises:
        ValueError: if there is no such arm.
    """
    check_number("target_arm", target_arm, low=0, high=game.num_arms - 1)
    return support_of_agents([episodes], [target_arm], game, like, in_order=in_order)


def support_of_agents(
    agents: Sequence[Sequence[Episode]],
    target_arms: Sequence[int],
    game: AnyGame,
    like: torch.Tensor,
    *,
    in_order: bool,
) -> list[Support]:
    """Recorded episodes of M agents as support episodes, those of equal length together.

    Args:
        agents: the episodes of each, at least one; of the same lengths, all or none with
            propensities.
        target_arms: the principal's target for each, as the agent labels its arms.
        game: the rules.
        like: gives device and floating-point type.
        in_order: True if the order of the episodes counts, as for a principal that carries its
            state; then only neighbours are grouped.

    Returns:
        Groups of M tasks. Without propensities, the levels count as
        played by the principal itself.
    """
    kept = [episodes if in_order else sorted(episodes, key=len) for episodes in agents]
    places = groupby(range(len(kept[0])), key=lambda place: len(kept[0][place]))
    runs = [list(run) for _, run in places]
    return [
        _support([[episodes[place] for place in run] for episodes in kept], target_arms, game, like)
        for run in runs
    ]


def _support(
    agents: Sequence[Sequence[Episode]],
    target_arms: Sequence[int],
    game: AnyGame,
    like: torch.Tensor,
) -> Support:
    def recorded(name: str, dtype: torch.dtype) -> torch.Tensor | None:
        if getattr(agents[0][0], name) is None:
            return None
        values = [[getattr(episode, name) for episode in episodes] for episodes in agents]
        return torch.tensor(values, dtype=dtype)

    arms, levels = (recorded(name, torch.int64) for name in ("arms", "levels"))
    assert arms is not None and levels is not None
    arms, levels = arms.to(like.device), levels.to(like.device)
    rewards = recorded("agent_rewards", like.dtype)
    rewards = like.new_zeros(arms.shape) if rewards is None else rewards.to(like.device)
    chances = recorded("propensities", torch.float64)
    target = arms.new_tensor(target_arms)
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
    return Support(trajectory, None if chances is None else chances.log().to(like))
