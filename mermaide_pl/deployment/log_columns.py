"""Columns of a table as numbers, with all mistakes in them at once."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from mermaide_pl.config.validation import MistakesError, one_line
from mermaide_pl.deployment.log_cells import Cells, text_of
from mermaide_pl.deployment.log_tables import WrongRow

_NUM_SHOWN = 20  # different mistakes of a table
_NUM_KEPT = 1000  # until then

Mistakes: TypeAlias = Sequence[tuple[str, int]]
"""Lines that say where something is first wrong, and what, and how often that is so."""


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
        # by column and what is wrong: the first row, and how often
        self._mistakes: dict[tuple[int, str], tuple[int, int]] = {}
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
        for place in np.argsort(rows, kind="stable").tolist():
            self._refuse(int(rows[place]), at, values[place], allowed(place))

    def _refuse(self, row: int, at: int, value: Any, allowed: str) -> None:
        self._num_mistakes += 1
        wrong = f": {allowed}"
        if not isinstance(value, WrongRow):
            shown = text_of(value)
            shown = shown if len(shown) <= 40 else f"{shown[:40]}..."
            wrong = f", column {self._columns[at].given}: {allowed}, got {shown!r}"
        first, times = self._mistakes.get((at, wrong), (row, 0))
        self._mistakes[at, wrong] = (min(first, row), times + 1)
        if len(self._mistakes) > _NUM_KEPT:  # what is dropped would not be shown
            self._mistakes = dict(self._first())

    def _first(self) -> list[tuple[tuple[int, str], tuple[int, int]]]:
        """The different mistakes of which the first rows are the first, by row and column."""
        return sorted(self._mistakes.items(), key=lambda item: (item[1][0], item[0]))[:_NUM_SHOWN]

    def numbers(self) -> dict[str, np.ndarray]:
        """The numbers of each column, -1 for a wrong cell, [rows].

        Raises:
            ValueError: if there are no rows.
        """
        if not self._num_rows:
            raise ValueError(f"{self.source} has no rows below its header")
        return {name: np.asarray(column) for name, column in self._numbers.items()}

    def mistakes(self) -> tuple[Mistakes, int]:
        """The first different mistakes, and the number of all."""
        lines = []
        for (_, wrong), (row, times) in self._first():
            others = f" and {times - 1} more" if times > 1 else ""
            lines.append((f"row {row + 1}{others}{wrong}", times))
        return lines, self._num_mistakes


def raise_mistakes(source: str, mistakes: Mistakes, number: int) -> None:
    """Refuse a source with mistakes.

    Args:
        source: name of the table, for messages.
        mistakes: at least the first 20 that differ.
        number: of all mistakes, those that do not differ too.

    Raises:
        ValueError: the only mistake, in one line.
        MistakesError: a line for each of the first 20 that differ, and the number of all.
    """
    if not number:
        return
    shown, times = zip(*mistakes[:_NUM_SHOWN], strict=True)
    if times == (number,):
        raise ValueError(one_line(f"{source}, {shown[0]}"))
    rest = number - sum(times)
    lines = [*shown, *([f"... and {rest} more"] if rest else [])]
    raise MistakesError(f"{source} has {number} mistakes:", lines)
