"""Budgets of an episode: how often the target, and the other arms, may and must be paid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mermaide_pl.config.validation import check_count

if TYPE_CHECKING:
    from mermaide_pl.game.game_batch import AnyGame

Signs = tuple[tuple[int, ...], ...]
"""Whether each level puts a bonus on the target, and if they are paid on the others: [L][C]."""


@dataclass(frozen=True)
class Budget:
    """Steps of an episode with a bonus on certain arms, whether or not one of them was pulled.

    Args:
        at_least: fewest, which must be spent by the last step.
        at_most: most, or None for any number.
    """

    at_least: int = 0
    at_most: int | None = None

    def __post_init__(self) -> None:
        check_count("Budget.at_least", self.at_least, low=0)
        if self.at_most is not None:
            check_count("Budget.at_most", self.at_most, low=self.at_least)

    def __str__(self) -> str:
        """The bounds, for people."""
        if self.at_least == self.at_most:
            return f"exactly {self.at_most}"
        least = [f"at least {self.at_least}"] if self.at_least else []
        most = [] if self.at_most is None else [f"at most {self.at_most}"]
        return " and ".join([*least, *most]) or "any number of"


def allowed_levels(game: AnyGame, interventions: Tensor, step: float | Tensor) -> Tensor | None:
    """The levels that the budgets leave in a step.

    A level is left if it overspends no budget, and if the steps after it are enough to spend what
    each budget then still asks for. From the beginning on there always is one.

    Args:
        game: one for all tasks, or one for each.
        interventions: earlier steps with a bonus on the target, and on the others, float
            [M, ..., C].
        step: number of the step, from 0; or [M, ..., 1].

    Returns:
        bool [M, ..., L]; None if there are no budgets.
    """
    if not game.has_budget:
        return None
    pays = game.pays(interventions)
    least, most = game.budget_bounds(interventions)
    after = interventions.unsqueeze(-2) + pays
    owed, steps = _cheapest_plan((least - after).clamp(min=0.0), game.signs)
    # a level that pays nothing overspends nothing, also after a history that has
    fits = ((after + owed <= most.unsqueeze(-2)) | (pays + owed == 0.0)).all(-1)
    return fits & (steps < game.horizon(interventions) - step)


def nearest_allowed(levels: Tensor, allowed: Tensor, signs: Signs) -> Tensor:
    """Each level, if it is allowed, or else the allowed one that pays most nearly the same arms.

    Args:
        levels: int64 [...].
        allowed: bool [..., L].
        signs: of the levels.

    Returns:
        int64 [...]: the first of those that differ from `levels` in the fewest columns.
    """
    order = _distances(signs, levels.device)
    return (order[levels] + order.numel() * 4 * ~allowed).argmin(-1)


def table(rows: tuple[Any, ...], like: Tensor) -> Tensor:
    """Constant numbers, or rows of them, float [L, ...], with the dtype and device of `like`."""
    return _table(rows, like.dtype, like.device)


@cache
def _table(rows: tuple[Any, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(rows, dtype=dtype, device=device)


def _cheapest_plan(owed: Tensor, signs: Signs) -> tuple[Tensor, Tensor]:
    """What must still be paid in each column, and the fewest steps for it.

    A column that no level pays alone is paid with the other one. Both grow with what is owed, so
    that there is a least one.

    Args:
        owed: to the fewest of each budget, float [..., C].
        signs: of the levels.

    Returns:
        float [..., C] and [...].
    """
    if owed.shape[-1] == 1:
        return owed, owed.squeeze(-1)
    target, others = owed.unbind(-1)
    if (1, 0) not in signs:
        others = torch.maximum(target, others)
    if (0, 1) not in signs:
        target = torch.maximum(target, others)
    steps = torch.maximum(target, others) if (1, 1) in signs else target + others
    return torch.stack([target, others], dim=-1), steps


@cache
def _distances(signs: Signs, device: torch.device) -> Tensor:
    """Levels in the order of preference, as different numbers below ``4 L^2``, int64 [L, L]."""
    pays = torch.tensor(signs, device=device)
    number = torch.arange(len(signs), device=device)
    columns = (pays.unsqueeze(0) - pays.unsqueeze(1)).abs().sum(-1)
    own = (number.unsqueeze(0) == number.unsqueeze(1)).long()
    return (columns + 1 - own) * len(signs) + number
