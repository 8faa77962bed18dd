"""Agents that best-respond: the followers of the Stackelberg games of figures 2 and 3."""

from __future__ import annotations

from mermaide_pl.agents import BestResponse, NoiseFreeReward
from mermaide_pl.engines import Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import Game
from mermaide_pl.game.equilibrium import equilibrium_payoff
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.populations import AgentFamily, GapTarget, Population, TaskBatch
from mermaide_pl.principals import GreedyPlayer

NUM_ARMS = 2
"""All that matters of a follower is how much it dislikes the target, so one more arm will do."""


def followers(largest_delta: float) -> Population:
    """Best-response agents that dislike their target by ``delta``, uniform on [0, largest]."""
    return Population(
        [AgentFamily(BestResponse)],
        num_arms=NUM_ARMS,
        target=GapTarget(0.0, largest_delta),
        reward_model=NoiseFreeReward(),
    )


def mean_equilibrium(tasks: TaskBatch, game: Game) -> float:
    """Mean over the agents of what a principal gets per step that knows each of them."""
    return equilibrium_payoff(tasks.delta, game).double().mean().item()


def play_adapted(module: MermaideModule, tasks: TaskBatch, shots: int) -> Trajectory:
    """One episode with each task after adapting to it on `shots` others, axes [M, 1, T]."""
    player = GreedyPlayer(module.principal, module.adapted_weights(tasks, shots))
    return rollout(tasks, player, module.game, stream=Stream.SCORE, num_episodes=1)
