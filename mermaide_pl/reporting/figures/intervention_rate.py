"""Figure of intervention rate and alignment over the steps of an episode."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.metrics.intervals import mean_and_interval
from mermaide_pl.reporting.figures.style import label_axes, legend_above, new_figure, series_style


def draw_intervention_rate(played: Mapping[str, Trajectory]) -> Figure:
    """Draw, against the step, the share of episodes with an intervention and with the target arm.

    Args:
        played: name of a line (a number of shots, a family of agents) to episodes, [M, B, T].

    Returns:
        The figure: interventions above, alignment below; bands are 95% intervals over agents.
    """
    figure, panels = new_figure(height=3.4, panel_heights=(1.0, 1.0))
    for index, (name, trajectory) in enumerate(played.items()):
        style = series_style(index)
        steps = range(1, trajectory.arms.shape[-1] + 1)
        for axes, happened in zip(panels, (trajectory.levels > 0, trajectory.aligned), strict=True):
            mean, low, high = mean_and_interval(happened)
            axes.plot(steps, mean, label=name, **style)
            axes.fill_between(steps, low, high, color=style["color"], alpha=0.2, linewidth=0)
    panels[1].margins(x=0.01)
    for axes in panels:
        axes.set_ylim(-0.03, 1.03)
    label_axes(panels[0], y="intervention rate\n(share of episodes)")
    label_axes(panels[1], x="step t", y="alignment\n(share of episodes)")
    legend_above(figure, panels[0])
    return figure
