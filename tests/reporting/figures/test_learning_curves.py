import pytest
from matplotlib.colors import to_hex

from mermaide_pl.reporting.figures import draw_learning_curves
from mermaide_pl.reporting.figures.style import BLUE, VERMILLION


def test_lines_hold_the_returns_in_the_order_given() -> None:
    figure = draw_learning_curves([100, 200, 300], {"0 shots": [0, 1, 2], "1 shot": [0.5, 2, 3]})
    (axes,) = figure.axes
    lines = {line.get_label(): line for line in axes.lines}
    assert list(lines) == ["0 shots", "1 shot"]
    assert lines["0 shots"].get_xdata().tolist() == [100, 200, 300]
    assert lines["0 shots"].get_ydata().tolist() == [0, 1, 2]
    assert lines["1 shot"].get_ydata().tolist() == [0.5, 2, 3]
    assert [to_hex(line.get_color()).upper() for line in axes.lines] == [BLUE, VERMILLION]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["0 shots", "1 shot"]


def test_yardsticks_are_horizontal_lines_labelled_on_their_outer_sides() -> None:
    yardsticks = {"no intervention": 0.05, "oracle": 0.55}
    figure = draw_learning_curves([10, 20], {"0 shots": [0.1, 0.4]}, yardsticks)
    (axes,) = figure.axes
    assert [list(line.get_ydata()) for line in axes.lines[1:]] == [[0.05, 0.05], [0.55, 0.55]]
    below, above = axes.texts
    assert (below.get_text(), below.xy[1], below.get_va()) == ("no intervention", 0.05, "top")
    assert (above.get_text(), above.xy[1], above.get_va()) == ("oracle", 0.55, "bottom")
    assert len(figure.legends[0].get_texts()) == 1
    low, high = axes.get_ylim()
    assert low < 0.05
    assert high > 0.55


@pytest.mark.parametrize("unit", ["agent steps", "epochs"])
def test_axes_name_their_units(unit: str) -> None:
    (axes,) = draw_learning_curves([1], {"0 shots": [0.2]}, progress_unit=unit).axes
    assert axes.get_xlabel() == unit
    assert axes.get_ylabel() == "validation return\n(reward units per step)"


def test_ticks_count_millions_of_agent_steps() -> None:
    figure = draw_learning_curves([4_000_000, 8_000_000], {"0 shots": [0.1, 0.2]})
    figure.draw_without_rendering()
    labels = [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    assert {"0", "2M", "4M", "6M", "8M"} <= set(labels)


@pytest.mark.parametrize("progress", [[], [0], [7]])
def test_a_line_of_at_most_one_point_is_drawn_with_a_marker(progress: list[int]) -> None:
    figure = draw_learning_curves(progress, {"0 shots": [0.1] * len(progress)})
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert axes.lines[0].get_marker() == "o"
    assert axes.get_xlim()[0] == 0
    assert axes.get_xlim()[1] >= max(progress, default=1)


def test_refuses_a_line_of_another_length() -> None:
    with pytest.raises(ValueError, match="'1 shot' has 1 values for 2 validations"):
        draw_learning_curves([1, 2], {"0 shots": [0.1, 0.2], "1 shot": [0.1]})
