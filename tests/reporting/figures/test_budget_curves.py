import numpy as np

from mermaide_pl.reporting.figures import draw_budget_curves


def rows():
    for population, least in (("unseen_ucb", 0.0), ("mean", 0.5)):
        for budget in (0, 10, 200):
            for method, shots, more in (
                ("burst", 0, 0.0),
                ("principal", 0, 0.1),
                ("principal", 1, 0.2),
                ("cut_off", 1, 0.3),
            ):
                mean = least + more + budget / 1000
                yield {
                    "population": population,
                    "budget": budget,
                    "method": method,
                    "shots": shots,
                    "return_mean": mean,
                    "return_low": mean - 0.01,
                    "return_high": mean + 0.02,
                    "gain_over_burst_mean": more,
                    "gain_over_burst_low": more - 0.01,
                    "gain_over_burst_high": more + 0.02,
                }


def test_a_panel_per_population_with_a_line_per_method():
    figure = draw_budget_curves([*rows()], 1)
    first, second, third = figure.axes
    titles = [axes.get_title() for axes in (first, second, third)]
    assert titles == ["unseen ucb", "mean", "gain over burst"]
    lines = {line.get_label(): line for line in second.lines}
    assert [*lines] == ["principal", "principal, cut off", "burst"]
    np.testing.assert_allclose(lines["principal"].get_xdata(), [0, 10, 200])
    np.testing.assert_allclose(lines["principal"].get_ydata(), [0.7, 0.71, 0.9])
    np.testing.assert_allclose(lines["burst"].get_ydata(), [0.5, 0.51, 0.7])
    band = second.collections[0].get_datalim(second.transData)
    np.testing.assert_allclose((band.y0, band.y1), (0.69, 0.92))
    np.testing.assert_allclose(third.lines[0].get_ydata(), [0.2, 0.2, 0.2])
