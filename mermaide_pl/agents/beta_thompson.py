"""Thompson sampling for rewards in a known range."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mermaide_pl.agents.base import HyperParameter, LearningRule, hyper_parameter
from mermaide_pl.config.validation import check_number

NUM_TRIES = 4
"""Proposals of the rejection sampler for one gamma number."""


@dataclass
class BetaThompson(LearningRule):
    """Thompson sampling with a Beta prior on each arm's probability of success.

    A reward is rescaled to [0, 1] by its range, clipped, and used as the probability of a coin
    toss: heads count as a success, tails as a failure. One number is drawn per arm from
    ``Beta(prior_alpha + successes, prior_beta + failures)``; the arm with the largest is pulled.

    Source: Agrawal, Goyal, "Analysis of Thompson sampling for the multi-armed bandit problem",
    COLT 2012, algorithm 1 and, for rewards that are not binary, algorithm 2.

    Args:
        prior_alpha: successes that the prior is worth, plus 1; at least 1, the sampler's limit.
        prior_beta: failures that the prior is worth, plus 1; at least 1, the sampler's limit.
        reward_low: reward that counts as a sure failure.
        reward_high: reward that counts as a sure success, above `reward_low`. Rewards beyond it
            look the same to the agent, so a range without the bonus hides part of the bonus.
    """

    prior_alpha: HyperParameter = hyper_parameter(1.0, low=1.0)
    prior_beta: HyperParameter = hyper_parameter(1.0, low=1.0)
    reward_low: HyperParameter = hyper_parameter(0.0)
    reward_high: HyperParameter = hyper_parameter(1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        for width in (self.reward_high - self.reward_low).flatten().tolist():
            check_number("BetaThompson.reward_high minus reward_low", width, above=0.0)

    def num_uniforms(self, num_arms: int) -> int:
        """Two gamma numbers per arm, and the coin toss."""
        return num_arms * 2 * (NUM_TRIES + 1) + 1

    def init(self, base_rewards: Tensor, target_arm: Tensor, num_episodes: int) -> Tensor:
        """The parameters (alpha, beta) of each arm's posterior, float [M, B, A, 2]."""
        M, A = base_rewards.shape
        state = base_rewards.new_empty(M, num_episodes, A, 2)
        state[..., 0], state[..., 1] = self.prior_alpha, self.prior_beta
        return state

    def act(self, state: Tensor, bonus: Tensor, uniforms: Tensor) -> Tensor:
        """The arm with the largest probability drawn from the posterior."""
        tries = uniforms[..., :-1].view(*state.shape, NUM_TRIES + 1)
        return sample_beta(state, tries).argmax(-1)

    def update(self, state: Tensor, arms: Tensor, rewards: Tensor, uniforms: Tensor) -> Tensor:
        """Toss the coin and count its outcome, in place."""
        low, high = self.reward_low.squeeze(-1), self.reward_high.squeeze(-1)
        # The uniform number lies inside (0, 1), so the comparison clips as well.
        failure = uniforms[..., -1] >= (rewards - low) / (high - low)
        index = (2 * arms + failure).unsqueeze(-1)
        state.view(*arms.shape, -1).scatter_add_(-1, index, torch.ones_like(rewards).unsqueeze(-1))
        return state


def sample_beta(parameters: Tensor, uniforms: Tensor) -> Tensor:
    """Beta numbers as ``G_alpha / (G_alpha + G_beta)`` of two gamma numbers.

    Args:
        parameters: (alpha, beta), each at least 1, float [..., 2].
        uniforms: numbers in (0, 1), float [..., 2, NUM_TRIES + 1].

    Returns:
        float [...], within 1.1e-5 of the Beta distribution in total variation (see `sample_gamma`).
    """
    gammas = sample_gamma(parameters, uniforms)
    return gammas[..., 0] / gammas.sum(-1)


def sample_gamma(shape: Tensor, uniforms: Tensor) -> Tensor:
    """Gamma numbers from a fixed number of uniform numbers.

    ``d v`` with ``d = shape - 1/3``, ``v = (1 + x / sqrt(9 d))^3``, ``x`` normal, accepted with
    probability ``exp(x^2 / 2 + d - d v + d ln v)``. One uniform number picks the first accepted
    try. The last try is taken as it is; since a try fails with probability 0.0483 at most (at
    ``shape = 1``), the result is within ``0.0483^4 = 5.4e-6`` of exact in total variation.

    Source: Marsaglia, Tsang, "A simple method for generating gamma variables", ACM Transactions on
    Mathematical Software 26 (2000).

    Args:
        shape: shape parameters, at least 1, float [...].
        uniforms: numbers in (0, 1), float [..., NUM_TRIES + 1].

    Returns:
        float [...], above 0.
    """
    d = shape.unsqueeze(-1) - 1.0 / 3.0
    x = torch.special.ndtri(uniforms[..., 1:])
    # Where the root is negative the try must fail: at this floor its probability is below 1e-17.
    root = (1.0 + x * (9.0 * d).rsqrt()).clamp(min=1e-12)
    v = root**3
    log_accept = 0.5 * x**2 + d * (1.0 - v + 3.0 * root.log())
    all_failed = (1.0 - log_accept[..., :-1].exp()).cumprod(-1)  # the first 1, 2, ... tries
    chosen = (all_failed >= uniforms[..., :1]).sum(-1, keepdim=True)
    return (d * v.gather(-1, chosen)).squeeze(-1)
