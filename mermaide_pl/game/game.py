"""The game between one principal and one agent: levels, bonuses, cost and budget."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import torch
from torch import Tensor

from mermaide_pl.config.validation import (
    LARGEST_REWARD,
    check_count,
    check_number,
)
from mermaide_pl.game.observation import Observation, PartialInformation

TIE_TOLERANCE = 1e-6
"""Reward units within which two values tie, so that rounding does not decide who wins a tie."""


@dataclass(frozen=True)
class Game:
    """Rules of the game, the same for every agent.

    Principal's reward of a step: ``1[a_t = a*] - cost * bonuses[u_t]``; the cost is paid whether or
    not the target was pulled. The agent receives ``bonuses[u_t] * 1[a_t = a*]`` on top of its own
    reward.

    Args:
        num_arms: A, at least 2.
        num_steps: T, steps of an episode, at least 1.
        bonuses: bonus of each level in reward units; the first is 0, the rest are above 0.
        cost: what the principal pays for one unit of bonus.
        observation: what the principal sees.
        max_interventions: most interventions (levels above 0) of an episode, or None for any
            number. When they are used up, every further level is 0.
        endless: if True, the principal is not told when the episode ends.
    """

    num_arms: int = 10
    num_steps: int = 200
    bonuses: tuple[float, ...] = (0.0, 1.0)
    cost: float = 0.5
    observation: Observation = PartialInformation()
    max_interventions: int | None = None
    endless: bool = False

    def __post_init__(self) -> None:
        check_count("Game.num_arms", self.num_arms, low=2)
        check_count("Game.num_steps", self.num_steps, low=1)
        check_number("Game.cost", self.cost, low=0.0, high=LARGEST_REWARD)
        if self.max_interventions is not None:
            check_count("Game.max_interventions", self.max_interventions, low=0)
        for bonus in self.bonuses:
            check_number("Game.bonuses", bonus, low=-LARGEST_REWARD, high=LARGEST_REWARD)
        object.__setattr__(self, "bonuses", tuple(float(bonus) for bonus in self.bonuses))
        if len(self.bonuses) < 2 or self.bonuses[0] != 0.0:
            raise ValueError(
                f"Game.bonuses must start with 0 and hold at least 2 levels, got {self.bonuses}"
            )
        for bonus in self.bonuses[1:]:
            check_number("Game.bonuses (after the first)", bonus, above=0.0)

    def __str__(self) -> str:
        """The numbers of the game, for people."""
        bonuses = ", ".join(f"{bonus:g}" for bonus in self.bonuses)
        sees = "full" if self.observation.sees_agent_rewards else "partial"
        steps = f"{'endless, of ' if self.endless else ''}{self.num_steps} steps"
        budget = self.max_interventions
        return (
            f"{self.num_arms} arms, {steps}, bonuses {bonuses}, cost {self.cost:g},"
            f"{'' if budget is None else f' at most {budget} interventions,'} {sees} information"
        )

    @property
    def num_levels(self) -> int:
        """L."""
        return len(self.bonuses)

    @property
    def has_budget(self) -> bool:
        """True if the number of interventions is limited."""
        return self.max_interventions is not None

    def bonus_of(self, levels: Tensor, like: Tensor) -> Tensor:
        """Bonus of each level, in reward units, with the dtype of `like`."""
        return _bonus_table(self.bonuses, like.dtype, levels.device)[levels]

    def principal_rewards(self, aligned: Tensor, bonus: Tensor) -> Tensor:
        """Principal's reward ``1[a_t = a*] - cost * b(u_t)``.

        Args:
            aligned: whether the target arm was pulled, bool, any shape.
            bonus: bonus put on the target arm in that step, float, same shape.
        """
        return aligned.to(bonus.dtype) - self.cost * bonus

    def level_costs(self, like: Tensor) -> Tensor:
        """``cost * b(u)`` of each level, float [L], with the dtype and device of `like`."""
        return self.cost * _bonus_table(self.bonuses, like.dtype, like.device)

    def largest_bonus(self, like: Tensor) -> float:
        """The largest bonus, reward units, to measure others by."""
        return max(self.bonuses)

    def largest_reward(self, like: Tensor) -> float:
        """The principal's largest absolute reward in a step, ``max(1, cost * b(L - 1))``."""
        return max(1.0, self.cost * max(self.bonuses))

    def horizon(self, like: Tensor) -> float:
        """T, as a number to compute with."""
        return float(self.num_steps)

    def repeated(self, number: int) -> Game:
        """The game of every episode: itself."""
        return self

    def batch(self, num_tasks: int, like: Tensor) -> GameBatch:
        """This game for each of M tasks, its numbers with the dtype and device of `like`."""
        most = self.num_steps if self.max_interventions is None else self.max_interventions
        return GameBatch(
            self,
            bonuses=_bonus_table(self.bonuses, like.dtype, like.device).expand(num_tasks, -1),
            cost=like.new_full((num_tasks,), self.cost),
            max_interventions=like.new_full((num_tasks,), most),
        )


