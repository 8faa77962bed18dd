"""Bootstrap intervals over agents."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

_NUM_RESAMPLES = 2000


def bootstrap_mean(values: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """Mean over agents and its 95% percentile bootstrap interval.

    Args:
        values: one value per agent, [N].
        seed: of the resampling; equal seeds resample the same agents.

    Returns:
        Mean, low, high.
    """
    low, high = np.percentile(_resample(len(values), seed) @ values, [2.5, 97.5])
    return float(values.mean()), float(low), float(high)


def bootstrap_normalised(
    returns: np.ndarray, none: np.ndarray, oracle: np.ndarray, seed: int = 0
) -> tuple[float, float, float]:
    """Normalised return, ``mean(returns - none) / mean(oracle - none)``, with its 95% interval.

    Numerator and denominator are resampled together: they are the same agents.
    """
    weights = _resample(len(returns), seed)
    gain, possible = returns - none, oracle - none
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = np.percentile((weights @ gain) / (weights @ possible), [2.5, 97.5])
        return float(gain.mean() / possible.mean()), float(low), float(high)


@lru_cache(maxsize=1)  # every interval of a table resamples the same agents
def _resample(num_agents: int, seed: int) -> np.ndarray:
    """Weights of the agents in each bootstrap resample, [resamples, N], rows sum to one."""
    generator = np.random.default_rng(seed)
    counts = generator.multinomial(
        num_agents, np.full(num_agents, 1.0 / num_agents), size=_NUM_RESAMPLES
    )
    return counts / num_agents
