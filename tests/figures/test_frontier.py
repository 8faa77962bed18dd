import numpy as np

from mermaide_pl.figures import draw_frontier


def row(method, shots, cost, rate, alignment, population="all", trained_on="ucb"):
    return {
        "trained_on": trained_on,
        "observation": "partial",
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


def test_crosses_are_the_intervals():
    (axes,) = draw_frontier(ROWS).axes
    (ours,) = (line for line in axes.containers if line.get_label() == "ours")
    across, along = (bars.get_segments() for bars in ours.lines[2])
    np.testing.assert_allclose(across[0], [[0.5, 0.9], [0.65, 0.9]])
    np.testing.assert_allclose(along[1], [[0.4, 0.68], [0.4, 0.71]])
