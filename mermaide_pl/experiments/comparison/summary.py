"""What the table of a comparison says, for people: in the terminal and as a page of Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from io import StringIO
from typing import Any

from rich.box import MARKDOWN, SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable

from mermaide_pl.evaluation.methods import ORACLE, label_of
from mermaide_pl.evaluation.records import Row
from mermaide_pl.evaluation.tables import ALL, MEAN, SUMMARIES, interval_text
from mermaide_pl.metrics.normalised_return import LEAST_GAIN
from mermaide_pl.runtime.console import console as literal_console
from mermaide_pl.runtime.console import markdown, markdown_code

CONDITION = ("trained_on", "observation", "cost")
QUANTITIES = ("normalised_return", "return", "alignment", "intervention_rate")
_UNDEFINED = (
    f"no normalised return, for the oracle gains less than {LEAST_GAIN:g} over no intervention, or"
    " no more than half of its interval over runs"
)


def by_condition(rows: Sequence[Row]) -> dict[tuple[Any, ...], list[Row]]:
    """Rows of each condition, by the values of `CONDITION`."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in CONDITION), []).append(row)
    return groups


def findings(table: Sequence[Row], improvement: Sequence[Row], ours: str) -> list[str]:
    """Where our method stands in one condition, one sentence each.

    One method is above another where its interquartile mean of the return is, clearly above where
    the two intervals are disjoint besides, by the bootstrap or by Student's t, and above it run by
    run where the interval of the gain lies above zero. Of a single run, which has no interval, only
    the first is said.
    """
    found = {(row["method"], row["shots"], row["population"]): row for row in table}
    populations = [
        name for name in dict.fromkeys(row["population"] for row in table) if name not in SUMMARIES
    ]
    numbers = sorted({row["shots"] for row in table if row["method"] == ours})
    most = numbers[-1]
    compared = [row for row in improvement if row["shots"] == most]

    def returns(method: str, shots: int, bound: str = "iqm") -> list[float]:
        return [found[method, shots, name][f"return_{bound}"] for name in populations]

    lines = []
    for shots in numbers:
        middle, mean = (found[ours, shots, name]["normalised_return_iqm"] for name in (ALL, MEAN))
        lines.append(
            f"{label_of(ours)} at {shots} shots: normalised return {mean:.3f} in the mean over"
            f" populations, {middle:.3f} of all taken together"
        )
    for method in dict.fromkeys(row["over"] for row in compared if row["over"] != ORACLE):
        shots = most if (method, most, ALL) in found else 0
        gains = {row["population"]: row["gain_low"] for row in compared if row["over"] == method}
        clauses = {
            f"above {label_of(method)}": (returns(ours, most), returns(method, shots)),
            "clearly": (returns(ours, most, "low"), returns(method, shots, "high")),
            "clearly by t": (returns(ours, most, "t_low"), returns(method, shots, "t_high")),
            "run by run": ([gains[name] for name in populations], [0.0] * len(populations)),
        }
        said = [
            f"{what}: {where}"
            for what, pair in clauses.items()
            if (where := _on(populations, *pair))
        ]
        lines.append("; ".join(said))
    for shots in numbers[:-1]:
        above = _on(populations, returns(ours, most), returns(ours, shots))
        lines.append(f"{most} shots above {shots} shots: {above}")
    return lines


def _on(populations: Sequence[str], ours: Sequence[float], theirs: Sequence[float]) -> str:
    """On how many populations ours is above, and on which not; nothing if there is no number."""
    pairs = list(zip(ours, theirs, strict=True))
    if any(math.isnan(value) for pair in pairs for value in pair):
        return ""
    no = [name for name, (one, other) in zip(populations, pairs, strict=True) if one <= other]
    rest = f" (not {', '.join(no)})" if 0 < len(no) < len(populations) else ""
    return f"on {len(populations) - len(no)} of {len(populations)}{rest}"


def print_summary(
    table: Sequence[Row], improvement: Sequence[Row], ours: str, console: Console
) -> None:
    """Print the normalised returns and the findings of each condition."""
    comparisons = by_condition(improvement)
    for condition, rows in by_condition(table).items():
        picture = RichTable(
            title=f"{_title(*condition)}:"
            " normalised return, interquartile mean ± half of the 95% interval over"
            f" {min(row['num_runs'] for row in rows)} runs",
            box=SIMPLE_HEAD,
            pad_edge=False,
            collapse_padding=True,
            title_justify="left",
        )
        picture.add_column("method, shots", no_wrap=True)
        for population in dict.fromkeys(row["population"] for row in rows):
            picture.add_column(_in_two_lines(population), justify="right", no_wrap=True)
        for method, shots in dict.fromkeys((row["method"], row["shots"]) for row in rows):
            cells = [_cell(row) for row in rows if (row["method"], row["shots"]) == (method, shots)]
            picture.add_row(f"{label_of(method)}, {shots}", *cells)
        console.print(picture)
        if any(math.isnan(row["normalised_return_iqm"]) for row in rows):
            console.print(f"- a dash: {_UNDEFINED}", soft_wrap=True, highlight=False)
        if condition in comparisons:
            for line in findings(rows, comparisons[condition], ours):
                console.print(f"- {line}", soft_wrap=True, highlight=False)


def _in_two_lines(population: str) -> str:
    """A heading as narrow as the numbers below: ``unseen_ucb`` becomes ``unse`` over ``ucb``."""
    first, _, second = population.partition("_")
    return f"{first[:4]}\n{second[:4]}"


