"""Figure of the validation return during training, with reference returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from mermaide_pl.reporting.figures.style import (
    GREY,
    LINE_WIDTH,
    SMALL_FONT_SIZE,
    label_axes,
    legend_above,
    new_figure,
    series_style,
)


def draw_learning_curves(
    progress: Sequence[int],
    returns: Mapping[str, Sequence[float]],
    yardsticks: Mapping[str, float] | None = None,
    *,
    progress_unit: str = "agent steps",
) -> Figure:
    """Draw the return of a principal on validation agents over the course of training.

    Args:
        progress: training done before each of N validations, [N], in `progress_unit`.
        returns: name of a line (a number of shots) to mean return, [N], reward units per step.
        yardsticks: name to reference return on the same agents, drawn as horizontal lines.
        progress_unit: unit of `progress`, e.g. agent steps or epochs.

    Returns:
        The figure, one panel.

    Raises:
        ValueError: if a line does not have one value per validation.
    """
    for name, values in returns.items():
        if len(values) != len(progress):
            raise ValueError(f"'{name}' has {len(values)} values for {len(progress)} validations")
    figure, (axes,) = new_figure(height=2.4)
    for index, (name, values) in enumerate(returns.items()):
        marker = "o" if len(progress) < 20 else ""  # a line of one point is invisible without
        axes.plot(progress, values, label=name, marker=marker, markersize=3, **series_style(index))
    yardsticks = yardsticks or {}
    middle = sum(yardsticks.values()) / max(len(yardsticks), 1)
    for name, value in yardsticks.items():
        axes.axhline(value, color=GREY, linestyle=":", linewidth=LINE_WIDTH, label=f"_{name}")
        # on the outer side of the line: the curves run between the references
        above = value >= middle
        axes.annotate(
            name,
            (1.0, value),
            xycoords=axes.get_yaxis_transform(),
            xytext=(0, 1.5 if above else -1.5),
            textcoords="offset points",
            ha="right",
            va="bottom" if above else "top",
            color=GREY,
            fontsize=SMALL_FONT_SIZE,
        )
    axes.margins(y=0.15)
    axes.set_xlim(0, 1.03 * max(progress, default=0) or 1)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    label_axes(axes, x=progress_unit, y="validation return\n(reward units per step)")
    legend_above(figure, axes)
    return figure
