"""Principal x agents for T steps: the only place where the game is played."""

from __future__ import annotations

from typing import Any

from mermaide_pl.engines.native_rollout import fused_rollout, fuses
from mermaide_pl.engines.torch_rollout import Replays, Stage, play
from mermaide_pl.game import Game
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.native.build import Kernel
from mermaide_pl.populations import TaskBatch
from mermaide_pl.principals import LearnedPlayer, Player

_REPLAYS = Replays()


def rollout(
    tasks: TaskBatch,
    player: Player,
    game: Game,
    *,
    stream: str,
    num_episodes: int,
    same_luck: bool = False,
    kernel: Kernel = "auto",
) -> Trajectory:
    """Play episodes of one principal with every task, all at once, without autograd.

    Args:
        tasks: M tasks.
        player: the principal.
        game: the rules.
        stream: name of the random stream; equal streams of equal tasks give the agents, the noise
            and the principal the same random numbers.
        num_episodes: B, episodes with each task.
        same_luck: whether an agent draws the same random numbers in all its episodes, so that they
            differ by what the principal does only; else they are independent.
        kernel: what computes; a learned principal's own choice of ``torch`` goes first.

    Returns:
        What happened, axes [M, B, T].

    Raises:
        ValueError: if the tasks have another number of arms than the game.
    """
    num_arms = tasks.base_rewards.shape[1]
    if num_arms != game.num_arms:
        raise ValueError(f"the agents have {num_arms} arms, the game has {game.num_arms}")
    options: dict[str, Any]
    options = {"stream": stream, "num_episodes": num_episodes, "same_luck": same_luck}
    if fuses(tasks, player, game, kernel):
        record = fused_rollout(tasks, player, game, **options)
    elif tasks.base_rewards.is_cuda and Replays.suit(tasks, player, game):
        assert isinstance(player, LearnedPlayer)
        record = _REPLAYS.play(tasks, player, game, **options)
    else:
        record = play(Stage(tasks, player, game, **options))
    aligned = record.arms == tasks.target_arm[:, None, None]
    bonus = game.bonus_of(record.levels, tasks.base_rewards)
    return Trajectory(
        arms=record.arms,
        levels=record.levels,
        aligned=aligned,
        rewards=game.principal_rewards(aligned, bonus),
        agent_rewards=record.agent_rewards,
        observed_arms=record.observed_arms,
        observed_agent_rewards=record.observed_agent_rewards,
    )
