"""A game for each of many tasks, with numbers of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from mermaide_pl.game.budget import Signs, table
from mermaide_pl.game.game import Game
from mermaide_pl.game.observation import Observation


class GameBatch:
    """A game for each of M tasks: of one size and observation, with numbers of their own.

    It has what a `Game` has, as tensors, and stands wherever one game for all tasks may stand.

    Args:
        sizes: gives arms, steps, observation, whether it is endless, and if it `is_allocation` the
            bonuses on the others, which levels pay the target, and all other bounds of the budgets;
            the rest of its bonuses, cost and budget count for nothing.
        bonuses: of each level on the target, reward units, float [M, L].
        cost: what the principal pays for one unit of bonus, float [M].
        max_interventions: most steps of an episode with a bonus on the target, whole numbers as
            float [M]; T or more for any number.
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

    @classmethod
    def of(cls, game: AnyGame, num_tasks: int, like: Tensor) -> GameBatch:
        """One game for each of M tasks, or such games themselves.

        Args:
            game: the game of every task, or M games.
            num_tasks: M.
            like: float, whose dtype and device the numbers get.

        Raises:
            ValueError: if there are not M games.
        """
        if isinstance(game, GameBatch):
            if num_tasks != game.cost.shape[0]:  # len() would fix the size of an exported graph
                raise ValueError(f"there are {num_tasks} tasks and {len(game)} games")
            return game.to(like)
        most = game.budgets[0].at_most
        return cls(
            game,
            bonuses=table(game.bonuses, like).expand(num_tasks, -1),
            cost=like.new_full((num_tasks,), game.cost),
            max_interventions=like.new_full((num_tasks,), game.num_steps if most is None else most),
        )

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
    def pays_others(self) -> bool:
        """True if a level may put a bonus on the other arms."""
        return self.sizes.pays_others

    @property
    def is_allocation(self) -> bool:
        """See `Game`."""
        return self.sizes.is_allocation

    @property
    def signs(self) -> Signs:
        """See `Game`."""
        return self.sizes.signs if self.pays_others else ((0,), *[(1,)] * (self.num_levels - 1))

    @property
    def steering_level(self) -> int:
        """See `Game`."""
        return self.sizes.steering_level if self.pays_others else self.num_levels - 1

    @property
    def has_budget(self) -> bool:
        """True if the number of bonuses of any column and task is limited."""
        own = self.is_allocation and self.sizes.has_budget
        return own or bool((self.max_interventions < self.num_steps).any())

    def budget_bounds(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Fewest and most steps with a bonus, float [C] and [M, 1, ..., C], to go with `like`."""
        most = self.max_interventions.to(like).view(-1, *[1] * (like.dim() - 1))
        if not self.is_allocation:
            return like.new_zeros(1), most
        least, others = self.sizes.budget_bounds(like)
        return least, torch.cat([most, others[1:].expand(*most.shape[:-1], -1)], dim=-1)

    @property
    def observation(self) -> Observation:
        """What the principal sees."""
        return self.sizes.observation

    @property
    def endless(self) -> bool:
        """True if the principal is not told when the episode ends."""
        return self.sizes.endless

    def bonus_of(self, levels: Tensor, like: Tensor) -> Tensor:
        """Bonus of each level [M, ...] on the target, reward units, with the dtype of `like`."""
        found = self.bonuses.to(like.dtype).gather(1, levels.flatten(1))
        return found.view(levels.shape)

    def other_bonus_of(self, levels: Tensor, like: Tensor) -> Tensor | None:
        """See `Game`."""
        return self.sizes.other_bonus_of(levels, like)

    def pays(self, like: Tensor) -> Tensor:
        """See `Game`."""
        return table(self.signs, like)

    def interventions_of(self, levels: Tensor, like: Tensor) -> Tensor:
        """See `Game`."""
        return self.pays(like)[levels]

    def sees_agent_rewards(self, like: Tensor) -> float | Tensor:
        """See `Game`."""
        return float(self.observation.sees_agent_rewards)

    def outlay_of(self, levels: Tensor, like: Tensor) -> Tensor:
        """See `Game`; [M, ...]."""
        bonus, others = self.bonus_of(levels, like), self.other_bonus_of(levels, like)
        return bonus if others is None else bonus + others

    @property
    def _outlays(self) -> Tensor:
        """Bonuses of each level on the target and on the others together, float [M, L]."""
        others = self.sizes.other_bonuses
        return self.bonuses if others is None else self.bonuses + table(others, self.bonuses)

    def principal_rewards(self, aligned: Tensor, outlay: Tensor) -> Tensor:
        """See `Game`; [M, ...]."""
        cost = self.cost.to(outlay).view(-1, *[1] * (outlay.dim() - 1))
        return aligned.to(outlay.dtype) - cost * outlay

    def level_costs(self, like: Tensor) -> Tensor:
        """``cost * b(u)`` of each level, float [M, 1, 1, L], with the dtype of `like`."""
        return (self.cost.unsqueeze(1) * self._outlays).to(like)[:, None, None]

    def largest_bonus(self, like: Tensor) -> Tensor:
        """The same of each task, float [M, 1, ...], to be broadcast with `like`."""
        largest = self.bonuses.amax(1)
        if self.sizes.other_bonuses is not None:
            largest = largest.clamp(min=max(self.sizes.other_bonuses))
        return largest.to(like).view(-1, *[1] * (like.dim() - 1))

    def largest_reward(self, like: Tensor) -> Tensor:
        """The same of each task, float [M, 1, ...], to be broadcast with `like`."""
        largest = (self.cost * self._outlays.amax(1)).clamp(min=1.0)
        return largest.to(like).view(-1, *[1] * (like.dim() - 1))

    def horizon(self, like: Tensor) -> float | Tensor:
        """T, or that of each task, float [M, 1, ...], to be broadcast with `like`."""
        if self.horizons is None:
            return float(self.num_steps)
        return self.horizons.to(like).view(-1, *[1] * (like.dim() - 1))

    def repeated(self, number: int) -> GameBatch:
        """Each game `number` times in a row, M * number games."""
        return self._with(lambda numbers: numbers.repeat_interleave(number, 0))

    def to(self, like: Tensor) -> GameBatch:
        """The same games, their numbers with the dtype and device of `like`."""
        return self._with(lambda numbers: numbers.to(like))

    def _with(self, changed: Callable[[Tensor], Tensor]) -> GameBatch:
        return GameBatch(
            self.sizes,
            bonuses=changed(self.bonuses),
            cost=changed(self.cost),
            max_interventions=changed(self.max_interventions),
            horizons=None if self.horizons is None else changed(self.horizons),
        )


AnyGame: TypeAlias = Game | GameBatch
"""One game for all tasks, or one for each of M tasks."""
