"""Pure functions of rewards and values: returns, advantage estimates, and their scale."""

from __future__ import annotations

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
    """Noise scale of generalised advantages at each step, which falls towards the episode's end.

    Equation:
        sigma_t = sqrt(sum_{k < T - t} lambda^{2k}),

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
