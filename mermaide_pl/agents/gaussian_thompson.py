"""Thompson sampling for rewards with Gaussian noise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mermaide_pl.agents.base import HyperParameter, MeanTrackingRule, PullTally, hyper_parameter


@dataclass
class GaussianThompson(MeanTrackingRule):
    """Thompson sampling with a normal prior on each arm's mean and normal noise of known scale.

    After ``n`` pulls with reward sum ``s``, and with ``k = (noise_scale / prior_scale)^2`` (the
    pulls that the prior is worth), the posterior of an arm's mean is normal with

        mean  (k * prior_mean + s) / (k + n),    standard deviation  noise_scale / sqrt(k + n).

    One mean is drawn per arm, and the arm with the largest is pulled.

    Source: Thompson, "On the likelihood that one unknown probability exceeds another in view of
    the evidence of two samples", Biometrika 25 (1933); posterior: Gelman et al., "Bayesian Data
    Analysis", 3rd edition (2013), section 2.5.

    Args:
        prior_mean: mean of the prior in reward units.
        prior_scale: standard deviation of the prior in reward units, above 0.
        noise_scale: standard deviation of a reward around its arm's mean, above 0.
    """

    prior_mean: HyperParameter = hyper_parameter(0.5)
    prior_scale: HyperParameter = hyper_parameter(0.3, above=0.0)
    noise_scale: HyperParameter = hyper_parameter(0.1, above=0.0)

    def posterior(self, state: PullTally) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each arm's posterior, both float [M, B, A]."""
        prior_pulls = (self.noise_scale / self.prior_scale) ** 2
        pulls = state.counts + prior_pulls
        mean = (state.sums + prior_pulls * self.prior_mean) / pulls
        return mean, self.noise_scale * pulls.rsqrt_()

    def act(self, state: PullTally, bonus: Tensor, uniforms: Tensor) -> Tensor:
        """The arm with the largest mean drawn from the posterior."""
        mean, scale = self.posterior(state)
        return (mean + scale * torch.special.ndtri(uniforms)).argmax(-1)
