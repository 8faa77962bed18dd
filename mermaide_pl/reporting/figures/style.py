"""Style of all figures: one journal column wide, in colours for the colour-blind.

The style is set on each figure; pyplot and the global settings of matplotlib are not used, so
drawing is safe in any process, with or without a display.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font

from mermaide_pl.config.validation import printable
from mermaide_pl.runtime.atomic_files import write_whole

COLUMN_WIDTH = 3.4  # inches
DOTS_PER_INCH = 200
FONT_SIZE = 8.0  # points: axis labels and titles
SMALL_FONT_SIZE = 7.0  # points: tick labels, legends, labels of lines
LINE_WIDTH = 1.0  # points

# Okabe and Ito, "Color universal design", 2008, without yellow, which is lost on white, and
# the wine red of Tol, "Colour schemes", 2021
BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY_BLUE, BLACK = "#E69F00", "#56B4E9", "#000000"
GREY, WINE = "#666666", "#882255"
SERIES_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY_BLUE, WINE, BLACK)


def series_style(index: int) -> dict[str, Any]:
    """Style of line number `index`; solid, since dashes are invisible on lines that jump."""
    return {"color": SERIES_COLOURS[index % len(SERIES_COLOURS)], "linewidth": LINE_WIDTH}


def shots_label(shots: int) -> str:
    """Label of a line for `shots` support episodes."""
    return "1 shot" if shots == 1 else f"{shots} shots"


def png(figure: Figure, *, dots_per_inch: int | None = None) -> bytes:
    """The figure as the bytes of a PNG file, by default at its own resolution."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dots_per_inch or "figure")
    return file.getvalue()


def save_png(figure: Figure, path: Path) -> None:
    """Write the figure as a PNG file, atomically as `write_whole` does."""
    write_whole(path, png(figure))


def literal(name: str) -> str:
    """Escape a name so that matplotlib draws it literally, character by character.

    It is not read as a formula, has no characters that the font lacks, and does not hide its line
    from legends.
    """
    font = get_font(findfont(FontProperties()))
    signs = [
        sign if font.get_char_index(ord(sign)) else sign.encode("unicode_escape").decode()
        for sign in printable(name)
    ]
    before = "\u200b" if name.startswith("_") else ""  # without width
    return before + "".join(signs).replace("$", r"\$")


def name_panel(axes: Axes, name: str) -> None:
    """Write the name of a population above its panel."""
    axes.set_title(literal(name).replace("_", " "), fontsize=SMALL_FONT_SIZE, pad=3)


def new_figure(height: float, panel_heights: Sequence[float] = (1.0,)) -> tuple[Figure, list[Axes]]:
    """Create a figure of empty panels in one column that share their horizontal axis.

    Args:
        height: height of the figure, inches.
        panel_heights: relative height of each panel.

    Returns:
        The figure and its panels, top first.
    """
    figure = Figure(figsize=(COLUMN_WIDTH, height), dpi=DOTS_PER_INCH, layout="constrained")
    panels = list(
        figure.subplots(
            len(panel_heights), sharex=True, squeeze=False, height_ratios=panel_heights
        )[:, 0]
    )
    _tidy(panels)
    figure.align_ylabels(panels)
    return figure, panels


def new_grid(
    num_panels: int, columns: int, line_height: float, *, sharex: bool = True, sharey: bool = True
) -> tuple[Figure, list[Axes]]:
    """Create a figure of empty panels in rows of at most `columns`.

    Args:
        num_panels: number of panels, at least one.
        columns: largest number of panels in a row.
        line_height: height of each row, inches.
        sharex: share the horizontal axis.
        sharey: share the vertical axis.

    Returns:
        The figure and its panels, row by row.
    """
    columns = min(columns, num_panels)
    num_lines = -(-num_panels // columns)
    figure = Figure(
        figsize=(COLUMN_WIDTH, 0.6 + line_height * num_lines),
        dpi=DOTS_PER_INCH,
        layout="constrained",
    )
    panels = list(
        figure.subplots(num_lines, columns, sharex=sharex, sharey=sharey, squeeze=False).flat
    )
    _tidy(panels)
    for axes in panels[num_panels:]:
        axes.set_axis_off()
    return figure, panels[:num_panels]


def _tidy(panels: Sequence[Axes]) -> None:
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=SMALL_FONT_SIZE, length=2.5)


def label_axes(axes: Axes, *, x: str | None = None, y: str) -> None:
    """Label the axes, with units; panels above others have no `x`."""
    if x is not None:
        axes.set_xlabel(x, fontsize=FONT_SIZE)
    axes.set_ylabel(y, fontsize=FONT_SIZE)


def legend_above(figure: Figure, axes: Axes, **options: Any) -> None:
    """Draw the legend of `axes` above all panels, where it hides nothing.

    Args:
        figure: the figure.
        axes: one of its panels.
        options: further arguments of matplotlib's legend, e.g. ``ncols``.
    """
    handles, labels = axes.get_legend_handles_labels()
    usual = {"ncols": min(len(labels), 4), "columnspacing": 1.4}
    figure.legend(
        handles,
        labels,
        loc="outside upper center",
        fontsize=SMALL_FONT_SIZE,
        frameon=False,
        borderaxespad=0.2,
        **(usual | options),
    )
