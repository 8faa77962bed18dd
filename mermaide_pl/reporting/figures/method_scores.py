"""Figure of the normalised return of each method on each population of agents."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mermaide_pl.evaluation.methods import ALWAYS, BURST, PERIODIC, RANDOM, label_of
from mermaide_pl.metrics.intervals import Estimate
from mermaide_pl.reporting.figures.style import (
    BLACK,
    BLUE,
    FONT_SIZE,
    GREY,
    LINE_WIDTH,
    VERMILLION,
    legend_above,
    literal,
    name_panel,
    new_grid,
    shots_label,
)

_PANELS_IN_A_LINE = 2
_APART = 0.3  # distance between numbers of shots, in lines
_SCHEDULES = (ALWAYS, PERIODIC, BURST, RANDOM)
_MARKERS = ("o", "s", "D", "^")  # by number of shots, from the smallest above zero


def draw_method_scores(rows: Sequence[Mapping[str, Any]], methods: Sequence[str]) -> Figure:
    """Draw the normalised return of learned methods, with the best schedule and the oracle.

    Args:
        rows: of one condition, with the columns ``method``, ``shots``, ``population``, and
            interquartile mean, ``_low`` and ``_high`` (95% interval over runs, nan if there is one)
            of ``normalised_return``.
        methods: learned methods, ours first.

    Returns:
        The figure, one panel per population; points before adaptation are hollow, a schedule's
        interval is a band.
    """
    populations = list(dict.fromkeys(row["population"] for row in rows))
    height = 0.4 + 0.12 * len(methods)
    figure, panels = new_grid(len(populations), _PANELS_IN_A_LINE, height, sharex=False)
    for axes, population in zip(panels, populations, strict=True):
        here = [row for row in rows if row["population"] == population]
        schedules = [row for row in here if row["method"] in _SCHEDULES]
        if schedules:
            _draw_schedule(axes, max(schedules, key=lambda row: row["normalised_return_iqm"]))
        axes.axvline(1.0, color=BLACK, linewidth=LINE_WIDTH, label="oracle")
        _draw_methods(axes, [row for row in here if row["method"] in methods], methods)
        name_panel(axes, population)
        axes.set_yticks(
            range(len(methods)), [literal(label_of(name)).replace("_", " ") for name in methods]
        )
        axes.set_ylim(len(methods) - 0.4, -0.6)
        axes.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
    figure.supxlabel("normalised return", fontsize=FONT_SIZE)
    legend_above(figure, panels[0], handlelength=1.2, columnspacing=1.0)
    return figure


def _draw_schedule(axes: Axes, row: Mapping[str, Any]) -> None:
    mean, low, high = Estimate.of_row(row, "normalised_return", "iqm")
    # wide, to be seen behind other lines
    axes.axvline(mean, color=GREY, linewidth=2.5 * LINE_WIDTH, label="best schedule")
    if not math.isnan(low):
        axes.axvspan(low, high, color=GREY, alpha=0.2, linewidth=0)


def _draw_methods(axes: Axes, rows: Sequence[Mapping[str, Any]], methods: Sequence[str]) -> None:
    numbers = sorted({row["shots"] for row in rows})
    markers = dict(zip([shots for shots in numbers if shots], _MARKERS, strict=False))
    named = min((row["method"] for row in rows), key=methods.index, default=None)
    for number, shots in enumerate(numbers):
        for row in (row for row in rows if row["shots"] == shots):
            mean, low, high = Estimate.of_row(row, "normalised_return", "iqm")
            colour = VERMILLION if row["method"] == methods[0] else BLUE
            axes.errorbar(
                mean,
                methods.index(row["method"]) + _APART * (number - 0.5 * (len(numbers) - 1)),
                xerr=[[max(mean - low, 0.0)], [max(high - mean, 0.0)]],
                marker=markers.get(shots, "o"),
                color=colour,
                markerfacecolor=colour if shots else "white",
                markersize=3.0,
                linestyle="none",
                elinewidth=LINE_WIDTH,
                label=shots_label(shots) if row["method"] == named else None,
            )
