"""Read and write rows of results as CSV files, from which all figures are drawn."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mermaide_pl.runtime.atomic_files import write_whole

_NAMES = ("method", "observation", "over", "population", "trained_on")
Row = dict[str, Any]
"""Column name to number or text."""


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows with identical columns; numbers have six significant digits.

    Raises:
        ValueError: if the columns of a row differ from those of the first, or if writing fails.
    """
    columns = list(rows[0])
    for row in rows:
        if list(row) != columns:
            raise ValueError(f"{path}: a row has the columns {list(row)}, the first has {columns}")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_text(value) for value in row.values()] for row in rows)
    write_whole(path, text.getvalue())


def read_rows(path: Path) -> list[Row]:
    """Read a file of `write_rows`; text that looks like a number becomes one, except in names."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {name: text if name in _NAMES else _value(text) for name, text in row.items()}
            for row in csv.DictReader(file)
        ]


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _value(text: str) -> Any:
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text
