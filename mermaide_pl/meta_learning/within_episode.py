"""Learning within the episode: gradient steps on the forecast every few steps.

The symbols of the equations are those of `mermaide_pl.meta_learning`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from mermaide_pl.config.validation import check_count
from mermaide_pl.engines import AUTO, Engine
from mermaide_pl.game import Game
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
    LearnedPrincipal,
    PrincipalOutput,
    Weights,
)

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class AdaptationWithinEpisodes(Adaptation):
    """Gradient steps on the forecast within every episode, added to adaptation between episodes.

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
        for name, slot in (("within", GradientAdaptation), ("between", Adaptation)):
            given = getattr(self, name)
            if not isinstance(given, slot) or isinstance(given, AdaptationWithinEpisodes):
                raise ValueError(
                    f"AdaptationWithinEpisodes.{name} must be"
                    f" {'a GradientAdaptation' if name == 'within' else 'another adaptation'},"
                    f" got {given!r:.60}"
                )
        if "initial_state" in self.within.adapted:
            raise ValueError(
                "AdaptationWithinEpisodes.within: adapting initial_state has no effect within an"
                " episode: its recurrent state is carried on"
            )

    def build(self, weights: Weights) -> InnerLoop:
        """The loop between episodes, with that within them."""
        within = self.within.build(weights)
        assert isinstance(within, GradientInnerLoop)
        return InnerLoops(self.every, within, self.between.build(weights))


class InnerLoops(InnerLoop):
    """The loop between episodes, with that within them.

    Args:
        every: k, steps between gradient steps.
        within: the gradient steps.
        between: adapts between episodes, see `forward`.
    """

    def __init__(self, every: int, within: GradientInnerLoop, between: InnerLoop) -> None:
        super().__init__()
        self.every, self.within, self.between = every, within, between
        self.num_shots = between.num_shots
        self.adapted = between.adapted
        self.carries_state = between.carries_state

    def forward(self, weights: Weights, loss: InnerLoss, num_tasks: int) -> dict[str, Tensor]:
        """Adapt between episodes."""
        return self.between(weights, loss, num_tasks)

    def learn(
        self,
        principal: LearnedPrincipal,
        weights: Weights,
        objective: Objective,
        played: Trajectory,
        first: int,
        engine: Engine = AUTO,
    ) -> tuple[Weights, PrincipalOutput]:
        """Take the gradient steps after a part of episodes, each episode by itself.

        Args:
            principal: the module.
            weights: that played the part, meta weights or those of N episodes, [N, ...]; their
                initial state is that in which the part began.
            objective: the inner loss; its forecast alone counts.
            played: the episodes up to the end of the part, axes [N, 1, t].
            first: first step of the part.
            engine: computes the forward passes.

        Returns:
            Weights of each episode, [N, ...], with the state at the end of the part for initial
            state, and the outputs of the weights before, axes [N, 1, t - first]. Both carry the
            graph if gradients are enabled.
        """
        objective = objective.forecast_alone()
        outputs: list[PrincipalOutput] = []

        def loss(weights: Weights) -> Tensor:
            outputs.append(engine.forward(principal, weights, played, first))
            behaviour = outputs[-1].log_levels.detach()
            return objective.inner_loss(outputs[-1], behaviour, torch.zeros_like(behaviour))

        fast = self.within(weights, loss, len(played.levels))
        output = outputs[0] if torch.is_grad_enabled() else _detached(outputs[0])
        return carry_state(fast, output), output


def check_learns_within(
    inner_loop: InnerLoop, objective: Objective, has_forecast: bool, game: Game
) -> None:
    """Refuse steps within episodes for which the forecast's loss has no gradient.

    Warns where an episode of the game ends before the first one.

    Raises:
        ValueError: if it reaches no part that adapts.
    """
    if not isinstance(inner_loop, InnerLoops):
        return
    adapted, weight = inner_loop.within.adapted, objective.forecast_weight
    if not has_forecast or weight == 0.0 or adapted == ("policy",):
        raise ValueError(
            "AdaptationWithinEpisodes learns from the forecast: it needs a world model,"
            " Objective.forecast_weight above 0, and another part than the policy in"
            f" within.adapted; got {'a' if has_forecast else 'no'} world model,"
            f" {weight:g}, {', '.join(adapted)}"
        )
    if inner_loop.every >= game.num_steps:
        _LOGGER.warning(
            "AdaptationWithinEpisodes: with every = %d no step is taken within the %d steps of an"
            " episode",
            *(inner_loop.every, game.num_steps),
        )


def _detached(output: PrincipalOutput) -> PrincipalOutput:
    detached: dict[str, Any] = {
        name: None if each is None else each.detach() for name, each in vars(output).items()
    }
    return PrincipalOutput(**detached)
