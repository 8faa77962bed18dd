"""Figure of choice engineering: forecasts of people, simulated biases, and principals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mermaide_pl.evaluation.methods import PRINCIPAL
from mermaide_pl.metrics.intervals import Estimate
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
    VERMILLION,
    label_axes,
    series_style,
    shots_label,
)

_PEOPLE = "people"
_SPLITS = {  # place in the line of a model, colour, marker
    "none": ("nothing fitted", 0.0, BLACK, "D"),
    "people": ("held-out people", 0.15, BLUE, "o"),
    "schedules": ("left-out schedules", -0.15, VERMILLION, "s"),
}
_SHOTS = {0: (SKY_BLUE, "v"), 1: (BLUE, "o")}
_MARKERS = "osDv^P"
_Rows = Sequence[Mapping[str, Any]]


def draw_choice_engineering(
    forecasts: _Rows,
    published: Mapping[str, tuple[str, float]],
    biases: _Rows,
    principals: _Rows,
    labels: Mapping[str, str],
) -> Figure:
    """Draw three panels beside each other.

    Args:
        forecasts: rows with ``model``, ``split`` ("none", "people", "schedules"), and
            ``log_probability`` with its interval.
        published: label to the label of the same model in `forecasts`, or "", and its score, nats.
        biases: rows with ``model``, one of them "people", ``schedule``, and ``bias`` with its
            interval, shares of the trials.
        principals: rows with ``model``, ``method`` (`PRINCIPAL` or another), ``shots`` and
            ``bias_mean``.
        labels: of the models.
    """
    figure = Figure(figsize=(2.4 * COLUMN_WIDTH, 3.0), dpi=DOTS_PER_INCH, layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=[1.15, 1.0, 1.0])
    _draw_forecasts(left, forecasts, published, labels)
    _draw_biases(middle, biases, labels)
    _draw_principals(right, principals, labels)
    for axes in (left, middle, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=SMALL_FONT_SIZE, length=2.5)
        axes.legend(
            fontsize=SMALL_FONT_SIZE - 1.0,
            frameon=False,
            loc="lower center",
            bbox_to_anchor=(0.5, 1.0),
            ncols=2,
            columnspacing=1.0,
            handletextpad=0.4,
        )
    return figure


def _draw_forecasts(
    axes: Axes,
    rows: _Rows,
    published: Mapping[str, tuple[str, float]],
    labels: Mapping[str, str],
) -> None:
    names = list(dict.fromkeys(labels[row["model"]] for row in rows))
    names += [name for name, (same, _) in published.items() if same not in names]
    places = {name: -number for number, name in enumerate(names)}
    for split, (label, above, colour, marker) in _SPLITS.items():
        chosen = [row for row in rows if row["split"] == split]
        heights = [places[labels[row["model"]]] + above for row in chosen]
        _draw_estimates(axes, heights, chosen, colour, marker, label)
    axes.plot(
        [score for _, score in published.values()],
        [places[same or name] for name, (same, _) in published.items()],
        color=GREY,
        linewidth=0,
        marker="x",
        markersize=4.5,
        label="published",
    )
    axes.set_yticks(list(places.values()), list(places))
    label_axes(axes, x="E[log p] (nats)", y="")


def _draw_estimates(
    axes: Axes, heights: Sequence[float], rows: _Rows, colour: str, marker: str, label: str
) -> None:
    found = [Estimate.of_row(row, "log_probability") for row in rows]
    axes.errorbar(
        [each.mean for each in found],
        heights,
        xerr=[
            [each.mean - each.low for each in found],
            [each.high - each.mean for each in found],
        ],
        color=colour,
        marker=marker,
        markersize=3.0,
        linestyle="",
        linewidth=LINE_WIDTH,
        label=label,
    )


def _draw_biases(axes: Axes, rows: _Rows, labels: Mapping[str, str]) -> None:
    people = {row["schedule"]: 100.0 * row["bias_mean"] for row in rows if row["model"] == _PEOPLE}
    models = [name for name in dict.fromkeys(row["model"] for row in rows) if name != _PEOPLE]
    for index, model in enumerate(models):
        chosen = [row for row in rows if row["model"] == model]
        axes.plot(
            [people[row["schedule"]] for row in chosen],
            [100.0 * row["bias_mean"] for row in chosen],
            label=labels[model],
            marker=_MARKERS[index % len(_MARKERS)],
            markersize=3.0,
            linestyle="",
            color=series_style(index)["color"],
        )
    ends = [min(people.values()), max(people.values())]
    axes.plot(ends, ends, color=GREY, linewidth=0.6, linestyle=":")
    label_axes(axes, x="people's bias (%)", y="simulated bias (%)")


def _draw_principals(axes: Axes, rows: _Rows, labels: Mapping[str, str]) -> None:
    models = list(dict.fromkeys(row["model"] for row in rows))

    def draw(chosen: _Rows, shift: float, label: str, **style: Any) -> None:
        if chosen:
            axes.plot(
                [models.index(row["model"]) + shift for row in chosen],
                [100.0 * row["bias_mean"] for row in chosen],
                linestyle="",
                label=label,
                **style,
            )

    schedules = [row for row in rows if row["method"] != PRINCIPAL]
    draw(schedules, -0.15, "schedules", color=GREY, marker="_", markersize=7.0)
    for shots, (colour, marker) in _SHOTS.items():
        chosen = [row for row in rows if (row["method"], row["shots"]) == (PRINCIPAL, shots)]
        label = f"principal, {shots_label(shots)}"
        draw(chosen, 0.15, label, color=colour, marker=marker, markersize=3.5)
    names = [labels[model].replace(", ", ",\n") for model in models]
    axes.set_xticks(range(len(models)), names, rotation=45, ha="right", fontsize=FONT_SIZE)
    axes.margins(x=0.12)
    label_axes(axes, y="bias (%)")
