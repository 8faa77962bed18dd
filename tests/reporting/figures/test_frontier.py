import numpy as np
import pytest
from matplotlib.colors import to_hex

from mermaide_pl.reporting.figures import draw_frontier, draw_trade_off
from mermaide_pl.reporting.figures.style import BLACK, BLUE, GREY, VERMILLION


def row(
    method, shots, cost, rate, alignment, population="mean", trained_on="ucb", observation="partial"
):
    return {
        "trained_on": trained_on,
        "observation": observation,
        "method": method,
        "shots": shots,
        "population": population,
        "cost": cost,
        "intervention_rate_iqm": rate,
        "intervention_rate_low": rate - 0.1,
        "intervention_rate_high": rate + 0.05,
        "alignment_iqm": alignment,
        "alignment_low": alignment - 0.02,
        "alignment_high": alignment + 0.01,
    }


ROWS = [
    row("none", 0, 0.5, 0.0, 0.1),
    row("burst", 0, 0.5, 0.5, 0.6),
    row("burst", 0, 0.25, 0.7, 0.7),
    row("ours", 0, 0.5, 0.1, 0.2),
    row("ours", 1, 0.5, 0.4, 0.7),
    row("ours", 1, 0.25, 0.6, 0.9),
    row("ours", 1, 0.25, 0.9, 0.1, population="exp3"),
    row("ours", 1, 0.25, 0.9, 0.1, trained_on="exp3"),
]


def test_lines_run_over_the_costs_at_the_most_shots():
    (axes,) = draw_frontier(ROWS).axes
    lines = {str(line.get_label()): line for line in axes.containers}
    assert set(lines) == {"burst", "ours"}
    points = lines["ours"].lines[0]
    np.testing.assert_allclose(np.asarray(points.get_xdata(), float), [0.6, 0.4])
    np.testing.assert_allclose(np.asarray(points.get_ydata(), float), [0.9, 0.7])


def test_a_panel_for_each_observation_with_as_many_costs():
    full = [row("ours", 1, cost, 0.3, 0.8, observation="full") for cost in (0.5, 0.25)]
    panels = draw_frontier([*ROWS, *full]).axes
    titles = [f"trained on ucb, {name} information" for name in ("partial", "full")]
    assert [axes.get_title() for axes in panels] == titles
    assert [line.get_label() for line in panels[1].containers] == ["ours"]


def test_crosses_are_the_intervals():
    (axes,) = draw_frontier(ROWS).axes
    (ours,) = (line for line in axes.containers if line.get_label() == "ours")
    across, along = (bars.get_segments() for bars in ours.lines[2])
    np.testing.assert_allclose(across[0], [[0.5, 0.9], [0.65, 0.9]])
    np.testing.assert_allclose(along[1], [[0.4, 0.68], [0.4, 0.71]])


def scored(method, shots, rate, alignment, population="a_b"):
    # of what is the same for all agents, an interval may lie above its mean by rounding
    return {
        "method": method,
        "shots": shots,
        "population": population,
        "intervention_rate_mean": rate,
        "intervention_rate_low": rate + 1e-16,
        "intervention_rate_high": rate + 0.05,
        "alignment_mean": alignment,
        "alignment_low": alignment - 0.02,
        "alignment_high": alignment + 0.01,
    }


EVALUATED = [
    scored("none", 0, 0.0, 0.1),
    scored("burst", 0, 0.5, 0.6),
    scored("principal", 0, 0.4, 0.7),
    scored("principal", 1, 0.3, 0.8),
    scored("oracle", 0, 0.2, 0.9),
    scored("principal", 0, 0.6, 0.2, population="c"),
]


def test_every_method_is_a_point_of_its_population():
    first, second = draw_trade_off(EVALUATED).axes
    assert [first.get_title(), second.get_title()] == ["a b", "c"]
    drawn = {}
    for bars in first.containers:
        point, _, (across, along) = bars.lines
        drawn[bars.get_label()] = (point.get_xydata()[0].tolist(), to_hex(point.get_color()))
        (x, y) = drawn[bars.get_label()][0]
        np.testing.assert_allclose(across.get_segments()[0], [[x, y], [x + 0.05, y]])
        np.testing.assert_allclose(along.get_segments()[0], [[x, y - 0.02], [x, y + 0.01]])
    assert drawn == {
        "no intervention": ([0.0, 0.1], GREY),
        "burst": ([0.5, 0.6], GREY),
        "principal 0-shot": ([0.4, 0.7], BLUE.lower()),
        "principal 1-shot": ([0.3, 0.8], VERMILLION.lower()),
        "oracle": ([0.2, 0.9], BLACK),
    }
    (bars,) = second.containers
    assert bars.lines[0].get_xydata().tolist() == [[0.6, 0.2]]


def test_the_return_is_the_same_along_a_grey_line():
    (axes,) = draw_trade_off(EVALUATED[:5], price=0.5).axes
    lines = [line for line in axes.lines if hasattr(line, "get_slope")]
    returns = [line.get_xy1()[1] - 0.5 * line.get_xy1()[0] for line in lines]
    np.testing.assert_allclose(returns, np.arange(-9, 10) / 10.0)
    assert [line.get_slope() for line in lines] == [0.5] * 19


@pytest.mark.parametrize("price", [None, 0.5])
def test_without_a_price_no_return_is_drawn(price):
    (axes,) = draw_trade_off(EVALUATED[:5], price).axes
    assert any(hasattr(line, "get_slope") for line in axes.lines) == (price is not None)
