"""Discounted upper confidence bounds, for rewards that change."""

from __future__ import annotations

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
class DiscountedUCB(MeanTrackingRule):
    r"""Discounted upper confidence bounds: the weight of old pulls and rewards decays.

    Every arm once in random order, then, ties broken at random,

        ``argmax_a S_a / N_a + beta * sqrt(ln(1 + sum_b N_b) / N_a)``

    with pulls ``N_a`` and reward sums ``S_a`` that both shrink by `discount` in every step. With
    ``discount = 1`` this is `UCB`.

    Source: Garivier, Moulines, "On upper-confidence bound policies for switching bandit problems",
    ALT 2011, section 3; the bonus is scaled as in `UCB`.

    Args:
        beta: exploration coefficient in reward units, at least 0.
        discount: weight of a pull one step later, above 0, at most 1.
    """

    response_parameters: ClassVar[tuple[str, ...]] = ("beta",)

    beta: HyperParameter = hyper_parameter(0.5, low=0.0)
    discount: HyperParameter = hyper_parameter(0.98, above=0.0, high=1.0)

    def act(self, state: PullTally, bonus: Tensor, uniforms: Tensor) -> Tensor:
        """The arm with the highest upper bound."""
        return random_argmax(self._bounds(*self.decision_variables(state)), uniforms)

    def decision_variables(self, state: PullTally) -> tuple[Tensor, ...]:
        """Means and widths per `beta`, float, and which arms were never pulled, bool; [M, B, A]."""
        pulls = state.counts.clamp(min=torch.finfo(state.counts.dtype).tiny)
        width = torch.sqrt(state.counts.sum(-1, keepdim=True).log1p() / pulls)
        return state.sums / pulls, width, state.counts == 0

    def choice_probabilities(self, *variables: Tensor) -> Tensor:
        """Equal ones of the arms with the highest upper bound."""
        return chances_of_best(self._bounds(*variables))

    def _bounds(self, means: Tensor, width: Tensor, untried: Tensor) -> Tensor:
        return (means + self.beta * width).masked_fill(untried, torch.inf)

    def update(
        self, state: PullTally, arms: Tensor, rewards: Tensor, uniforms: Tensor
    ) -> PullTally:
        """Discount the tally, then count the pull."""
        state.counts.mul_(self.discount)
        state.sums.mul_(self.discount)
        return state.add(arms, rewards)
