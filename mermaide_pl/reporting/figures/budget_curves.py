"""Figure of the return against the budget of interventions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

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


def draw_budget_curves(rows: Sequence[Mapping[str, Any]], shots: int) -> Figure:
    """Draw the return against the most interventions of an episode, one line per method.

    Args:
        rows: one per ``population``, ``budget``, ``method`` and ``shots``, with ``_mean``, ``_low``
            and ``_high`` (95% interval) of ``return``, reward units per step.
        shots: number of support episodes of what is trained.

    Returns:
        The figure, one panel per population; bands are the intervals.
    """
    populations = list(dict.fromkeys(row["population"] for row in rows))
    figure, panels = new_grid(len(populations), 2, line_height=1.05, sharey=False)
    for axes, population in zip(panels, populations, strict=True):
        for method, colour in _COLOURS.items():
            line = [
                row
                for row in rows
                if (row["population"], row["method"]) == (population, method)
                and row["shots"] == (0 if method == BURST else shots)
            ]
            budgets = [row["budget"] for row in line]
            mean, low, high = zip(*(Estimate.of_row(row, "return") for row in line), strict=True)
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
        name_panel(axes, population)
    figure.supxlabel("budget (interventions of an episode)", fontsize=FONT_SIZE)
    figure.supylabel("return (reward units per step)", fontsize=FONT_SIZE)
    legend_above(figure, panels[0])
    return figure
