"""Figure of payoff against the number of adaptation episodes, one panel for each noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from mermaide_pl.evaluation.methods import MAML_ONLY, REINFORCE, REINFORCE_EXPLORING, label_of
from mermaide_pl.reporting.figures.style import (
    BLUE,
    FONT_SIZE,
    GREY,
    LINE_WIDTH,
    ORANGE,
    SMALL_FONT_SIZE,
    VERMILLION,
    legend_above,
    new_grid,
)

_COLUMNS = 2
_LOOKS = {
    MAML_ONLY: (BLUE, "o"),
    REINFORCE: (VERMILLION, "s"),
    REINFORCE_EXPLORING: (ORANGE, "^"),
}


def draw_adaptation_curves(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the payoff of every method, with that of the equilibrium.

    Args:
        rows: one for every ``method``, ``noise`` and number of ``episodes``, with ``payoff``,
            ``payoff_low`` and ``payoff_high`` (reward units per step, 95% intervals over seeds),
            ``equilibrium``, and ``episodes_needed`` to come near it, inf if none suffice.

    Returns:
        The figure, one panel per noise; a ring marks when MAML has come near the equilibrium.
    """
    noises = sorted({row["noise"] for row in rows})
    figure, panels = new_grid(len(noises), _COLUMNS, line_height=1.25)
    for axes, noise in zip(panels, noises, strict=True):
        _draw_panel(axes, [row for row in rows if row["noise"] == noise])
        title = f"wrong arm seen: {noise:.0%}" if noise else "no noise"
        axes.set_title(title, fontsize=SMALL_FONT_SIZE, pad=3)
    figure.supxlabel("adaptation episodes with an unseen agent", fontsize=FONT_SIZE)
    figure.supylabel("payoff (reward units per step)", fontsize=FONT_SIZE)
    legend_above(figure, panels[0])
    return figure


def _draw_panel(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    equilibrium = rows[0]["equilibrium"]
    axes.axhline(equilibrium, color=GREY, linestyle=":", linewidth=LINE_WIDTH)
    axes.annotate(
        "equilibrium",
        (0.0, equilibrium),
        xycoords=axes.get_yaxis_transform(),
        xytext=(2, 1.5),
        textcoords="offset points",
        color=GREY,
        fontsize=SMALL_FONT_SIZE,
    )
    for method, (colour, marker) in _LOOKS.items():
        line = sorted(
            (row for row in rows if row["method"] == method), key=lambda row: row["episodes"]
        )
        if not line:
            continue
        episodes, mean, low, high = (
            [row[name] for row in line]
            for name in ("episodes", "payoff", "payoff_low", "payoff_high")
        )
        axes.fill_between(episodes, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.plot(
            episodes,
            mean,
            label=label_of(method),
            color=colour,
            marker=marker,
            markersize=2.5,
            linewidth=LINE_WIDTH,
        )
        needed = line[0]["episodes_needed"]
        if method == MAML_ONLY and needed < math.inf:
            ring = mean[episodes.index(needed)]
            axes.plot(needed, ring, "o", markersize=7, mfc="none", mec=colour, mew=LINE_WIDTH)
            axes.text(
                0.97,
                0.06,
                f"within 10% after {needed:g}",
                transform=axes.transAxes,
                ha="right",
                color=colour,
                fontsize=SMALL_FONT_SIZE,
            )
    axes.set_xscale("symlog", linthresh=1.0, linscale=0.5)  # shows zero
    axes.set_xticks([0, 1, 10, 100], ["0", "1", "10", "100"])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(0.0, 1.25 * equilibrium)
