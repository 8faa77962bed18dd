"""The game between one principal and one agent: levels, bonuses, cost and budget."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

from mermaide_pl.config.validation import (
    LARGEST_REWARD,
    check_count,
    check_number,
    finite_numbers,
    flag,
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
            0 and in rising order. With `other_bonuses` each pays the target, the others or both.
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
        counts = {"num_arms": 2, "num_steps": 1}
        if self.max_interventions is not None:
            counts["max_interventions"] = 0
        for name, low in counts.items():
            check_count(f"Game.{name}", getattr(self, name), low=low)
            object.__setattr__(self, name, int(getattr(self, name)))
        check_number("Game.cost", self.cost, low=0.0, high=LARGEST_REWARD)
        object.__setattr__(self, "cost", float(self.cost))
        object.__setattr__(self, "endless", flag("Game.endless", self.endless))
        bonuses = finite_numbers("Game.bonuses", self.bonuses, high=LARGEST_REWARD)
        object.__setattr__(self, "bonuses", bonuses)
        if len(bonuses) < 2 or bonuses[0] != 0.0:
            raise ValueError(
                f"Game.bonuses must start with 0 and hold at least 2 levels, got {bonuses}"
            )
        if self.other_bonuses is not None:
            self._check_other_bonuses(self.other_bonuses)
        else:
            finite_numbers("Game.bonuses (after the first)", bonuses[1:], above=0.0)
            if any(higher < lower for lower, higher in pairwise(bonuses)):
                raise ValueError(f"Game.bonuses must be in rising order, got {bonuses}")
        for name in ("target_budget", "other_budget"):
            if not isinstance(given := getattr(self, name), Budget | None):
                raise ValueError(f"Game.{name} must be a Budget or None, got {given!r:.60}")
        self._check_budgets()

    def _check_other_bonuses(self, given: tuple[float, ...]) -> None:
        others = finite_numbers("Game.other_bonuses", given, low=0.0, high=LARGEST_REWARD)
        object.__setattr__(self, "other_bonuses", others)
        if len(others) != len(self.bonuses) or others[0] != 0.0:
            raise ValueError(
                "Game.other_bonuses must start with 0 and have a bonus for each of the"
                f" {len(self.bonuses)} levels, got {others}"
            )
        finite_numbers("Game.bonuses", self.bonuses, low=0.0)
        if not (any(self.bonuses) and any(others)):
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
