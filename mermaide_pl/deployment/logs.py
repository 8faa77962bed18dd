"""Recorded histories of an agent, from CSV or Parquet files."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import torch

from mermaide_pl.config.validation import one_line
from mermaide_pl.deployment.logged_episode import Episode
from mermaide_pl.game import Game

REQUIRED = ("episode", "step", "arm", "intervention")
OPTIONAL = ("agent_reward", "propensity")
_FIELDS = {
    "arm": "arms",
    "intervention": "levels",
    "agent_reward": "agent_rewards",
    "propensity": "propensities",
}
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_NUM_ROWS = 2**12  # that are read at a time
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_BOOLS = {"false": 0, "true": 1}
_LARGEST = torch.finfo(torch.float32).max
_LARGEST_WHOLE = 2**53  # beyond it floating-point numbers leave integers out


def read_histories(path: str | Path, game: Game) -> list[Episode]:
    """Read the episodes that were recorded with one agent.

    Columns, in any order: ``episode`` (an integer), ``step`` (0, 1, 2, ... within the episode),
    ``arm`` (0 to A - 1, as the agent labels them), ``intervention`` (the level, 0 to L - 1); and if
    recorded ``agent_reward`` (bonus included; needed where the principal sees it, else not used)
    and ``propensity`` (the probability with which the logged level was chosen). The rows of an
    episode follow each other, in the order of its steps. In any column ``1``, ``1.0`` and ``true``
    are the same number. Messages count rows from 1, below the header.

    Args:
        path: a file that ends in ``.csv`` (UTF-8, with commas and a header) or ``.parquet``.
        game: the rules under which the history was recorded.

    Returns:
        The episodes in the order of the file.

    Raises:
        ValueError: one line that says what is wrong, with row and column, and what is allowed.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _TABLES or "\0" in str(path):  # not allowed in file names
        raise ValueError(one_line(f"history {path} must end in {' or '.join(_TABLES)}"))
    try:
        table = _TABLES[suffix](path)
        columns = [str(name).strip() for name in next(table)]
        _check_columns(path, columns, game)
        history = _History(path, columns, game)
        for values in table:
            history.add(values)
    except OSError as error:
        raise ValueError(f"history {path} cannot be read: {error.strerror}") from None
    if not history.episodes:
        raise ValueError(f"history {path} has no rows below its header")
    return list(history.episodes.values())


class _History:
    """Episodes that are read some rows at a time.

    Args:
        path: the file, for messages.
        columns: its header.
        game: the rules.
    """

    def __init__(self, path: Path, columns: Sequence[str], game: Game) -> None:
        self.episodes: dict[int, Episode] = {}
        self._path, self._game, self._num_rows = path, game, 0
        readers: dict[str, Callable[[str], float]] = {
            "episode": _whole_number(),
            "step": _whole_number(),
            "arm": _whole_number(game.num_arms - 1),
            "intervention": _whole_number(game.num_levels - 1),
            "agent_reward": _finite_number,
            "propensity": _probability,
        }
        self._columns = {
            name: (columns.index(name), read) for name, read in readers.items() if name in columns
        }

    def add(self, values: Sequence[Sequence[Any]]) -> None:
        """Add the rows that follow.

        Args:
            values: of each column, as texts or as a file types them.

        Raises:
            ValueError: naming the first cell that is wrong.
        """
        end, refusal = len(values[0]), None
        numbers: dict[str, list[Any]] = {}
        for name, (place, read) in self._columns.items():
            cells, column = _Cells(read), values[place][:end]
            try:
                numbers[name] = [cells[value] for value in column]
            except ValueError as error:  # an error in an earlier row comes first
                end = next(row for row, value in enumerate(column) if value not in cells)
                numbers[name] = [cells[value] for value in column[:end]]
                refusal = self._refusal(name, end, column[end], str(error))
        first = 0
        for label, rows in groupby(numbers["episode"][:end]):
            rows_of_it = range(first, first + sum(1 for _ in rows))
            self._add_steps(label, rows_of_it, numbers, values)
            first = rows_of_it.stop
        if refusal is not None:
            raise refusal
        self._num_rows += end

    def _add_steps(
        self,
        label: int,
        rows: range,
        numbers: Mapping[str, list[Any]],
        values: Sequence[Sequence[Any]],
    ) -> None:
        """Add rows of one episode, a new one if it has that number for the first time."""

        def refusal(column: str, row: int, allowed: str) -> ValueError:
            return self._refusal(column, row, values[self._columns[column][0]][row], allowed)

        if label not in self.episodes:
            recorded: Any = ([] if name in numbers else None for name in OPTIONAL)
            self.episodes[label] = Episode([], [], *recorded)
        elif label != next(reversed(self.episodes)):
            raise refusal("episode", rows.start, "the rows of an episode must follow each other")
        episode = self.episodes[label]
        last = self._game.num_steps - 1
        for step, row in enumerate(rows, start=len(episode)):
            if numbers["step"][row] != step:
                allowed = f"must be {step}, steps count from 0 in an episode"
                raise refusal("step", row, allowed)
            if step > last:
                raise refusal("step", row, f"must be at most {last}")
        for name, field in _FIELDS.items():
            if name in numbers:
                getattr(episode, field).extend(numbers[name][rows.start : rows.stop])

    def _refusal(self, column: str, row: int, value: Any, allowed: str) -> ValueError:
        place = f"history {self._path}, row {self._num_rows + row + 1}, column {column}"
        shown = _text(value)
        allowed = "must be UTF-8" if _is_no_text(shown) else allowed
        shown = shown if len(shown) <= 40 else f"{shown[:40]}..."
        return ValueError(one_line(f"{place}: {allowed}, got {shown!r}"))


