"""Feature encodings of the history, the principal's input at each step.

A running game updates the history step by step; recorded episodes are encoded at once. Both give
the same numbers.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mermaide_pl.config.validation import check_number
from mermaide_pl.game import AnyGame, Game, allowed_levels


@dataclass
class HistoryState:
    """Everything the principal observed before a step, with any leading axes, tasks in front."""

    game: AnyGame  # the rules
    step: float | Tensor  # index of the step, from 0; a number, or [..., 1]
    last_arm: Tensor  # [..., A] float, one-hot, zeros before the first step
    last_level: Tensor  # [..., L] float, one-hot, zeros before the first step
    last_reward: Tensor  # [..., 1] float, agent's reward of the last step, zero if hidden
    pulls: Tensor  # [..., A] float, pulls of each arm
    reward_sums: Tensor  # [..., A] float, agent's rewards of each arm, zero if hidden
    latest: Tensor  # [..., A] float, 1 + step of the latest pull of each arm, 0 if never
    paid: Tensor  # [..., 1] float, bonuses paid on pulls of the target
    offered: Tensor  # [..., 1] float, bonuses offered on the target
    interventions: Tensor  # [..., C] float, steps with a bonus on the target, and on the others

    @classmethod
    def empty(cls, like: Tensor, game: AnyGame, *lead: int) -> HistoryState:
        """The empty history, with leading axes `lead` and the dtype and device of `like`."""

        def zeros(size: int) -> Tensor:
            return like.new_zeros(*lead, size)

        arms = game.num_arms
        return cls(
            game=game,
            step=0.0,
            last_arm=zeros(arms),
            last_level=zeros(game.num_levels),
            last_reward=zeros(1),
            pulls=zeros(arms),
            reward_sums=zeros(arms),
            latest=zeros(arms),
            paid=zeros(1),
            offered=zeros(1),
            interventions=zeros(len(game.signs[0])),
        )

    def add(self, arms: Tensor, levels: Tensor, agent_rewards: Tensor) -> None:
        """Add one step, in place.

        Args:
            arms: observed arms, principal labels, int64 [...].
            levels: int64 [...].
            agent_rewards: observed agent rewards, float [...].
        """
        arm, level, reward, offered, intervened = _encode(arms, levels, agent_rewards, self.game)
        self.step = self.step + 1.0
        self.last_arm, self.last_level, self.last_reward = arm, level, reward
        self.pulls += arm
        self.latest.scatter_(-1, arms.unsqueeze(-1), self.step)
        self.paid += offered * arm[..., :1]
        self.offered += offered
        self.interventions += intervened
        if self.game.observation.sees_agent_rewards:
            self.reward_sums += arm * reward

    @property
    def allowed_levels(self) -> Tensor | None:
        """Levels that the budgets leave in this step, bool [..., L]; None without budgets."""
        return allowed_levels(self.game, self.interventions, self.step)

    @classmethod
    def of_sequence(
        cls, arms: Tensor, levels: Tensor, agent_rewards: Tensor, game: AnyGame
    ) -> HistoryState:
        """The history before every recorded step; inputs [M, B, T], fields [M, B, T, ...]."""
        arm, level, reward, offered, intervened = (
            F.pad(part, (0, 0, 1, 0))[:, :, :-1]
            for part in _encode(arms, levels, agent_rewards, game)
        )
        step = torch.arange(arms.shape[2], device=arms.device).to(arm).unsqueeze(-1)
        return cls(
            game=game,
            step=step.expand(*arms.shape, 1),
            last_arm=arm,
            last_level=level,
            last_reward=reward,
            pulls=arm.cumsum(2),
            reward_sums=(arm * reward).cumsum(2),
            latest=(arm * step).cummax(2).values,
            paid=(offered * arm[..., :1]).cumsum(2),
            offered=offered.cumsum(2),
            interventions=intervened.cumsum(2),
        )


def _encode(
    arms: Tensor, levels: Tensor, agent_rewards: Tensor, game: AnyGame
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The step as features.

    Returns:
        One-hot arm [..., A], one-hot level [..., L], reward [..., 1], bonus offered on the target
        [..., 1], and whether there was one on it, and on the others [..., C].
    """
    # gathering rows of the identity is several times cheaper than torch's checked one_hot
    arm = identity(game.num_arms, agent_rewards.dtype, arms.device)[arms]
    level = identity(game.num_levels, agent_rewards.dtype, arms.device)[levels]
    offered = game.bonus_of(levels, agent_rewards)
    intervened = game.interventions_of(levels, agent_rewards)
    return arm, level, agent_rewards.unsqueeze(-1), offered.unsqueeze(-1), intervened


