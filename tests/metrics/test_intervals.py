import math

import numpy as np
import pytest
import torch
from scipy import stats

from mermaide_pl.metrics.intervals import (
    Estimate,
    bootstrap_mean,
    interquartile_mean,
    probability_of_improvement,
    stratified_interval,
    student_mean,
)


def mean(scores):
    return scores.mean((-2, -1))


def test_an_estimate_comes_back_from_its_columns():
    estimate = Estimate(0.5, 0.25, 1.0)
    columns = estimate.columns("return", "iqm")
    assert columns == {"return_iqm": 0.5, "return_low": 0.25, "return_high": 1.0}
    assert Estimate.of_row({"method": "burst", **columns}, "return", "iqm") == estimate


def test_bootstrap_of_a_mean_is_that_of_scipy():
    values = np.random.default_rng(3).gamma(2.0, size=60)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=50_000, rng=0)
    width = np.ptp(theirs.confidence_interval)
    np.testing.assert_allclose(
        bootstrap_mean(values)[1:], theirs.confidence_interval, atol=0.04 * width
    )


def test_interquartile_mean_by_hand():
    # a quarter of eight cut off at each end leaves 2, 3, 4, 7
    assert interquartile_mean(np.array([[100.0, 3.0, 4.0, 1.0], [2.0, 7.0, -50.0, 9.0]])) == 4.0
    # a quarter of five, rounded down, is one
    assert interquartile_mean(np.array([[0.9], [0.1], [0.5], [0.3], [-7.0]])) == pytest.approx(0.3)
    assert interquartile_mean(np.array([[2.0]])) == 2.0


def test_probability_of_improvement_by_hand():
    # task 1: 3 beats 1 and 2, 2 beats 1 and ties 2: 3.5 of 4; task 2: 0 of 4
    ours, theirs = np.array([[3.0, 0.0], [2.0, 0.0]]), np.array([[1.0, 5.0], [2.0, 6.0]])
    assert probability_of_improvement(ours, theirs) == pytest.approx((3.5 + 0.0) / 8.0)


def test_statistics_of_many_matrices_are_those_of_each():
    generator = np.random.default_rng(2)
    ours, theirs = generator.normal(size=(7, 5, 3)), generator.normal(size=(7, 4, 3))
    np.testing.assert_allclose(interquartile_mean(ours), [*map(interquartile_mean, ours)])
    np.testing.assert_allclose(
        probability_of_improvement(ours, theirs),
        [*map(probability_of_improvement, ours, theirs)],
    )


def test_interval_holds_the_statistic_and_is_repeated():
    scores = np.random.default_rng(0).normal(size=(5, 3))
    middle, low, high = stratified_interval(interquartile_mean, scores)
    assert middle == interquartile_mean(scores)
    assert low < middle < high
    assert stratified_interval(interquartile_mean, scores) == (middle, low, high)


def test_of_a_single_run_nothing_can_be_said():
    middle, low, high = stratified_interval(interquartile_mean, np.array([[0.2, 0.4]]))
    assert middle == pytest.approx(0.3)
    assert math.isnan(low)
    assert math.isnan(high)


def test_of_no_run_still_less():
    assert all(map(math.isnan, stratified_interval(interquartile_mean, np.empty((0, 2)))))


def test_runs_are_drawn_again_within_their_task():
    """Two tasks far apart, equal runs in each: nothing to be uncertain about."""
    scores = np.tile([[0.0, 100.0]], (5, 1))
    assert stratified_interval(mean, scores) == (50.0, 50.0, 50.0)


def test_interval_of_a_mean_is_as_wide_as_theory_says():
    scores = np.random.default_rng(1).normal(size=(200, 1))
    _, low, high = stratified_interval(mean, scores)
    expected = 2 * 1.96 * scores.std() / np.sqrt(200)
    assert high - low == pytest.approx(expected, rel=0.08)


def test_statistics_are_those_of_rliable():
    """Recorded from rliable 1.2.0, intervals with 50,000 resamples."""
    ours = [[0.91, 0.62, 0.40], [0.88, 0.70, 0.55], [0.95, 0.66, 0.35], [0.79, 0.58, 0.61]]
    theirs = [[0.90, 0.50, 0.45], [0.84, 0.66, 0.30], [0.89, 0.61, 0.39], [0.86, 0.64, 0.52]]
    first = np.array([*ours, [0.93, 0.71, 0.48]])
    second = np.array([*theirs, [0.80, 0.60, 0.41]])
    middle, *interval = stratified_interval(interquartile_mean, first)
    assert middle == pytest.approx(0.6777777777777777, abs=1e-9)
    np.testing.assert_allclose(interval, [0.637778, 0.71], atol=0.006)
    chance, *interval = stratified_interval(probability_of_improvement, first, second)
    assert chance == pytest.approx(0.7133333333333334, abs=1e-9)
    np.testing.assert_allclose(interval, [0.493333, 0.893333], atol=0.03)


def test_interval_over_seeds_by_hand():
    # mean 2, standard deviation 1, t quantile 0.95 sqrt(2 / (4 * 0.975 * 0.025)) for 2 degrees of
    # freedom
    half = 0.95 * math.sqrt(2.0 / 0.0975) / math.sqrt(3.0)
    assert student_mean([1.0, 2.0, 3.0]) == pytest.approx((2.0, 2.0 - half, 2.0 + half))
    # of two seeds: standard deviation sqrt(2) / 2, so the half width is t / 2, of a Cauchy variable
    half = math.tan(math.pi * 0.475) / 2.0
    assert student_mean([0.0, 1.0]) == pytest.approx((0.5, 0.5 - half, 0.5 + half))


def test_covers_the_truth_as_often_as_it_says():
    generator = torch.Generator().manual_seed(0)
    samples = torch.randn(4000, 5, generator=generator).tolist()
    covered = [low <= 0.0 <= high for _, low, high in map(student_mean, samples)]
    # 95% within three standard errors
    assert sum(covered) / len(covered) == pytest.approx(0.95, abs=3 * math.sqrt(0.05 * 0.95 / 4000))


def test_one_seed_has_no_interval():
    mean, low, high = student_mean([0.3])
    assert mean == pytest.approx(0.3)
    assert math.isnan(low)
    assert math.isnan(high)


def test_no_seed_has_no_mean():
    assert all(map(math.isnan, student_mean([])))


# Abramowitz and Stegun, table 26.10
@pytest.mark.parametrize(("degrees", "quantile"), [(10, 2.228), (15, 2.131), (30, 2.042)])
def test_many_seeds_by_hand(degrees, quantile):
    values = [0.0, 2.0] * (degrees // 2) + [1.0]
    values += [1.0] * (degrees + 1 - len(values))
    mean, low, high = student_mean(values)
    assert mean == pytest.approx(1.0)
    expected = quantile * np.std(values, ddof=1) / math.sqrt(degrees + 1)
    assert (high - low) / 2.0 == pytest.approx(expected, rel=5e-4)
