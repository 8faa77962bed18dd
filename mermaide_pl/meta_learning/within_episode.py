"""Learning within the episode: gradient steps on the forecast every few steps.

The symbols of the equations are those of `mermaide_pl.meta_learning`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mermaide_pl.config.validation import check_count
from mermaide_pl.engines import AUTO, Engine
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.meta_learning.inner_loop import (
    Adaptation,
    GradientAdaptation,
    GradientInnerLoop,
    InnerLoop,
    InnerLoss,
    RecurrentAdaptation,
)
from mermaide_pl.meta_learning.losses import Objective
from mermaide_pl.meta_learning.support import carry_state
from mermaide_pl.principals import (
    GreedyPlayer,
    LearnedPlayer,
    LearnedPrincipal,
    LearningPlayer,
    PrincipalOutput,
    Weights,
)


@dataclass(frozen=True)
class AdaptationWithinEpisodes(Adaptation):
    """Gradient steps on the forecast within every episode, besides adaptation between episodes.

    Equation:
        phi <- phi - alpha grad F_i(phi),  F_i = -mean_{ik <= t < (i+1)k} log p(o_t | h_t, u_t)

    after steps ``k, 2k, ...`` of an episode, for that episode alone; its recurrent state is carried
    on. Every episode, a first one too, begins with the weights that adaptation between episodes has
    given. The outer gradient passes through the steps. Support episodes are played without them.

    Source: this project's; gradient steps on recent data while acting are those of Nagabandi et
    al., "Learning to adapt in dynamic, real-world environments through meta-reinforcement
    learning", ICLR 2019.

    Args:
        every: k, steps between gradient steps.
        within: the gradient steps; shots and carried state count for nothing.
        between: adaptation from one episode to the next.
    """

    every: int = 50
    within: GradientAdaptation = field(
        default_factory=lambda: GradientAdaptation(adapted=("recurrence", "world_model"))
    )
    between: Adaptation = field(default_factory=RecurrentAdaptation)

    def __post_init__(self) -> None:
        check_count("AdaptationWithinEpisodes.every", self.every, low=1)

    def build(self, weights: Weights) -> InnerLoop:
        """The loop between episodes, with that within them."""
        within = self.within.build(weights)
        assert isinstance(within, GradientInnerLoop)
        return InnerLoops(self.every, within, self.between.build(weights))


class InnerLoops(InnerLoop):
    """The loop between episodes, with that within them."""

    def __init__(self, every: int, within: GradientInnerLoop, between: InnerLoop) -> None:
        super().__init__()
        self.every, self.within, self.between = every, within, between
        self.num_shots = between.num_shots
        self.adapted = between.adapted
        self.carries_state = between.carries_state

    def forward(self, weights: Weights, loss: InnerLoss, num_tasks: int) -> dict[str, Tensor]:
        """Adapt between episodes."""
        return self.between(weights, loss, num_tasks)


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
        self.every, self._within = inner_loop.every, inner_loop.within
        self.is_random = not greedy  # type: ignore[misc]
        self._principal, self._first_weights = principal, weights
        self._objective, self._engine = objective.forecast_alone(), engine
        self._kind = GreedyPlayer if greedy else LearnedPlayer

    def playing(self, played: Trajectory | None) -> LearnedPlayer:
        """See the base class."""
        if played is None:
            self._weights, self._first = self._first_weights, 0
            self._outputs: list[PrincipalOutput] = []
            return self._kind(self._principal, self._weights)
        self._weights = self._learned(played)
        self._first = played.levels.shape[2]
        return self._kind(self._principal, self._weights, weights_per_episode=True)

    def output(self, played: Trajectory) -> PrincipalOutput:
        """Outputs of every step with the weights that played it, differentiable, axes [M, B, T].

        Args:
            played: the episodes that this player has played last.
        """
        if self._first < played.levels.shape[2]:
            last = self._forward(self._weights_of_episodes(played), played.per_episode())
            self._outputs.append(last)
            self._first = played.levels.shape[2]
        return _joined(self._outputs, *played.levels.shape[:2])

    def _forward(self, weights: Weights, episodes: Trajectory) -> PrincipalOutput:
        return self._engine.forward(self._principal, weights, episodes, self._first)

    def _learned(self, played: Trajectory) -> Weights:
        """Weights [M * B, ...] after a step on the latest part of the episodes."""
        episodes = played.per_episode()
        outputs: list[PrincipalOutput] = []

        def loss(weights: Weights) -> Tensor:
            outputs.append(self._forward(weights, episodes))
            behaviour = outputs[-1].log_levels.detach()
            return self._objective.inner_loss(outputs[-1], behaviour, torch.zeros_like(behaviour))

        start = self._weights_of_episodes(played)
        fast = self._within(start, loss, len(episodes.levels))
        self._outputs.append(outputs[0])
        return carry_state(fast, outputs[0])

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
