"""Plays a principal that learns within the episode, and gives its outputs with gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from mermaide_pl.engines import AUTO, Engine
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.meta_learning.inner_loop import InnerLoop
from mermaide_pl.meta_learning.losses import Objective
from mermaide_pl.meta_learning.within_episode import InnerLoops
from mermaide_pl.principals import (
    GreedyPlayer,
    LearnedPlayer,
    LearnedPrincipal,
    LearningPlayer,
    PrincipalOutput,
    Weights,
)


class WithinEpisodePlayer(LearningPlayer):
    """Plays a principal that takes gradient steps within the episode.

    Args:
        principal: the module.
        weights: in which episodes begin: meta weights, or fast weights of the M tasks.
        inner_loop: of `AdaptationWithinEpisodes`.
        objective: the inner loss; its forecast alone counts.
        greedy: True to play the most probable levels, as in scored episodes; else they are sampled.
        engine: computes the forward passes.
    """

    def __init__(
        self,
        principal: LearnedPrincipal,
        weights: Weights,
        inner_loop: InnerLoops,
        objective: Objective,
        *,
        greedy: bool,
        engine: Engine = AUTO,
    ) -> None:
        self.every, self.is_random = inner_loop.every, not greedy
        self._principal, self._inner_loop = principal, inner_loop
        self._objective, self._engine = objective, engine
        self._first_weights = weights
        self._kind = GreedyPlayer if greedy else LearnedPlayer

    def playing(self, played: Trajectory | None) -> LearnedPlayer:
        """See the base class."""
        if played is None:
            self._weights, self._first = self._first_weights, 0
            self._outputs: list[PrincipalOutput] = []
            return self._kind(self._principal, self._weights)
        # scored episodes are not learned from: no graph, which would grow with every step
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.is_random):
            self._weights, output = self._inner_loop.learn(
                self._principal,
                self._weights_of_episodes(played),
                self._objective,
                played.per_episode(),
                self._first,
                self._engine,
            )
        self._outputs.append(output)
        self._first = played.levels.shape[2]
        return self._kind(self._principal, self._weights, weights_per_episode=True)

    def output(self, played: Trajectory) -> PrincipalOutput:
        """Outputs of every step with the weights that played it, axes [M, B, T].

        Differentiable to meta weights and inner rates if levels were sampled, with gradients on.

        Args:
            played: the episodes that this player has played last.
        """
        weights = self._weights_of_episodes(played)
        last = self._engine.forward(self._principal, weights, played.per_episode(), self._first)
        output = _joined([*self._outputs, last], *played.levels.shape[:2])
        if self._outputs:
            return output
        # no step was taken, but DDP requires a gradient for every parameter
        rates = self._inner_loop.within.parameters()
        return replace(output, values=output.values + sum(0.0 * rate.sum() for rate in rates))

    def replay(self, recorded: Trajectory) -> PrincipalOutput:
        """`output` in episodes that were played before, by whomever, axes [M, B, T]."""
        for first in range(0, recorded.levels.shape[2], self.every):
            self.playing(recorded.steps(slice(first)) if first else None)
        return self.output(recorded)

    def _weights_of_episodes(self, played: Trajectory) -> Weights:
        """The weights with those of tasks, [M, ...], repeated for their episodes."""
        if self._first:
            return self._weights
        num_episodes = played.levels.shape[1]
        own = self._principal.weights()
        return {
            name: weight
            if weight.dim() == own[name].dim()
            else weight.repeat_interleave(num_episodes, 0)
            for name, weight in self._weights.items()
        }


def player_of(
    principal: LearnedPrincipal,
    weights: Weights,
    inner_loop: InnerLoop,
    objective: Objective,
    *,
    greedy: bool,
    engine: Engine = AUTO,
) -> WithinEpisodePlayer | LearnedPlayer:
    """The player of a principal, which learns within episodes if its inner loop does.

    Arguments as of `WithinEpisodePlayer`.
    """
    if isinstance(inner_loop, InnerLoops):
        return WithinEpisodePlayer(
            principal, weights, inner_loop, objective, greedy=greedy, engine=engine
        )
    return GreedyPlayer(principal, weights) if greedy else LearnedPlayer(principal, weights)


def _joined(parts: Sequence[PrincipalOutput], num_tasks: int, num_episodes: int) -> PrincipalOutput:
    """Outputs of parts of episodes [M * B, 1, t, ...] as those of the episodes [M, B, T, ...]."""

    def join(name: str) -> Tensor | None:
        values = [getattr(part, name) for part in parts]
        if values[0] is None:
            return None
        joined = torch.cat(values, dim=2)
        return joined.reshape(num_tasks, num_episodes, *joined.shape[2:])

    level_logits, values, log_levels = (
        join(name) for name in ("level_logits", "values", "log_levels")
    )
    assert level_logits is not None and values is not None and log_levels is not None
    last = parts[-1].last_state
    return PrincipalOutput(
        level_logits,
        values,
        join("arm_logits"),
        log_levels,
        join("log_arms"),
        None if last is None else last.reshape(num_tasks, num_episodes, -1),
    )