def identity(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The identity matrix, float [size, size]; its rows are one-hot vectors.

    It is kept for further calls, unless a graph is exported, which makes it.
    """
    make = torch.eye if torch.compiler.is_exporting() else _kept_identity
    return make(size, dtype=dtype, device=device)


@cache
def _kept_identity(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.eye(size, dtype=dtype, device=device)


@dataclass(frozen=True)
class History(ABC):
    """Slot for the encoding of the history as features.

    Features come in two groups, ``[G global ones, A * P ones of the arms]``: a forecast may treat
    all arms alike. Bonuses and rewards of the agent are measured in `unit`, so that a principal is
    independent of the units in which a game states its rewards.

    Args:
        reward_unit: reward units that count as one; None for the largest bonus of the game.
    """

    is_pooled: ClassVar[bool] = False
    """True if the global features tell of all arms, so that the recurrence reads the target's own
    besides and no other arm's."""

    reward_unit: float | None = None

    def __post_init__(self) -> None:
        if self.reward_unit is not None:
            check_number(f"{type(self).__name__}.reward_unit", self.reward_unit, above=0.0)

    def unit(self, game: AnyGame, like: Tensor) -> float | Tensor:
        """Reward units that count as one in this game; one for each task if the games differ.

        Args:
            game: the rules.
            like: float [M, ...], with which the units are to be broadcast.
        """
        return game.largest_bonus(like) if self.reward_unit is None else self.reward_unit

    @abstractmethod
    def sizes(self, game: AnyGame) -> tuple[int, int]:
        """G, the number of global features, and P, the number per arm."""

    def num_inputs(self, game: AnyGame) -> int:
        """Number of features that the recurrence reads, the first ones."""
        num_global, per_arm = self.sizes(game)
        return num_global + per_arm * (1 if self.is_pooled else game.num_arms)

    @abstractmethod
    def features(self, past: HistoryState) -> Tensor:
        """Features of a step, float [..., G + A * P], the arms' features last, arm by arm."""


@dataclass(frozen=True)
class LastStep(History):
    """The last step and the elapsed share of the episode; memory is left to the recurrence.

    Global: one-hot last level, t/T, what is left of the budgets (`budget_shares`), and with full
    information the last agent reward.
    Per arm: whether it was the last.
    """

    def sizes(self, game: AnyGame) -> tuple[int, int]:
        """See the base class."""
        sees = int(game.observation.sees_agent_rewards)
        return game.num_levels + 1 + _num_budget_shares(game) + sees, 1

    def features(self, past: HistoryState) -> Tensor:
        """See the base class."""
        game = past.game
        parts = [past.last_level, past.step / game.num_steps + torch.zeros_like(past.paid)]
        if game.is_allocation:
            parts += budget_shares(past)
        if game.observation.sees_agent_rewards:
            parts.append(past.last_reward / self.unit(game, past.paid))
        return torch.cat([*parts, past.last_arm], dim=-1)


@dataclass(frozen=True)
class CountFeatures(History):
    """`LastStep` plus running tallies: counting to T is not left to the recurrence.

    Global, in addition: log steps left, bonus paid and offered on the target so far per T, mean
    bonus of a target pull.
    Per arm, in addition: whether it is the target, log pulls, their share ``pulls / (t + 1)``,
    uncertainty ``pulls^-1/2``, log steps since its latest pull, a quarter of those steps relative
    to its mean interval between pulls, at most 1, and with full information its mean reward.
    """

    def sizes(self, game: AnyGame) -> tuple[int, int]:
        """See the base class."""
        sees = int(game.observation.sees_agent_rewards)
        return game.num_levels + 5 + _num_budget_shares(game) + sees, 7 + sees

    def features(self, past: HistoryState) -> Tensor:
        """See the base class."""
        game = past.game
        horizon, log_horizon = game.num_steps, math.log1p(game.num_steps)
        unit = self.unit(game, past.paid)
        paid, offered = past.paid / unit, past.offered / unit
        pulls, at_least_one = past.pulls, past.pulls.clamp(min=1.0)
        time = past.step + 1.0
        waiting = time - past.latest
        step = past.step + torch.zeros_like(past.paid)
        parts = [
            past.last_level,
            step / horizon,
            (horizon + 1.0 - step).clamp(min=1.0).log() / log_horizon,
            paid / horizon,
            offered / horizon,
            paid / at_least_one[..., :1],
        ]
        if game.is_allocation:
            parts += budget_shares(past)
        is_target = identity(game.num_arms, pulls.dtype, pulls.device)[0]
        per_arm = [
            past.last_arm,
            is_target.expand_as(pulls),
            torch.log1p(pulls) / log_horizon,
            pulls / time,
            at_least_one.rsqrt(),
            torch.log(waiting) / log_horizon,
            (waiting * pulls / (4.0 * time)).clamp(max=1.0),
        ]
        if game.observation.sees_agent_rewards:
            parts.append(past.last_reward / unit)
            per_arm.append(past.reward_sums / unit / at_least_one)
        return torch.cat([*parts, torch.stack(per_arm, dim=-1).flatten(-2)], dim=-1)

    def bounds(self, game: Game) -> tuple[Tensor, Tensor]:
        """Lowest and highest value of each feature, rounding included, float [G + A * P] each.

        Rewards of the agent have no bounds.
        """
        highest = [1.0] * (game.num_levels + 2) + [
            max(game.bonuses) / (self.reward_unit or max(map(max, game.payoffs)))
        ] * 3
        highest += [1.0] * _num_budget_shares(game)
        per_arm = [1.0] * 7
        if game.observation.sees_agent_rewards:
            highest.append(math.inf)
            per_arm.append(math.inf)
        high = torch.tensor(highest + per_arm * game.num_arms)
        low = torch.where(high.isinf(), -high, 0.0)
        # a sum of T bonuses is rounded T times, a ratio of logarithms a few times
        return low, high * (1.0 + (game.num_steps + 8) * torch.finfo(high.dtype).eps)


def budget_shares(past: HistoryState) -> list[Tensor]:
    """What is left of each budget, as shares of the steps left.

    Equation:
        min(1, (at_most - n) / (T - t)),  (at_least - n) / (T - t),  neither below 0

    with ``n`` the steps so far with a bonus of that column.

    Returns:
        Two tensors [..., C]: what may, and what must still be spent.
    """
    spent = past.interventions
    least, most = past.game.budget_bounds(spent)
    left = past.game.num_steps - past.step
    return [((most - spent) / left).clamp(0.0, 1.0), ((least - spent) / left).clamp(min=0.0)]


def _num_budget_shares(game: AnyGame) -> int:
    """2 C in games that tell what is left of their budgets, else 0."""
    return 2 * len(game.signs[0]) if game.is_allocation else 0
