"""Tables of the rows of an evaluation, for the terminal and for pages."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable

from mermaide_pl.evaluation.methods import PRINCIPAL, label_of
from mermaide_pl.metrics.intervals import Estimate
from mermaide_pl.runtime.console import console as literal_console

Row = dict[str, Any]
ALL = "all"
"""Population name of rows that pool all populations."""
MEAN = "mean"
"""Population name of rows of the mean over all populations, taken run by run."""
SUMMARIES = (MEAN, ALL)
"""Population names of rows that summarise several populations."""
REASON = "normalised_return_undefined"
"""Column with the reason for a missing normalised return; None if it is there."""
QUANTITIES = ("return", "alignment", "intervention_rate", "normalised_return", "paired_gain")
"""Quantities in the rows of a method, each as ``_mean``, ``_low`` and ``_high``."""


def print_table(
    rows: Sequence[Row], console: Console | None = None, *, learned: Collection[str] = (PRINCIPAL,)
) -> None:
    """Print rows of `evaluate`, one table per population; labels of `learned` have shots."""
    console = console or literal_console()
    for population in dict.fromkeys(row["population"] for row in rows):
        chosen = [row for row in rows if row["population"] == population]
        title = (
            f"{population}: mean ± half of the 95% interval over {chosen[0]['num_agents']} agents"
        )
        table = RichTable(
            title=title,
            box=SIMPLE_HEAD,
            pad_edge=False,
            collapse_padding=True,
            title_justify="left",
        )
        table.add_column("method", no_wrap=True)
        for heading in (
            "return",
            "alignment",
            "interv.\nrate",
            "normalised\nreturn",
            "paired\ngain",
        ):
            table.add_column(heading, justify="right", no_wrap=True)
        for row in chosen:
            cells = [_cell(row, quantity) for quantity in QUANTITIES]
            style = "bold" if row["method"] in learned else None
            table.add_row(method_label(row, learned), *cells, style=style)
        console.print(table)
        if reason := undefined(chosen):
            console.print(f"- no normalised return: {reason}", soft_wrap=True, highlight=False)


def undefined(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """The reason why the rows of a population lack the normalised return; None if they have it."""
    return next((reason for row in rows if (reason := row.get(REASON))), None)


def method_label(row: Mapping[str, Any], learned: Collection[str] = (PRINCIPAL,)) -> str:
    """Label of the method of a row, for learned methods with the number of shots."""
    shown = label_of(row["method"])
    return f"{shown} {row['shots']}-shot" if row["method"] in learned else shown


def interval_text(row: Mapping[str, Any], quantity: str, middle: str = "mean") -> str:
    """Text of an estimate and half of its interval, such as ``0.369 ± 0.016``.

    The estimate is the column ``_mean``, or that named by `middle`; a dash stands for no number.
    """
    mean, low, high = Estimate.of_row(row, quantity, middle)
    if mean is None or math.isnan(mean):
        return "-"
    half = (high - low) / 2
    # larger values are normalised returns where the oracle gains little
    digits = 3 if abs(mean) < 10.0 and half < 1.0 else 1
    return f"{mean:.{digits}f} ± {half:.{digits}f}"


def _cell(row: Row, quantity: str) -> str:
    return interval_text(row, quantity).replace(" ", "").replace("±0.", "±.")
