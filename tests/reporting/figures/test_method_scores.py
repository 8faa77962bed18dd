import math

import pytest
from matplotlib.colors import to_hex

from mermaide_pl.reporting.figures import draw_method_scores
from mermaide_pl.reporting.figures.style import BLUE, GREY, VERMILLION


def row(method, shots, population, mean, half=0.01):
    return {
        "method": method,
        "shots": shots,
        "population": population,
        "normalised_return_iqm": mean,
        "normalised_return_low": mean - half,
        "normalised_return_high": mean + 2.0 * half,
    }


ROWS = [
    row("none", 0, "a_b", 0.0),
    row("always", 0, "a_b", 0.3),
    row("burst", 0, "a_b", 0.5),
    row("ours", 0, "a_b", 0.7),
    row("ours", 1, "a_b", 0.9),
    row("plain", 0, "a_b", 0.6),
    row("plain", 1, "a_b", 0.65),
    row("oracle", 0, "a_b", 1.0),
    row("former", 0, "a_b", 0.95),  # is in no list of methods
    row("ours", 0, "all", 0.8, half=math.nan),  # of a single run
]
METHODS = ["ours", "plain"]


def points(axes):
    """Colour of each point, whether it is hollow, and the ends of its interval."""
    found = {}
    for bars in axes.containers:
        line, _, (interval,) = bars.lines
        (segment,) = interval.get_segments()
        ends = [float(x) for x, _ in segment if not math.isnan(x)]
        hollow = line.get_markerfacecolor() == "white"
        place = float(line.get_xdata()[0]), float(line.get_ydata()[0])
        found[place] = to_hex(line.get_color()).upper(), hollow, pytest.approx(ends)
    return found


def test_a_panel_per_population():
    titles = [axes.get_title() for axes in draw_method_scores(ROWS, METHODS).axes if axes.axison]
    assert titles == ["a b", "all"]


def test_points_are_means_with_their_intervals_hollow_before_adaptation():
    axes = draw_method_scores(ROWS, METHODS).axes[0]
    assert points(axes) == {
        (0.7, -0.15): (VERMILLION, True, [0.69, 0.72]),
        (0.9, 0.15): (VERMILLION, False, [0.89, 0.92]),
        (0.6, 0.85): (BLUE, True, [0.59, 0.62]),
        (0.65, 1.15): (BLUE, False, [0.64, 0.67]),
    }
    assert [label.get_text() for label in axes.get_yticklabels()] == METHODS


def test_the_best_schedule_and_the_oracle_are_lines():
    axes = draw_method_scores(ROWS, METHODS).axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    assert lines["best schedule"].get_xdata()[0] == 0.5
    assert to_hex(lines["best schedule"].get_color()).upper() == GREY
    assert lines["oracle"].get_xdata()[0] == 1.0
    _, labels = axes.get_legend_handles_labels()
    assert sorted(labels) == ["0 shots", "1 shot", "best schedule", "oracle"]


def test_a_single_run_has_no_interval():
    axes = draw_method_scores(ROWS, METHODS).axes[1]
    assert points(axes) == {(0.8, 0.0): (VERMILLION, True, [])}


def test_points_after_adaptation_are_filled_and_differ_by_their_shots():
    rows = [row("ours", shots, "a_b", 0.5 + shots / 10.0) for shots in (1, 2)]
    containers = draw_method_scores(rows, METHODS).axes[0].containers
    lines = [bars.lines[0] for bars in containers]
    assert [line.get_marker() for line in lines] == ["o", "s"]
    assert "white" not in [line.get_markerfacecolor() for line in lines]
