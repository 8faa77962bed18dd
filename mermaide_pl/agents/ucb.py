"""Upper confidence bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mermaide_pl.agents.base import (
    HyperParameter,
    MeanTrackingRule,
    PullTally,
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

    beta: HyperParameter = hyper_parameter(0.5, low=0.0)

    def act(self, state: PullTally, bonus: Tensor, uniforms: Tensor) -> Tensor:
        """The arm with the highest upper bound."""
        width = torch.sqrt(math.log(state.step) / state.counts.clamp(min=1.0))
        bound = state.means() + self.beta * width
        return random_argmax(bound.masked_fill(state.counts == 0, torch.inf), uniforms)
