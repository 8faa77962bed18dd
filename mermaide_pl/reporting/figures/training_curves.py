"""Figure of the quantities logged during training, one panel for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from mermaide_pl.reporting.figures.style import (
    FONT_SIZE,
    GREY,
    LINE_WIDTH,
    SMALL_FONT_SIZE,
    legend_above,
    new_grid,
    series_style,
)

Curve = Sequence[tuple[int, float]]
TRAINING = "training"


def draw_training_curves(panels: Mapping[str, Mapping[str, Curve]]) -> Figure:
    """Draw logged quantities against the training step.

    Args:
        panels: title of each panel, a quantity with its unit, to its lines: label to points
            ``(step, value)``. The line "training" is grey and below the others.

    Returns:
        The figure, two panels in a row.
    """
    names = dict.fromkeys(name for lines in panels.values() for name in lines)
    styles: dict[str, dict[str, Any]] = {}
    styles[TRAINING] = {"color": GREY, "alpha": 0.6, "linewidth": LINE_WIDTH}
    styles |= {name: series_style(i) for i, name in enumerate(n for n in names if n != TRAINING)}
    figure, all_axes = new_grid(len(panels), 2, line_height=1.25, sharey=False)
    for axes, (title, lines) in zip(all_axes, panels.items(), strict=True):
        for name, points in lines.items():
            steps, values = zip(*points, strict=True)
            marker = "o" if len(points) < 20 and name != TRAINING else ""
            axes.plot(steps, values, label=name, marker=marker, markersize=2.5, **styles[name])
        axes.set_title(title, fontsize=SMALL_FONT_SIZE, pad=3)
        axes.margins(x=0.03, y=0.12)
    all_axes[0].set_xlim(left=0)
    all_axes[0].xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10], integer=True))
    all_axes[0].xaxis.set_major_formatter(EngFormatter(sep=""))
    figure.supxlabel("training step", fontsize=FONT_SIZE)
    legend_above(figure, max(all_axes, key=lambda axes: len(axes.lines)))
    return figure
