"""Figure of one annotated episode: arms pulled, interventions and forecasts."""

from __future__ import annotations

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.objectives import factual_arm_logits
from mermaide_pl.reporting.figures.style import (
    BLUE,
    FONT_SIZE,
    GREEN,
    GREY,
    LINE_WIDTH,
    VERMILLION,
    label_axes,
    new_figure,
)

_MOST_NAMED_ARMS = 12


def draw_episode(
    trajectory: Trajectory,
    arm_logits: Tensor | None = None,
    *,
    task: int = 0,
    episode: int = 0,
) -> Figure:
    """Draw one episode over its steps.

    Args:
        trajectory: recorded episodes, [M, B, T].
        arm_logits: the world model's forecasts during them, float [M, B, T, L, A], principal
            labels; None without a world model.
        task: index of the task, of M.
        episode: index of the episode, of B.

    Returns:
        The figure: arms pulled and interventions; below, with a world model, the forecast
        probability that the agent pulls the target at the level played.

    Raises:
        ValueError: if the forecasts have another shape than the episodes.
    """
    if arm_logits is not None and arm_logits.shape[:3] != trajectory.arms.shape:
        raise ValueError(
            f"arm_logits must be [M, B, T, L, A] with [M, B, T] ="
            f" {tuple(trajectory.arms.shape)}, got {tuple(arm_logits.shape)}"
        )
    heights = (1.0,) if arm_logits is None else (1.6, 1.0)
    figure, panels = new_figure(2.4 if arm_logits is None else 3.4, heights)
    _draw_behaviour(panels[0], trajectory, task, episode)
    if arm_logits is not None:
        levels = trajectory.levels[task, episode]
        factual = factual_arm_logits(arm_logits[task, episode].detach().float(), levels)
        forecast = factual.softmax(-1)[..., 0].cpu()
        panels[1].plot(range(1, len(forecast) + 1), forecast, color=BLUE, linewidth=LINE_WIDTH)
        panels[1].set_ylim(-0.03, 1.03)
        label_axes(panels[1], y="forecast of target\n(probability)")
    panels[-1].margins(x=0.01)
    panels[-1].set_xlabel("step t", fontsize=FONT_SIZE)
    figure.suptitle(
        f"return {trajectory.returns[task, episode]:.2f},"
        f" alignment {trajectory.alignment[task, episode]:.2f},"
        f" intervention rate {trajectory.intervention_rate[task, episode]:.2f}",
        fontsize=FONT_SIZE,
    )
    return figure


def _draw_behaviour(axes: Axes, trajectory: Trajectory, task: int, episode: int) -> None:
    arms, aligned, levels = (
        record[task, episode].cpu()
        for record in (trajectory.arms, trajectory.aligned, trajectory.levels)
    )
    steps = torch.arange(1, len(arms) + 1)
    num_arms = int(trajectory.arms.max()) + 1  # over all tasks: one agent may leave arms out
    named = range(num_arms) if num_arms <= _MOST_NAMED_ARMS else ()
    rows: dict[float, str] = {arm: str(arm) for arm in named}
    # a target that was never pulled is not in the record
    for target in trajectory.arms[task][trajectory.aligned[task]][:1].tolist():
        axes.axhspan(target - 0.5, target + 0.5, color=GREEN, alpha=0.15, linewidth=0)
        rows[target] = "target"
    for chosen, colour, label in ((~aligned, GREY, "other arm"), (aligned, GREEN, "target arm")):
        axes.scatter(
            steps[chosen], arms[chosen], s=5, color=colour, linewidths=0, label=label, zorder=2
        )
    bonus_row, intervened = num_arms + 0.3, levels > 0
    heights = 0.8 * levels[intervened] / levels.max().clamp(min=1)  # share of the highest level
    axes.vlines(
        steps[intervened],
        bonus_row - 0.4,
        bonus_row - 0.4 + heights,
        color=VERMILLION,
        linewidth=0.6,
        label="intervention",
    )
    rows[bonus_row] = "bonus"
    axes.set_yticks(list(rows), list(rows.values()))
    for row, name in zip(rows, axes.get_yticklabels(), strict=True):
        name.set_color({"target": GREEN, "bonus": VERMILLION}.get(rows[row], "black"))
    axes.set_ylim(-0.7, bonus_row + 0.7)
    label_axes(axes, y="arm pulled")
