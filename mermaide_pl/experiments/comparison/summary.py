"""Summary of a comparison for readers: findings and tables, in the terminal and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from io import StringIO
from typing import Any

import pandas as pd
from rich.box import MARKDOWN, SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable

from mermaide_pl.evaluation.methods import ORACLE, label_of
from mermaide_pl.evaluation.records import Row
from mermaide_pl.evaluation.tables import ALL, MEAN, SUMMARIES, interval_text
from mermaide_pl.metrics.intervals import Estimate
from mermaide_pl.metrics.normalised_return import LEAST_GAIN
from mermaide_pl.runtime.console import console as literal_console
from mermaide_pl.runtime.console import markdown, markdown_code

CONDITION = ("trained_on", "observation", "cost")
QUANTITIES = ("normalised_return", "return", "alignment", "intervention_rate")
_UNDEFINED = (
    f"no normalised return, for the oracle gains less than {LEAST_GAIN:g} over no intervention, or"
    " no more than half of its interval over runs"
)


def by_condition(rows: pd.DataFrame) -> dict[tuple[Any, ...], pd.DataFrame]:
    """Rows of each condition, keyed by its values of `CONDITION`."""
    return {} if rows.empty else dict(iter(rows.groupby(list(CONDITION), sort=False)))


def findings(table: pd.DataFrame, improvement: pd.DataFrame, ours: str) -> list[str]:
    """Findings about our method in one condition, one sentence each.

    On a population, method A is

    - *above* B if its interquartile mean of the return is higher;
    - *clearly* above B if their stratified bootstrap intervals are also disjoint, and clearly *by
      t* if their Student's t intervals are;
    - above B *run by run* if the interval of the gain, on the same agents, lies above zero.

    A single run has no intervals, so only the first is reported for it.

    Args:
        table: rows of ``table.csv`` of the condition.
        improvement: rows of ``improvement.csv`` of the condition.
        ours: name of our method.
    """
    found = table.set_index(["method", "shots", "population"]).sort_index()
    populations = [name for name in table["population"].unique() if name not in SUMMARIES]
    *fewer, most = sorted(table.loc[table["method"] == ours, "shots"].unique())

    def of(method: str, shots: int, where: Sequence[str] = populations) -> pd.DataFrame:
        return found.loc[(method, shots)].loc[list(where)]

    lines = []
    for shots in (*fewer, most):
        middle, mean = of(ours, shots, (ALL, MEAN))["normalised_return_iqm"]
        lines.append(
            f"{label_of(ours)} at {shots} shots: normalised return {mean:.3f} in the mean over"
            f" populations, {middle:.3f} of all taken together"
        )
    best = of(ours, most)
    compared = improvement[(improvement["shots"] == most) & (improvement["over"] != ORACLE)]
    for method, gains in compared.groupby("over", sort=False):
        other = of(method, most if (method, most) in found.index else 0)
        ahead = {
            f"above {label_of(method)}": best["return_iqm"] - other["return_iqm"],
            "clearly": best["return_low"] - other["return_high"],
            "clearly by t": best["return_t_low"] - other["return_t_high"],
            "run by run": gains.set_index("population")["gain_low"][populations],
        }
        said = {what: _on(difference) for what, difference in ahead.items()}
        lines.append("; ".join(f"{what}: {where}" for what, where in said.items() if where))
    for shots in fewer:
        above = _on(best["return_iqm"] - of(ours, shots)["return_iqm"])
        lines.append(f"{most} shots above {shots} shots: {above}")
    return lines


def _on(ahead: pd.Series) -> str:
    """Number of populations where ours is ahead, and the others; empty without intervals."""
    if ahead.isna().any():
        return ""
    no = ahead.index[ahead <= 0.0]
    rest = f" (not {', '.join(no)})" if 0 < len(no) < len(ahead) else ""
    return f"on {len(ahead) - len(no)} of {len(ahead)}{rest}"


def print_summary(
    table: pd.DataFrame, improvement: pd.DataFrame, ours: str, console: Console
) -> None:
    """Print the normalised returns and the findings of each condition."""
    comparisons = by_condition(improvement)
    for condition, rows in by_condition(table).items():
        picture = RichTable(
            title=f"{_title(*condition)}:"
            " normalised return, interquartile mean ± half of the 95% interval over"
            f" {rows['num_runs'].min()} runs",
            box=SIMPLE_HEAD,
            pad_edge=False,
            collapse_padding=True,
            title_justify="left",
        )
        picture.add_column("method, shots", no_wrap=True)
        cells = _cells(rows, ["method", "shots"], "population", _cell)
        for population in cells.columns:
            picture.add_column(_in_two_lines(population), justify="right", no_wrap=True)
        for (method, shots), *line in cells.itertuples():
            picture.add_row(f"{label_of(method)}, {shots}", *line)
        console.print(picture)
        if rows["normalised_return_iqm"].isna().any():
            console.print(f"- a dash: {_UNDEFINED}", soft_wrap=True, highlight=False)
        if condition in comparisons:
            for line in findings(rows, comparisons[condition], ours):
                console.print(f"- {line}", soft_wrap=True, highlight=False)


def _in_two_lines(population: str) -> str:
    """A heading as narrow as the numbers below: ``unseen_ucb`` becomes ``unse`` over ``ucb``."""
    first, _, second = population.partition("_")
    return f"{first[:4]}\n{second[:4]}"


def _cell(row: Row) -> str:
    mean, low, high = Estimate.of_row(row, "normalised_return", "iqm")
    if math.isnan(mean):
        return "-"
    number = f"{mean:.2f}" if abs(mean) < 10.0 else f"{mean:.0f}"
    return (
        number if math.isnan(low) else f"{number}\n±{(high - low) / 2.0:.2f}".replace("±0.", "±.")
    )


def summary_page(table: pd.DataFrame, improvement: pd.DataFrame, ours: str) -> str:
    """All numbers of a comparison as a page of Markdown.

    Args:
        table: rows of ``table.csv``.
        improvement: rows of ``improvement.csv``.
        ours: method that is compared with the others; its rows are bold.
    """
    lines = [
        "# All numbers",
        "",
        "Interquartile mean over training runs ± half of its 95% stratified bootstrap interval,"
        " without it if there is one run; of few runs it is too narrow. `mean` is over the"
        " populations of a run; `all` takes all runs with all populations together, and cuts off"
        " a quarter at each end, which may be whole populations. A gain is a mean ± half of its"
        " Student's t interval. A number after a method is its shots. *Clearly* is with disjoint"
        " intervals, *by t* with disjoint intervals of Student's t, *run by run*, on the same"
        f" agents, with the interval of the gain above zero. A dash: {_UNDEFINED}.",
    ]
    means = table[table["population"] == MEAN].sort_values("cost", kind="stable")
    for condition, rows in means.groupby(["trained_on", "observation"], sort=False):
        if rows["cost"].nunique() > 1:
            title = markdown(_title(*condition))
            lines += ["", f"## {title}: return, mean over populations", ""]
            lines += _by_method(rows, "cost", "return", ours)
    comparisons, name = by_condition(improvement), _markdown_name(ours)
    for condition, rows in by_condition(table).items():
        runs = rows["num_runs"].min()
        title = markdown(_title(*condition))
        lines += ["", f"## {title} ({runs} run{'s' if runs > 1 else ''})"]
        compared = comparisons.get(condition)
        if compared is not None:
            lines += ["", *(f"- {markdown(line)}" for line in findings(rows, compared, ours))]
        for quantity in QUANTITIES:
            lines += ["", f"### {quantity.replace('_', ' ').capitalize()}", ""]
            lines += _by_method(rows, "population", quantity, ours)
        if compared is not None:
            lines += _comparison(compared, name)
    return "\n".join(lines) + "\n"


def _comparison(compared: pd.DataFrame, name: str) -> list[str]:
    """Tables of the gain at each number of shots, and of the probability of improvement."""
    lines = []
    everywhere = compared["population"] == ALL
    for shots, rows in compared[~everywhere].groupby("shots"):
        lines += ["", f"### Gain of {name} in return at {shots} shots, run by run", ""]
        cells = _cells(rows, "over", "population", lambda row: _interval(row, "gain", "mean"))
        lines += _rendered(cells.rename(index=_markdown_name, columns=markdown_code), "over")
    cells = _cells(compared[everywhere].sort_values("shots", kind="stable"), "over", "shots", _odds)
    cells.columns = [f"at {shots} shots" for shots in cells.columns]
    lines += ["", f"### Probability that a run of {name} has the higher return", ""]
    return lines + _rendered(cells.rename(index=_markdown_name), "over")


def _title(trained_on: str, observation: str, cost: float | None = None) -> str:
    title = f"trained on {trained_on}, {observation} information"
    return title if cost is None else f"{title}, cost {cost:g}"


def _cells(
    rows: pd.DataFrame, down: str | list[str], across: str, text: Callable[[Row], str]
) -> pd.DataFrame:
    """Texts of rows, a line per value of `down`, a column per value of `across`, in row order."""
    texts = rows.assign(text=[text(row) for row in rows.to_dict("records")])
    return texts.pivot_table("text", down, across, "first", fill_value="", sort=False)


def _by_method(rows: pd.DataFrame, across: str, quantity: str, ours: str) -> list[str]:
    """A line per method and shots, a column per value of `across`."""
    cells = _cells(rows, ["method", "shots"], across, lambda row: _interval(row, quantity, "iqm"))
    with_shots = set(rows.loc[rows["shots"] > 0, "method"])
    names = [
        (method, _markdown_name(method, shots if method in with_shots else None))
        for method, shots in cells.index
    ]
    cells.index = [f"**{name}**" if method == ours else name for method, name in names]
    heading = markdown_code if across == "population" else "cost {:g}".format
    return _rendered(cells.rename(columns=heading), "method, shots")


def _markdown_name(method: str, shots: int | None = None) -> str:
    label = label_of(method)
    return markdown(label if shots is None else f"{label}, {shots}")


def _rendered(cells: pd.DataFrame, corner: str) -> list[str]:
    """Lines of a Markdown table with numbers aligned right."""
    table = RichTable(box=MARKDOWN, pad_edge=True)
    table.add_column(corner, no_wrap=True)
    for heading in cells.columns:
        table.add_column(heading, no_wrap=True, justify="right")
    for line in cells.itertuples():
        table.add_row(*line)
    text = StringIO()
    literal_console(file=text, width=10_000, color_system=None).print(table)
    return text.getvalue().strip().splitlines()


def _odds(row: Row) -> str:
    """Text of a probability with its interval."""
    interval = "" if math.isnan(row["low"]) else f" [{row['low']:.2f}, {row['high']:.2f}]"
    return f"{row['probability']:.2f}{interval}"


def _interval(row: Row, quantity: str, middle: str) -> str:
    """Text of an estimate and half of its interval; a dash if there is no number."""
    mean = row[f"{quantity}_{middle}"]
    has_interval = not math.isnan(row[f"{quantity}_low"])
    if has_interval or math.isnan(mean):
        return interval_text(row, quantity, middle)
    return f"{mean:.3f}"
