import io
from itertools import pairwise

import matplotlib
import pytest
from matplotlib.colors import to_rgb

from mermaide_pl.reporting.figures.style import (
    SERIES_COLOURS,
    label_axes,
    legend_above,
    literal,
    name_panel,
    new_figure,
    new_grid,
    series_style,
    shots_label,
)


def test_figures_are_one_column_wide_and_leave_the_global_settings_alone() -> None:
    before = dict(matplotlib.rcParams)
    figure, panels = new_figure(3.0, (2.0, 1.0))
    label_axes(panels[1], x="t", y="rate")
    figure.draw_without_rendering()
    assert figure.get_size_inches().tolist() == [3.4, 3.0]
    assert len(panels) == 2
    assert panels[0].get_shared_x_axes().joined(*panels)
    assert panels[0].get_window_extent().height > panels[1].get_window_extent().height
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    ("num_panels", "lines", "columns"), [(1, 1, 1), (2, 1, 2), (3, 1, 3), (4, 2, 3), (7, 3, 3)]
)
def test_a_grid_has_as_many_lines_as_it_takes(num_panels: int, lines: int, columns: int) -> None:
    figure, panels = new_grid(num_panels, 3, line_height=1.0)
    assert figure.get_size_inches().tolist() == pytest.approx([3.4, 0.6 + lines])
    assert len(panels) == num_panels
    assert [axes.axison for axes in figure.axes] == [
        number < num_panels for number in range(lines * columns)
    ]
    for shared in (panels[0].get_shared_x_axes(), panels[0].get_shared_y_axes()):
        assert set(shared.get_siblings(panels[0])) == set(figure.axes)


def test_panels_of_a_grid_may_have_their_own_scales() -> None:
    _, panels = new_grid(2, 2, line_height=1.0, sharey=False)
    assert not panels[0].get_shared_y_axes().joined(*panels)


def test_figures_are_unknown_to_pyplot() -> None:
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    new_figure(2.0)
    assert pyplot.get_fignums() == before


def test_colours_differ_and_start_again_after_the_last() -> None:
    assert len(set(SERIES_COLOURS)) == len(SERIES_COLOURS)
    assert series_style(0) == series_style(len(SERIES_COLOURS))
    for one, other in pairwise(SERIES_COLOURS):
        assert max(abs(a - b) for a, b in zip(to_rgb(one), to_rgb(other), strict=True)) > 0.25


@pytest.mark.parametrize(("shots", "label"), [(0, "0 shots"), (1, "1 shot"), (2, "2 shots")])
def test_shots_label(shots: int, label: str) -> None:
    assert shots_label(shots) == label


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        ("$x$|y", "$x$|y"),
        ("$\\frac$ of [b]", "$\\frac$ of [b]"),
        ("a\nb", "a\\nb"),
        ("文", "\\u6587"),
        ("_hidden", "\u200b_hidden"),
    ],
)
def test_names_are_drawn_literally(name: str, drawn: str) -> None:
    figure, (axes,) = new_figure(2.0)
    axes.plot([0, 1], label=literal(name))
    name_panel(axes, name)
    legend_above(figure, axes)
    figure.savefig(io.BytesIO())
    (text,) = figure.legends[0].get_texts()
    assert text._preprocess_math(text.get_text()) == (drawn, False)
    title = axes.title
    assert title._preprocess_math(title.get_text()) == (drawn.replace("_", " "), False)
