"""What the principal remembers of an episode, as the features of one step's input.

Both encodings are sums over past steps, so a whole recorded sequence is encoded by one cumulative
sum and a running game by one addition; the two give the same numbers.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mermaide_pl.game import Game


class History(ABC):
    """An encoding of (observed arms, levels, observed agent rewards) so far.

    The *event* of a step is ``[one-hot arm (A), one-hot level (L), bonus on a pulled target (1),
    bonus offered (1)]`` and, if the game shows agent rewards, ``[one-hot arm * reward (A)]``.
    """

    def event(self, arms: Tensor, levels: Tensor, agent_rewards: Tensor, game: Game) -> Tensor:
        """Encode steps.

        Args:
            arms: observed arms, principal labels (0 is the target), int64 [...].
            levels: int64 [...].
            agent_rewards: observed agent rewards, float [...].
            game: the rules.

        Returns:
            float [..., E].
        """
        arm = F.one_hot(arms, game.num_arms).to(agent_rewards)
        level = F.one_hot(levels, game.num_levels).to(agent_rewards)
        offered = game.bonus_of(levels, agent_rewards).unsqueeze(-1)
        parts = [arm, level, offered * arm[..., :1], offered]
        if game.observation.sees_agent_rewards:
            parts.append(arm * agent_rewards.unsqueeze(-1))
        return torch.cat(parts, dim=-1)

    def event_size(self, game: Game) -> int:
        """E."""
        rewards = game.num_arms if game.observation.sees_agent_rewards else 0
        return game.num_arms + game.num_levels + 2 + rewards

    @abstractmethod
    def size(self, game: Game) -> int:
        """F, the number of features."""

    @abstractmethod
    def features(self, last: Tensor, total: Tensor, step: Tensor, game: Game) -> Tensor:
        """Features of a step.

        Args:
            last: event of the step before, zeros at the first, float [..., E].
            total: sum of all events before, float [..., E].
            step: index of the step, counted from 0, float, broadcastable to [..., 1].
            game: the rules.

        Returns:
            float [..., F].
        """

    def sequence(self, arms: Tensor, levels: Tensor, agent_rewards: Tensor, game: Game) -> Tensor:
        """Features of every step of recorded episodes; inputs [M, B, T], returns [M, B, T, F]."""
        event = self.event(arms, levels, agent_rewards, game)
        last = F.pad(event, (0, 0, 1, 0))[:, :, :-1]
        step = torch.arange(arms.shape[2], device=arms.device).to(event).unsqueeze(-1)
        return self.features(last, last.cumsum(2), step, game)


@dataclass(frozen=True)
class LastStep(History):
    """The last event and the share of the episode gone by; memory is left to the recurrence."""

    def size(self, game: Game) -> int:
        """E + 1."""
        return self.event_size(game) + 1

    def features(self, last: Tensor, total: Tensor, step: Tensor, game: Game) -> Tensor:
        """``[last event, t / T]``."""
        time = (step / game.num_steps).expand(*last.shape[:-1], 1)
        return torch.cat([last, time], dim=-1)


@dataclass(frozen=True)
class Tallies(History):
    """`LastStep` plus running tallies: counting to T is not left to the recurrence.

    Tallies: log pulls of each arm, share of steps each arm took, bonus paid and offered so far per
    T, mean bonus of a target pull; and with full information each arm's mean reward.
    """

    def size(self, game: Game) -> int:
        """E + 1 + 2A + 3, and A more with full information."""
        means = game.num_arms if game.observation.sees_agent_rewards else 0
        return self.event_size(game) + 1 + 2 * game.num_arms + 3 + means

    def features(self, last: Tensor, total: Tensor, step: Tensor, game: Game) -> Tensor:
        """``[last event, t / T, tallies]``."""
        num_arms, horizon = game.num_arms, game.num_steps
        pulls = total[..., :num_arms]
        paid_offered = total[..., num_arms + game.num_levels :][..., :2]
        parts = [
            last,
            (step / horizon).expand(*last.shape[:-1], 1),
            torch.log1p(pulls) / math.log1p(horizon),
            pulls / (step + 1.0),
            paid_offered / horizon,
            paid_offered[..., :1] / pulls[..., :1].clamp(min=1.0),
        ]
        if game.observation.sees_agent_rewards:
            parts.append(total[..., -num_arms:] / pulls.clamp(min=1.0))
        return torch.cat(parts, dim=-1)
