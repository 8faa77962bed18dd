import math

import pytest
import torch

from mermaide_pl.intervals import student_mean


def test_interval_over_seeds_by_hand():
    # mean 2, standard deviation 1, t quantile 4.303 for 2 degrees of freedom
    half = 4.303 / math.sqrt(3.0)
    assert student_mean([1.0, 2.0, 3.0]) == pytest.approx((2.0, 2.0 - half, 2.0 + half))
    # of two seeds: standard deviation sqrt(2) / 2, so the half width is t / 2
    assert student_mean([0.0, 1.0]) == pytest.approx((0.5, 0.5 - 6.353, 0.5 + 6.353))


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


@pytest.mark.parametrize("number", [0, 11])
def test_refuses_numbers_of_seeds_it_has_no_quantile_for(number):
    with pytest.raises(ValueError, match=f"1 to 10 seeds, got {number}"):
        student_mean([0.0] * number)