class _Cells(dict[Any, float]):
    """Maps the values of a column to their numbers, each parsed once."""

    def __init__(self, read: Callable[[str], float]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, value: Any) -> float:
        number = self[value] = self._read(_text(value).strip())
        return number


def _text(value: Any) -> str:
    """The text that CSV would hold."""
    return "" if value is None else str(value)


def _is_no_text(cell: str) -> bool:
    return any("\udc80" <= sign <= "\udcff" for sign in cell)  # of bytes that are no UTF-8


def _whole_number(high: int | None = None) -> Callable[[str], int]:
    """A parser of the integers from 0 to `high`, or of all integers."""
    allowed = "must be an integer" if high is None else f"must be an integer from 0 to {high}"

    def read(text: str) -> int:
        try:
            value = int(text) if _INTEGER.fullmatch(text) else _finite_number(text)
        except ValueError:
            raise ValueError(allowed) from None
        is_whole = isinstance(value, int) or (value.is_integer() and abs(value) <= _LARGEST_WHOLE)
        if not is_whole or (high is not None and not 0 <= value <= high):
            raise ValueError(allowed)
        return int(value)

    return read


def _finite_number(text: str) -> float:
    value = float(text) if _NUMBER.fullmatch(text) else float(_BOOLS.get(text.lower(), math.nan))
    if not abs(value) <= _LARGEST:
        raise ValueError("must be a finite number")
    return value


def _probability(text: str) -> float:
    value = _finite_number(text)
    if not 0.0 < value <= 1.0:
        raise ValueError("must be above 0 and at most 1")
    return value


def _check_columns(path: Path, columns: Sequence[str], game: Game) -> None:
    known = (*REQUIRED, *OPTIONAL)
    if not any(columns):
        raise ValueError(f"history {path} is empty, it needs the columns {', '.join(REQUIRED)}")
    if _is_no_text("".join(columns)):
        raise ValueError(f"history {path} (its header) must be UTF-8")
    needed = (*REQUIRED, "agent_reward") if game.observation.sees_agent_rewards else REQUIRED
    unknown = [column for column in columns if column not in known]
    twice = [column for column in known if columns.count(column) > 1]
    missing = [column for column in needed if column not in columns]
    for what, found in (("unknown", unknown), ("duplicate", twice), ("missing", missing)):
        if found:
            raise ValueError(
                one_line(
                    f"history {path} (its header), {what} column {found[0]!r}, needed:"
                    f" {', '.join(needed)}, allowed: {', '.join(known)}"
                )
            )


def _csv_table(path: Path) -> Iterator[list[Any]]:
    """The header, then some rows at a time, by columns; blank lines are left out."""
    with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        first = file.readline()
        for separator, name in _SEPARATORS.items():
            if separator in first and "," not in first:
                raise ValueError(
                    f"history {path} (its header): columns are separated by {name}, must be by"
                    " commas"
                )
        reader = csv.reader(chain([first], file), strict=True)
        try:
            rows = filter(None, reader)
            header = next(rows, [])
            yield header
            cells: list[str] = []  # a list of rows would keep the garbage collector busy
            for number, row in enumerate(rows, start=1):
                if len(row) != len(header):
                    yield _columns(cells, len(header))
                    _refuse_length(f"history {path}, row {number}", header, row)
                cells += row
                if number % _NUM_ROWS == 0:
                    yield _columns(cells, len(header))
                    cells = []
            yield _columns(cells, len(header))
        except csv.Error as error:
            number = max(0, reader.line_num - 1)
            raise ValueError(
                f"history {path}, row {number}: is not CSV, {one_line(error)}"
            ) from None


def _columns(cells: list[str], width: int) -> list[Any]:
    return [cells[place::width] for place in range(width)]


def _refuse_length(place: str, header: Sequence[str], row: Sequence[str]) -> None:
    column = (*map(str.strip, header), "after the last")[min(len(row), len(header))]
    raise ValueError(
        one_line(f"{place}, column {column}: a row must have {len(header)} cells, got {len(row)}")
    )


def _parquet_table(path: Path) -> Iterator[list[Any]]:
    """The header, then some rows at a time, by columns."""
    try:
        from pyarrow import ArrowException, parquet, types
    except ImportError:
        raise ValueError(
            f"history {path}: Parquet needs pyarrow, pip install 'mermaide-pl[parquet]'; or use CSV"
        ) from None
    try:
        with parquet.ParquetFile(path) as file:
            yield file.schema_arrow.names
            for batch in file.iter_batches(_NUM_ROWS):
                columns = [column.to_pylist() for column in batch.columns]
                yield [
                    list(map(str, values)) if types.is_nested(column.type) else values
                    for column, values in zip(batch.columns, columns, strict=True)
                ]
    except (ArrowException, OSError) as error:
        raise ValueError(f"history {path} is not Parquet: {one_line(error)}") from None


_TABLES = {".csv": _csv_table, ".parquet": _parquet_table}
