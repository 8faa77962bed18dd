"""Figure of the timing of interventions, one panel for each population of agents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mermaide_pl.metrics.intervals import Estimate
from mermaide_pl.reporting.figures.style import (
    FONT_SIZE,
    GREEN,
    LINE_WIDTH,
    VERMILLION,
    legend_above,
    name_panel,
    new_grid,
)

_PANELS_IN_A_LINE = 3
_LINES = (  # the wider one is drawn below, so that both are visible where equal
    ("alignment", "target pulled", GREEN, 1.8 * LINE_WIDTH),
    ("intervention_rate", "intervention", VERMILLION, LINE_WIDTH),
)


def draw_timing(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw, against the step, the share of episodes with an intervention and with the target arm.

    Args:
        rows: one for every ``population`` and ``step``, with ``_mean``, ``_low`` and ``_high`` of
            ``intervention_rate`` and ``alignment``: shares of episodes, 95% intervals over agents.

    Returns:
        The figure, one panel per population in the order of the rows.
    """
    populations = list(dict.fromkeys(row["population"] for row in rows))
    figure, panels = new_grid(len(populations), _PANELS_IN_A_LINE, line_height=0.95)
    for axes, population in zip(panels, populations, strict=True):
        chosen = [row for row in rows if row["population"] == population]
        steps = [row["step"] for row in chosen]
        for quantity, name, colour, width in _LINES:
            mean, low, high = zip(*(Estimate.of_row(row, quantity) for row in chosen), strict=True)
            axes.plot(steps, mean, label=name, color=colour, linewidth=width)
            axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
        name_panel(axes, population)
        axes.margins(x=0.02)
        axes.set_ylim(-0.03, 1.03)
    panels[0].xaxis.set_major_locator(MaxNLocator(2, steps=[1, 2, 5, 10]))
    figure.supxlabel("step t", fontsize=FONT_SIZE)
    figure.supylabel("share of episodes", fontsize=FONT_SIZE)
    legend_above(figure, panels[0])
    return figure
