"""Features of one number for every game, by which the same weights play games of every size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mermaide_pl.game import AnyGame, GameBatch
from mermaide_pl.principals.features import History, HistoryState, identity

_STEPS_LOG_UNIT = 8.0  # of the logarithms of numbers of steps: 2980 steps count as one
_ARMS_LOG_UNIT = 4.0  # of the logarithm of the number of arms
ROLLING_HORIZON = 1000.0
"""Steps that are left at any time of an endless game, as far as a principal can tell."""

# Mean and standard deviation of each feature over steps of games of train_universal, rounded.
_GLOBAL = (
    (0.4, 0.45),  # last bonus
    (0.2, 0.4),  # as far as it was paid
    (0.5, 0.3),  # share of the steps left
    (0.55, 0.12),  # log steps left
    (0.5, 0.12),  # log steps played
    (0.2, 0.22),  # bonuses paid per step
    (0.45, 0.25),  # bonuses offered per step
    (0.5, 0.3),  # mean bonus of a target pull
    (0.25, 0.17),  # log bonuses paid
    (0.4, 0.12),  # log bonuses offered
    (0.3, 0.18),  # price
    (0.55, 0.16),  # log arms
    (0.8, 0.4),  # share of the steps left in which the budget allows to intervene
    (0.45, 0.2),  # log of their number
    (0.2, 0.4),  # whether rewards are seen
    (0.2, 0.4),  # last reward
)
_ARMS = (  # mean over the other arms, mean weighted by pulls, maximum; each arm
    ((0.1, 0.13), (0.2, 0.3), (0.6, 0.45), (0.13, 0.32)),  # last arm
    ((0.2, 0.1), (0.27, 0.13), (0.3, 0.14), (0.2, 0.14)),  # log pulls
    ((0.1, 0.08), (0.2, 0.2), (0.25, 0.22), (0.13, 0.19)),  # share of pulls
    ((0.65, 0.22), (0.5, 0.25), (0.8, 0.2), (0.63, 0.29)),  # uncertainty
    ((0.33, 0.12), (0.23, 0.13), (0.45, 0.12), (0.31, 0.18)),  # log steps since the latest pull
    ((0.2, 0.11), (0.2, 0.13), (0.4, 0.22), (0.2, 0.18)),  # relative steps since
    ((0.1, 0.2), (0.15, 0.3), (0.2, 0.35), (0.1, 0.3)),  # mean reward
)
_TARGET = (0.13, 0.32)  # whether it is the target
_STANDARD = torch.tensor(
    [*_GLOBAL, *(pair for column in zip(*_ARMS, strict=True) for pair in column), _TARGET],
    dtype=torch.float64,
).T.contiguous()


@dataclass(frozen=True)
class PooledFeatures(History):
    """Features of one number for every game: the game's numbers among them, arms pooled.

    The arms other than the target are exchangeable. They enter the global features by statistics
    over them, so that the recurrence reads as many numbers whatever A is: the global features and
    those of the target. Every feature is free of units: multiplying rewards and bonuses by a
    number, and dividing the cost by it, changes none. Numbers of steps enter by their logarithms.

    Global: last bonus, and as far as it was paid; steps left, as a share of T and their logarithm;
    log steps played; bonuses paid and offered per step, their logarithms, and the mean bonus of a
    target pull; price ``x / (1 + x)`` of the largest bonus, ``x = c b(L - 1)``; log A; share of
    the steps left at which the budget allows to intervene, and log of that number; whether the
    agent's rewards are seen, and the last one. Then mean, mean weighted by pulls, and maximum over
    the other arms of each feature of an arm.
    Per arm: as `CountFeatures`, mean reward zero if it is hidden.

    In an endless game `ROLLING_HORIZON` steps are left at any time.

    Every feature is standardised, by the same numbers in every game (`standard_units`): with raw
    features the forecast learns several times slower, as differences between agents that explore
    more or less are small beside the weights' first values.

    Source: invariance to the order of the arms by pooling is that of Zaheer et al., "Deep sets",
    NeurIPS 2017.
    """

    is_pooled = True

    def sizes(self, game: AnyGame) -> tuple[int, int]:
        """See the base class.

        Raises:
            ValueError: if the others are paid too, or a budget must be spent: no feature tells it.
        """
        if game.is_allocation:
            raise ValueError(
                "a UniversalArchitecture, or PooledFeatures, plays games that pay the target alone"
                " and have no budget with at_least; an Architecture with CountFeatures plays any"
            )
        return 16 + 3 * 7, 8

    def features(self, past: HistoryState) -> Tensor:
        """See the base class."""
        game, pulls = past.game, past.pulls
        numbers = GameBatch.of(game, pulls.shape[0], pulls)
        zeros = torch.zeros_like(past.paid)

        def of_task(values: Tensor) -> Tensor:
            return values.view(-1, *[1] * (pulls.dim() - 1))

        unit, steps = self.unit(game, past.paid), past.step + zeros
        seen = game.sees_agent_rewards(zeros)
        time, horizon = steps + 1.0, game.horizon(past.paid)
        left, share_left = horizon - steps, 1.0 - steps / horizon
        if game.endless:
            left, share_left = zeros + ROLLING_HORIZON, zeros + 1.0
        elif isinstance(horizon, Tensor):  # infinite in endless games
            left = left.nan_to_num(posinf=ROLLING_HORIZON)
        budget = of_task(numbers.max_interventions)
        remaining = torch.where(budget < horizon, budget - past.interventions, left)
        allowed = torch.minimum(remaining, left).clamp(min=0.0)
        price = of_task(numbers.cost) * unit
        bonuses = numbers.bonuses.view(pulls.shape[0], *[1] * (pulls.dim() - 2), -1)
        last_bonus = (past.last_level * bonuses).sum(-1, keepdim=True) / unit
        paid, offered = past.paid / unit, past.offered / unit
        at_least_one, waiting = pulls.clamp(min=1.0), time - past.latest
        per_arm = [
            past.last_arm,
            torch.log1p(pulls) / _STEPS_LOG_UNIT,
            pulls / time,
            at_least_one.rsqrt(),
            torch.log(waiting) / _STEPS_LOG_UNIT,
            (waiting * pulls / (4.0 * time)).clamp(max=1.0),
            seen * past.reward_sums / unit / at_least_one,
        ]
        parts = [
            last_bonus,
            last_bonus * past.last_arm[..., :1],
            share_left,
            torch.log1p(left) / _STEPS_LOG_UNIT,
            torch.log(time) / _STEPS_LOG_UNIT,
            paid / time,
            offered / time,
            paid / at_least_one[..., :1],
            torch.log1p(paid) / _STEPS_LOG_UNIT,
            torch.log1p(offered) / _STEPS_LOG_UNIT,
            price / (1.0 + price) + zeros,
            zeros + _log(game.num_arms, zeros) / _ARMS_LOG_UNIT,
            allowed / left,
            torch.log1p(allowed) / _STEPS_LOG_UNIT,
            zeros + seen,
            seen * past.last_reward / unit,
        ]
        arms = torch.stack(per_arm, dim=-1)
        others, weights = arms[..., 1:, :], pulls[..., 1:, None]
        weighted = (weights * others).sum(-2) / weights.sum(-2).clamp(min=1.0)
        parts += [others.mean(-2), weighted, others.amax(-2)]
        is_target = identity(game.num_arms, pulls.dtype, pulls.device)[0]
        arms = torch.cat([arms, is_target.expand_as(pulls).unsqueeze(-1)], dim=-1)
        overall = torch.cat(parts, dim=-1)
        means, deviations = standard_units(pulls)
        num_global = overall.shape[-1]
        overall = (overall - means[:num_global]) / deviations[:num_global]
        arms = (arms - means[num_global:]) / deviations[num_global:]
        return torch.cat([overall, arms.flatten(-2)], dim=-1)


def standard_units(like: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation by which features are standardised, float [G + P] each.

    Args:
        like: float, whose dtype and device they have.
    """
    means, deviations = _STANDARD.to(like)
    return means, deviations


def _log(number: int, like: Tensor) -> float | Tensor:
    """Natural logarithm of a number, which is none yet while a graph is exported."""
    if torch.compiler.is_exporting():
        return like.new_full((), number).log()
    return math.log(number)
