from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection, PathCollection

from mermaide_pl.game import Game
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.reporting.figures import draw_episode

# one agent, two episodes of four steps, three arms; the target is arm 2
ARMS = torch.tensor([[[0, 2, 1, 2], [0, 1, 1, 0]]])
LEVELS = torch.tensor([[[0, 2, 0, 1], [0, 0, 0, 0]]])
PROBABILITIES = torch.tensor(
    [  # of arms (target, others) under levels 0, 1, 2 at each step
        [[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]],
        [[0.2, 0.8], [0.4, 0.6], [0.6, 0.4]],
        [[0.5, 0.5], [0.7, 0.3], [0.9, 0.1]],
        [[0.3, 0.7], [0.8, 0.2], [0.9, 0.1]],
    ]
)


def trajectory() -> Trajectory:
    aligned = ARMS == 2
    rewards = aligned.float() - 0.5 * LEVELS
    zeros = torch.zeros_like(rewards)
    return Trajectory(ARMS, LEVELS, aligned, rewards, rewards, ARMS, zeros, Game())


def arm_logits() -> torch.Tensor:
    return PROBABILITIES.log().expand(1, 2, 4, 3, 2)


def test_dots_are_the_arms_pulled_with_the_target_apart() -> None:
    axes = draw_episode(trajectory()).axes[0]
    others, targets = (item for item in axes.collections if isinstance(item, PathCollection))
    assert np.asarray(others.get_offsets()).tolist() == [[1, 0], [3, 1]]
    assert np.asarray(targets.get_offsets()).tolist() == [[2, 2], [4, 2]]
    assert axes.get_yticks().tolist() == [0, 1, 2, 3.3]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0", "1", "target", "bonus"]
    (highlight,) = axes.patches
    assert (highlight.get_y(), highlight.get_height()) == (1.5, 1.0)


def test_ticks_are_the_interventions_as_high_as_their_level() -> None:
    axes = draw_episode(trajectory()).axes[0]
    (ticks,) = (item for item in axes.collections if isinstance(item, LineCollection))
    spans = {segment[0, 0]: segment[1, 1] - segment[0, 1] for segment in ticks.get_segments()}
    assert spans == {2: pytest.approx(0.8), 4: pytest.approx(0.4)}


def test_line_is_the_forecast_for_the_level_played() -> None:
    figure = draw_episode(trajectory(), arm_logits())
    (line,) = figure.axes[1].lines
    assert list(line.get_xdata()) == [1, 2, 3, 4]
    np.testing.assert_allclose(line.get_ydata(), [0.1, 0.6, 0.5, 0.8], rtol=1e-6)
    assert figure.axes[1].get_ylabel() == "forecast of target\n(probability)"
    assert figure.axes[1].get_xlabel() == "step t"


def test_half_precision_forecasts_can_be_drawn() -> None:
    figure = draw_episode(trajectory(), arm_logits().bfloat16().requires_grad_())
    np.testing.assert_allclose(figure.axes[1].lines[0].get_ydata(), [0.1, 0.6, 0.5, 0.8], atol=0.01)


def test_title_has_the_numbers_of_the_episode() -> None:
    # rewards 0, 1 - 1, 0, 1 - 0.5
    title = draw_episode(trajectory()).get_suptitle()
    assert title == "return 0.12, alignment 0.50, intervention rate 0.50"


def test_an_episode_that_misses_the_target_shows_it_and_has_no_ticks() -> None:
    figure = draw_episode(trajectory(), episode=1)
    (axes,) = figure.axes
    assert axes.patches[0].get_y() == 1.5  # known from the other episode
    (ticks,) = (item for item in axes.collections if isinstance(item, LineCollection))
    assert len(ticks.get_segments()) == 0
    assert figure.get_suptitle() == "return 0.00, alignment 0.00, intervention rate 0.00"


def test_an_unknown_target_is_not_highlighted() -> None:
    never = torch.zeros_like(ARMS, dtype=torch.bool)
    axes = draw_episode(replace(trajectory(), aligned=never)).axes[0]
    assert len(axes.patches) == 0
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0", "1", "2", "bonus"]


def test_many_arms_are_not_named_one_by_one() -> None:
    axes = draw_episode(replace(trajectory(), arms=10 * ARMS)).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["target", "bonus"]
    assert axes.get_yticks().tolist() == [20, 21.3]


def test_refuses_forecasts_of_other_episodes() -> None:
    with pytest.raises(ValueError, match=r"\[M, B, T\] = \(1, 2, 4\), got \(1, 1, 4, 3, 2\)"):
        draw_episode(trajectory(), arm_logits()[:, :1])
