"""The records of all runs of a comparison, in two tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from mermaide_pl.evaluation.methods import FIXED
from mermaide_pl.evaluation.records import Row, read_rows, write_rows
from mermaide_pl.experiments.comparison.settings import YARDSTICKS, Condition

RUNS = "runs.csv"
"""Table of the scores of all runs, with the agent steps and the seconds of their trainings."""
FINE_TUNING = "fine_tuning.csv"
"""What was tried for a method without adaptation: of one run, and the table of all runs."""
SCORES = "scores.csv"
"""Scores of one run; it is written last, and says that the run is finished."""
TRAINING = "training.json"
"""Agent steps and seconds of one training, beside its principal."""
RUN = ("trained_on", "observation", "cost", "seed", "method")
"""Columns that name a run; schedules and oracle are one run."""
_NOT_TRAINED = {"agent_steps": "", "seconds": ""}
_COLUMNS = {
    RUNS: (
        *RUN,
        *("population", "shots", "num_agents", "return", "alignment", "intervention_rate"),
        *_NOT_TRAINED,
    ),
    FINE_TUNING: (*RUN, "inner_lr", "inner_policy_weight", "val_return"),
}
Key: TypeAlias = tuple[str, str, str]
"""Names of the folders of a run: condition, seed and method."""
_Table: TypeAlias = dict[Key, list[Row]]


class RecordedRuns:
    """The tables of a comparison, and the files of single runs from which they are gathered.

    A run writes `FINE_TUNING`, if it has one, and then `SCORES` into its own folder, in any process
    on any machine. `gather` moves these files into the tables, in the one process that has the
    folder of the comparison. It may be killed at any moment: a file is deleted when the tables
    that hold its rows are written, and rows that are gathered twice are the same.

    Args:
        out: folder of the comparison.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self._keys: set[Key] = set()

    def read(self) -> None:
        """Read which runs the table has.

        Raises:
            ValueError: one line, if it is damaged.
        """
        self._keys = {_key(row) for row in _read(self._out / RUNS, RUNS)}

    def __contains__(self, key: Key) -> bool:
        """True if the table has a run."""
        return key in self._keys

    def __len__(self) -> int:
        """Number of runs in the table."""
        return len(self._keys)

    def gather(self) -> None:
        """Move the files of finished runs into the tables.

        Raises:
            ValueError: one line that names a damaged file.
        """
        folders = [path.parent for path in sorted(self._out.glob(f"*/seed*/*/{SCORES}"))]
        scores: _Table = {}
        tried: _Table = {}
        for folder in folders:
            of_run = _read(folder / SCORES, RUNS, without=tuple(_NOT_TRAINED))
            if not of_run:
                raise ValueError(f"{folder / SCORES} is damaged: it has no rows")
            training, key = read_training(folder), _key(of_run[0])
            scores[key] = [row | training for row in of_run]
            run = {name: of_run[0][name] for name in RUN}
            candidates = _read(folder / FINE_TUNING, FINE_TUNING, without=RUN)
            tried[key] = [run | row for row in candidates]
        _add(self._out / FINE_TUNING, tried)
        _add(self._out / RUNS, scores)
        self._keys |= scores.keys()
        for folder in folders:
            for name in (SCORES, FINE_TUNING):
                (folder / name).unlink(missing_ok=True)
            with suppress(OSError):
                folder.rmdir()  # that of schedules and oracle, which have no principal


def read_training(folder: Path) -> Row:
    """Agent steps and seconds of the training of a run; empty for schedules and oracle.

    Raises:
        ValueError: one line, if the file is damaged.
    """
    path = folder / TRAINING
    try:
        found = json.loads(path.read_bytes()) if path.is_file() else {}
        return {name: found.get(name, value) for name, value in _NOT_TRAINED.items()}
    except (AttributeError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None


def _key(row: Row) -> Key:
    condition = Condition(row["trained_on"], row["observation"], row["cost"])
    method = YARDSTICKS if row["method"] in FIXED else row["method"]
    return condition.name, f"seed{row['seed']}", method


def _add(path: Path, runs: _Table) -> None:
    """Add runs to a table, in place of the rows that it has of them, in the order of the names."""
    if not any(runs.values()):
        return
    merged: _Table = {}
    for row in _read(path, path.name):
        merged.setdefault(_key(row), []).append(row)
    merged |= runs
    write_rows(path, [row for _, rows in sorted(merged.items()) for row in rows])


def _read(path: Path, kind: str, without: Sequence[str] = ()) -> list[Row]:
    """Read the rows of a table, or of a run, whose columns are those of a table without some."""
    try:
        rows = read_rows(path) if path.is_file() else []
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    columns = [name for name in _COLUMNS[kind] if name not in without]
    if any(list(row) != columns or None in row.values() for row in rows):
        raise ValueError(f"{path} is damaged: its columns must be {', '.join(columns)}")
    return rows
