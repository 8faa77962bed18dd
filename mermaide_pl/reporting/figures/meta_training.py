"""Figure of meta-training: its path over the landscape of payoffs, and scores over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import EngFormatter, MaxNLocator

from mermaide_pl.evaluation.methods import MERMAIDE, REINFORCE, label_of
from mermaide_pl.metrics.intervals import Estimate
from mermaide_pl.reporting.figures.style import (
    BLUE,
    COLUMN_WIDTH,
    DOTS_PER_INCH,
    FONT_SIZE,
    GREY,
    LINE_WIDTH,
    ORANGE,
    SMALL_FONT_SIZE,
    VERMILLION,
    label_axes,
    shots_label,
)

Rows = Sequence[Mapping[str, Any]]
_COLOURS = {(MERMAIDE, 0): ORANGE, (MERMAIDE, 1): BLUE, (REINFORCE, 0): VERMILLION}


def draw_meta_training(landscape: Rows, rows: Rows) -> Figure:
    """Draw three panels: landscape with path, payoff, and interventions per step.

    Args:
        landscape: one row for each point of the plane (``kind`` grid, line by line) and of the path
            (``kind`` path, from start to end), with ``x``, ``y``, ``payoff`` and
            ``equilibrium_payoff`` (reward units per step), and the shares of variance ``share_x``
            and ``share_y``.
        rows: one for every ``method``, number of ``shots`` and ``agent_steps`` of training, with
            ``_mean``, ``_low`` and ``_high`` of ``payoff`` and ``rate`` (95% intervals over
            seeds), and ``equilibrium_payoff`` and ``equilibrium_rate``.

    Returns:
        The figure, the panels one above the other.
    """
    figure = Figure(figsize=(COLUMN_WIDTH, 5.9), dpi=DOTS_PER_INCH, layout="constrained")
    # apart, so that the colour bar takes no room from the panels below
    parts: Any = figure.subfigures(2, height_ratios=(1.0, 1.35))
    above, below = parts
    top = above.subplots()
    middle, bottom = below.subplots(2, sharex=True)
    for axes, letter in zip((top, middle, bottom), "abc", strict=True):
        axes.set_title(f"({letter})", loc="left", fontsize=FONT_SIZE, pad=3)
        axes.tick_params(labelsize=SMALL_FONT_SIZE, length=2.5)
    _draw_landscape(above, top, landscape)
    _draw_progress(middle, rows, "payoff")
    _draw_progress(bottom, rows, "rate")
    label_axes(middle, y="payoff\n(reward units per step)")
    label_axes(bottom, x="agent steps of meta-training", y="interventions / T")
    below.align_ylabels()
    middle.legend(fontsize=SMALL_FONT_SIZE, frameon=False, loc="lower right")
    return figure


def _draw_landscape(figure: SubFigure, axes: Axes, landscape: Rows) -> None:
    grid = [row for row in landscape if row["kind"] == "grid"]
    path = [row for row in landscape if row["kind"] == "path"]
    num_lines = len({row["y"] for row in grid})
    x, y, payoff, best = (
        np.array([row[name] for row in grid]).reshape(num_lines, -1)
        for name in ("x", "y", "payoff", "equilibrium_payoff")
    )
    share = payoff / best
    filled = axes.contourf(x, y, share, levels=12, cmap="cividis")
    axes.contour(x, y, share, levels=filled.levels, colors="white", linewidths=0.3, alpha=0.6)
    bar = figure.colorbar(filled, ax=axes, ticks=MaxNLocator(6))
    bar.set_label("payoff after 1 episode\n(share of the equilibrium's)", fontsize=FONT_SIZE)
    bar.ax.tick_params(labelsize=SMALL_FONT_SIZE, length=2.5)
    along = [row["x"] for row in path], [row["y"] for row in path]
    axes.plot(*along, color="white", marker=".", markersize=3, linewidth=LINE_WIDTH)
    for number, marker, name in ((0, "o", "start"), (-1, "*", "end")):
        place = along[0][number], along[1][number]
        axes.plot(
            *place, marker, color=VERMILLION, mec="white", mew=0.6, markersize=9 if number else 6
        )
        axes.annotate(
            name,
            place,
            xytext=(5, 5),
            textcoords="offset points",
            color="black",
            fontsize=SMALL_FONT_SIZE,
            path_effects=[withStroke(linewidth=1.5, foreground="white")],
        )
    label_axes(
        axes,
        x=f"first principal direction ({path[0]['share_x']:.0%} of variance)",
        y=f"second direction ({path[0]['share_y']:.0%})",
    )


def _draw_progress(axes: Axes, rows: Rows, quantity: str) -> None:
    equilibrium = rows[0][f"equilibrium_{quantity}"]
    axes.axhline(equilibrium, color=GREY, linestyle=":", linewidth=LINE_WIDTH)
    axes.annotate(
        "equilibrium",
        (1.0, equilibrium),
        xycoords=axes.get_yaxis_transform(),
        xytext=(0, 2.5),
        textcoords="offset points",
        ha="right",
        color=GREY,
        fontsize=SMALL_FONT_SIZE,
    )
    for (method, shots), colour in _COLOURS.items():
        line = [row for row in rows if (row["method"], row["shots"]) == (method, shots)]
        steps = [row["agent_steps"] for row in line]
        mean, low, high = zip(*(Estimate.of_row(row, quantity) for row in line), strict=True)
        axes.plot(
            steps,
            mean,
            label=f"{label_of(method)}, {shots_label(shots)}",
            color=colour,
            linewidth=LINE_WIDTH,
        )
        axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.margins(x=0.01)
    axes.set_ylim(0.0, 1.25 * equilibrium if quantity == "payoff" else 1.03)
