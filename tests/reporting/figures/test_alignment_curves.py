import numpy as np

from mermaide_pl.reporting.figures import draw_alignment_curves

ROWS = [
    {
        "schedule": schedule,
        "beta": beta,
        "alignment_mean": mean,
        "alignment_low": mean - 0.1,
        "alignment_high": mean + 0.05,
    }
    for schedule, beta, mean in (
        ("s1", 1.0, 0.3),
        ("s1", 0.5, 0.6),
        ("s2", 0.5, 0.7),
        ("s2", 1, 0.4),
    )
]
NAMES = {"s2": "S2: first 50 steps", "s1": "S1: every 4 steps"}


def test_lines_in_order_of_beta_with_their_intervals():
    (axes,) = draw_alignment_curves(ROWS, NAMES).axes
    second, first = axes.lines
    assert second.get_xydata().tolist() == [[0.5, 0.7], [1.0, 0.4]]
    assert first.get_xydata().tolist() == [[0.5, 0.6], [1.0, 0.3]]
    for band, mean in zip(axes.collections, (0.4, 0.3), strict=True):
        vertices = band.get_paths()[0].vertices
        heights = vertices[vertices[:, 0] == 1.0][:, 1]
        np.testing.assert_allclose([heights.min(), heights.max()], [mean - 0.1, mean + 0.05])


def test_lines_are_named_and_axes_have_units():
    figure = draw_alignment_curves(ROWS, NAMES)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(NAMES.values())
    (axes,) = figure.axes
    assert axes.get_xlabel() == "exploration coefficient β (reward units)"
    assert axes.get_ylabel() == "alignment\n(share of steps)"
    assert axes.lines[0].get_color() != axes.lines[1].get_color()
