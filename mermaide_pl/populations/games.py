"""Distributions over games: sizes drawn for a meta-batch, numbers for each of its tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mermaide_pl.config.validation import LARGEST_REWARD, check_count, check_number
from mermaide_pl.game import Game, GameBatch, Observation
from mermaide_pl.game.randomness import task_uniforms
from mermaide_pl.populations.ranges import Range, corners, draw


@dataclass(frozen=True)
class GameRanges:
    """A distribution over games; whatever is None is as in the game that a principal plays.

    Sizes are common to a meta-batch, since its episodes are played side by side: arms, steps,
    levels, observation, and whether the game is endless. Numbers are drawn for each task.

    Args:
        num_arms: A, whole numbers.
        num_steps: T, whole numbers.
        num_levels: L, whole numbers from 2. The bonuses between 0 and the largest are uniform.
        observations: what the principal sees, to choose from uniformly.
        endless: share of the meta-batches in which the principal is not told when episodes end.
        bonus: the largest bonus, reward units.
        cost: what the principal pays for one unit of bonus.
        interventions: most interventions of an episode as a share of T; 1 for any number.
        reward_noise: standard deviation of the agents' Gaussian rewards, reward units, in place of
            that of their reward model.
    """

    num_arms: Range | None = None
    num_steps: Range | None = None
    num_levels: Range | None = None
    observations: list[Observation] | None = None
    endless: float = 0.0
    bonus: Range | None = None
    cost: Range | None = None
    interventions: Range | None = None
    reward_noise: Range | None = None

    def __post_init__(self) -> None:
        limits: dict[str, dict[str, Any]] = {
            "num_arms": {"low": 2},
            "num_steps": {"low": 1},
            "num_levels": {"low": 2},
            "bonus": {"above": 0.0, "high": LARGEST_REWARD},
            "cost": {"low": 0.0, "high": LARGEST_REWARD},
            "interventions": {"low": 0.0, "high": 1.0},
            "reward_noise": {"low": 0.0, "high": LARGEST_REWARD},
        }
        for name, allowed in limits.items():
            given = getattr(self, name)
            if given is None:
                continue
            if isinstance(given, list) and not given:
                raise ValueError(f"GameRanges.{name}: the list of values is empty")
            for value in corners(given):
                if name.startswith("num_") and value == int(value):
                    check_count(f"GameRanges.{name}", int(value), **allowed)
                elif name.startswith("num_"):
                    raise ValueError(f"GameRanges.{name} must be whole numbers, got {value:g}")
                else:
                    check_number(f"GameRanges.{name}", value, **allowed)
        check_number("GameRanges.endless", self.endless, low=0.0, high=1.0)
        if self.observations is not None and not self.observations:
            raise ValueError("GameRanges.observations: the list is empty")

    def sizes(self, seed: int, game: Game) -> Game:
        """A game of the sizes of a meta-batch; its numbers are those of `game`.

        Args:
            seed: 64-bit seed of the meta-batch.
            game: gives what is not drawn.

        Raises:
            ValueError: if it is to draw bonuses, budgets or an unknown end for a game that pays the
                others too, or must spend a budget.
        """
        drawn = {"num_levels", "bonus", "interventions"}
        drawn = {name for name in drawn if getattr(self, name) is not None}
        if game.is_allocation and (drawn or self.endless):
            raise ValueError(
                "GameRanges draws no num_levels, bonus, interventions or endless for games that pay"
                f" the others too or must spend a budget: {game}"
            )
        arms, steps, levels, observation, endless = task_uniforms([seed], "game sizes", (5,))[0]

        def whole(values: Range | None, uniform: Tensor, otherwise: int) -> int:
            return otherwise if values is None else round(draw(values, uniform).item())

        num_levels = whole(self.num_levels, levels, game.num_levels)
        seen = self.observations or [game.observation]
        return replace(
            game,
            num_arms=whole(self.num_arms, arms, game.num_arms),
            num_steps=whole(self.num_steps, steps, game.num_steps),
            bonuses=game.bonuses
            if num_levels == game.num_levels
            else (0.0, *[max(game.bonuses)] * (num_levels - 1)),
            observation=seen[int(observation.item() * len(seen))],
            endless=game.endless or endless.item() < self.endless,
        )

    def numbers(self, seeds: Sequence[int], sizes: Game) -> tuple[GameBatch, Tensor | None]:
        """The game of each of M tasks, and the scale of its agent's rewards.

        Args:
            seeds: 64-bit seeds of the tasks.
            sizes: of the meta-batch.

        Returns:
            The games, and standard deviations, float32 [M], or None if they are not drawn.
        """
        num_between = sizes.num_levels - 2
        uniforms = task_uniforms(seeds, "game", (4 + num_between,))
        like = uniforms[:, 0]
        given = GameBatch.of(sizes, len(seeds), like)

        def number(values: Range | None, column: int, otherwise: Callable[[], Tensor]) -> Tensor:
            if values is None:
                return otherwise()
            return draw(values, uniforms[:, column]).to(like)

        shares = given.bonuses / given.bonuses.amax(1, keepdim=True)
        if num_between and self.num_levels is not None:
            between = uniforms[:, 4:].sort(1).values
            shares = torch.cat([like.new_zeros(len(like), 1), between, shares[:, -1:]], dim=1)
        largest = number(self.bonus, 0, lambda: given.bonuses.amax(1))
        budget = given.max_interventions
        if self.interventions is not None:
            budget = torch.round(draw(self.interventions, uniforms[:, 2]) * sizes.num_steps)
        games = GameBatch(
            sizes,
            bonuses=shares * largest.unsqueeze(1),
            cost=number(self.cost, 1, lambda: given.cost),
            max_interventions=budget.to(like),
        )
        if self.reward_noise is None:
            return games, None
        return games, draw(self.reward_noise, uniforms[:, 3]).to(like)
