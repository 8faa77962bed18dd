"""Figure of the return against the budget of interventions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mermaide_pl.evaluation.methods import BURST, CUT_OFF, PRINCIPAL, label_of
from mermaide_pl.metrics.intervals import Estimate
from mermaide_pl.reporting.figures.style import (
    BLUE,
    FONT_SIZE,
    GREY,
    LINE_WIDTH,
    VERMILLION,
    legend_above,
    name_panel,
    new_grid,
)

_COLOURS = {PRINCIPAL: BLUE, CUT_OFF: VERMILLION, BURST: GREY}
_PANELS_IN_A_LINE = 3


def draw_budget_curves(rows: Sequence[Mapping[str, Any]], shots: int) -> Figure:
    """Draw the return against the most interventions of an episode, one line per method.

    Args:
        rows: one per ``population``, ``budget``, ``method`` and ``shots``, with ``_mean``, ``_low``
            and ``_high`` (95% interval) of ``return`` and of ``gain_over_burst``, reward units per
            step.
        shots: number of support episodes of what is trained.

    Returns:
        The figure, one panel per population, and the gain of the last one, the mean over all;
        bands are the intervals.
    """
    populations = list(dict.fromkeys(row["population"] for row in rows))
    figure, panels = new_grid(
        len(populations) + 1, _PANELS_IN_A_LINE, line_height=1.15, sharey=False
    )
    for axes, population in zip(panels, populations, strict=False):
        _draw_lines(axes, [row for row in rows if row["population"] == population], shots, "return")
        name_panel(axes, population)
        axes.yaxis.set_major_locator(MaxNLocator(3))
    last = [row for row in rows if row["population"] == populations[-1]]
    _draw_lines(panels[-1], last, shots, "gain_over_burst")
    name_panel(panels[-1], "gain over burst")
    panels[-1].yaxis.set_major_locator(MaxNLocator(3))
    figure.supxlabel("budget (interventions of an episode)", fontsize=FONT_SIZE)
    figure.supylabel("return (reward units per step)", fontsize=FONT_SIZE)
    legend_above(figure, panels[0])
    return figure


def _draw_lines(axes: Axes, rows: Sequence[Mapping[str, Any]], shots: int, quantity: str) -> None:
    for method, colour in _COLOURS.items():
        wanted = method, 0 if method == BURST else shots
        line = [row for row in rows if (row["method"], row["shots"]) == wanted]
        budgets = [row["budget"] for row in line]
        mean, low, high = zip(*(Estimate.of_row(row, quantity) for row in line), strict=True)
        axes.fill_between(budgets, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.plot(
            budgets,
            mean,
            color=colour,
            linewidth=LINE_WIDTH,
            marker="o",
            markersize=2.0,
            label=label_of(method),
        )
