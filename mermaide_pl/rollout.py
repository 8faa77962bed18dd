"""Principal x agents for T steps: the only place where the game is played."""

from __future__ import annotations

import torch

from mermaide_pl.game import Game
from mermaide_pl.principal.player import Player, Table
from mermaide_pl.randomness import task_uniforms
from mermaide_pl.tasks import TaskBatch
from mermaide_pl.trajectory import Trajectory, relabel_target_first


def rollout(
    tasks: TaskBatch, player: Player, game: Game, *, stream: str, num_episodes: int
) -> Trajectory:
    """Play episodes of one principal with every task, all at once, without autograd.

    Args:
        tasks: M tasks.
        player: the principal.
        game: the rules.
        stream: name of the random stream; equal streams of equal tasks give the agents, the noise
            and the principal the same random numbers.
        num_episodes: B, independent episodes with each task.

    Returns:
        What happened, axes [M, B, T].

    Raises:
        ValueError: if the tasks have another number of arms than the game.
    """
    rewards = tasks.base_rewards
    num_tasks, num_arms = rewards.shape
    if num_arms != game.num_arms:
        raise ValueError(f"the agents have {num_arms} arms, the game has {game.num_arms}")
    episode = (num_episodes, game.num_steps)

    def uniforms(name: str, *size: int) -> torch.Tensor:
        numbers = task_uniforms(tasks.seeds, f"{stream}/{name}", (*episode, *size))
        return numbers.movedim(2, 0).to(rewards).contiguous()

    agents = tasks.agents(stream=stream, num_episodes=num_episodes, num_steps=game.num_steps)
    seen_uniforms = uniforms("observation", 3)
    table = Table(tasks, agents, game, num_episodes, uniforms("principal"))
    shape = (game.num_steps, num_tasks, num_episodes)
    arms, levels, observed_arms = (
        torch.empty(shape, dtype=torch.long, device=rewards.device) for _ in range(3)
    )
    aligned = torch.empty(shape, dtype=torch.bool, device=rewards.device)
    agent_rewards, observed_agent_rewards = (rewards.new_empty(shape) for _ in range(2))
    # thousands of small operations: inference mode saves a part of the cost of each
    with torch.inference_mode():
        player.start(table)
        for step in range(game.num_steps):
            levels[step] = player.act(step)
            bonus = game.bonus_of(levels[step], rewards)
            arms[step] = agents.act(step, bonus)
            aligned[step], agent_rewards[step] = agents.learn(step, arms[step], bonus)
            seen = game.observation.arms(arms[step], seen_uniforms[step], num_arms)
            observed_arms[step] = relabel_target_first(seen, tasks.target_arm)
            observed_agent_rewards[step] = game.observation.agent_rewards(
                agent_rewards[step], seen_uniforms[step]
            )
            player.observe(levels[step], observed_arms[step], observed_agent_rewards[step])

    def last(steps: torch.Tensor) -> torch.Tensor:
        return steps.movedim(0, 2).contiguous()

    return Trajectory(
        arms=last(arms),
        levels=last(levels),
        aligned=last(aligned),
        rewards=last(game.principal_rewards(aligned, game.bonus_of(levels, rewards))),
        agent_rewards=last(agent_rewards),
        observed_arms=last(observed_arms),
        observed_agent_rewards=last(observed_agent_rewards),
    )
