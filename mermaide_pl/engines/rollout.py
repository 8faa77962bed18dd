"""A rollout: its random numbers are drawn, and an engine plays it."""

from __future__ import annotations

from mermaide_pl.engines import AUTO, Engine, Stream, draw_noise
from mermaide_pl.engines.torch_rollout import Segment
from mermaide_pl.game import AnyGame
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.populations import TaskBatch
from mermaide_pl.principals import LearningPlayer, Player


def rollout(
    tasks: TaskBatch,
    player: Player | LearningPlayer,
    game: AnyGame,
    *,
    stream: Stream,
    num_episodes: int,
    number: int | None = None,
    common_random_numbers: bool = False,
    engine: Engine = AUTO,
) -> Trajectory:
    """Play episodes of one principal with every task, all at once, without autograd.

    Args:
        tasks: M tasks.
        player: the principal.
        game: the rules.
        stream: purpose of the episodes; equal streams of equal tasks give the agents, the noise
            and the principal the same random numbers.
        num_episodes: B, episodes with each task.
        number: of the episode, where episodes are played one by one.
        common_random_numbers: if True, an agent draws the same random numbers in all its episodes,
            which then differ only by what the principal does; else episodes are independent.
        engine: computes the rollouts and forward passes.

    Returns:
        The episodes, axes [M, B, T].

    Raises:
        ValueError: if the tasks have another number of arms than the game.
    """
    num_arms = tasks.base_rewards.shape[1]
    if num_arms != game.num_arms:
        raise ValueError(f"the agents have {num_arms} arms, the game has {game.num_arms}")
    noise = draw_noise(
        tasks,
        player,
        game,
        stream=stream,
        num_episodes=num_episodes,
        number=number,
        common_random_numbers=common_random_numbers,
    )
    if not isinstance(player, LearningPlayer):
        return engine.play(tasks, player, game, noise)
    played = None
    for first in range(0, game.num_steps, player.every):
        segment = Segment(played, min(first + player.every, game.num_steps))
        played = engine.play(tasks, player.playing(played), game, noise, segment)
    assert played is not None
    return played
