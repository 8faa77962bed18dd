import math
import re
import warnings

import numpy as np
import pytest
from scipy import stats

from mermaide_pl.metrics.normalised_return import normalised_return, undefined_because


def bounds(*scores: np.ndarray) -> tuple[float, float, float]:
    return normalised_return(*scores).estimate


def test_it_is_a_ratio_of_means():
    none = np.zeros(4)
    oracle, returns = np.array([1.0, 6.0, 1.0, 6.0]), np.array([1.0, 3.0, 1.0, 3.0])
    mean, low, high = bounds(returns, none, oracle)
    assert mean == pytest.approx(8.0 / 14.0)  # not 3/4, the mean of the ratios
    assert (low, high) == pytest.approx((0.5, 1.0))  # of resamples with one kind alone


def test_a_fixed_share_has_no_width():
    generator = np.random.default_rng(0)
    none, possible = generator.normal(size=30), generator.uniform(0.1, 1.0, size=30)
    assert bounds(none + 0.7 * possible, none, none + possible) == pytest.approx((0.7, 0.7, 0.7))


def test_its_interval_is_the_paired_bootstrap_of_scipy():
    """Gain and possible gain go together, so resampled apart the interval is far wider."""
    generator = np.random.default_rng(0)
    none, possible = np.zeros(60), generator.gamma(2.0, 0.3, size=60)
    gain = possible * generator.uniform(0.5, 1.0, size=60)

    def share(gain: np.ndarray, possible: np.ndarray, axis: int) -> np.ndarray:
        return gain.mean(axis) / possible.mean(axis)

    paired, apart = (
        stats.bootstrap(
            (gain, possible), share, paired=paired, method="percentile", n_resamples=50_000, rng=0
        ).confidence_interval
        for paired in (True, False)
    )
    assert np.ptp(apart) > 2.0 * np.ptp(paired)
    found = bounds(gain, none, possible)
    np.testing.assert_allclose(found[1:], paired, atol=0.04 * np.ptp(paired))


@pytest.mark.parametrize(
    ("gain", "says"),
    [
        (0.0, r"gains 0\.0000 over no intervention, less than 0\.05"),
        (-0.2, r"gains -0\.2000 over no intervention, less than 0\.05"),
        (0.0495, r"gains 0\.0495 over no intervention, less than 0\.05"),
    ],
)
def test_it_is_undefined_where_the_oracle_gains_next_to_nothing(gain, says):
    none, returns = np.array([0.5, 0.25]), np.array([0.7, 0.9])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        share = normalised_return(returns, none, none + gain)
    assert all(math.isnan(number) for number in share.estimate)
    assert re.search(says, share.undefined)


def test_it_is_undefined_within_the_noise_of_the_gain():
    # once 1 and nine times 0: a mean of 0.1 with a standard error of 0.1
    none, oracle = np.zeros(10), np.array([1.0] + [0.0] * 9)
    share = normalised_return(oracle, none, oracle)
    assert share.undefined == (
        "the oracle's gain over no intervention, 0.100 \u00b1 0.196, is within its noise"
    )
    assert normalised_return(oracle + 0.5, none, oracle + 0.5).undefined is None


def test_the_rule():
    assert undefined_because(0.05) is None
    assert undefined_because(0.06, 0.0599) is None
    assert undefined_because(0.06, 0.06) is not None
    assert undefined_because(0.5, math.nan) is None  # no interval known
    assert undefined_because(math.nan) is not None
