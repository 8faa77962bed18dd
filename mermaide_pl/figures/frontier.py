"""What alignment costs: how often each method intervenes, and what it gets for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from mermaide_pl.figures.style import (
    BLACK,
    GREY,
    SMALL_FONT_SIZE,
    label_axes,
    legend_above,
    new_figure,
    series_style,
)

ALL = "all"
_FIXED = {"oracle": BLACK, "burst": GREY, "periodic": GREY, "random": GREY}
_MARKERS = {"oracle": "*", "burst": "s", "periodic": "^", "random": "x"}


def draw_frontier(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw alignment against intervention rate, one line per method over the costs.

    Args:
        rows: with the columns ``method``, ``shots``, ``population``, ``cost`` (per unit of bonus),
            and interquartile mean, ``_low`` and ``_high`` (95% interval over runs) of
            ``alignment`` and ``intervention_rate`` (shares of steps). Those of the population "all"
            are drawn, of learned methods at the largest number of shots; the first training
            population and observation if there are several.

    Returns:
        The figure, one panel; crosses are the intervals in both directions.
    """
    first = rows[0]["trained_on"], rows[0]["observation"]
    chosen = [
        row
        for row in rows
        if row["population"] == ALL and (row["trained_on"], row["observation"]) == first
    ]
    figure, (axes,) = new_figure(height=3.2)
    colours = 0
    for method in dict.fromkeys(row["method"] for row in chosen):
        if method in ("none", "always"):
            continue
        line = [row for row in chosen if row["method"] == method]
        most = max(row["shots"] for row in line)
        line = sorted((row for row in line if row["shots"] == most), key=lambda row: row["cost"])
        style = dict(series_style(colours))
        if method in _FIXED:
            style["color"] = _FIXED[method]
        else:
            colours += 1
        columns = ("intervention_rate", "alignment")
        x, y = ([row[f"{name}_iqm"] for row in line] for name in columns)
        ends = [
            [
                [row[f"{name}_iqm"] - row[f"{name}_low"] for row in line],
                [row[f"{name}_high"] - row[f"{name}_iqm"] for row in line],
            ]
            for name in columns
        ]
        axes.errorbar(
            x,
            y,
            xerr=ends[0],
            yerr=ends[1],
            marker=_MARKERS.get(method, "o"),
            markersize=3.5,
            elinewidth=0.6,
            label=method,
            **style,
        )
        if method == "oracle":
            for row, at_x, at_y in zip(line, x, y, strict=True):
                axes.annotate(
                    f"cost {row['cost']:g}",
                    (at_x, at_y),
                    textcoords="offset points",
                    xytext=(-4, 3),
                    ha="right",
                    fontsize=SMALL_FONT_SIZE - 1.0,
                )
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    label_axes(axes, x="intervention rate (share of steps)", y="alignment (share of steps)")
    legend_above(figure, axes)
    return figure
