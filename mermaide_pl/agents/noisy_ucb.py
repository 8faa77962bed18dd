"""Upper confidence bounds with decision noise and a prior."""

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
class NoisyUCB(MeanTrackingRule):
    r"""Upper confidence bounds with decision noise: Gumbel-perturbed bounds, lapses, and a prior.

    In a lapse the arm is uniformly random. Otherwise it is
    ``argmax_a mean_a + beta * sqrt(ln t / n_a) + temperature * g_a`` with ``g_a`` standard Gumbel
    numbers, as in `Softmax`; pulls ``n_a`` and mean begin with `prior_pulls` pulls of reward 0.5,
    and without a prior every arm is pulled once first, in random order. Without noise, lapses and
    prior this is `UCB`. A principal that trains with such agents cannot rely on the regular
    exploration of exact ones.

    Source: this project's. Lapses are those of psychophysics: Wichmann, Hill, "The psychometric
    function: I. Fitting, sampling, and goodness of fit", Perception & Psychophysics 63 (2001).

    Args:
        beta: exploration coefficient in reward units, at least 0.
        lapse_rate: share of lapses, 0 to 1.
        temperature: of the noise in the bounds, in reward units, at least 0.
        prior_pulls: number of pulls the prior is worth, at least 0.
    """

    response_parameters: ClassVar[tuple[str, ...]] = (
        "beta",
        "lapse_rate",
        "temperature",
        "prior_pulls",
    )

    beta: HyperParameter = hyper_parameter(0.5, low=0.0)
    lapse_rate: HyperParameter = hyper_parameter(0.05, low=0.0, high=1.0)
    temperature: HyperParameter = hyper_parameter(0.05, low=0.0)
    prior_pulls: HyperParameter = hyper_parameter(0.0, low=0.0)

    def num_uniforms(self, num_arms: int) -> int:
        """One for the lapse, and one per arm."""
        return 1 + num_arms

    def act(self, state: PullTally, bonus: Tensor, uniforms: Tensor) -> Tensor:
        """The arm with the highest noisy bound; a random one in a lapse."""
        lapses, per_arm = uniforms[..., :1] < self.lapse_rate, uniforms[..., 1:]
        noise = self.temperature * per_arm.log().neg().log()
        bound = self._bounds(*self.decision_variables(state)) - noise
        return random_argmax(bound.masked_fill(lapses, 0.0), per_arm)

    def decision_variables(self, state: PullTally) -> tuple[Tensor, ...]:
        """Pulls and sums of rewards, [M, B, A], and the logarithm of the step, [M, B, 1]; float."""
        log_step = torch.full_like(state.counts[..., :1], math.log(state.step))
        return state.counts.clone(), state.sums.clone(), log_step

    def choice_probabilities(self, *variables: Tensor) -> Tensor:
        """Softmax of the bounds, or equal ones of the highest, mixed with lapses."""
        bound = self._bounds(*variables)
        noise = torch.where(self.temperature > 0, self.temperature, 1.0)
        # arms that come first share all
        softmax = (bound.clamp(max=torch.finfo(bound.dtype).max / 4) / noise).softmax(-1)
        is_sharp = (self.temperature == 0) | bound.isinf().any(-1, keepdim=True)
        chances = torch.where(is_sharp, chances_of_best(bound), softmax)
        return self.lapse_rate / bound.shape[-1] + (1.0 - self.lapse_rate) * chances

    def _bounds(self, counts: Tensor, sums: Tensor, log_step: Tensor) -> Tensor:
        pulls = counts + self.prior_pulls
        known, pulls = pulls > 0, torch.where(pulls > 0, pulls, 1.0)
        means = (sums + 0.5 * self.prior_pulls) / pulls
        return (means + self.beta * torch.sqrt(log_step / pulls)).masked_fill(~known, torch.inf)
