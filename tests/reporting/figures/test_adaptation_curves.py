import math
from typing import Any

import pytest
from matplotlib.colors import to_hex

from mermaide_pl.reporting.figures import draw_adaptation_curves
from mermaide_pl.reporting.figures.style import BLUE, VERMILLION


def rows(noise: float, method: str, payoffs: dict[int, float], needed: float) -> list[dict]:
    return [
        {
            "method": method,
            "noise": noise,
            "episodes": episodes,
            "payoff": payoff,
            "payoff_low": payoff - 0.1,
            "payoff_high": payoff + 0.2,
            "equilibrium": 0.4,
            "episodes_needed": needed,
        }
        for episodes, payoff in payoffs.items()
    ]


@pytest.fixture(scope="module")
def figure() -> Any:
    return draw_adaptation_curves(
        rows(0.2, "maml_only", {10: 0.3, 1: 0.2}, math.inf)
        + rows(0.2, "reinforce", {0: 0.2, 10: 0.21}, math.inf)
        + rows(0.0, "maml_only", {1: 0.3, 5: 0.38, 10: 0.4}, 5)
        + rows(0.0, "reinforce", {0: 0.2, 10: 0.2}, math.inf)
    )


def test_one_panel_for_every_noise_in_rising_order(figure: Any) -> None:
    assert [axes.get_title() for axes in figure.axes] == ["no noise", "wrong arm seen: 20%"]


def test_lines_hold_the_payoffs_in_the_order_of_episodes(figure: Any) -> None:
    lines = {line.get_label(): line for line in figure.axes[1].lines}
    assert list(lines["MAML"].get_xdata()) == [1, 10]
    assert list(lines["MAML"].get_ydata()) == [0.2, 0.3]
    assert list(lines["REINFORCE"].get_xdata()) == [0, 10]
    assert to_hex(lines["MAML"].get_color()).upper() == BLUE
    assert to_hex(lines["REINFORCE"].get_color()).upper() == VERMILLION


def test_bands_are_the_intervals(figure: Any) -> None:
    band = figure.axes[0].collections[0].get_paths()[0].vertices
    assert band[band[:, 0] == 5][:, 1].tolist() == pytest.approx([0.28, 0.58])


def test_the_equilibrium_is_a_line_in_every_panel(figure: Any) -> None:
    for axes in figure.axes:
        assert list(axes.lines[0].get_ydata()) == [0.4, 0.4]
        assert axes.texts[0].get_text() == "equilibrium"


def test_a_ring_marks_the_episodes_needed_if_there_are_any(figure: Any) -> None:
    near, far = figure.axes
    (ring,) = (line for line in near.lines if line.get_markersize() == 7)
    assert (list(ring.get_xdata()), list(ring.get_ydata())) == ([5], [0.38])
    assert near.texts[1].get_text() == "within 10% after 5"
    assert [text.get_text() for text in far.texts] == ["equilibrium"]
    assert not [line for line in far.lines if line.get_markersize() == 7]


def test_zero_episodes_have_a_place_left_of_one(figure: Any) -> None:
    figure.draw_without_rendering()
    axes = figure.axes[0]
    zero, one, ten = (axes.transData.transform((x, 0.0))[0] for x in (0, 1, 10))
    assert axes.get_window_extent().x0 < zero < one < ten


def test_methods_are_named_once_and_axes_with_their_units(figure: Any) -> None:
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["MAML", "REINFORCE"]
    assert figure.get_supxlabel() == "adaptation episodes with an unseen agent"
    assert figure.get_supylabel() == "payoff (reward units per step)"


def test_an_odd_number_of_noises_leaves_a_gap() -> None:
    drawn = draw_adaptation_curves(
        [row for noise in (0.0, 0.1, 0.2) for row in rows(noise, "maml_only", {1: 0.1}, math.inf)]
    )
    assert [axes.axison for axes in drawn.axes] == [True, True, True, False]
