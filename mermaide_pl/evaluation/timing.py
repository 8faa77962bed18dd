"""Timing of the interventions of a trained principal, over one episode without adaptation."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mermaide_pl.evaluation.records import Row
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.metrics.intervals import mean_and_interval
from mermaide_pl.populations import Population, TaskBatch


def play(module: MermaideModule, tasks: TaskBatch) -> Trajectory:
    """Play one episode with each task at 0 shots, axes [M, 1, T]."""
    player = module.player(module.adapted_weights(tasks, 0))
    return module.scored_episodes(tasks, player, 1)


def median_agent(played: Trajectory) -> int:
    """Index of the agent with the (lower) median return, from episodes [M, B, T]."""
    returns = played.returns.double().mean(1)
    return int(returns.argsort(stable=True)[(len(returns) - 1) // 2])


def episode_of(
    module: MermaideModule, population: Population, number: int, seed: int
) -> tuple[Trajectory, Tensor | None]:
    """Play one episode with one agent, and forecast its arms.

    Args:
        module: the trained principal.
        population: population of the agent.
        number: index of the agent in the test split.
        seed: seed of the agents.

    Returns:
        The episode, axes [1, 1, T], and forecasts, float [1, 1, T, L, A], principal labels; None
        without a world model.
    """
    tasks = population.sample([number], split="test", seed=seed, game=module.game)
    played = play(module, tasks)
    with torch.no_grad():
        return played, module.forward_pass(module.adapted_weights(tasks, 0), played).arm_logits


def rates_by_quarter(played: Trajectory) -> list[float]:
    """Intervention rate in each quarter of the steps, from episodes [M, B, T]."""
    return [
        quarter.double().mean().item() for quarter in (played.levels > 0).tensor_split(4, dim=2)
    ]


def rate_rows(played: Mapping[str, Trajectory]) -> list[Row]:
    """Intervention rate and alignment at every step, as rows for `draw_timing`.

    Args:
        played: name of a population to episodes with its agents, axes [M, B, T].
    """
    rows = []
    for name, trajectory in played.items():
        quantities = {
            "intervention_rate": trajectory.levels > 0,
            "alignment": trajectory.aligned,
        }
        columns = {
            column: values
            for quantity, happened in quantities.items()
            for column, values in mean_and_interval(happened).columns(quantity).items()
        }
        for step in range(trajectory.levels.shape[-1]):
            row: Row = {"population": name, "step": step + 1}
            rows.append(row | {name: round(v[step].item(), 4) for name, v in columns.items()})
    return rows
