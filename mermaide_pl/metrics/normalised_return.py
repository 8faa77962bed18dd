"""Normalised return: 0 for no intervention, 1 for the oracle, undefined if they barely differ.

Equation:
    (mean return - mean return of no intervention) / (mean return of the oracle - the same)

all on the same agents with the same random numbers. The oracle is a strong baseline, not an upper
bound: a principal may have more than 1.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from mermaide_pl.metrics.intervals import (
    NORMAL_QUANTILE,
    Estimate,
    percentile_interval,
    resample,
    standard_error,
)

LEAST_GAIN = 0.05
"""Reward units per step that the oracle must gain over no intervention."""


def undefined_because(gain: float, half: float = 0.0) -> str | None:
    """Reason why the normalised return is undefined, or None if it is defined.

    Args:
        gain: mean return of the oracle minus that of no intervention, reward units per step.
        half: half of the 95% interval of the gain; nan if it is not known.
    """
    if not gain >= LEAST_GAIN:
        return f"the oracle gains {gain:.4f} over no intervention, less than {LEAST_GAIN:g}"
    if gain <= half:
        return (
            f"the oracle's gain over no intervention, {gain:.3f} ± {half:.3f}, is within its noise"
        )
    return None


class NormalisedReturn(NamedTuple):
    """A normalised return over agents."""

    estimate: Estimate[float]  # all nan if it is undefined
    undefined: str | None = None  # the reason


def normalised_return(
    returns: np.ndarray, none: np.ndarray, oracle: np.ndarray, seed: int = 0
) -> NormalisedReturn:
    """Normalised return over agents, with its 95% percentile bootstrap interval.

    Numerator and denominator are resampled together: they are the same agents.

    Args:
        returns: of the principal with each agent, [N].
        none: of no intervention, [N].
        oracle: of the oracle, [N].
        seed: of the resampling.
    """
    gain, possible = returns - none, oracle - none
    half = NORMAL_QUANTILE * float(standard_error(possible))
    reason = undefined_because(float(possible.mean()), half)
    if reason is not None:
        return NormalisedReturn(Estimate(math.nan, math.nan, math.nan), reason)
    weights = resample(len(returns), seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        resampled = (weights @ gain) / (weights @ possible)
        share = percentile_interval(float(gain.mean() / possible.mean()), resampled)
    return NormalisedReturn(share)
