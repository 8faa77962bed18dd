"""Baselines: pick the best of several players on tuning agents, which are not scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from mermaide_pl.engines import AUTO, Engine, Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import Game
from mermaide_pl.populations import TaskBatch
from mermaide_pl.principals import Player
from mermaide_pl.runtime.distributed import Shard


def best_of(
    players: Sequence[Player],
    tasks: TaskBatch,
    game: Game,
    *,
    num_episodes: int = 1,
    engine: Engine = AUTO,
    on_step: Callable[[], None] = lambda: None,
    share: Shard = Shard(),
) -> Player:
    """The player with the highest mean return on these tasks; the first one among equals.

    Args:
        players: candidates.
        tasks: agents to tune on.
        game: the rules.
        num_episodes: episodes with each agent.
        engine: computes the rollouts and forward passes.
        on_step: called after each candidate that this process plays, for progress bars.
        share: candidates that this process plays; all processes return the same player.
    """
    scores = torch.zeros(len(players), dtype=torch.float64)
    for number in share.of(len(players)):
        played = rollout(
            tasks,
            players[number],
            tasks.game(game),
            stream=Stream.TUNE,
            num_episodes=num_episodes,
            engine=engine,
        )
        scores[number] = played.returns.double().mean()
        on_step()
    found = share.total(scores).tolist()
    return players[found.index(max(found))]
