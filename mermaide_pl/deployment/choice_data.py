"""Choices of people under schedules of binary rewards: the choice engineering competition's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from mermaide_pl.game import CHOICE_ENGINEERING, Game
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.principals import StaticSchedule

PUBLISHED = "99b2e04740817b2290922f695d4dbc0db305953abdc95bf49353f8b29d5840d1"
"""`ChoiceData.checksum` of the published data, 3386 people under 12 schedules."""
COLUMNS = ("participant", "schedule", "trial", "chose_target", "reward_target", "reward_other")
"""Columns of a table of choices."""


class Bias(NamedTuple):
    """Choices of the target under a schedule, by the people who are counted."""

    share: float  # mean share of trials in which they chose it
    num_people: int


@dataclass(frozen=True)
class ChoiceData:
    """Choices of N people, each under one of some schedules.

    Args:
        chose_target: bool [N, T].
        schedule: number of each person's schedule, int64 [N].
        schedules: the schedules by their numbers, in ascending order.
        checksum: SHA-256 of the choices as CSV, with `COLUMNS` and people numbered from 0.
    """

    chose_target: Tensor
    schedule: Tensor
    schedules: dict[int, StaticSchedule]
    checksum: str

    def __str__(self) -> str:
        """What was read, for people."""
        published = "the published data" if self.is_published else "not the published data"
        return (
            f"{len(self.schedule)} people under {len(self.schedules)} schedules, {published}"
            f" (sha256 {self.checksum})"
        )

    @property
    def is_published(self) -> bool:
        """True if these are the competition's data, in their order."""
        return self.checksum == PUBLISHED

    def biases(self, low: float = 0.05, high: float = 0.95) -> dict[int, Bias]:
        """The bias to the target under each schedule; by default as it was published.

        Source: Dan, Plonsky, Loewenstein (2025), who leave out people who hardly ever changed.

        Args:
            low: people who chose the target in a smaller share of trials are left out.
            high: so are those who chose it in a larger one.
        """
        share = self.chose_target.double().mean(1)
        counted = (share >= low) & (share <= high)
        found = {number: share[counted & (self.schedule == number)] for number in self.schedules}
        return {number: Bias(each.mean().item(), len(each)) for number, each in found.items()}

    def trajectory(self, game: Game = CHOICE_ENGINEERING) -> Trajectory:
        """The choices as episodes, one a person, in which arm 0 is the target; axes [N, 1, T].

        Args:
            game: the rules; its levels pay as those of `CHOICE_ENGINEERING`.

        Raises:
            ValueError: if it is a game of another size.
        """
        for name in ("num_arms", "num_steps", "signs"):
            if getattr(game, name) != getattr(CHOICE_ENGINEERING, name):
                raise ValueError(f"choices are those of a game of {CHOICE_ENGINEERING}, not {game}")
        like = torch.zeros(())
        arms = (~self.chose_target).long().unsqueeze(1)
        plays = torch.tensor([self.schedules[number].sequence for number in self.schedule.tolist()])
        levels = plays.unsqueeze(1)
        on_target, on_other = game.bonus_of(levels, like), game.other_bonus_of(levels, like)
        assert on_other is not None
        rewards = torch.where(arms == 0, on_target, on_other)
        sees = game.observation.sees_agent_rewards
        return Trajectory.of(
            game,
            torch.zeros(len(arms), dtype=torch.int64),
            arms=arms,
            levels=levels,
            agent_rewards=rewards,
            observed_arms=arms,
            observed_agent_rewards=rewards if sees else torch.zeros_like(rewards),
        )
