"""Adaptation of many learners, those with episodes of the same lengths as one batch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mermaide_pl.deployment.fleet_group import sizes_of
from mermaide_pl.deployment.fleet_record import Record
from mermaide_pl.deployment.logged_episode import Episode, support_of_agents
from mermaide_pl.game import Game, GameBatch
from mermaide_pl.meta_learning.adaptation import adapt_to_groups
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.principals.recurrence import INITIAL_STATE

_MOST_STEPS = 16_384  # of all episodes of a batch, which bounds the memory of its graph


class Played(NamedTuple):
    """What a principal adapts to a learner on."""

    game: Game  # the rules
    target_arm: int  # agent label
    samples: bool  # True if its levels were sampled
    episodes: list[Record]  # at least one, in the order in which they were played


class Adapted(NamedTuple):
    """What a learner has for itself after adaptation."""

    initial: Tensor  # [H] float, recurrent state in which episodes begin
    fast: dict[str, Tensor]  # the other weights that differ from the meta weights


@torch.no_grad()
def adapted_to(module: MermaideModule, learners: Sequence[Played]) -> list[Adapted]:
    """Adapt the principal to each learner, from the meta weights, as `LivePrincipal.adapt`.

    Args:
        module: the principal.
        learners: what was played with each.
    """
    in_order = module.inner_loop.chain_length > 1
    batches: dict[tuple[Game, bool, tuple[int, ...]], list[int]] = defaultdict(list)
    for number, learner in enumerate(learners):
        game = learner.game
        lengths = [len(episode.arms) for episode in learner.episodes]
        sizes = sizes_of(game)
        key = sizes, learner.samples, tuple(lengths if in_order else sorted(lengths))
        batches[key].append(number)
    found: dict[int, Adapted] = {}
    for (_, _, shape), numbers in batches.items():
        size = max(1, _MOST_STEPS // sum(shape))
        for first in range(0, len(numbers), size):
            chosen = numbers[first : first + size]
            adapted = _adapted_batch(module, [learners[number] for number in chosen], in_order)
            found.update(zip(chosen, adapted, strict=True))
    return [found[number] for number in range(len(learners))]


def _adapted_batch(
    module: MermaideModule, learners: Sequence[Played], in_order: bool
) -> list[Adapted]:
    principal, inner_loop, objective = module.principal, module.inner_loop, module.objective
    meta = {name: weight.detach() for name, weight in principal.weights().items()}
    if not learners[0].samples:
        objective = objective.forecast_alone()
    support = support_of_agents(
        [[_episode(record) for record in learner.episodes] for learner in learners],
        [learner.target_arm for learner in learners],
        _games([learner.game for learner in learners], meta[INITIAL_STATE]),
        meta[INITIAL_STATE],
        in_order=in_order,
    )
    weights, _ = adapt_to_groups(principal, inner_loop, objective, support, module.engine)
    own = {
        name: weight.detach() for name, weight in weights.items() if weight.dim() > meta[name].dim()
    }
    differs = {name: (weight != meta[name]).flatten(1).any(1) for name, weight in own.items()}
    initial = own.pop(INITIAL_STATE, meta[INITIAL_STATE].expand(len(learners), -1))
    return [
        Adapted(
            initial[row].clone(),
            {name: weight[row].clone() for name, weight in own.items() if differs[name][row]},
        )
        for row in range(len(learners))
    ]


def _games(games: Sequence[Game], like: Tensor) -> GameBatch:
    """Games of one size as a batch."""
    numbers = [GameBatch.of(game, 1, like) for game in games]
    return GameBatch(
        games[0],
        bonuses=torch.cat([each.bonuses for each in numbers]),
        cost=torch.cat([each.cost for each in numbers]),
        max_interventions=torch.cat([each.max_interventions for each in numbers]),
    )


def _episode(record: Record) -> Episode:
    rewards = record.agent_rewards
    return Episode(
        record.arms.tolist(),
        record.levels.tolist(),
        None if rewards is None else rewards.tolist(),
        None,
    )
