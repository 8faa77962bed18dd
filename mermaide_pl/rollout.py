"""Principal x agents for T steps: the only place where the game is played."""

from __future__ import annotations

import torch

from mermaide_pl.fused_rollout import Record, fused_rollout, fuses
from mermaide_pl.game import Game
from mermaide_pl.principal.player import Player, Table
from mermaide_pl.randomness import step_uniforms
from mermaide_pl.tasks import TaskBatch
from mermaide_pl.trajectory import Trajectory, relabel_target_first


def rollout(
    tasks: TaskBatch,
    player: Player,
    game: Game,
    *,
    stream: str,
    num_episodes: int,
    same_luck: bool = False,
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

    Returns:
        What happened, axes [M, B, T].

    Raises:
        ValueError: if the tasks have another number of arms than the game.
    """
    num_arms = tasks.base_rewards.shape[1]
    if num_arms != game.num_arms:
        raise ValueError(f"the agents have {num_arms} arms, the game has {game.num_arms}")
    play = fused_rollout if fuses(tasks, player, game) else _play
    record = play(
        tasks, player, game, stream=stream, num_episodes=num_episodes, same_luck=same_luck
    )
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


def _play(
    tasks: TaskBatch,
    player: Player,
    game: Game,
    *,
    stream: str,
    num_episodes: int,
    same_luck: bool,
) -> Record:
    """The game in PyTorch, step by step: any device, any agent, any principal."""
    rewards = tasks.base_rewards
    num_tasks, num_arms = rewards.shape
    episode = (num_episodes, game.num_steps)

    def uniforms(name: str, *size: int) -> torch.Tensor:
        return step_uniforms(tasks.seeds, f"{stream}/{name}", (*episode, *size), rewards)

    agents = tasks.agents(
        stream=stream, num_episodes=num_episodes, num_steps=game.num_steps, same_luck=same_luck
    )
    seen_uniforms = uniforms("observation", 3)
    table = Table(tasks, agents, game, num_episodes, uniforms("principal"))
    all_arms = torch.arange(num_arms, device=rewards.device).expand(num_tasks, -1)
    principal_label = relabel_target_first(all_arms, tasks.target_arm)
    steps = []
    # thousands of small operations: inference mode saves a part of the cost of each
    with torch.inference_mode():
        player.start(table)
        for step in range(game.num_steps):
            levels = player.act(step)
            bonus = game.bonus_of(levels, rewards)
            arms = agents.act(step, bonus)
            agent_rewards = agents.learn(step, arms, bonus)
            seen = game.observation.arms(arms, seen_uniforms[step], num_arms)
            seen = principal_label.gather(1, seen)
            seen_rewards = game.observation.agent_rewards(agent_rewards, seen_uniforms[step])
            player.observe(levels, seen, seen_rewards)
            steps.append((arms, levels, agent_rewards, seen, seen_rewards))
    # stacked outside inference mode: what is recorded here is learned from
    return Record(*(torch.stack(record, dim=2) for record in zip(*steps, strict=True)))
