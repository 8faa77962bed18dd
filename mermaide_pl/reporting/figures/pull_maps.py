"""Figure of the share of agents that pull an arm: one map for each principal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mermaide_pl.reporting.figures.style import (
    COLUMN_WIDTH,
    DOTS_PER_INCH,
    FONT_SIZE,
    SMALL_FONT_SIZE,
)


def draw_pull_maps(rows: Sequence[Mapping[str, Any]], titles: Mapping[str, str]) -> Figure:
    """Draw the share of agents that pull an arm, against the step and the exploration coefficient.

    Args:
        rows: one row for every pair of ``beta`` (reward units, evenly spaced) and ``step``, in any
            order, with one column of shares in [0, 1] for each map.
        titles: column of shares to the title of its map; two maps in a row.

    Returns:
        The figure, maps in the order of `titles`.

    Raises:
        ValueError: if a pair of beta and step is missing or occurs twice.
    """
    betas, steps = (sorted({row[axis] for row in rows}) for axis in ("beta", "step"))
    places = {(row["beta"], row["step"]): row for row in rows}
    if not len(places) == len(rows) == len(betas) * len(steps):
        raise ValueError(
            f"{len(rows)} rows are not one for each of {len(betas)} betas and {len(steps)} steps"
        )
    num_lines = -(-len(titles) // 2)
    figure = Figure(
        figsize=(COLUMN_WIDTH, 0.4 + 1.5 * num_lines), dpi=DOTS_PER_INCH, layout="constrained"
    )
    panels = figure.subplots(num_lines, 2, sharex=True, sharey=True, squeeze=False)
    half = (betas[-1] - betas[0]) / max(len(betas) - 1, 1) / 2 or 0.5
    extent = (steps[0] - 0.5, steps[-1] + 0.5, betas[0] - half, betas[-1] + half)
    for axes, (column, title) in zip(panels.flat, titles.items(), strict=False):
        shares = np.array([[places[beta, step][column] for step in steps] for beta in betas])
        image = axes.imshow(
            shares,
            cmap="viridis",
            vmin=0.0,
            vmax=1.0,
            origin="lower",
            extent=extent,
            aspect="auto",
            interpolation="nearest",
        )
        axes.set_title(title, fontsize=SMALL_FONT_SIZE, loc="left", pad=3)
        axes.tick_params(labelsize=SMALL_FONT_SIZE, length=2.5)
    for axes in panels.flat[len(titles) :]:
        axes.set_axis_off()
    panels[0, 0].yaxis.set_major_locator(MaxNLocator(4, steps=[1, 5, 10]))
    figure.supxlabel("step t", fontsize=FONT_SIZE)
    figure.supylabel("exploration coefficient β (reward units)", fontsize=FONT_SIZE)
    bar = figure.colorbar(image, ax=panels, aspect=30, pad=0.02)
    bar.set_label("share of agents that pull the arm", fontsize=FONT_SIZE)
    bar.ax.tick_params(labelsize=SMALL_FONT_SIZE, length=2.5)
    bar.outline.set_linewidth(0.5)
    return figure
