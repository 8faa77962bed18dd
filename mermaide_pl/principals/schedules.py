"""Fixed schedules: principals whose levels are known before the first step."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from mermaide_pl.config.validation import check_count, check_number, check_probability
from mermaide_pl.game import AnyGame
from mermaide_pl.principals.players import Player, RolloutContext


class Schedule(Player):
    """A principal that plays one level at fixed times and level 0 otherwise.

    That is the game's `steering_level`. Budgets bind it as they bind everyone: one that must be
    spent is spent in the last steps, if it was not before.
    """

    @abstractmethod
    def intervenes(self, step: int, uniforms: Tensor) -> Tensor | bool:
        """True where it intervenes in `step`; `uniforms` [M, B] are its numbers of that step."""

    def levels(self, game: AnyGame, uniforms: Tensor) -> Tensor:
        """The scheduled levels of all steps, int64 [M, B, T]; `uniforms` are float [T, M, B]."""
        intervenes = [
            torch.as_tensor(self.intervenes(step, now), device=now.device).expand(now.shape)
            for step, now in enumerate(uniforms)
        ]
        return game.steering_level * torch.stack(intervenes, dim=2).long()

    def start(self, context: RolloutContext) -> None:
        """Look up the schedule."""
        self._levels = self.levels(context.game, context.uniforms)

    def act(self, step: int) -> Tensor:
        """The scheduled levels."""
        return self._levels[..., step]

    def observe(self, levels: Tensor, arms: Tensor, agent_rewards: Tensor) -> None:
        """Ignored: a fixed schedule does not depend on the outcome."""


@dataclass
class StaticSchedule(Schedule):
    """Plays a given sequence of levels, as far as the budgets allow.

    Args:
        sequence: level of each step; as many as the game has steps.
    """

    is_random = False

    sequence: tuple[int, ...]

    def __post_init__(self) -> None:
        for level in self.sequence:
            check_count("StaticSchedule.sequence", level, low=0)
        self.sequence = tuple(self.sequence)

    def intervenes(self, step: int, uniforms: Tensor) -> bool:
        """Where its level is above 0."""
        return self.sequence[step] > 0

    def levels(self, game: AnyGame, uniforms: Tensor) -> Tensor:
        """The sequence, int64 [M, B, T].

        Raises:
            ValueError: if the game has another number of steps, or fewer levels.
        """
        if len(self.sequence) != game.num_steps or max(self.sequence) >= game.num_levels:
            raise ValueError(
                f"this StaticSchedule has {len(self.sequence)} steps and levels up to"
                f" {max(self.sequence)}, the game {game.num_steps} steps and levels up to"
                f" {game.num_levels - 1}"
            )
        sequence = torch.tensor(self.sequence, device=uniforms.device)
        return sequence.expand(*uniforms.shape[1:], -1)


@dataclass
class NoIntervention(Schedule):
    """Leaves the agent alone, but for budgets that must be spent."""

    is_random = False

    def intervenes(self, step: int, uniforms: Tensor) -> bool:
        """Never."""
        return False


@dataclass
class AlwaysIntervene(Schedule):
    """Intervenes on every step."""

    is_random = False

    def intervenes(self, step: int, uniforms: Tensor) -> bool:
        """Always."""
        return True


@dataclass
class Periodic(Schedule):
    """S1 of the paper: intervenes on every `period`-th step, the first included."""

    is_random = False

    period: int

    def __post_init__(self) -> None:
        check_number("Periodic.period", self.period, low=1)

    def intervenes(self, step: int, uniforms: Tensor) -> bool:
        """On multiples of the period."""
        return step % self.period == 0


@dataclass
class InitialBurst(Schedule):
    """S2 of the paper: intervenes on the first `length` steps only."""

    is_random = False

    length: int

    def __post_init__(self) -> None:
        check_number("InitialBurst.length", self.length, low=0)

    def intervenes(self, step: int, uniforms: Tensor) -> bool:
        """At the beginning."""
        return step < self.length


@dataclass
class RandomlyIntervene(Schedule):
    """Intervenes on each step with probability `rate`."""

    rate: float

    def __post_init__(self) -> None:
        check_probability("RandomlyIntervene.rate", self.rate)

    def intervenes(self, step: int, uniforms: Tensor) -> Tensor:
        """With probability `rate`."""
        return uniforms < self.rate
