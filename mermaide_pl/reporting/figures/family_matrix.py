"""Figure of the transfer from each family of agents to each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from mermaide_pl.evaluation.tables import SUMMARIES
from mermaide_pl.reporting.figures.heat_map import add_colour_bar, draw_heat_map
from mermaide_pl.reporting.figures.style import (
    COLUMN_WIDTH,
    DOTS_PER_INCH,
    FONT_SIZE,
    SMALL_FONT_SIZE,
    literal,
    shots_label,
)


def draw_family_matrix(rows: Sequence[Mapping[str, Any]], method: str) -> Figure:
    """Draw the normalised return of every training population on every test population.

    Args:
        rows: with the columns ``trained_on``, ``population``, ``method``, ``shots`` and
            ``normalised_return_iqm``; the populations "mean" and "all" are left out.
        method: name of the method that is drawn.

    Returns:
        The figure, one panel per number of shots; colours, but not numbers, are cut at 0 and 1;
        nan is a dash.
    """
    chosen = [row for row in rows if row["method"] == method and row["population"] not in SUMMARIES]
    trained_on = list(dict.fromkeys(row["trained_on"] for row in chosen))
    names = [literal(name) for name in trained_on]
    populations = list(dict.fromkeys(row["population"] for row in chosen))
    shots = sorted({row["shots"] for row in chosen})
    values = {
        (row["shots"], row["trained_on"], row["population"]): row["normalised_return_iqm"]
        for row in chosen
    }
    figure = Figure(
        figsize=(COLUMN_WIDTH, (0.6 + 0.27 * len(trained_on)) * len(shots) + 0.6),
        dpi=DOTS_PER_INCH,
        layout="constrained",
    )
    panels = figure.subplots(len(shots), 1, sharex=True, squeeze=False)[:, 0]
    for axes, number in zip(panels, shots, strict=True):
        matrix = [[values[number, row, column] for column in populations] for row in trained_on]
        picture = draw_heat_map(axes, matrix)
        axes.set_title(shots_label(number), fontsize=FONT_SIZE)
        axes.set_yticks(range(len(trained_on)), names, fontsize=SMALL_FONT_SIZE)
        axes.set_ylabel("trained on", fontsize=FONT_SIZE)
    panels[-1].set_xticks(
        range(len(populations)),
        [*map(literal, populations)],
        rotation=40,
        ha="right",
        fontsize=SMALL_FONT_SIZE,
    )
    panels[-1].set_xlabel("scored on", fontsize=FONT_SIZE)
    add_colour_bar(figure, picture, list(panels))
    return figure
