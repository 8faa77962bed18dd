"""Recorded choices of any number of agents, as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from mermaide_pl.deployment.logs import History


@dataclass(frozen=True)
class Choices:
    """Choices of M agents, in at most B episodes of at most T steps."""

    arms: Tensor  # [M, B, T] int64, 0 where nothing was recorded
    rewards: Tensor  # [M, B, T] float64, reward units, of the arm chosen
    recorded: Tensor  # [M, B, T] bool
    num_arms: int  # A
    agents: tuple[str, ...]  # their labels

    def __post_init__(self) -> None:
        for name in ("rewards", "recorded"):
            if getattr(self, name).shape != self.arms.shape or self.arms.dim() != 3:
                raise ValueError(f"Choices.{name} must be [M, B, T] = {tuple(self.arms.shape)}")

    @classmethod
    def of(cls, history: History, num_arms: int | None = None) -> Choices:
        """Those of a history; without `num_arms` there are as many arms as were chosen, or 2."""
        pairs = zip(history.agents, history.episodes, strict=True)
        by_agent = [
            (label, [episode for _, episode in group])
            for label, group in groupby(pairs, key=lambda pair: pair[0])
        ]
        most = max(len(episodes) for _, episodes in by_agent)
        longest = max(len(episode) for episode in history.episodes)
        arms = torch.zeros(len(by_agent), most, longest, dtype=torch.int64)
        rewards = torch.zeros(arms.shape, dtype=torch.float64)
        recorded = torch.zeros(arms.shape, dtype=torch.bool)
        for place, (_, episodes) in enumerate(by_agent):
            for number, episode in enumerate(episodes):
                length = len(episode)
                arms[place, number, :length] = torch.tensor(episode.arms)
                rewards[place, number, :length] = torch.tensor(episode.agent_rewards).double()
                recorded[place, number, :length] = True
        found = max(2, int(arms.max()) + 1)
        labels = tuple(label or "1" for label, _ in by_agent)
        return cls(arms, rewards, recorded, num_arms or found, labels)

    def __len__(self) -> int:
        """M."""
        return len(self.arms)

    def chosen(self, places: Tensor | Sequence[int]) -> Choices:
        """Those of some agents, int64 [m]."""
        index = torch.as_tensor(places)
        return Choices(
            self.arms[index],
            self.rewards[index],
            self.recorded[index],
            self.num_arms,
            tuple(self.agents[place] for place in index.tolist()),
        )

    def earlier(self, share: float) -> Tensor:
        """Whether a choice is among the first of its agent, bool [M, B, T].

        Args:
            share: of each agent's choices, rounded down.
        """
        number = self.recorded.flatten(1).cumsum(1).view(self.arms.shape)
        last = (self.recorded.sum((1, 2)) * share).floor().view(-1, 1, 1)
        return self.recorded & (number <= last)


def folds_of(num_agents: int, num_folds: int, seed: int) -> Tensor:
    """Number of the fold of each agent, int64 [M], folds of equal sizes but for one agent."""
    generator = torch.Generator().manual_seed(seed)
    folds = torch.arange(num_agents) % num_folds
    return folds[torch.randperm(num_agents, generator=generator)]
