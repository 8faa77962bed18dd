from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from mermaide_pl.agents import AgentGroup, Family, GaussianReward, LearningRule, RewardModel
from mermaide_pl.game.randomness import task_uniforms


def group_of(
    families: Sequence[Family],
    base_rewards: Tensor,
    target_arm: Tensor,
    reward_model: RewardModel,
    seeds: Sequence[int],
    num_episodes: int,
    num_steps: int,
) -> AgentGroup:
    """Agents with random numbers of their own seeds."""

    def draw(part: str, seeds: Sequence[int], *size: int) -> Tensor:
        shape = num_episodes, num_steps, *size
        return task_uniforms(seeds, f"test/{part}", shape).movedim(2, 0).to(base_rewards)

    uniforms = [
        draw(
            "agent",
            [seeds[row] for row in family.rows.tolist()],
            family.rule.num_uniforms(base_rewards.shape[1]),
        )
        for family in families
    ]
    rewards = draw("reward", seeds)
    return AgentGroup(
        families,
        base_rewards,
        target_arm,
        reward_model,
        uniforms,
        rewards,
        num_episodes=num_episodes,
    )


@pytest.fixture
def make_group() -> Callable[..., AgentGroup]:
    return group_of


def play_episodes(
    agents: LearningRule | Sequence[Family],
    base_rewards: Tensor,
    *,
    num_steps: int,
    num_episodes: int = 1,
    seeds: Sequence[int] | None = None,
    target_arm: Tensor | None = None,
    bonuses: Tensor | None = None,
    reward_model: RewardModel | None = None,
) -> tuple[Tensor, Tensor]:
    """Arms int64 [M, B, T] and rewards float [M, B, T]; `bonuses` [M, T], by default none."""
    M = len(base_rewards)
    if isinstance(agents, LearningRule):
        agents = [Family(agents, torch.arange(M))]
    if bonuses is None:
        bonuses = torch.zeros(M, num_steps)
    group = group_of(
        agents,
        base_rewards,
        torch.zeros(M, dtype=torch.long) if target_arm is None else target_arm,
        reward_model or GaussianReward(scale=0.1),
        range(M) if seeds is None else seeds,
        num_episodes,
        num_steps,
    )
    arms, rewards = [], []
    for step in range(num_steps):
        bonus = bonuses[:, step : step + 1].to(base_rewards).expand(M, num_episodes)
        arms.append(group.act(step, bonus))
        rewards.append(group.learn(step, arms[-1], bonus))
    return torch.stack(arms, -1), torch.stack(rewards, -1)


@pytest.fixture
def play() -> Callable[..., tuple[Tensor, Tensor]]:
    return play_episodes
