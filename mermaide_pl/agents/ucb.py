"""Upper confidence bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mermaide_pl.agents.base import (
    HyperParameter,
    MeanTrackingRule,
    PullTally,
    chances_of_best,
    hyper_parameter,
    random_argmax,
)


@dataclass
class UCB(MeanTrackingRule):
    r"""Upper confidence bounds with exploration coefficient `beta`.

    Every arm once in random order, then ``argmax_a mean_a + beta * sqrt(ln t / n_a)``, the step
    ``t`` counted from 1, ties broken at random. ``beta = sqrt(2)`` is UCB1.

    Source: Auer, Cesa-Bianchi, Fischer, "Finite-time analysis of the multiarmed bandit problem",
    Machine Learning 47 (2002), figure 1.

    Args:
        beta: exploration coefficient in reward units, at least 0.
    """

    response_parameters: ClassVar[tuple[str, ...]] = ("beta",)

    beta: HyperParameter = hyper_parameter(0.5, low=0.0)

    def act(self, state: PullTally, bonus: Tensor, uniforms: Tensor) -> Tensor:
        """The arm with the highest upper bound."""
        return random_argmax(self._bounds(*self.decision_variables(state)), uniforms)

    def decision_variables(self, state: PullTally) -> tuple[Tensor, ...]:
        """Means and widths per `beta`, float, and which arms were never pulled, bool; [M, B, A]."""
        width = torch.sqrt(math.log(state.step) / state.counts.clamp(min=1.0))
        return state.means(), width, state.counts == 0

    def choice_probabilities(self, *variables: Tensor) -> Tensor:
        """Equal ones of the arms with the highest upper bound."""
        return chances_of_best(self._bounds(*variables))

    def _bounds(self, means: Tensor, width: Tensor, untried: Tensor) -> Tensor:
        return (means + self.beta * width).masked_fill(untried, torch.inf)
