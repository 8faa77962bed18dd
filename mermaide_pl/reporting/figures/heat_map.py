"""Heat maps of the normalised return, with the number in every cell."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from mermaide_pl.reporting.figures.style import FONT_SIZE, SMALL_FONT_SIZE


def draw_heat_map(
    axes: Axes,
    matrix: Sequence[Sequence[float]],
    note: Callable[[int, int], str] = lambda row, column: "",
) -> AxesImage:
    """Draw normalised returns; colours, but not numbers, are cut at 0 and 1; nan is a dash.

    Args:
        axes: the panel.
        matrix: normalised returns, first row on top.
        note: text below the number of a cell, by its row and column.
    """
    picture = axes.imshow(matrix, vmin=0.0, vmax=1.0, cmap="viridis", aspect="auto")
    for row, line in enumerate(matrix):
        for column, value in enumerate(line):
            number = f"{value:.2f}" if abs(value) < 10.0 else f"{value:.0f}"
            text = "–" if math.isnan(value) else number
            axes.text(
                column,
                row,
                "\n".join(part for part in (text, note(row, column)) if part),
                ha="center",
                va="center",
                fontsize=SMALL_FONT_SIZE - 1.0,
                color="white" if math.isnan(value) or value <= 0.6 else "black",
            )
    return picture


def add_colour_bar(figure: Figure, picture: AxesImage, panels: Sequence[Axes]) -> None:
    """Add the scale of the normalised return beside the panels."""
    bar = figure.colorbar(picture, ax=list(panels), shrink=0.8)
    bar.set_label("normalised return", fontsize=FONT_SIZE)
    bar.ax.tick_params(labelsize=SMALL_FONT_SIZE)
