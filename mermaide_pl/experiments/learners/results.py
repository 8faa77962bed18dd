"""Results of fits: files, a figure, and a table for the terminal."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from mermaide_pl.evaluation.records import write_rows
from mermaide_pl.experiments.learners.choices import Choices
from mermaide_pl.experiments.learners.fits import RECURRENT, Fits
from mermaide_pl.reporting.figures.forecasts import draw_forecasts
from mermaide_pl.reporting.figures.style import save_png
from mermaide_pl.runtime.atomic_files import write_whole
from mermaide_pl.runtime.console import console as literal_console

_QUANTITIES = (
    ("held_out_log_probability", "log p", ".4f"),
    ("held_out_probability", "p", ".3f"),
    ("aic", "AIC", ".0f"),
    ("bic", "BIC", ".0f"),
)
_COLUMNS = [(kind, *quantity) for kind in ("pooled", "each") for quantity in _QUANTITIES]


def write_fits(fits: Fits, choices: Choices, out: Path, arm: str) -> None:
    """Write ``fits.csv``, ``summary.json``, ``forecasts.png``, and any ``recovery.csv``.

    Args:
        fits: the results.
        choices: that were fitted to.
        out: the folder.
        arm: label of the first arm, for the figure.
    """
    write_rows(out / "fits.csv", fits.agents)
    write_whole(out / "summary.json", json.dumps(_finite(fits.summary), indent=1) + "\n")
    if fits.recovery:
        write_rows(out / "recovery.csv", fits.recovery)
    # episodes below each other, a step a column
    shape = (-1, choices.arms.shape[2])
    figure = draw_forecasts(
        {name: each[..., 0].reshape(shape).numpy() for name, each in fits.forecasts.items()},
        (choices.arms == 0).reshape(shape).numpy(),
        fits.forecast.reshape(shape).numpy(),
        arm,
    )
    save_png(figure, out / "forecasts.png")


def print_summary(fits: Fits, num_arms: int, console: Console | None = None) -> None:
    """Print a row for each model, the best forecast first, and one of chance."""
    first = fits.summary[0]
    table = Table(
        title=f"agents: {first['agents']}, choices: {first['choices']}. log p (nats) and p are"
        " means over choices\nnot fitted to: of other agents (pooled), or an agent's later"
        " ones (each)",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        title_justify="left",
    )
    table.add_column("model", no_wrap=True)
    # a column in which nothing stands is left out
    shown = [
        one for one in _COLUMNS if any(one[1] in each.get(one[0], {}) for each in fits.summary)
    ]
    for kind, _, heading, _ in shown:
        table.add_column(f"{heading}\n{kind}", justify="right", no_wrap=True)
    kind, name = shown[0][:2]
    order = sorted(fits.summary, key=lambda each: -each.get(kind, {}).get(name, -math.inf))
    for each in order:
        cells = [_cell(each.get(kind, {}).get(name), digits) for kind, name, _, digits in shown]
        table.add_row(each["model"], *cells)
    chance = {"held_out_log_probability": -math.log(num_arms), "held_out_probability": 1 / num_arms}
    table.add_row("chance", *(_cell(chance.get(name), digits) for _, name, _, digits in shown))
    (console or literal_console()).print(table)


def recovery_lines(fits: Fits) -> list[str]:
    """A line for each rule with the rank correlations of its hyper-parameters, for people."""
    return [
        f"{each['model']}: "
        + ", ".join(f"{name} {_cell(value, '.2f')}" for name, value in each["recovery"].items())
        for each in fits.summary
        if each["model"] != RECURRENT and each["recovery"]
    ]


def bound_lines(fits: Fits) -> list[str]:
    """A line for each rule that says for how many agents a hyper-parameter is at a bound."""
    lines = []
    for each in fits.summary:
        counts = each.get("each", {}).get("at_bound", {})
        if reached := [f"{name} {number}" for name, number in counts.items() if number]:
            lines.append(f"{each['model']}: {', '.join(reached)}")
    return lines


def _cell(value: float | None, digits: str) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:{digits}}"


def _finite(value: Any) -> Any:
    """The same with None for nan, which JSON does not know."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value
