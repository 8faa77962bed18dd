"""Epsilon-greedy exploration."""

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
class EpsilonGreedy(MeanTrackingRule):
    """The best arm so far, except for a random arm with a small probability.

    With probability ``epsilon_t = epsilon / (1 + decay * (t - 1))``, the step ``t`` counted from 1,
    a uniformly random arm, else ``argmax_a mean_a``, ties broken at random. An arm that was never
    pulled counts as the best, so the greedy steps begin by trying every arm once in random order.

    Source: Sutton, Barto, "Reinforcement Learning: An Introduction", 2nd edition (2018), section
    2.2; the decay and the treatment of arms never pulled are this project's.

    Args:
        epsilon: probability of a random arm in the first step, in [0, 1].
        decay: rate at which that probability falls, per step, at least 0; 0 keeps it constant.
    """

    response_parameters: ClassVar[tuple[str, ...]] = ("epsilon", "decay")

    epsilon: HyperParameter = hyper_parameter(0.1, low=0.0, high=1.0)
    decay: HyperParameter = hyper_parameter(0.0, low=0.0)

    def num_uniforms(self, num_arms: int) -> int:
        """One to decide whether to explore, and one per arm to pick among equals."""
        return 1 + num_arms

    def act(self, state: PullTally, bonus: Tensor, uniforms: Tensor) -> Tensor:
        """A random arm or the best one."""
        means, steps = self.decision_variables(state)
        explore = uniforms[..., :1] < self._share(steps)
        # All arms equal: the random tie-break is then the uniformly random arm.
        return random_argmax(means.masked_fill_(explore, 0.0), uniforms[..., 1:])

    def decision_variables(self, state: PullTally) -> tuple[Tensor, ...]:
        """Means, infinite before the first pull, [M, B, A], and the steps so far, [M, B, 1]."""
        means = state.means().masked_fill_(state.counts == 0, torch.inf)
        return means, torch.full_like(means[..., :1], state.step - 1)

    def choice_probabilities(self, *variables: Tensor) -> Tensor:
        """Those of the best arms, mixed with equal ones."""
        means, steps = variables
        share = self._share(steps)
        return share / means.shape[-1] + (1.0 - share) * chances_of_best(means)

    def _share(self, steps: Tensor) -> Tensor:
        """Probability of exploring, float [M, B, 1]."""
        return self.epsilon / (1.0 + self.decay * steps)