def _cell(row: Row) -> str:
    mean, low, high = (row[f"normalised_return_{bound}"] for bound in ("iqm", "low", "high"))
    if math.isnan(mean):
        return "-"
    number = f"{mean:.2f}" if abs(mean) < 10.0 else f"{mean:.0f}"
    return (
        number if math.isnan(low) else f"{number}\n±{(high - low) / 2.0:.2f}".replace("±0.", "±.")
    )


def summary_page(table: Sequence[Row], improvement: Sequence[Row], ours: str) -> str:
    """All numbers of a comparison as a page of Markdown.

    Args:
        table: rows of ``table.csv``.
        improvement: rows of ``improvement.csv``.
        ours: the method that is compared with the others; its rows are bold.
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
    for condition, rows in _by_observation(table).items():
        title = markdown(_title(*condition))
        lines += ["", f"## {title}: return, mean over populations", ""]
        lines += _markdown(rows, "cost", "return", ours)
    comparisons, name = by_condition(improvement), markdown(label_of(ours))
    for (trained_on, observation, cost), rows in by_condition(table).items():
        runs = min(row["num_runs"] for row in rows)
        title = markdown(_title(trained_on, observation, cost))
        lines += ["", f"## {title} ({runs} run{'s' if runs > 1 else ''})"]
        compared = comparisons.get((trained_on, observation, cost), [])
        if compared:
            lines += ["", *(f"- {markdown(line)}" for line in findings(rows, compared, ours))]
        for quantity in QUANTITIES:
            lines += ["", f"### {quantity.replace('_', ' ').capitalize()}", ""]
            lines += _markdown(rows, "population", quantity, ours)
        for shots in sorted({row["shots"] for row in compared}):
            lines += ["", f"### Gain of {name} in return at {shots} shots, run by run", ""]
            here = [row for row in compared if row["shots"] == shots and row["population"] != ALL]
            lines += _markdown_of_gain(here)
        if compared:
            lines += ["", f"### Probability that a run of {name} has the higher return", ""]
            lines += _markdown_of_improvement(compared)
    return "\n".join(lines) + "\n"


def _by_observation(table: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """Means over populations, of each training population and observation with several costs."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in sorted(table, key=lambda row: row["cost"]):
        if row["population"] == MEAN:
            groups.setdefault((row["trained_on"], row["observation"]), []).append(row)
    return {name: rows for name, rows in groups.items() if len({row["cost"] for row in rows}) > 1}


def _title(trained_on: str, observation: str, cost: float | None = None) -> str:
    title = f"trained on {trained_on}, {observation} information"
    return title if cost is None else f"{title}, cost {cost:g}"


def _markdown(rows: Sequence[Row], across: str, quantity: str, ours: str) -> list[str]:
    """A line per method and shots, a column per value of `across`."""
    columns = list(dict.fromkeys(row[across] for row in rows))
    cells = {
        (row["method"], row["shots"], row[across]): _interval(row, quantity, "iqm") for row in rows
    }
    with_shots = {row["method"] for row in rows if row["shots"]}
    lines = []
    for method, shots in dict.fromkeys((row["method"], row["shots"]) for row in rows):
        label = label_of(method)
        name = markdown(f"{label}, {shots}" if method in with_shots else label)
        name = f"**{name}**" if method == ours else name
        lines.append([name, *(cells.get((method, shots, column), "") for column in columns)])
    headings = [f"cost {name:g}" if across == "cost" else markdown_code(name) for name in columns]
    return _rendered(["method, shots", *headings], lines)


def _markdown_of_gain(rows: Sequence[Row]) -> list[str]:
    """A line per method that ours is compared with, a column per population."""
    columns = list(dict.fromkeys(row["population"] for row in rows))
    cells = {(row["over"], row["population"]): _interval(row, "gain", "mean") for row in rows}
    lines = [
        [markdown(label_of(method)), *(cells[method, column] for column in columns)]
        for method in dict.fromkeys(row["over"] for row in rows)
    ]
    return _rendered(["over", *map(markdown_code, columns)], lines)


def _markdown_of_improvement(rows: Sequence[Row]) -> list[str]:
    columns = sorted({row["shots"] for row in rows})
    cells = {
        (row["over"], row["shots"]): f"{row['probability']:.2f}"
        + ("" if math.isnan(row["low"]) else f" [{row['low']:.2f}, {row['high']:.2f}]")
        for row in rows
        if row["population"] == ALL
    }
    lines = [
        [markdown(label_of(method)), *(cells[method, shots] for shots in columns)]
        for method in dict.fromkeys(method for method, _ in cells)
    ]
    return _rendered(["over", *(f"at {shots} shots" for shots in columns)], lines)


def _rendered(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table in Markdown, numbers to the right."""
    table = RichTable(box=MARKDOWN, pad_edge=True)
    for number, heading in enumerate(headings):
        table.add_column(heading, no_wrap=True, justify="right" if number else "left")
    for line in lines:
        table.add_row(*line)
    text = StringIO()
    literal_console(file=text, width=10_000, color_system=None).print(table)
    return text.getvalue().strip().splitlines()


def _interval(row: Row, quantity: str, middle: str) -> str:
    """Mean, or what the row calls the middle, and half of its interval; a dash without a number."""
    mean = row[f"{quantity}_{middle}"]
    has_interval = not math.isnan(row[f"{quantity}_low"])
    if has_interval or math.isnan(mean):
        return interval_text(row, quantity, middle)
    return f"{mean:.3f}"
