import numpy as np
import pytest
import torch

from mermaide_pl.game import Game
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.metrics.intervals import mean_and_interval
from mermaide_pl.reporting.figures import draw_intervention_rate

# two agents, two episodes each, three steps
LEVELS = torch.tensor([[[1, 0, 2], [1, 0, 0]], [[1, 1, 0], [0, 1, 0]]])
ARMS = torch.tensor([[[0, 2, 2], [2, 2, 1]], [[1, 1, 2], [0, 2, 1]]])
# agent means of "level above 0": [1, 0, 1/2] and [1/2, 1, 0]
INTERVENTION_RATE = [0.75, 0.5, 0.25]
# agent means of "arm 2": [1/2, 1, 1/2] and [0, 1/2, 1/2]
ALIGNMENT = [0.25, 0.75, 0.5]
# of two numbers a, b: sd / sqrt(2) = |a - b| / 2
HALF_WIDTH = 1.959964 * np.array([0.25, 0.5, 0.25])


def trajectory() -> Trajectory:
    aligned = ARMS == 2
    rewards = aligned.float() - 0.5 * LEVELS
    zeros = torch.zeros_like(rewards)
    return Trajectory(ARMS, LEVELS, aligned, rewards, rewards, ARMS, zeros, Game())


def test_interval_over_agents() -> None:
    mean, low, high = mean_and_interval(LEVELS > 0)
    assert mean.tolist() == INTERVENTION_RATE
    np.testing.assert_allclose(low, np.clip(INTERVENTION_RATE - HALF_WIDTH, 0, 1))
    np.testing.assert_allclose(high, np.clip(INTERVENTION_RATE + HALF_WIDTH, 0, 1))


def test_more_episodes_with_the_same_agents_do_not_narrow_the_interval() -> None:
    once = mean_and_interval(LEVELS > 0)
    thrice = mean_and_interval((LEVELS > 0).repeat(1, 3, 1))
    np.testing.assert_allclose(once, thrice)


def test_the_interval_holds_the_truth_in_95_of_100_samples() -> None:
    generator = torch.Generator().manual_seed(0)
    happened = torch.rand(100, 1, 4000, generator=generator) < 0.4  # 4000 samples of 100 agents
    _, low, high = mean_and_interval(happened)
    assert ((low <= 0.4) & (high >= 0.4)).mean() == pytest.approx(0.95, abs=0.015)


def test_one_agent_has_no_interval() -> None:
    mean, low, high = mean_and_interval(LEVELS[:1] > 0)
    assert mean.tolist() == [1.0, 0.0, 0.5]
    assert np.isnan([low, high]).all()


def test_panels_hold_the_hand_computed_rates_and_bands() -> None:
    figure = draw_intervention_rate({"0 shots": trajectory()})
    for axes, mean in zip(figure.axes, (INTERVENTION_RATE, ALIGNMENT), strict=True):
        (line,) = axes.lines
        assert list(line.get_xdata()) == [1, 2, 3]
        assert line.get_ydata().tolist() == mean
    (band,) = figure.axes[0].collections
    vertices = band.get_paths()[0].vertices
    for step, centre, half in zip((1, 2, 3), INTERVENTION_RATE, HALF_WIDTH, strict=True):
        heights = vertices[vertices[:, 0] == step][:, 1]
        assert heights.min() == pytest.approx(max(centre - half, 0.0))
        assert heights.max() == pytest.approx(min(centre + half, 1.0))


def test_one_line_and_one_name_per_principal() -> None:
    figure = draw_intervention_rate({"0 shots": trajectory(), "1 shot": trajectory()})
    top, bottom = figure.axes
    assert len(top.lines) == len(bottom.lines) == 2
    assert top.lines[0].get_color() == bottom.lines[0].get_color() != top.lines[1].get_color()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["0 shots", "1 shot"]
    assert top.get_ylabel() == "intervention rate\n(share of episodes)"
    assert bottom.get_ylabel() == "alignment\n(share of episodes)"
    assert bottom.get_xlabel() == "step t"
