"""Support episodes, from which a principal adapts: played by itself or given from records."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mermaide_pl.engines import AUTO, Engine, Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.meta_learning.inner_loop import InnerLoop
from mermaide_pl.populations import TaskBatch
from mermaide_pl.principals import LearnedPlayer, LearnedPrincipal, PrincipalOutput, Weights
from mermaide_pl.principals.recurrence import INITIAL_STATE


@dataclass(frozen=True)
class Support:
    """Support episodes of one length, played by the unadapted principal or by another policy.

    Args:
        episodes: axes [M, B, T].
        behaviour: ``log mu(u_t | h_t)`` of the policy that chose the levels, float [M, B, T]; None
            for the unadapted principal itself.
    """

    episodes: Trajectory
    behaviour: Tensor | None = None

    @property
    def num_steps(self) -> int:
        """Steps with each task, ``B T``."""
        return self.episodes.arms[0].numel()

    def one_by_one(self) -> list[Support]:
        """The same, one episode at a time."""
        numbers = range(self.episodes.arms.shape[1])
        chosen = [slice(number, number + 1) for number in numbers]
        behaviour = self.behaviour
        return [
            Support(self.episodes.episodes(one), None if behaviour is None else behaviour[:, one])
            for one in chosen
        ]


def play_support(
    principal: LearnedPrincipal,
    inner_loop: InnerLoop,
    tasks: TaskBatch,
    num_shots: int,
    engine: Engine = AUTO,
) -> Trajectory:
    """Play support episodes with the unadapted principal, which samples its levels.

    Episodes begin in the initial state, or form chains, see `InnerLoop.chain_length`.

    Args:
        principal: holds the meta weights.
        inner_loop: determines the length of the chains of episodes.
        tasks: M tasks.
        num_shots: K, at least 1.
        engine: computes the rollouts and forward passes.

    Returns:
        Axes [M, K, T].
    """
    weights, chain = principal.weights(), inner_loop.chain_length

    def play(weights: Weights, num_episodes: int, number: int | None = None) -> Trajectory:
        return rollout(
            tasks,
            LearnedPlayer(principal, weights),
            tasks.game(principal.game),
            stream=Stream.SUPPORT,
            num_episodes=num_episodes,
            number=number,
            engine=engine,
        )

    if chain == 1:
        return play(weights, num_shots)
    played: list[Trajectory] = []
    for number in range(num_shots):
        start: Weights = weights
        if number % chain:
            with torch.no_grad():
                start = carry_state(start, engine.forward(principal, start, played[-1]))
        played.append(play(start, 1, number or None))
    return Trajectory.joined(played)


def carry_state(weights: Weights, output: PrincipalOutput) -> Weights:
    """The weights with another initial state: that at the end of the episode of `output` [M, 1, T].

    Used by `play_support` and `adapt_to_groups` to form chains.
    """
    return {**weights, INITIAL_STATE: last_state(output)[:, 0]}


def last_state(output: PrincipalOutput) -> Tensor:
    """State in which the episodes ended, float [M, B, H].

    Raises:
        ValueError: if the principal has none to carry.
    """
    if output.last_state is None:
        raise ValueError(
            "carries_state=True needs a last_state in the principal's output, and it has none;"
            " allowed: carries_state=False"
        )
    return output.last_state
