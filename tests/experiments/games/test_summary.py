import math

import pytest

from mermaide_pl.experiments.games.settings import Setting, columns
from mermaide_pl.experiments.games.summary import cells, means, sentence, summary_page

A, B = Setting(), Setting(num_arms=4)


def row(setting, population, method, shots, value, share="", training=""):
    return {
        "training": training,
        **columns(setting),
        "population": population,
        "method": method,
        "shots": shots,
        "num_agents": 7,
        "return": value,
        "normalised_return": share,
    }


def cell(setting, population, none, burst, ours, shares):
    yield row(setting, population, "none", 0, none, shares[0])
    yield row(setting, population, "burst", 0, burst, shares[1])
    for training, (value, share) in enumerate(zip(ours, shares[2], strict=True)):
        yield row(setting, population, "principal", 0, 9.0, share and 9.0, training)
        yield row(setting, population, "principal", 1, value, share, training)


ROWS = [
    *cell(A, "p", 0.1, 0.5, (0.6, 0.8), (0.0, 0.4, (0.5, 0.7))),
    *cell(A, "q", 0.1, 0.5, (0.4, 0.5), (0.0, 0.4, (0.3, 0.5))),
    *cell(B, "p", 0.3, 0.2, (0.26, 0.28), ("", "", ("", ""))),
    *cell(B, "q", 0.3, 0.2, (0.27, 0.30), (0.0, -1.0, (-0.3, 0.0))),
]


def test_cells_are_means_over_the_trainings():
    first, _, third, _ = cells(ROWS)
    assert first[:5] == pytest.approx((A, "p", 0.1, 0.5, 0.7))
    assert first[5:] == pytest.approx((0.4, 0.6))
    assert math.isnan(third.our_share)
    assert math.isnan(third.burst_share)


def test_means_are_over_the_populations_with_a_normalised_return():
    found = {(Setting.of_row(one), one["method"], one["shots"]): one for one in means(ROWS)}
    ours = found[A, "principal", 1]
    assert ours["normalised_return_mean"] == pytest.approx(0.5)  # of 0.4 and 0.6
    assert ours["normalised_return_high"] == pytest.approx(0.5 + 12.706 * 0.1, abs=1e-3)
    assert (ours["num_defined"], ours["num_populations"]) == (2, 2)
    fewer = found[B, "principal", 1]
    assert fewer["normalised_return_mean"] == pytest.approx(-0.15)
    assert (fewer["num_defined"], fewer["num_populations"]) == (1, 2)
    assert math.isnan(found[A, "burst", 0]["normalised_return_low"])


def test_the_page_counts_and_lists():
    lines = summary_page(ROWS, {"first": [A], "none of these": [Setting(cost=1.0)]}).splitlines()
    assert "| first | 1 | 2 | 50% (1) | 0.500 | 0.400 | 2 | 0 |" in lines
    assert "| all | 2 | 4 | 75% (3) | 0.283 | -0.067 | 3 | 1 |" in lines
    assert not [line for line in lines if line.startswith("| none of")]
    assert "1 of 4 cells, the worst first:" in lines
    numbers = "arms 4, steps 200, cost 0.5, bonus 1, reward noise 0.1"
    assert f"- `p`, {numbers}: 0.270, no intervention 0.300" in lines
    assert "above the burst in 3 of 4 cells" in sentence(ROWS)
