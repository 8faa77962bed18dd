"""Intervals: bootstrap over agents and over runs, Student's t over training seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from scipy import stats
from torch import Tensor

_Value = TypeVar("_Value")
_NUM_RESAMPLES = 2000
NORMAL_QUANTILE = float(stats.norm.ppf(0.975))
"""The 0.975 quantile of the normal distribution."""


class Estimate(NamedTuple, Generic[_Value]):
    """A number, or an array of them, with the ends of its 95% interval; nan where there is none."""

    mean: _Value  # or another middle, as the interquartile mean
    low: _Value
    high: _Value

    def columns(self, quantity: str, middle: str = "mean") -> dict[str, _Value]:
        """Columns of a row: ``return_mean``, ``return_low`` and ``return_high`` of a return."""
        return dict(zip(_columns(quantity, middle), self, strict=True))

    @staticmethod
    def of_row(row: Mapping[str, Any], quantity: str, middle: str = "mean") -> Estimate[Any]:
        """The estimate that `columns` wrote into a row."""
        return Estimate(*(row[column] for column in _columns(quantity, middle)))


def _columns(quantity: str, middle: str) -> list[str]:
    return [f"{quantity}_{bound}" for bound in (middle, "low", "high")]


def bootstrap_mean(values: np.ndarray, seed: int = 0) -> Estimate[float]:
    """Mean over agents and its 95% percentile bootstrap interval.

    Args:
        values: one value per agent, [N].
        seed: of the resampling; equal seeds resample the same agents.
    """
    return percentile_interval(float(values.mean()), resample(len(values), seed) @ values)


def percentile_interval(value: float, resampled: np.ndarray) -> Estimate[float]:
    """A statistic with the middle 95% of its values on resamples, [resamples]."""
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Estimate(value, float(low), float(high))


def mean_and_interval(happened: Tensor) -> Estimate[np.ndarray]:
    """Share of episodes in which something happened at each step, with its 95% interval.

    Equation:
        mean_t = mean_m p_mt,  half width = 1.96 * sd_m(p_mt) / sqrt(M),  p_mt = mean_b x_mbt

    Episodes with one agent are alike, so agents are the sample. The interval is the normal
    approximation, cut to [0, 1]; with a single agent it is nan.

    Args:
        happened: bool [M, B, T].

    Returns:
        float64 [T].
    """
    per_agent = happened.double().mean(1).cpu().numpy()
    mean, half = per_agent.mean(0), NORMAL_QUANTILE * standard_error(per_agent)
    return Estimate(mean, np.maximum(mean - half, 0.0), np.minimum(mean + half, 1.0))


def student_mean(values: Sequence[float] | np.ndarray) -> Estimate[float]:
    """Mean over a few training seeds and its 95% interval.

    Equation:
        mean ± t * sd / sqrt(N),  t the 0.975 quantile of Student's t with N - 1 degrees of freedom

    Args:
        values: one value per seed, [N]; one alone has no interval, and none at all no mean.
    """
    if not len(values):
        return Estimate(math.nan, math.nan, math.nan)
    sample = np.asarray(values)
    mean = float(sample.mean())
    half = float(stats.t.ppf(0.975, len(sample) - 1) * standard_error(sample))
    return Estimate(mean, mean - half, mean + half)


def standard_error(values: np.ndarray) -> np.ndarray:
    """Standard error of the mean over the first axis, [N, ...] to [...]; nan if N is 1."""
    if len(values) == 1:
        return np.full(values.shape[1:], np.nan)
    return np.asarray(values.std(0, ddof=1) / len(values) ** 0.5)


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
) -> Estimate[float]:
    """A statistic of several runs and its 95% stratified percentile bootstrap interval.

    Runs are drawn again with replacement, for every task and every method on its own.

    Source: Agarwal et al. 2021, section 4.1.

    Args:
        statistic: of one or more score matrices [..., runs, tasks], to [...].
        scores: of each method, [runs, tasks].
        seed: of the resampling.

    Returns:
        The statistic; the interval of a single run is nan, without any run or task all three are.
    """
    if not all(matrix.size for matrix in scores):
        return Estimate(math.nan, math.nan, math.nan)
    value = float(statistic(*scores))
    if min(map(len, scores)) < 2:
        return Estimate(value, math.nan, math.nan)
    generator = np.random.default_rng(seed)

    def again(matrix: np.ndarray) -> np.ndarray:
        """Resamples, [resamples, runs, tasks]."""
        runs = generator.integers(len(matrix), size=(_NUM_RESAMPLES, *matrix.shape))
        return np.take_along_axis(matrix[None], runs, axis=1)

    return percentile_interval(value, statistic(*map(again, scores)))


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
