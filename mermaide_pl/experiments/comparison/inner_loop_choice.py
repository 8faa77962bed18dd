"""Choose an inner loop for a principal that was trained without one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mermaide_pl.evaluation.records import Row
from mermaide_pl.meta_learning import GradientAdaptation, Objective
from mermaide_pl.meta_learning.adaptation import adapted_weights
from mermaide_pl.meta_learning.inner_loop import InnerLoop
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.meta_learning.within_episode import InnerLoops
from mermaide_pl.meta_learning.within_episode_player import player_of
from mermaide_pl.populations import TaskBatch


def choose_inner_loop(
    module: MermaideModule,
    agents: TaskBatch,
    *,
    rates: Sequence[float],
    policy_weights: Sequence[float],
) -> tuple[InnerLoop, Objective, list[Row]]:
    """Choose the gradient step after which a principal has the highest return.

    Args:
        module: the principal, with an inner loop of no steps and the objective of its training.
        agents: validation agents.
        rates: candidates for the inner learning rate; zero leaves the principal as it is.
        policy_weights: candidates for the weight of the policy loss relative to the world model's
            loss in the inner loop. Without a world model only the weight 1 is tried.

    Returns:
        The inner loop, the objective, and a row for each candidate with its return after one
        support episode.
    """
    principal = module.principal
    if principal.world_model is None:
        policy_weights = [1.0]
    candidates, rows = [], list[Row]()
    for rate in rates:
        for policy_weight in policy_weights if rate else policy_weights[:1]:
            inner_loop, objective = module.inner_loop, module.objective
            if rate:
                settings = GradientAdaptation(rate, learn_inner_lr=False)
                inner_loop = settings.build(principal.weights())
                if isinstance(own := module.inner_loop, InnerLoops):
                    inner_loop = InnerLoops(own.every, own.within, inner_loop)
                objective = replace(objective, inner_policy_weight=policy_weight)
            candidates.append((inner_loop, objective))
            weights = adapted_weights(principal, inner_loop, objective, agents, 1, module.engine)
            player = player_of(
                principal, weights, inner_loop, objective, greedy=True, engine=module.engine
            )
            played = module.scored_episodes(agents, player, 2)
            row = {"inner_lr": rate, "inner_policy_weight": objective.inner_policy_weight}
            rows.append({**row, "val_return": played.returns.mean().item()})
    best = max(range(len(rows)), key=lambda number: rows[number]["val_return"])
    return *candidates[best], rows
