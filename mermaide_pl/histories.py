"""Recorded histories of an agent, from CSV or Parquet files."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from mermaide_pl.checks import one_line
from mermaide_pl.episodes import Episode
from mermaide_pl.game import Game

REQUIRED = ("episode", "step", "arm", "intervention")
OPTIONAL = ("agent_reward", "propensity")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_LARGEST = torch.finfo(torch.float32).max


def read_histories(path: str | Path, game: Game) -> list[Episode]:
    """Read the episodes that were recorded with one agent.

    Columns, in any order: ``episode`` (an integer), ``step`` (0, 1, 2, ... within the episode),
    ``arm`` (0 to A - 1, as the agent labels them), ``intervention`` (the level, 0 to L - 1); and if
    recorded ``agent_reward`` (bonus included; needed where the principal sees it, else not used)
    and ``propensity`` (the probability with which the logged level was chosen). The rows of an
    episode follow each other, in the order of its steps. Messages count rows from 1, below the
    header.

    Args:
        path: a file that ends in ``.csv`` (UTF-8, with a header) or ``.parquet``.
        game: the rules that the agent was met under.

    Returns:
        The episodes in the order of the file.

    Raises:
        ValueError: one line that says what is wrong, with row and column, and what is allowed.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _TABLES or "\0" in str(path):  # which no file can be named by
        raise ValueError(one_line(f"history {path} must end in {' or '.join(_TABLES)}"))
    try:
        header, *rows = _TABLES[suffix](path) or [[]]
    except OSError as error:
        raise ValueError(f"history {path} cannot be read: {error.strerror}") from None
    columns = [name.strip() for name in header]
    _check_columns(path, columns, game)
    episodes: dict[int, Episode] = {}
    for number, cells in enumerate(rows, start=1):
        place = f"history {path}, row {number}"
        if len(cells) != len(columns):
            raise ValueError(
                f"{place}, column {(*columns, 'after the last')[min(len(cells), len(columns))]}:"
                f" a row must have {len(columns)} cells, got {len(cells)}"
            )
        _Row(place, dict(zip(columns, cells, strict=True))).add_to(episodes, game)
    if not episodes:
        raise ValueError(f"history {path} has no rows below its header")
    return list(episodes.values())


@dataclass(frozen=True)
class _Row:
    """One row, and its place for messages."""

    place: str
    cells: dict[str, str]

    def add_to(self, episodes: dict[int, Episode], game: Game) -> None:
        """Add the step to its episode, a new one if it has that number for the first time."""
        label = self._integer("episode")
        is_new = label not in episodes
        if not is_new and label != next(reversed(episodes)):
            raise self._refusal("episode", "the rows of an episode must follow each other")
        if is_new:
            episodes[label] = Episode(
                [],
                [],
                [] if "agent_reward" in self.cells else None,
                [] if "propensity" in self.cells else None,
            )
        episode = episodes[label]
        step = self._integer("step")
        if step != len(episode):
            raise self._refusal("step", f"must be {len(episode)}, steps count from 0 in an episode")
        if step >= game.num_steps:
            raise self._refusal("step", f"must be at most {game.num_steps - 1}")
        episode.arms.append(self._integer("arm", game.num_arms - 1))
        episode.levels.append(self._integer("intervention", game.num_levels - 1))
        if episode.agent_rewards is not None:
            episode.agent_rewards.append(self._number("agent_reward"))
        if episode.propensities is not None:
            propensity = self._number("propensity")
            if not 0.0 < propensity <= 1.0:
                raise self._refusal("propensity", "must be above 0 and at most 1")
            episode.propensities.append(propensity)

    def _integer(self, column: str, high: int | None = None) -> int:
        text = self.cells[column].strip()
        allowed = "an integer" if high is None else f"an integer from 0 to {high}"
        if not _INTEGER.fullmatch(text) or (high is not None and not 0 <= int(text) <= high):
            raise self._refusal(column, f"must be {allowed}")
        return int(text)

    def _number(self, column: str) -> float:
        text = self.cells[column].strip()
        value = float(text) if _NUMBER.fullmatch(text) else math.nan
        if not abs(value) <= _LARGEST:
            raise self._refusal(column, "must be a finite number")
        return value

    def _refusal(self, column: str, allowed: str) -> ValueError:
        shown = self.cells[column]
        shown = shown if len(shown) <= 40 else f"{shown[:40]}..."
        return ValueError(one_line(f"{self.place}, column {column}: {allowed}, got {shown!r}"))


def _check_columns(path: Path, columns: Sequence[str], game: Game) -> None:
    known = (*REQUIRED, *OPTIONAL)
    if not any(columns):
        raise ValueError(f"history {path} is empty, it needs the columns {', '.join(REQUIRED)}")
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


def _csv_table(path: Path) -> list[list[str]]:
    """The header and the rows, blank lines left out."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start)
        raise ValueError(f"history {path}, row {row}: must be UTF-8, {error.reason}") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        return [row for row in reader if row]
    except csv.Error as error:
        row = max(0, reader.line_num - 1)
        raise ValueError(f"history {path}, row {row}: is not CSV, {one_line(error)}") from None


def _parquet_table(path: Path) -> list[list[str]]:
    """The header and the rows, every cell as the text that CSV would hold."""
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise ValueError(
            f"history {path}: Parquet needs pyarrow, pip install 'mermaide-pl[parquet]'; or use CSV"
        ) from None
    try:
        table = parquet.ParquetFile(path).read()
    except (ArrowException, OSError) as error:
        raise ValueError(f"history {path} is not Parquet: {one_line(error)}") from None
    columns = [column.to_pylist() for column in table.columns]
    rows = [
        ["" if value is None else str(value) for value in row] for row in zip(*columns, strict=True)
    ]
    return [table.column_names, *rows]


_TABLES = {".csv": _csv_table, ".parquet": _parquet_table}
