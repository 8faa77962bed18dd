"""Figures of the cost of alignment: alignment against intervention rate, by method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mermaide_pl.evaluation.methods import (
    ALWAYS,
    BURST,
    NO_INTERVENTION,
    ORACLE,
    PERIODIC,
    PRINCIPAL,
    RANDOM,
    label_of,
)
from mermaide_pl.evaluation.tables import MEAN, method_label
from mermaide_pl.reporting.figures.style import (
    BLACK,
    FONT_SIZE,
    GREY,
    LINE_WIDTH,
    SMALL_FONT_SIZE,
    label_axes,
    legend_above,
    literal,
    name_panel,
    new_figure,
    new_grid,
    series_style,
)

_FIXED = {ORACLE: BLACK, BURST: GREY, PERIODIC: GREY, RANDOM: GREY}
_MARKERS = {
    ORACLE: "*",
    BURST: "s",
    PERIODIC: "^",
    RANDOM: "x",
    ALWAYS: "D",
    NO_INTERVENTION: "v",
}
_RETURNS_DRAWN = [step / 10.0 for step in range(-9, 10)]


def draw_frontier(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw alignment against intervention rate, one line per method over the costs.

    Args:
        rows: with the columns ``trained_on``, ``observation``, ``method``, ``shots``,
            ``population``, ``cost`` (per unit of bonus), and interquartile mean, ``_low`` and
            ``_high`` (95% interval over runs) of ``alignment`` and ``intervention_rate`` (shares of
            steps). Rows of the population "mean" are drawn, at the largest number of shots.

    Returns:
        The figure, one panel for each training population and observation that has the most costs;
        crosses are the intervals in both directions.
    """
    conditions: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["population"] == MEAN:
            conditions.setdefault((row["trained_on"], row["observation"]), []).append(row)
    num_costs = {name: len({row["cost"] for row in each}) for name, each in conditions.items()}
    shown = [name for name, number in num_costs.items() if number == max(num_costs.values())]
    figure, panels = new_figure(0.6 + 2.6 * len(shown), [1.0] * len(shown))
    for axes, name in zip(panels, shown, strict=True):
        _draw_methods(axes, conditions[name])
        if len(shown) > 1:
            trained_on, observation = name
            axes.set_title(
                literal(f"trained on {trained_on}, {observation} information"),
                fontsize=SMALL_FONT_SIZE,
                pad=3,
            )
        axes.set_xlim(-0.03, 1.03)
        axes.set_ylim(-0.03, 1.03)
        x = "intervention rate (share of steps)" if axes is panels[-1] else None
        label_axes(axes, x=x, y="alignment (share of steps)")
    legend_above(
        figure, panels[0], ncols=3, handlelength=1.0, handletextpad=0.5, columnspacing=0.7
    )  # the names are long
    return figure


def _draw_methods(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    colours = 0
    for method in dict.fromkeys(row["method"] for row in rows):
        if method in (NO_INTERVENTION, ALWAYS):
            continue
        line = [row for row in rows if row["method"] == method]
        most = max(row["shots"] for row in line)
        line = sorted((row for row in line if row["shots"] == most), key=lambda row: row["cost"])
        style = dict(series_style(colours))
        if method in _FIXED:
            style["color"] = _FIXED[method]
        else:
            colours += 1
        marker, label = _MARKERS.get(method, "o"), literal(label_of(method))
        _draw_crosses(axes, line, "iqm", marker=marker, label=label, **style)
        if method == ORACLE:
            for row in line:
                axes.annotate(
                    f"cost {row['cost']:g}",
                    (row["intervention_rate_iqm"], row["alignment_iqm"]),
                    textcoords="offset points",
                    xytext=(0, 4),
                    rotation=60.0,  # neighbours lie close
                    rotation_mode="anchor",
                    fontsize=SMALL_FONT_SIZE - 1.0,
                )


def draw_trade_off(rows: Sequence[Mapping[str, Any]], price: float | None = None) -> Figure:
    """Draw alignment against intervention rate, one point per method, one panel per population.

    Args:
        rows: as `evaluate` returns them: ``method``, ``shots``, ``population``, and ``_mean``,
            ``_low`` and ``_high`` (95% interval over agents) of ``alignment`` and
            ``intervention_rate`` (shares of steps).
        price: cost of one intervention, reward units; None if it depends on the level.

    Returns:
        The figure; crosses are the intervals, and grey lines are lines of equal return,
        ``alignment - price * rate``.
    """
    populations = list(dict.fromkeys(row["population"] for row in rows))
    wide = len(populations) == 1
    figure, panels = new_grid(len(populations), 2, line_height=2.4 if wide else 1.8)
    for axes, population in zip(panels, populations, strict=True):
        if price is not None:
            _draw_equal_returns(axes, price)
        colours = 0
        for row in (row for row in rows if row["population"] == population):
            style = {"color": _FIXED.get(row["method"], GREY), "linewidth": LINE_WIDTH}
            if row["method"] == PRINCIPAL:
                style = series_style(colours)
                colours += 1
            marker, label = _MARKERS.get(row["method"], "o"), literal(method_label(row))
            _draw_crosses(axes, [row], "mean", marker=marker, label=label, **style)
        name_panel(axes, population)
        axes.set_xlim(-0.03, 1.03)
        axes.set_ylim(-0.03, 1.03)
    figure.supxlabel("intervention rate (share of steps)", fontsize=FONT_SIZE)
    figure.supylabel("alignment (share of steps)", fontsize=FONT_SIZE)
    # the names are long
    legend_above(figure, panels[0], ncols=3, handlelength=1.0, columnspacing=1.0)
    return figure


def _draw_crosses(axes: Axes, line: Sequence[Mapping[str, Any]], centre: str, **style: Any) -> None:
    """Draw points joined by a line, with their intervals in both directions."""
    columns = ("intervention_rate", "alignment")
    x, y = ([row[f"{name}_{centre}"] for row in line] for name in columns)
    ends = [  # rounding may put an end of a zero interval on the wrong side
        [
            [max(row[f"{name}_{centre}"] - row[f"{name}_low"], 0.0) for row in line],
            [max(row[f"{name}_high"] - row[f"{name}_{centre}"], 0.0) for row in line],
        ]
        for name in columns
    ]
    axes.errorbar(x, y, xerr=ends[0], yerr=ends[1], markersize=3.5, elinewidth=0.6, **style)


def _draw_equal_returns(axes: Axes, price: float) -> None:
    for value in _RETURNS_DRAWN:
        axes.axline((0.0, value), slope=price, color=GREY, alpha=0.25, linewidth=0.5, zorder=0)
