"""Intervals: bootstrap over agents and over runs, Student's t over training seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

_NUM_RESAMPLES = 2000
# 0.975 quantiles: of Student's t for 1, 2, ... 9 degrees of freedom, and of the normal
_T_QUANTILES = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
NORMAL_QUANTILE = 1.959964
"""The 0.975 quantile of the normal distribution."""


def bootstrap_mean(values: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """Mean over agents and its 95% percentile bootstrap interval.

    Args:
        values: one value per agent, [N].
        seed: of the resampling; equal seeds resample the same agents.

    Returns:
        Mean, low, high.
    """
    low, high = np.percentile(resample(len(values), seed) @ values, [2.5, 97.5])
    return float(values.mean()), float(low), float(high)


def mean_and_interval(happened: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Share of episodes in which something happened at each step, with its 95% interval.

    Equation:
        mean_t = mean_m p_mt,  half width = 1.96 * sd_m(p_mt) / sqrt(M),  p_mt = mean_b x_mbt

    Episodes with one agent are alike, so agents are the sample. The interval is the normal
    approximation, cut to [0, 1]; of a single agent nothing can be said, its interval is nan.

    Args:
        happened: bool [M, B, T].

    Returns:
        Mean, low and high, float64 [T].
    """
    per_agent = happened.double().mean(1)
    mean, num_agents = per_agent.mean(0), len(per_agent)
    if num_agents == 1:
        return mean, torch.full_like(mean, torch.nan), torch.full_like(mean, torch.nan)
    half = NORMAL_QUANTILE * per_agent.std(0) / num_agents**0.5
    return mean, (mean - half).clamp(min=0.0), (mean + half).clamp(max=1.0)


def student_mean(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean over a few training seeds and its 95% interval.

    Equation:
        mean ± t * sd / sqrt(N),  t the 0.975 quantile of Student's t with N - 1 degrees of freedom

    Args:
        values: one value per seed, [N]; one alone has no interval.

    Returns:
        Mean, low, high; low and high are nan for one value, without any all three are.
    """
    if not len(values):
        return math.nan, math.nan, math.nan
    mean = float(np.mean(values))
    if len(values) == 1:
        return mean, math.nan, math.nan
    half = _t_quantile(len(values) - 1) * float(np.std(values, ddof=1)) / len(values) ** 0.5
    return mean, mean - half, mean + half


def _t_quantile(degrees: int) -> float:
    """The 0.975 quantile of Student's t.

    Source: for many degrees of freedom Abramowitz and Stegun, "Handbook of mathematical functions",
    26.7.5, to three terms.
    """
    if degrees <= len(_T_QUANTILES):
        return _T_QUANTILES[degrees - 1]
    z = NORMAL_QUANTILE
    first, second = (z**3 + z) / 4.0, (5.0 * z**5 + 16.0 * z**3 + 3.0 * z) / 96.0
    third = (3.0 * z**7 + 19.0 * z**5 + 17.0 * z**3 - 15.0 * z) / 384.0
    return z + first / degrees + second / degrees**2 + third / degrees**3


@lru_cache(maxsize=1)  # every interval of a table resamples the same agents
def resample(num_agents: int, seed: int) -> np.ndarray:
    """Weights of the agents in each bootstrap resample, [resamples, N], rows sum to one."""
    generator = np.random.default_rng(seed)
    counts = generator.multinomial(
        num_agents, np.full(num_agents, 1.0 / num_agents), size=_NUM_RESAMPLES
    )
    return counts / num_agents


def interquartile_mean(scores: np.ndarray) -> np.ndarray:
    """Mean of the middle half of all scores, a quarter cut off at each end (rounded down).

    Source: Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice",
    NeurIPS 2021, section 4.3.

    Args:
        scores: of all runs on all tasks, [..., runs, tasks].

    Returns:
        [...].
    """
    ordered = np.sort(scores.reshape(*scores.shape[:-2], -1), axis=-1)
    cut = ordered.shape[-1] // 4
    return np.asarray(ordered[..., cut : ordered.shape[-1] - cut].mean(-1))


def stratified_interval(
    statistic: Callable[..., np.ndarray], *scores: np.ndarray, seed: int = 0
) -> tuple[float, float, float]:
    """A statistic of several runs and its 95% stratified percentile bootstrap interval.

    Runs are drawn again with replacement, for every task and every method on its own.

    Source: Agarwal et al. 2021, section 4.1.

    Args:
        statistic: of one or more score matrices [..., runs, tasks], to [...].
        scores: of each method, [runs, tasks].
        seed: of the resampling.

    Returns:
        Statistic, low, high; the interval of a single run is nan, without any run or task all three
        are.
    """
    if not all(matrix.size for matrix in scores):
        return math.nan, math.nan, math.nan
    value = float(statistic(*scores))
    if min(map(len, scores)) < 2:
        return value, math.nan, math.nan
    generator = np.random.default_rng(seed)

    def again(matrix: np.ndarray) -> np.ndarray:
        """Resamples, [resamples, runs, tasks]."""
        runs = generator.integers(len(matrix), size=(_NUM_RESAMPLES, *matrix.shape))
        return np.take_along_axis(matrix[None], runs, axis=1)

    low, high = np.percentile(statistic(*map(again, scores)), [2.5, 97.5])
    return value, float(low), float(high)


def probability_of_improvement(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Chance that a run of ours beats one of theirs on a task drawn at random; ties count half.

    Source: Agarwal et al. 2021, section 4.3.

    Args:
        ours: [..., runs, tasks].
        theirs: [..., runs, tasks].

    Returns:
        [...].
    """
    difference = np.sign(ours[..., :, None, :] - theirs[..., None, :, :])
    return np.asarray((0.5 * (difference + 1.0)).mean((-3, -2, -1)))
