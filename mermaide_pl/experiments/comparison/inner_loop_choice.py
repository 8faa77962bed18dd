"""The inner loop that suits a principal which was trained without one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mermaide_pl.engines import Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.evaluation.paired_evaluation import adapted_player
from mermaide_pl.evaluation.records import Row
from mermaide_pl.meta_learning import GradientAdaptation
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.populations import TaskBatch


def choose_inner_loop(
    module: MermaideModule,
    agents: TaskBatch,
    *,
    rates: Sequence[float],
    policy_weights: Sequence[float],
) -> list[Row]:
    """Give a principal the gradient step that leaves it with the highest return.

    Args:
        module: the principal, whose inner loop and objective are replaced.
        agents: to choose by.
        rates: candidates for the inner rate; zero leaves the principal as it is.
        policy_weights: candidates for the weight of the policy's loss in the inner loop beside that
            of the world model. Without one the policy's is the whole loss, and the rate says it.

    Returns:
        A row for each candidate, with its return after one episode.
    """
    weights, unchanged = module.principal.weights(), (module.inner_loop, module.objective)
    if module.principal.world_model is None:
        policy_weights = [1.0]
    candidates, rows = [], list[Row]()
    for rate in rates:
        for policy_weight in policy_weights if rate else policy_weights[:1]:
            module.inner_loop, module.objective = unchanged
            if rate:
                settings = GradientAdaptation(rate, learn_inner_lr=False)
                module.inner_loop = settings.build(weights)
                module.objective = replace(module.objective, inner_policy_weight=policy_weight)
            candidates.append((module.inner_loop, module.objective))
            player = adapted_player(module, 1)(agents)
            played = rollout(agents, player, module.game, stream=Stream.SCORE, num_episodes=2)
            row = {"inner_lr": rate, "inner_policy_weight": module.objective.inner_policy_weight}
            rows.append({**row, "val_return": played.returns.mean().item()})
    best = max(range(len(rows)), key=lambda number: rows[number]["val_return"])
    module.inner_loop, module.objective = candidates[best]
    return rows
