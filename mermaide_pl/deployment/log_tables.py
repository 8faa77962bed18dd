"""Tables of recorded steps: CSV, Parquet, and DataFrames of pandas, as blocks of rows."""

from __future__ import annotations

import csv
import gzip
import io
import os
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any

from mermaide_pl.config.validation import one_line

_SEPARATORS = ",;\t|"  # of columns, the more likely one first
_NUM_ROWS = 2**12  # that are read at a time


@dataclass(frozen=True)
class WrongRow:
    """Stands in every cell of a row whose cells are not known.

    Args:
        message: what is wrong.
    """

    message: str


@dataclass(frozen=True)
class Table:
    """Columns of a table that is open.

    Args:
        header: names of all columns.
        blocks: gives the columns at some places, a few thousand rows at a time; a cell is of any
            type, None or an empty text if it is empty, or a `WrongRow`.
    """

    header: list[str]
    blocks: Callable[[Sequence[int]], Iterator[list[Sequence[Any]]]]


def source_of(logs: Any) -> str:
    """Name of a file or DataFrame, for messages."""
    return one_line(f"history {logs if isinstance(logs, str | os.PathLike) else 'DataFrame'}")


@contextmanager
def open_table(logs: Any, names: Collection[str]) -> Iterator[Table]:
    """Open a file, or a DataFrame.

    Args:
        logs: path of a file, or a DataFrame of pandas; named levels of its index are columns too.
        names: columns that are sought, by which the separator of a CSV file is found.

    Raises:
        ValueError: one line, if it cannot be read; while it is read, too.
    """
    if not isinstance(logs, str | os.PathLike):
        if not (hasattr(logs, "iloc") and hasattr(logs, "columns")):
            raise ValueError(
                f"history: must be a path or a DataFrame of pandas, got {type(logs).__name__}"
            )
        yield _frame_table(logs)
        return
    path, source = Path(logs), source_of(logs)
    ending = next((end for end in _TABLES if path.name.lower().endswith(end)), None)
    if ending is None or "\0" in str(path):  # not allowed in file names
        raise ValueError(f"{source} must end in one of {', '.join(_TABLES)}")
    try:
        with _TABLES[ending](path, names) as table:
            yield table
    except (OSError, EOFError, zlib.error) as error:  # the last two of damaged .gz files
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"{source} cannot be read: {one_line(reason)}") from None


@contextmanager
def _csv_table(path: Path, names: Collection[str]) -> Iterator[Table]:
    """A table of text, with any usual separator; blank lines are left out."""
    with _text_file(path) as file:
        first = next(filter(str.strip, file), "")
        try:
            separator = _separator(first, names)
            rows: Iterator[list[Any]] = filter(
                None, csv.reader(chain([first], file), delimiter=separator, strict=True)
            )
            header = [name.strip() for name in next(rows, [])]
        except csv.Error as error:
            raise ValueError(
                f"{source_of(path)} (its header) is not CSV: {one_line(error)}"
            ) from None

        def blocks(places: Sequence[int]) -> Iterator[list[Sequence[Any]]]:
            width = len(header)
            cells: list[Any] = []  # a list of rows would keep the garbage collector busy
            try:
                for number, row in enumerate(rows, start=1):
                    if len(row) != width:
                        row = [WrongRow(f"a row must have {width} cells, got {len(row)}")] * width
                    cells += row
                    if number % _NUM_ROWS == 0:
                        yield [cells[place::width] for place in places]
                        cells = []
            except csv.Error as error:
                cells += [WrongRow(f"is not CSV from here on, {one_line(error)}")] * width
            yield [cells[place::width] for place in places]

        yield Table(header, blocks)


def _text_file(path: Path) -> IO[str]:
    opened: Callable[..., Any] = gzip.open if path.suffix.lower() == ".gz" else open
    return io.TextIOWrapper(
        opened(path, "rb"), encoding="utf-8-sig", errors="surrogateescape", newline=""
    )


def _separator(line: str, names: Collection[str]) -> str:
    """The separator of a header: that by which most of the names are found, or most columns."""

    def found(separator: str) -> tuple[int, int]:
        header = [name.strip() for name in next(csv.reader([line], delimiter=separator), [])]
        return len({*names} & {*header}), len(header)

    return max(_SEPARATORS, key=found)


@contextmanager
def _parquet_table(path: Path, names: Collection[str]) -> Iterator[Table]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise ValueError(
            f"{source_of(path)}: Parquet needs pyarrow, pip install 'mermaide-pl[parquet]'; or"
            " use CSV"
        ) from None
    try:
        with parquet.ParquetFile(path) as file:
            header = list(file.schema_arrow.names)

            def blocks(places: Sequence[int]) -> Iterator[list[Sequence[Any]]]:
                chosen = [header[place] for place in places]
                for batch in file.iter_batches(_NUM_ROWS, columns=chosen):
                    yield [_arrow_cells(batch.column(name)) for name in chosen]

            yield Table([name.strip() for name in header], blocks)
    except (ArrowException, OSError) as error:
        raise ValueError(f"{source_of(path)} is not Parquet: {one_line(error)}") from None


def _arrow_cells(column: Any) -> list[Any]:
    from pyarrow import types

    if types.is_temporal(column.type):  # not all are values of Python
        column = column.cast("string")
    cells: list[Any] = column.to_pylist()
    return list(map(str, cells)) if types.is_nested(column.type) else cells


def _frame_table(frame: Any) -> Table:
    """A DataFrame of pandas, which need not be imported here."""
    levels = [(level, name) for level, name in enumerate(frame.index.names) if name is not None]
    header = [str(name).strip() for name in (*(name for _, name in levels), *frame.columns)]

    def array(place: int) -> Any:
        if place < len(levels):
            return frame.index.get_level_values(levels[place][0]).array
        return frame.iloc[:, place - len(levels)].array

    def blocks(places: Sequence[int]) -> Iterator[list[Sequence[Any]]]:
        arrays = [array(place) for place in places]
        for start in range(0, len(frame), _NUM_ROWS):
            yield [_frame_cells(each[start : start + _NUM_ROWS]) for each in arrays]

    return Table(header, blocks)


def _frame_cells(array: Any) -> list[str]:
    return [
        "" if is_missing else str(value)
        for value, is_missing in zip(array.tolist(), array.isna(), strict=True)
    ]


_TABLES: dict[str, Callable[[Path, Collection[str]], AbstractContextManager[Table]]] = {
    ".csv": _csv_table,
    ".csv.gz": _csv_table,
    ".tsv": _csv_table,
    ".parquet": _parquet_table,
}
