"""Best-response agents: the followers of the Stackelberg games of figures 2 and 3."""

from __future__ import annotations

from mermaide_pl.agents import BestResponse, NoiseFreeReward
from mermaide_pl.game import Game
from mermaide_pl.game.equilibrium import equilibrium_payoff
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.meta_learning.adaptation import adapted_weights
from mermaide_pl.meta_learning.inner_loop import InnerLoop
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.populations import AgentFamily, GapTarget, Population, TaskBatch
from mermaide_pl.principals import GreedyPlayer

NUM_ARMS = 2
"""Two arms suffice: only how much a follower dislikes the target matters."""


def followers(largest_delta: float) -> Population:
    """Best-response agents that dislike their target by ``delta``, uniform on [0, largest]."""
    return Population(
        [AgentFamily(BestResponse)],
        num_arms=NUM_ARMS,
        target=GapTarget(0.0, largest_delta),
        reward_model=NoiseFreeReward(),
    )


def mean_equilibrium(tasks: TaskBatch, game: Game) -> float:
    """Equilibrium payoff per step, mean over the agents; its principal knows each agent."""
    return equilibrium_payoff(tasks.delta, game).double().mean().item()


def play_adapted(
    module: MermaideModule, tasks: TaskBatch, shots: int, inner_loop: InnerLoop | None = None
) -> Trajectory:
    """Play one episode with each task after adapting to it on `shots` others, axes [M, 1, T].

    Args:
        module: the principal.
        tasks: M tasks.
        shots: support episodes with each task.
        inner_loop: inner loop of the adaptation; by default that of its training.
    """
    principal, inner_loop = module.principal, inner_loop or module.inner_loop
    weights = adapted_weights(principal, inner_loop, module.objective, tasks, shots, module.engine)
    player = GreedyPlayer(principal, weights)
    return module.scored_episodes(tasks, player, 1)
