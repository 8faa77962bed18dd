"""Figure of a search over configurations: the objective by trial and by each parameter."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from mermaide_pl.reporting.figures.style import (
    BLUE,
    GREY,
    LINE_WIDTH,
    ORANGE,
    SMALL_FONT_SIZE,
    label_axes,
    legend_above,
    literal,
    new_grid,
)

_MARKERS: dict[str, dict[str, Any]] = {
    "done": {"marker": "o", "color": BLUE},
    "pruned": {"marker": "x", "color": ORANGE, "linewidths": LINE_WIDTH},
}
_FEW = 4  # values whose labels stand side by side


def draw_sweep(
    rows: Sequence[Mapping[str, Any]],
    objective: str,
    parameters: Mapping[str, str],
    *,
    logarithmic: Collection[str] = (),
    maximises: bool = True,
) -> Figure:
    """Draw the objective by trial with the best so far, and against each parameter.

    Args:
        rows: with the columns ``trial``, ``state``, the objective and each parameter; rows that are
            "done" or "pruned" are drawn.
        objective: column of the objective.
        parameters: column of each parameter to the label of its axis; values that are not numbers
            are categories.
        logarithmic: parameters on a logarithmic axis.
        maximises: the objective is maximised, not minimised.

    Returns:
        The figure; pruned trials are crosses at the value where they were stopped.
    """
    figure, panels = new_grid(1 + len(parameters), 2, line_height=1.5, sharex=False)
    drawn = [row for row in rows if row["state"] in _MARKERS and row[objective] != ""]
    _scatter(panels[0], drawn, [row["trial"] for row in drawn], objective)
    done = [row for row in drawn if row["state"] == "done"]
    best = list(accumulate((row[objective] for row in done), max if maximises else min))
    panels[0].step(
        [row["trial"] for row in done],
        best,
        where="post",
        color=GREY,
        linewidth=LINE_WIDTH,
        label="best so far",
    )
    panels[0].xaxis.set_major_locator(MaxNLocator(5, integer=True))
    label_axes(panels[0], x="trial", y=objective)
    for index, (axes, (name, heading)) in enumerate(
        zip(panels[1:], parameters.items(), strict=True), start=1
    ):
        values = [row[name] for row in drawn]
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            if name in logarithmic:
                axes.set_xscale("log")
            _label_the_few(axes, values, name in logarithmic)
        else:
            values = [_category(value) for value in values]
            axes.margins(x=0.3)  # for the names
        _scatter(axes, drawn, values, objective)
        label_axes(axes, x=literal(heading), y="" if index % 2 else objective)
    legend_above(figure, panels[0], ncols=3)
    for axes in panels:
        axes.tick_params(which="both", labelsize=SMALL_FONT_SIZE - 1.0)
    return figure


def _label_the_few(axes: Axes, values: Sequence[float], is_logarithmic: bool) -> None:
    """Set ticks at the values if they are few, or at ends and middle of less than a decade."""
    places = sorted(set(values))
    if len(places) > _FEW and is_logarithmic and places[-1] < 10.0 * places[0]:
        places = [places[0], (places[0] * places[-1]) ** 0.5, places[-1]]
    if 0 < len(places) <= _FEW:
        axes.set_xticks(places, [f"{value:.2g}" for value in places])
        axes.xaxis.set_minor_locator(NullLocator())


def _category(value: Any) -> str:
    """Name of a class without its module, one word per line."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "\n", literal(str(value)).rpartition(".")[2])


def _scatter(
    axes: Axes, rows: Sequence[Mapping[str, Any]], x: Sequence[Any], objective: str
) -> None:
    for state, style in _MARKERS.items():
        chosen = [index for index, row in enumerate(rows) if row["state"] == state]
        if chosen:
            axes.scatter(
                [x[index] for index in chosen],
                [rows[index][objective] for index in chosen],
                s=9,
                label=state,
                **style,
            )
