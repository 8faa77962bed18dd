"""Pure functions of logits: log-probabilities, entropy, and the forecast's log-likelihood."""

from __future__ import annotations

from torch import Tensor


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
