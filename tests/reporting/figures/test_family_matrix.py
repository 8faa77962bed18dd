import numpy as np

from mermaide_pl.reporting.figures import draw_family_matrix


def rows():
    values = iter(
        [0.1, 0.2, 0.9, 0.9, 0.3, 0.4, 0.9, 0.9, 0.5, 0.6, 0.9, 0.9, 0.7, -12.0, 0.9, 0.9]
    )
    for trained_on in ("ucb", "softmax"):
        for shots in (0, 1):
            for population in ("unseen_ucb", "softmax", "mean", "all"):
                yield {
                    "trained_on": trained_on,
                    "method": "ours",
                    "shots": shots,
                    "population": population,
                    "normalised_return_iqm": next(values),
                }
    yield {
        "trained_on": "ucb",
        "method": "none",
        "shots": 0,
        "population": "softmax",
        "normalised_return_iqm": 0.0,
    }


def test_a_panel_per_number_of_shots_with_a_number_in_every_field():
    figure = draw_family_matrix(list(rows()), "ours")
    zero, one = figure.axes[:2]
    np.testing.assert_allclose(zero.images[0].get_array(), [[0.1, 0.2], [0.5, 0.6]])
    np.testing.assert_allclose(one.images[0].get_array(), [[0.3, 0.4], [0.7, -12.0]])
    assert [text.get_text() for text in one.texts] == ["0.30", "0.40", "0.70", "-12"]
    assert [label.get_text() for label in one.get_yticklabels()] == ["ucb", "softmax"]
    assert [label.get_text() for label in one.get_xticklabels()] == ["unseen_ucb", "softmax"]
    assert (zero.get_title(), one.get_title()) == ("0 shots", "1 shot")
