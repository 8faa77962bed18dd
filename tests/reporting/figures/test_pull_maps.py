import numpy as np
import pytest

from mermaide_pl.reporting.figures import draw_pull_maps

TITLES = {"agent": "(a)", "target": "(b)", "burst": "(c)"}
ROWS = [
    {"beta": beta, "step": step, "agent": beta, "target": step / 10, "burst": beta * step / 10}
    for step in (3, 1, 2)  # any order
    for beta in (0.2, 0.1)
]


def test_a_map_holds_the_share_of_each_beta_and_step():
    figure = draw_pull_maps(ROWS, TITLES)
    images = [axes.images[0] for axes in figure.axes if axes.images]
    agent, target, burst = (np.asarray(image.get_array()) for image in images)
    np.testing.assert_allclose(agent, [[0.1, 0.1, 0.1], [0.2, 0.2, 0.2]])
    np.testing.assert_allclose(target, [[0.1, 0.2, 0.3], [0.1, 0.2, 0.3]])
    np.testing.assert_allclose(burst, [[0.01, 0.02, 0.03], [0.02, 0.04, 0.06]])


def test_a_cell_lies_around_its_beta_and_step_and_low_beta_below():
    figure = draw_pull_maps(ROWS, TITLES)
    image = figure.axes[0].images[0]
    np.testing.assert_allclose(image.get_extent(), (0.5, 3.5, 0.05, 0.25))
    assert image.origin == "lower"


def test_all_maps_share_one_labelled_scale_from_none_to_all():
    figure = draw_pull_maps(ROWS, TITLES)
    assert {image.get_clim() for axes in figure.axes for image in axes.images} == {(0.0, 1.0)}
    assert figure.axes[-1].get_ylabel() == "share of agents that pull the arm"
    assert figure.get_supxlabel() == "step t"
    assert "(reward units)" in figure.get_supylabel()
    titles = [axes.get_title(loc="left") for axes in figure.axes[:3]]
    assert titles == list(TITLES.values())


def test_a_place_without_a_map_is_left_empty():
    figure = draw_pull_maps(ROWS, TITLES)
    assert [axes.axison for axes in figure.axes[:4]] == [True, True, True, False]


@pytest.mark.parametrize("rows", [ROWS[1:], [*ROWS, ROWS[0]], [*ROWS[1:], ROWS[1]]])
def test_a_map_with_holes_or_doubles_is_refused(rows):
    with pytest.raises(ValueError, match="not one for each of 2 betas and 3 steps"):
        draw_pull_maps(rows, TITLES)
