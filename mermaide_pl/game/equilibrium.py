"""Closed-form Stackelberg answers against agents that best-respond."""

from __future__ import annotations

import torch
from torch import Tensor

from mermaide_pl.game import TIE_TOLERANCE, AnyGame, Game


def equilibrium_level(delta: Tensor, game: AnyGame) -> Tensor:
    """The principal's best level against best-response agents it knows.

    The cheapest level with ``b(u) >= delta`` if ``1 - cost * b(u)`` is above 0, the payoff of an
    agent left alone that does not prefer the target; else level 0.

    Args:
        delta: how much each agent dislikes its target, float [M], reward units.
        game: levels, bonuses and cost.

    Returns:
        Levels, int64 [M].
    """
    payoff = _payoffs(delta, game)
    # best payoff first, and among equals the cheapest level
    levels = torch.arange(game.num_levels, device=delta.device).expand(len(delta), -1)
    cheapest_first = game.outlay_of(levels, delta).argsort(dim=1, stable=True)
    best = payoff.gather(1, cheapest_first).argmax(1, keepdim=True)
    return cheapest_first.gather(1, best).squeeze(1)


def equilibrium_payoff(delta: Tensor, game: AnyGame) -> Tensor:
    """The principal's payoff per step at `equilibrium_level`, reward units, float [M]."""
    return _payoffs(delta, game).amax(1)


def population_equilibrium(delta: Tensor, game: Game) -> tuple[int, float]:
    """The one level with the best mean payoff over a population of best-response agents.

    Args:
        delta: how much each agent dislikes its target, float [M], reward units.
        game: levels, bonuses and cost.

    Returns:
        The level and its mean payoff per step.
    """
    mean = _payoffs(delta, game).mean(0)
    level = int(mean.argmax())
    return level, float(mean[level])


def _payoffs(delta: Tensor, game: AnyGame) -> Tensor:
    """Payoff per step of each level against each agent, float [M, L]; ties to the principal."""
    levels = torch.arange(game.num_levels, device=delta.device).expand(len(delta), -1)
    gain, others = game.bonus_of(levels, delta), game.other_bonus_of(levels, delta)
    wins = (gain if others is None else gain - others) >= delta.unsqueeze(1) - TIE_TOLERANCE
    return game.principal_rewards(wins, game.outlay_of(levels, delta))
