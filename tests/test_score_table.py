import pytest

from mermaide_pl.score_table import interval_text, method_label


def test_a_learned_method_is_named_with_its_shots():
    assert method_label({"method": "mermaide", "shots": 2}) == "mermaide 2-shot"
    assert method_label({"method": "oracle", "shots": 0}) == "oracle"


@pytest.mark.parametrize(
    ("mean", "low", "high", "text"),
    [
        (0.3694, 0.354, 0.386, "0.369 ± 0.016"),
        (-0.25, -0.5, 0.0, "-0.250 ± 0.250"),
        (12.34, 10.0, 15.0, "12.3 ± 2.5"),
    ],
)
def test_half_of_the_interval_stands_behind_the_mean(mean, low, high, text):
    row = {"return_mean": mean, "return_low": low, "return_high": high}
    assert interval_text(row, "return") == text
