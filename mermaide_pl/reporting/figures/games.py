"""Figure of one principal in many games: two heat maps, and a line for each number of the game."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mermaide_pl.evaluation.methods import BURST, PRINCIPAL, label_of
from mermaide_pl.metrics.intervals import Estimate
from mermaide_pl.reporting.figures.heat_map import add_colour_bar, draw_heat_map
from mermaide_pl.reporting.figures.style import (
    BLACK,
    BLUE,
    COLUMN_WIDTH,
    DOTS_PER_INCH,
    FONT_SIZE,
    GREY,
    LINE_WIDTH,
    SKY_BLUE,
    SMALL_FONT_SIZE,
    legend_above,
    shots_label,
)

_LABELS = {
    "num_arms": "arms A",
    "num_steps": "steps T",
    "cost": "cost per unit of bonus",
    "bonus": "bonus (reward units)",
    "reward_noise": "noise of agents' rewards",
}
_SHORT = {"cost": "cost", "bonus": "bonus", "reward_noise": "reward noise"}
_MAPS = (("num_arms", "num_steps"), ("cost", "bonus"))  # across, down
_LINES = (
    (PRINCIPAL, 1, BLUE, "o"),
    (PRINCIPAL, 0, SKY_BLUE, "v"),
    (BURST, 0, GREY, "s"),
)


def draw_games(
    rows: Sequence[Mapping[str, Any]],
    default: Mapping[str, float],
    values: Mapping[str, Sequence[float]],
) -> Figure:
    """Draw the normalised return, mean over populations, against the numbers of the game.

    Args:
        rows: one per game, ``method`` and ``shots``, with the numbers of the game, ``_mean``,
            ``_low`` and ``_high`` (95% interval over trainings, nan if there is one) of
            ``normalised_return``, and ``num_populations`` and ``num_defined``: how many populations
            there are, and how many have a normalised return. Games of which no panel is are left
            out.
        default: the numbers of the game that the lines and maps depart from.
        values: values of each number.

    Returns:
        The figure: above the maps of the principal at 1 shot, below the lines; a number in brackets
        is that of the populations, where some have no normalised return.
    """
    figure = Figure(figsize=(2.0 * COLUMN_WIDTH, 4.2), dpi=DOTS_PER_INCH, layout="constrained")
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.15, 1.0])[:, 0]
    maps = above.subplots(1, len(_MAPS), width_ratios=[len(values[across]) for across, _ in _MAPS])
    for axes, (across, down) in zip(maps, _MAPS, strict=True):
        chosen = _departing(rows, default, (across, down))
        ours = {
            (row[across], row[down]): row
            for row in chosen
            if (row["method"], row["shots"]) == (PRINCIPAL, 1)
        }
        picture = _draw_map(axes, ours, values, across, down)
    add_colour_bar(above, picture, list(maps))
    title = "normalised return of the principal at 1 shot"
    if any(row["num_defined"] < row["num_populations"] for row in rows):
        title += ", mean of all populations, or of as many as in brackets"
    above.suptitle(title, fontsize=FONT_SIZE)
    panels = below.subplots(1, len(values), sharey=True, width_ratios=[*map(len, values.values())])
    for axes, name in zip(panels, values, strict=True):
        _draw_lines(axes, _departing(rows, default, (name,)), values[name], name)
    panels[0].set_ylabel("normalised return", fontsize=FONT_SIZE)
    legend_above(below, panels[0])
    return figure


def _departing(
    rows: Sequence[Mapping[str, Any]], default: Mapping[str, float], names: Sequence[str]
) -> list[Mapping[str, Any]]:
    """Rows whose other numbers are the default's."""
    others = [name for name in default if name not in names]
    return [row for row in rows if all(row[name] == default[name] for name in others)]


def _draw_map(
    axes: Axes,
    rows: Mapping[tuple[float, float], Mapping[str, Any]],
    values: Mapping[str, Sequence[float]],
    across: str,
    down: str,
) -> Any:
    ordered = [[rows.get((first, second)) for first in values[across]] for second in values[down]]

    def note(line: int, column: int) -> str:
        row = ordered[line][column]
        if row is None or row["num_defined"] == row["num_populations"]:
            return ""
        return f"({row['num_defined']})"

    matrix = [
        [float("nan") if row is None else row["normalised_return_mean"] for row in line]
        for line in ordered
    ]
    picture = draw_heat_map(axes, matrix, note)
    for axis, name in ((axes.xaxis, across), (axes.yaxis, down)):
        axis.set_ticks(range(len(values[name])), [f"{value:g}" for value in values[name]])
        axis.set_label_text(_LABELS[name], fontsize=FONT_SIZE)
    axes.tick_params(labelsize=SMALL_FONT_SIZE, length=2.5)
    return picture


def _draw_lines(
    axes: Axes, rows: Sequence[Mapping[str, Any]], values: Sequence[float], name: str
) -> None:
    axes.axhline(1.0, color=BLACK, linewidth=LINE_WIDTH, label="oracle")
    for method, shots, colour, marker in _LINES:
        found = {
            row[name]: Estimate.of_row(row, "normalised_return")
            for row in rows
            if (row["method"], row["shots"]) == (method, shots)
        }
        places = [place for place, value in enumerate(values) if value in found]
        mean, low, high = zip(*(found[values[place]] for place in places), strict=True)
        label = label_of(method) + (f", {shots_label(shots)}" if method == PRINCIPAL else "")
        axes.fill_between(places, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.plot(
            places,
            mean,
            color=colour,
            marker=marker,
            markersize=3.0,
            linewidth=LINE_WIDTH,
            label=label,
        )
    axes.set_xticks(range(len(values)), [f"{value:g}" for value in values])
    axes.set_xlabel(_SHORT.get(name, _LABELS[name]), fontsize=FONT_SIZE)
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=SMALL_FONT_SIZE, length=2.5)
