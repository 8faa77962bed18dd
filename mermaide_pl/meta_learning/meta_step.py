"""One step of meta-training: support rollout, adaptation, query rollout, outer loss.

The symbols of the equations are those of `mermaide_pl.meta_learning`.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from mermaide_pl.engines import AUTO, Engine, Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.meta_learning.adaptation import adapt
from mermaide_pl.meta_learning.inner_loop import InnerLoop
from mermaide_pl.meta_learning.losses import Objective
from mermaide_pl.meta_learning.support import play_support
from mermaide_pl.meta_learning.within_episode_player import WithinEpisodePlayer, player_of
from mermaide_pl.populations import TaskBatch
from mermaide_pl.principals import LearnedPrincipal, PrincipalOutput, Weights


@dataclass(frozen=True)
class MetaStep:
    """Outcome of a meta-step."""

    loss: Tensor  # [] float, J(theta), mean over tasks
    support: Trajectory | None  # B = shots; None without adaptation
    query: Trajectory  # B = query episodes
    output: PrincipalOutput  # of the fast weights on the query episodes, axes [M, B, T]


def meta_step(
    principal: LearnedPrincipal,
    inner_loop: InnerLoop,
    objective: Objective,
    tasks: TaskBatch,
    *,
    num_query_episodes: int,
    num_zero_shot_episodes: int = 0,
    progress: float = 0.0,
    engine: Engine = AUTO,
) -> MetaStep:
    """Play, adapt, play again, and compute the meta-loss, whose gradient training follows.

    Equation:
        J(theta) = mean_m L_out(phi_m) + lambda_0 mean_m L_out(theta)
        (theta, log alpha) <- (theta, log alpha) - Adam(grad J)

    Pseudocode:
        for every batch of M tasks:                               `TaskDataModule`
            support <- K episodes of each task, played by theta   `play_support`
            phi_m <- theta adapted to the support of task m       `adapt`
            query <- B episodes of task m, played by phi_m        `rollout`
            L_out(phi_m) on query, L_out(theta) on support        `Objective.outer_loss`
            J(theta)                                              `Objective.meta_loss`
            one step of Adam on theta and log alpha               `MermaideModule`

    All but the first and the last line are this function. Each task's query episodes share its
    random numbers, so that they are each other's baseline.

    Source: the paper's Algorithm 1, whose outer loss is that of the adapted weights. The zero-shot
    loss, the second term, is this project's.

    Args:
        principal: holds the meta weights.
        inner_loop: how to adapt; `num_shots` support episodes per task.
        objective: inner and outer loss.
        tasks: M tasks.
        num_query_episodes: B of the query rollout.
        num_zero_shot_episodes: B of the rollout that the zero-shot loss is taken on; with zero it
            is taken on the support episodes.
        progress: share of training gone by, for schedules.
        engine: computes the rollouts and forward passes.

    Returns:
        The loss, differentiable to the meta weights and the inner rates, and the episodes.
    """
    game, weights, sees = tasks.game(principal.game), principal.weights(), tasks.sees_bonus

    def play(
        weights: Weights, stream: Stream, num_episodes: int
    ) -> tuple[Trajectory, PrincipalOutput]:
        player = player_of(principal, weights, inner_loop, objective, greedy=False, engine=engine)
        played = rollout(
            tasks,
            player,
            game,
            stream=stream,
            num_episodes=num_episodes,
            common_random_numbers=True,  # the episodes are each other's baseline
            engine=engine,
        )
        if isinstance(player, WithinEpisodePlayer):
            return played, player.output(played)
        return played, engine.forward(principal, weights, played)

    support, zero_shot = None, None
    if inner_loop.num_shots:
        support = play_support(principal, inner_loop, tasks, inner_loop.num_shots, engine)
        weights, unadapted = adapt(principal, inner_loop, objective, support, engine)
        if objective.zero_shot_weight:
            first = support.episodes(slice(unadapted.values.shape[1]))
            if num_zero_shot_episodes:
                first, unadapted = play(
                    principal.weights(), Stream.ZERO_SHOT, num_zero_shot_episodes
                )
            zero_shot = objective.outer_loss(unadapted, first, sees, progress)
    query, output = play(weights, Stream.QUERY, num_query_episodes)
    adapted = objective.outer_loss(output, query, sees, progress)
    return MetaStep(objective.meta_loss(adapted, zero_shot), support, query, output)
