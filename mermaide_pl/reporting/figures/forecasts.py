"""Figure of observed against forecast choices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mermaide_pl.reporting.figures.style import (
    BLACK,
    GREY,
    label_axes,
    legend_above,
    literal,
    new_grid,
    series_style,
)

_NUM_BINS = 10
_FEWEST = 20  # forecasts of a point


def draw_forecasts(
    forecasts: Mapping[str, np.ndarray], chosen: np.ndarray, counted: np.ndarray, arm: str
) -> Figure:
    """Draw how often an arm is chosen at each forecast probability, and in each step.

    Args:
        forecasts: probabilities of the first arm by each model, float [M, T].
        chosen: whether it was chosen, bool [M, T].
        counted: which choices were forecast, bool [M, T].
        arm: label of the arm.

    Returns:
        The figure; tenths of the range with fewer than 20 choices are left out.
    """
    figure, panels = new_grid(2, 1, line_height=1.75, sharex=False, sharey=False)
    above, below = panels
    above.plot([0, 1], [0, 1], color=GREY, linewidth=0.6, linestyle=":")
    observed = _means(chosen, counted)
    steps = np.arange(1, chosen.shape[1] + 1)
    for index, (name, chances) in enumerate(forecasts.items()):
        style = series_style(index)
        places = np.minimum((chances * _NUM_BINS).astype(int), _NUM_BINS - 1)[counted]
        sizes = np.bincount(places, minlength=_NUM_BINS)
        shown = sizes >= _FEWEST
        mean_chance, share = (
            np.bincount(places, values[counted], _NUM_BINS)[shown] / sizes[shown]
            for values in (chances, chosen)
        )
        label = literal(name).replace("_", " ")
        above.plot(mean_chance, share, marker="o", markersize=2.0, label=label, **style)
        below.plot(steps, _means(chances, counted), **style)
    dots: dict[str, Any] = {"color": BLACK, "linewidth": 0, "marker": "o", "markersize": 2.0}
    below.plot(steps, observed, **dots)
    above.plot([], [], label="observed", **dots)
    label_axes(above, x=f"forecast probability of {literal(arm)}", y="share of choices")
    label_axes(below, x="step", y=f"share of {literal(arm)}")
    legend_above(figure, above, ncols=2)
    return figure


def _means(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Mean over agents in each step, float [T], nan where nothing counts."""
    numbers = counted.sum(0)
    sums: np.ndarray = np.where(counted, values, 0.0).sum(0)
    return np.divide(sums, numbers, out=np.full(len(numbers), np.nan), where=numbers > 0)
