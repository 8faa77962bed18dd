import numpy as np
import pytest

from mermaide_pl.reporting.figures.forecasts import draw_forecasts


def test_shares_at_each_forecast_and_in_each_step():
    # 40 agents, forecast 0.25 in the first step, 0.75 in the second; one choice is not scored
    chances = np.tile([0.25, 0.75], (40, 1))
    chosen = np.zeros((40, 2), dtype=bool)
    chosen[:12, 0] = chosen[:30, 1] = True
    counted = np.ones((40, 2), dtype=bool)
    counted[0, 0] = False
    figure = draw_forecasts({"a_model": chances}, chosen, counted, "arm 0")
    above, below = figure.axes
    line = above.lines[1]
    assert line.get_label() == "a model"
    assert line.get_xydata().tolist() == pytest.approx(np.array([[0.25, 11 / 39], [0.75, 0.75]]))
    forecast, observed = below.lines
    assert forecast.get_ydata().tolist() == [0.25, 0.75]
    assert observed.get_ydata().tolist() == pytest.approx([11 / 39, 0.75])
