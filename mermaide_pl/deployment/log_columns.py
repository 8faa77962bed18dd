"""Columns of a table as numbers, with all mistakes in them at once."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mermaide_pl.config.validation import MistakesError, one_line
from mermaide_pl.deployment.log_cells import Cells, text_of
from mermaide_pl.deployment.log_tables import WrongRow

_NUM_SHOWN = 20  # mistakes of a table


@dataclass(frozen=True)
class Column:
    """A column that is read.

    Args:
        name: ours.
        given: its name in the table.
        read: gives the number of a text, or raises a ValueError that says what is allowed.
        is_real: True if its numbers are not whole.
    """

    name: str
    given: str
    read: Callable[[str], float]
    is_real: bool = False


class ColumnReader:
    """Collects rows, some at a time, and the mistakes in them.

    Args:
        source: name of the table, for messages.
        columns: those that are read.
    """

    def __init__(self, source: str, columns: Sequence[Column]) -> None:
        self.source, self._columns = source, list(columns)
        self._numbers: dict[str, Any] = {
            column.name: array("d" if column.is_real else "i") for column in columns
        }
        self._mistakes: list[tuple[int, int, str]] = []  # row, column, what is wrong: the first
        self._num_rows = self._num_mistakes = 0

    def add(self, blocks: Iterable[Sequence[Sequence[Any]]]) -> None:
        """Add all rows.

        Args:
            blocks: some rows each, the values of each column, as texts or as a file types them.
        """
        for block in blocks:
            for at, (column, values) in enumerate(zip(self._columns, block, strict=True)):
                cells = Cells(column.read)
                self._numbers[column.name].fromlist([cells[value] for value in values])
                for row, value in enumerate(values) if cells.wrong else ():
                    if value in cells.wrong and not (at and isinstance(value, WrongRow)):
                        self._refuse(self._num_rows + row, at, value, cells.wrong[value])
            self._mistakes = sorted(self._mistakes)[:_NUM_SHOWN]
            self._num_rows += len(block[0])

    def refuse(
        self, name: str, rows: np.ndarray, values: np.ndarray, allowed: Callable[[int], str]
    ) -> None:
        """Collect cells that are wrong beside others.

        Args:
            name: of the column.
            rows: n of them, from 0, int [n].
            values: of the cells, [n].
            allowed: says what is allowed in the cell at a place among the n.
        """
        at = [column.name for column in self._columns].index(name)
        self._num_mistakes += max(0, len(rows) - _NUM_SHOWN)
        for place in np.argsort(rows, kind="stable")[:_NUM_SHOWN].tolist():
            self._refuse(int(rows[place]), at, values[place], allowed(place))

    def _refuse(self, row: int, at: int, value: Any, allowed: str) -> None:
        self._num_mistakes += 1
        if isinstance(value, WrongRow):
            self._mistakes.append((row, at, f"row {row + 1}: {allowed}"))
            return
        shown = text_of(value)
        shown = shown if len(shown) <= 40 else f"{shown[:40]}..."
        place = f"row {row + 1}, column {self._columns[at].given}"
        self._mistakes.append((row, at, f"{place}: {allowed}, got {shown!r}"))

    def numbers(self) -> dict[str, np.ndarray]:
        """The numbers of each column, -1 for a wrong cell, [rows].

        Raises:
            ValueError: if there are no rows.
        """
        if not self._num_rows:
            raise ValueError(f"{self.source} has no rows below its header")
        return {name: np.asarray(column) for name, column in self._numbers.items()}

    def mistakes(self) -> tuple[list[str], int]:
        """A line for each of the first mistakes, and the number of all."""
        return [line for _, _, line in sorted(self._mistakes)[:_NUM_SHOWN]], self._num_mistakes


def raise_mistakes(source: str, lines: Sequence[str], number: int) -> None:
    """Refuse a source with mistakes.

    Args:
        source: name of the table, for messages.
        lines: what is wrong, at least the first 20.
        number: of all mistakes.

    Raises:
        ValueError: the only mistake, in one line.
        MistakesError: a line for each of the first 20, and their number.
    """
    if number == 1:
        raise ValueError(one_line(f"{source}, {lines[0]}"))
    if number:
        first = lines[:_NUM_SHOWN]
        rest = [f"... and {number - len(first)} more"] if number > len(first) else []
        raise MistakesError(f"{source} has {number} mistakes:", [*first, *rest])
