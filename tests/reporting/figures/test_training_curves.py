import pytest
from matplotlib.colors import to_hex

from mermaide_pl.reporting.figures import draw_training_curves
from mermaide_pl.reporting.figures.style import BLUE, GREY, VERMILLION

PANELS = {
    "return": {
        "training": [(10, 0.1), (20, 0.3), (30, 0.2)],
        "0 shots": [(15, 0.25), (30, 0.5)],
        "1 shot": [(15, 0.75), (30, 1.0)],
    },
    "accuracy": {"1 shot": [(15, 0.5), (30, 0.25)]},
    "alignment": {"training": [(10, 0.0)]},
}


def test_every_panel_holds_its_points():
    figure = draw_training_curves(PANELS)
    shown = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title() for axes in shown] == list(PANELS)
    for axes, lines in zip(shown, PANELS.values(), strict=True):
        drawn = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
        assert drawn == {name: [list(point) for point in points] for name, points in lines.items()}


def test_a_line_has_one_colour_in_all_panels_and_one_name():
    figure = draw_training_curves(PANELS)
    colours = {"training": GREY, "0 shots": BLUE, "1 shot": VERMILLION}
    for axes in figure.axes:
        for line in axes.lines:
            assert to_hex(line.get_color()).upper() == colours[line.get_label()]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(colours)
    assert figure.get_supxlabel() == "training step"


@pytest.mark.parametrize(("num_points", "marker"), [(1, "o"), (19, "o"), (20, "")])
def test_few_validations_are_marked(num_points, marker):
    points = [(step, 0.5) for step in range(num_points)]
    (axes,) = draw_training_curves({"return": {"0 shots": points}}).axes
    assert axes.lines[0].get_marker() in (marker, marker or "None")
