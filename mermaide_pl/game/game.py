"""The game between one principal and one agent: levels, bonuses, cost and budget."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import torch
from torch import Tensor

from mermaide_pl.config.validation import (
    LARGEST_REWARD,
    check_count,
    check_number,
)
from mermaide_pl.game.budget import Budget, Signs, allowed_levels, table
from mermaide_pl.game.observation import Observation, PartialInformation

TIE_TOLERANCE = 1e-6
"""Reward units within which two values tie, so that rounding does not decide who wins a tie."""


@dataclass(frozen=True)
class Game:
    """Rules of the game, the same for every agent.

    Principal's reward of a step: ``1[a_t = a*] - cost * bonuses[u_t]``; the cost is paid whether or
    not the target was pulled. The agent receives ``bonuses[u_t] * 1[a_t = a*]`` on top of its own
    reward.

    A level may also put a bonus on all other arms. The pay-off table of the levels then has two
    columns, `bonuses` and `other_bonuses`: the agent receives ``other_bonuses[u_t]`` for a pull of
    another arm, and the cost is that of both. Each column may have a budget. Budgets bind whoever
    plays: in place of a level that would overspend one, or leave too few steps to spend the rest of
    one, the nearest level is played (`nearest_allowed`).

    Source: two columns with budgets of exactly 25 are those of the choice engineering competition,
    Dan, Plonsky, Loewenstein, "Behavior engineering using quantitative reinforcement learning
    models", Nature Communications 16:4109 (2025).

    Args:
        num_arms: A, at least 2.
        num_steps: T, steps of an episode, at least 1.
        bonuses: bonus of each level on the target, reward units; the first is 0, the rest are above
            0, or with `other_bonuses` one of the two is.
        cost: what the principal pays for one unit of bonus.
        observation: what the principal sees.
        max_interventions: most interventions (levels above 0) of an episode, or None for any
            number. When they are used up, every further level is 0. Short for a `target_budget`.
        endless: if True, the principal is not told when the episode ends.
        other_bonuses: bonus of each level on each other arm, reward units, the first 0; None where
            the target alone is paid.
        target_budget: steps with a bonus on the target, None for any number.
        other_budget: steps with a bonus on the others, None for any number.
    """

    num_arms: int = 10
    num_steps: int = 200
    bonuses: tuple[float, ...] = (0.0, 1.0)
    cost: float = 0.5
    observation: Observation = PartialInformation()
    max_interventions: int | None = None
    endless: bool = False
    other_bonuses: tuple[float, ...] | None = None
    target_budget: Budget | None = None
    other_budget: Budget | None = None

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
        if self.other_bonuses is None:
            for bonus in self.bonuses[1:]:
                check_number("Game.bonuses (after the first)", bonus, above=0.0)
        else:
            self._check_other_bonuses(self.other_bonuses)
        self._check_budgets()

    def _check_other_bonuses(self, given: tuple[float, ...]) -> None:
        for bonus in given:
            check_number("Game.other_bonuses", bonus, low=0.0, high=LARGEST_REWARD)
        others = tuple(float(bonus) for bonus in given)
        object.__setattr__(self, "other_bonuses", others)
        if len(others) != len(self.bonuses) or others[0] != 0.0:
            raise ValueError(
                "Game.other_bonuses must start with 0 and have a bonus for each of the"
                f" {len(self.bonuses)} levels, got {others}"
            )
        for column in (self.bonuses, others):
            for bonus in column:
                check_number("Game.bonuses and Game.other_bonuses", bonus, low=0.0)
            if not any(column):
                raise ValueError(
                    "Game.bonuses and Game.other_bonuses must each have one above 0, got"
                    f" {self.bonuses} and {others}"
                )
        if not all(map(any, self.payoffs[1:])):
            raise ValueError(
                "Game: every level after the first must pay the target or the others, got"
                f" bonuses {self.bonuses} and other_bonuses {others}"
            )

    def _check_budgets(self) -> None:
        if self.max_interventions is not None and (self.target_budget or self.pays_others):
            raise ValueError(
                "Game.max_interventions is for games that pay the target alone and have no"
                " target_budget: give target_budget.at_most"
            )
        target = self.target_budget
        if target is not None and not (target.at_least or self.pays_others):
            object.__setattr__(self, "max_interventions", target.at_most)
            object.__setattr__(self, "target_budget", None)
        if self.other_budget is not None and not self.pays_others:
            raise ValueError("Game.other_budget needs Game.other_bonuses")
        if not any(budget.at_least for budget in self.budgets):
            return
        if self.endless:
            raise ValueError("Game.endless: a budget with at_least must be spent by a known end")
        allowed = allowed_levels(self, torch.zeros(len(self.budgets)), 0.0)
        if allowed is not None and not allowed.any():
            raise ValueError(
                f"Game: {self.num_steps} steps with bonuses {self.bonuses} on the target and"
                f" {self.other_bonuses} on the others cannot spend the budgets"
                f" ({', '.join(map(str, self.budgets))})"
            )

    def __str__(self) -> str:
        """The numbers of the game, for people."""
        bonuses = ", ".join(f"{bonus:g}" for bonus in self.bonuses)
        sees = "full" if self.observation.sees_agent_rewards else "partial"
        steps = f"{'endless, of ' if self.endless else ''}{self.num_steps} steps"
        told = [f"bonuses {bonuses}"]
        if self.other_bonuses is not None:
            told.append(f"on others {', '.join(f'{bonus:g}' for bonus in self.other_bonuses)}")
        told.append(f"cost {self.cost:g}")
        if self.max_interventions is not None:
            told.append(f"at most {self.max_interventions} interventions")
        if self.target_budget is not None:
            told.append(f"{self.target_budget} on the target")
        if self.other_budget is not None:
            told.append(f"{self.other_budget} on others")
        return f"{self.num_arms} arms, {steps}, {', '.join(told)}, {sees} information"

    @property
    def num_levels(self) -> int:
        """L."""
        return len(self.bonuses)

    @cached_property
    def payoffs(self) -> tuple[tuple[float, ...], ...]:
        """Bonuses of each level, reward units, [L, C]: on the target, and if paid on the others."""
        columns = [self.bonuses] + ([] if self.other_bonuses is None else [self.other_bonuses])
        return tuple(zip(*columns, strict=True))

    @cached_property
    def signs(self) -> Signs:
        """Whether these are above 0."""
        return tuple(tuple(int(bonus > 0.0) for bonus in level) for level in self.payoffs)

    @property
    def pays_others(self) -> bool:
        """True if a level may put a bonus on the other arms."""
        return self.other_bonuses is not None

    @cached_property
    def budgets(self) -> tuple[Budget, ...]:
        """The budget of each column, C of them."""
        target = self.target_budget or Budget(0, self.max_interventions)
        return (target, self.other_budget or Budget()) if self.pays_others else (target,)

    @property
    def is_allocation(self) -> bool:
        """True if the others are paid too, or a budget must be spent.

        Not only is a bonus paid or saved then: features tell what is left of each budget, and the
        level counts whichever arm is pulled.
        """
        return self.pays_others or any(budget.at_least for budget in self.budgets)

    @property
    def has_budget(self) -> bool:
        """True if the number of bonuses of any column is limited."""
        return any(each.at_least or each.at_most is not None for each in self.budgets)

    @property
    def steering_level(self) -> int:
        """The level of schedules that pay or do not: the last one.

        Where the others are paid too, the first of those by which the target gains most on them.
        """
        if self.other_bonuses is None:
            return self.num_levels - 1
        gains = [target - others for target, others in self.payoffs]
        return gains.index(max(gains))

    def budget_bounds(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Fewest and most steps with a bonus, float [C] each, with the dtype of `like`."""
        least = [float(budget.at_least) for budget in self.budgets]
        most = [
            float(self.num_steps if each.at_most is None else each.at_most) for each in self.budgets
        ]
        fewest, highest = table((tuple(least), tuple(most)), like)
        return fewest, highest

    def bonus_of(self, levels: Tensor, like: Tensor) -> Tensor:
        """Bonus of each level on the target, in reward units, with the dtype of `like`."""
        return table(self.bonuses, like)[levels]

    def other_bonus_of(self, levels: Tensor, like: Tensor) -> Tensor | None:
        """Bonus of each level on the other arms; None where they are never paid."""
        return None if self.other_bonuses is None else table(self.other_bonuses, like)[levels]

    def pays(self, like: Tensor) -> Tensor:
        """Whether each level puts a bonus on the target, and on the others, float [L, C]."""
        return table(self.signs, like)

    def interventions_of(self, levels: Tensor, like: Tensor) -> Tensor:
        """Whether these levels put a bonus on the target, and on the others, float [..., C]."""
        return self.pays(like)[levels]

    def sees_agent_rewards(self, like: Tensor) -> float | Tensor:
        """1 if the principal sees the agent's rewards, else 0, as a number to compute with."""
        return float(self.observation.sees_agent_rewards)

    def outlay_of(self, levels: Tensor, like: Tensor) -> Tensor:
        """Bonuses of each level on the target and on the others together, reward units."""
        return table(self._outlays, like)[levels]

    @cached_property
    def _outlays(self) -> tuple[float, ...]:
        return self.bonuses if self.other_bonuses is None else tuple(map(sum, self.payoffs))

    def principal_rewards(self, aligned: Tensor, outlay: Tensor) -> Tensor:
        """Principal's reward ``1[a_t = a*] - cost * b(u_t)``.

        Args:
            aligned: whether the target arm was pulled, bool, any shape.
            outlay: bonuses put on arms in that step, see `outlay_of`, float, same shape.
        """
        return aligned.to(outlay.dtype) - self.cost * outlay

    def level_costs(self, like: Tensor) -> Tensor:
        """``cost * b(u)`` of each level, float [L], with the dtype and device of `like`."""
        return self.cost * table(self._outlays, like)

    def largest_bonus(self, like: Tensor) -> float:
        """The largest bonus, reward units, to measure others by."""
        return max(map(max, self.payoffs))

    def largest_reward(self, like: Tensor) -> float:
        """The principal's largest absolute reward in a step, ``max(1, cost * b(L - 1))``."""
        return max(1.0, self.cost * max(self._outlays))

    def horizon(self, like: Tensor) -> float:
        """T, as a number to compute with."""
        return float(self.num_steps)

    def repeated(self, number: int) -> Game:
        """The game of every episode: itself."""
        return self

    def batch(self, num_tasks: int, like: Tensor) -> GameBatch:
        """This game for each of M tasks, its numbers with the dtype and device of `like`."""
        most = self.budgets[0].at_most
        most = self.num_steps if most is None else most
        return GameBatch(
            self,
            bonuses=table(self.bonuses, like).expand(num_tasks, -1),
            cost=like.new_full((num_tasks,), self.cost),
            max_interventions=like.new_full((num_tasks,), most),
        )


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

    def batch(self, num_tasks: int, like: Tensor) -> GameBatch:
        """Itself, its numbers with the dtype and device of `like`.

        Raises:
            ValueError: if it is not for `num_tasks` tasks.
        """
        if num_tasks != self.cost.shape[0]:
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