class GameBatch:
    """A game for each of M tasks: of one size and observation, with numbers of their own.

    It has what a `Game` has, as tensors, and stands wherever one game for all tasks may stand.

    Args:
        sizes: gives arms, steps, observation, and whether it is endless; its bonuses, cost and
            budget count for nothing.
        bonuses: of each level, reward units, float [M, L].
        cost: what the principal pays for one unit of bonus, float [M].
        max_interventions: most interventions of an episode, whole numbers as float [M]; T or more
            for any number.
        horizons: T of each task, whole numbers as float [M], infinite in an endless game, for tasks
            that are played step by step with a T of their own; None for that of `sizes`.
    """

    def __init__(
        self,
        sizes: Game,
        *,
        bonuses: Tensor,
        cost: Tensor,
        max_interventions: Tensor,
        horizons: Tensor | None = None,
    ) -> None:
        self.sizes = sizes
        self.bonuses = bonuses
        self.cost = cost
        self.max_interventions = max_interventions
        self.horizons = horizons

    def __len__(self) -> int:
        return len(self.cost)

    @property
    def num_arms(self) -> int:
        """A."""
        return self.sizes.num_arms

    @property
    def num_steps(self) -> int:
        """T."""
        return self.sizes.num_steps

    @property
    def num_levels(self) -> int:
        """L."""
        return self.bonuses.shape[1]

    @property
    def has_budget(self) -> bool:
        """True if the number of interventions of any task is limited."""
        return bool((self.max_interventions < self.num_steps).any())

    @property
    def observation(self) -> Observation:
        """What the principal sees."""
        return self.sizes.observation

    @property
    def endless(self) -> bool:
        """True if the principal is not told when the episode ends."""
        return self.sizes.endless

    def bonus_of(self, levels: Tensor, like: Tensor) -> Tensor:
        """Bonus of each level [M, ...], in reward units, with the dtype of `like`."""
        found = self.bonuses.to(like.dtype).gather(1, levels.flatten(1))
        return found.view(levels.shape)

    def principal_rewards(self, aligned: Tensor, bonus: Tensor) -> Tensor:
        """See `Game`; [M, ...]."""
        cost = self.cost.to(bonus).view(-1, *[1] * (bonus.dim() - 1))
        return aligned.to(bonus.dtype) - cost * bonus

    def level_costs(self, like: Tensor) -> Tensor:
        """``cost * b(u)`` of each level, float [M, 1, 1, L], with the dtype of `like`."""
        return (self.cost.unsqueeze(1) * self.bonuses).to(like)[:, None, None]

    def largest_bonus(self, like: Tensor) -> Tensor:
        """The same of each task, float [M, 1, ...], to be broadcast with `like`."""
        return self.bonuses.amax(1).to(like).view(-1, *[1] * (like.dim() - 1))

    def largest_reward(self, like: Tensor) -> Tensor:
        """The same of each task, float [M, 1, ...], to be broadcast with `like`."""
        largest = (self.cost * self.bonuses.amax(1)).clamp(min=1.0)
        return largest.to(like).view(-1, *[1] * (like.dim() - 1))

    def horizon(self, like: Tensor) -> float | Tensor:
        """T, or that of each task, float [M, 1, ...], to be broadcast with `like`."""
        if self.horizons is None:
            return float(self.num_steps)
        return self.horizons.to(like).view(-1, *[1] * (like.dim() - 1))

    def batch(self, num_tasks: int, like: Tensor) -> GameBatch:
        """Itself, its numbers with the dtype and device of `like`.

        Raises:
            ValueError: if it is not for `num_tasks` tasks.
        """
        if num_tasks != len(self):
            raise ValueError(f"there are {num_tasks} tasks and {len(self)} games")
        return self.to(like)

    def repeated(self, number: int) -> GameBatch:
        """Each game `number` times in a row, M * number games."""
        return GameBatch(
            self.sizes,
            bonuses=self.bonuses.repeat_interleave(number, 0),
            cost=self.cost.repeat_interleave(number),
            max_interventions=self.max_interventions.repeat_interleave(number),
            horizons=None if self.horizons is None else self.horizons.repeat_interleave(number),
        )

    def to(self, like: Tensor) -> GameBatch:
        """The same games, their numbers with the dtype and device of `like`."""
        return GameBatch(
            self.sizes,
            bonuses=self.bonuses.to(like),
            cost=self.cost.to(like),
            max_interventions=self.max_interventions.to(like),
            horizons=None if self.horizons is None else self.horizons.to(like),
        )


AnyGame: TypeAlias = Game | GameBatch
"""One game for all tasks, or one for each of M tasks."""


@cache
def _bonus_table(bonuses: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(bonuses, dtype=dtype, device=device)
