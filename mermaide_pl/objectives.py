"""Pure functions of trajectories: returns, advantages, meta-gradient estimators, cross-entropy.

A *surrogate* is a scalar per task whose gradients estimate those of the negative expected return,
as far as the advantages are unbiased. MAML takes a gradient of a gradient, so the second derivative
matters too, and there the estimators differ. Write ``g_t = grad log pi(u_t)``, ``H_t`` for the
Hessian of ``log pi(u_t)``, and ``A_t`` for the advantage of step t.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


def rewards_to_go(rewards: Tensor) -> Tensor:
    """Undiscounted sum of this and all later rewards, ``R_t = r_t + R_{t+1}``; [..., T]."""
    return rewards.flip(-1).cumsum(-1).flip(-1)


def generalised_advantages(rewards: Tensor, values: Tensor, gae_lambda: float) -> Tensor:
    """Undiscounted generalised advantage estimates.

    Equation:
        A_t = d_t + lambda * A_{t+1},  d_t = r_t + V_{t+1} - V_t,  V_T = A_T = 0

    Source: Schulman et al., "High-dimensional continuous control using generalized advantage
    estimation", ICLR 2016, eq. 16.

    Args:
        rewards: float [..., T].
        values: state values before each step, in the same unit, float [..., T].
        gae_lambda: 0 (one-step) to 1 (all later rewards).

    Returns:
        float [..., T].
    """
    if rewards.shape != values.shape:
        raise ValueError(f"rewards {tuple(rewards.shape)} and values {tuple(values.shape)} differ")
    residuals = rewards + F.pad(values, (0, 1))[..., 1:] - values
    step = torch.arange(rewards.shape[-1], device=rewards.device)
    later = (step.unsqueeze(1) - step).clamp(min=0)  # [T, T], how much later each residual comes
    # the recursion written out, A_t = sum_{k >= t} lambda^{k - t} d_k: one product, no loop
    with torch.autocast(residuals.device.type, enabled=False):  # sums of many need their digits
        return residuals @ (gae_lambda ** later.to(residuals)).tril()


def advantage_noise_scale(advantages: Tensor, gae_lambda: float) -> Tensor:
    """How the noise of generalised advantages falls towards the end of the episode.

    Equation:
        s_t = sqrt(sum_{k < T - t} lambda^{2k}),

    the standard deviation of ``A_t`` if the residuals ``d_t`` are independent with variance one.
    Early advantages add up the noise of many steps; unless each is measured by its own noise, the
    late decisions, cheap and certain as they are, are learned last.

    Args:
        advantages: float [..., T].
        gae_lambda: of the estimates.

    Returns:
        float [T].
    """
    exponents = torch.arange(advantages.shape[-1]).to(advantages)
    return (gae_lambda ** (2.0 * exponents)).cumsum(0).flip(0).sqrt()


def normalise_per_task(advantages: Tensor) -> Tensor:
    """Shift and scale the advantages of each task to mean 0 and variance 1; float [M, B, T]."""
    mean = advantages.mean((1, 2), keepdim=True)
    scale = (advantages - mean).square().mean((1, 2), keepdim=True).sqrt()
    return (advantages - mean) / (scale + 1e-6)


def log_probabilities(level_logits: Tensor, levels: Tensor) -> Tensor:
    """Log-probability of the levels played; logits [..., L], levels int64 [...]."""
    return _log_softmax_at(level_logits, levels)


def _log_softmax_at(logits: Tensor, index: Tensor) -> Tensor:
    """Entry `index` [...] of the log-softmax of [..., N]; a third of the time of all entries."""
    return logits.gather(-1, index.unsqueeze(-1)).squeeze(-1) - logits.logsumexp(-1)


def entropy(level_logits: Tensor) -> Tensor:
    """Entropy of the policy in nats; logits [..., L] to [...]."""
    log_policy = level_logits.log_softmax(-1)
    return -(log_policy.exp() * log_policy).sum(-1)


def factual_arm_logits(arm_logits: Tensor, levels: Tensor) -> Tensor:
    """The forecast for the level that was played: [..., L, A] and int64 [...] to [..., A]."""
    index = levels[..., None, None].expand(*levels.shape, 1, arm_logits.shape[-1])
    return arm_logits.gather(-2, index).squeeze(-2)


def forecast_log_likelihood(arm_logits: Tensor, levels: Tensor, arms: Tensor) -> Tensor:
    """Log-likelihood of the arms by the forecast for the level played, in nats.

    Args:
        arm_logits: float [M, B, T, L, A].
        levels: int64 [M, B, T].
        arms: observed arms, int64 [M, B, T].

    Returns:
        float [M, B, T].
    """
    return _log_softmax_at(factual_arm_logits(arm_logits, levels), arms)


class Surrogate(ABC):
    """How the sampling distribution enters the meta-gradient."""

    @abstractmethod
    def __call__(self, log_probs: Tensor, behaviour: Tensor, advantages: Tensor) -> Tensor:
        """Negative surrogate return of each task.

        Args:
            log_probs: log-probabilities of the levels played, float [M, B, T].
            behaviour: the same under the policy that played them, without gradient.
            advantages: float [M, B, T], without gradient.

        Returns:
            Sum over steps, mean over episodes and divided by T, float [M].
        """


@dataclass(frozen=True)
class PlainMAML(Surrogate):
    r"""The score-function loss, differentiated as it stands.

    Equation:
        L = -sum_t log pi(u_t) A_t;  second derivative  -sum_t H_t A_t

    It leaves out that the samples themselves depend on the weights, the term
    ``-E[sum_{t,t'} g_t g_{t'}^T A_{max(t,t')}]`` of the second derivative, and is biased by as
    much. It has no importance weights: with several inner steps on the same episodes the later ones
    are off-policy.

    Source: Finn, Abbeel, Levine, "Model-agnostic meta-learning", ICML 2017, as implemented there;
    the bias is eq. 4 against eq. 3 of Rothfuss et al. below.
    """

    def __call__(self, log_probs: Tensor, behaviour: Tensor, advantages: Tensor) -> Tensor:
        """See the class."""
        return -(log_probs * advantages).mean((1, 2))


@dataclass(frozen=True)
class DiCE(Surrogate):
    r"""The infinitely differentiable estimator, in its form for advantages.

    Equation:
        L = -sum_t (D_t - D_{t-1}) A_t,  D_t = exp(sum_{s<=t} [log pi(u_s) - log mu(u_s)])

    with ``mu`` the policy that played. Every derivative is unbiased if ``A_t`` is the rewards to go
    (summed by parts this is DiCE itself, ``sum_t D_t r_t``); its variance grows with T.

    Source: Foerster et al., "DiCE", ICML 2018, eq. 6; the advantage form is eq. 10 of Farquhar,
    Whiteson, Foerster, "Loaded DiCE", NeurIPS 2019, with lambda = gamma = 1.
    """

    def __call__(self, log_probs: Tensor, behaviour: Tensor, advantages: Tensor) -> Tensor:
        """See the class."""
        log_ratio = log_probs - behaviour
        upto = log_ratio.cumsum(-1)
        return -((upto.exp() - (upto - log_ratio).exp()) * advantages).mean((1, 2))


@dataclass(frozen=True)
class LowVarianceCurvature(Surrogate):
    r"""The likelihood-ratio surrogate of ProMP.

    Equation:
        L = -sum_t pi(u_t) / mu(u_t) A_t;  second derivative  -sum_t (H_t + g_t g_t^T) A_t

    It keeps of the sampling terms those within a step and drops the products of different steps,
    most of DiCE's variance; unbiased if T = 1.

    Source: Rothfuss et al., "ProMP: proximal meta-policy search", ICLR 2019, eq. 6 and theorem 1.
    """

    def __call__(self, log_probs: Tensor, behaviour: Tensor, advantages: Tensor) -> Tensor:
        """See the class."""
        return -((log_probs - behaviour).exp() * advantages).mean((1, 2))
