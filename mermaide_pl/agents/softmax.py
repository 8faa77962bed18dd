"""Boltzmann exploration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mermaide_pl.agents.base import (
    HyperParameter,
    MeanTrackingRule,
    PullTally,
    even_chances,
    hyper_parameter,
    random_argmax,
)


@dataclass
class Softmax(MeanTrackingRule):
    """Boltzmann exploration: better arms are exponentially more likely.

    Every arm once in random order, then arm ``a`` with probability proportional to
    ``exp(mean_a / temperature)``, drawn as ``argmax_a mean_a + temperature * g_a`` with ``g_a``
    standard Gumbel numbers.

    Source: Sutton, Barto, "Reinforcement Learning: An Introduction", 1st edition (1998), section
    2.3; the draw by Gumbel numbers: Maddison, Tarlow, Minka, "A* sampling", NeurIPS 2014. The first
    round over all arms is this project's.

    Args:
        temperature: difference of means that makes an arm ``e`` times as likely, in reward units,
            above 0.
    """

    response_parameters: ClassVar[tuple[str, ...]] = ("temperature",)

    temperature: HyperParameter = hyper_parameter(0.1, above=0.0)

    def act(self, state: PullTally, bonus: Tensor, uniforms: Tensor) -> Tensor:
        """An arm drawn from the Boltzmann distribution."""
        neg_gumbel = uniforms.log().neg_().log_()
        values = state.means() - self.temperature * neg_gumbel
        return random_argmax(values.masked_fill_(state.counts == 0, torch.inf), uniforms)

    def decision_variables(self, state: PullTally) -> tuple[Tensor, ...]:
        """Means, float, and which arms were never pulled, bool; [M, B, A] each."""
        return state.means(), state.counts == 0

    def choice_probabilities(self, *variables: Tensor) -> Tensor:
        """Boltzmann's, or equal ones of the arms never pulled."""
        means, untried = variables
        boltzmann = (means / self.temperature).softmax(-1)
        first = even_chances(untried.to(means))
        return torch.where(untried.any(-1, keepdim=True), first, boltzmann)
