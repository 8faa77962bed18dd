"""Figure of the alignment under fixed schedules, against the exploration of the agents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from mermaide_pl.reporting.figures.style import label_axes, legend_above, new_figure, series_style


def draw_alignment_curves(rows: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> Figure:
    """Draw alignment against the exploration coefficient, one line per schedule.

    Args:
        rows: with the columns ``schedule``, ``beta`` (reward units), and ``alignment_mean``,
            ``alignment_low`` and ``alignment_high`` (share of steps, 95% interval over agents).
        names: schedule to the label of its line.

    Returns:
        The figure, one panel; bands are the intervals.
    """
    figure, (axes,) = new_figure(height=2.3)
    for index, (schedule, name) in enumerate(names.items()):
        chosen = sorted(
            (row for row in rows if row["schedule"] == schedule), key=lambda row: row["beta"]
        )
        betas, mean, low, high = (
            [row[column] for row in chosen]
            for column in ("beta", "alignment_mean", "alignment_low", "alignment_high")
        )
        style = series_style(index)
        axes.plot(betas, mean, label=name, **style)
        axes.fill_between(betas, low, high, color=style["color"], alpha=0.2, linewidth=0)
    axes.margins(x=0.01)
    axes.set_ylim(-0.03, 1.03)
    label_axes(axes, x="exploration coefficient β (reward units)", y="alignment\n(share of steps)")
    legend_above(figure, axes)
    return figure
