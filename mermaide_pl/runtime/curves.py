"""Logged curves of a resumed run: earlier entries stay, steps that are repeated are dropped."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter
from tensorboard.compat.proto.event_pb2 import Event, SessionLog

from mermaide_pl.runtime.atomic_files import write_whole


def keep_curves(logger: Logger) -> None:
    """Let a logger that has not begun append to its existing file.

    Lightning's `CSVLogger` deletes the file when it begins.
    """
    if isinstance(logger, CSVLogger) and logger._experiment is None and "://" not in logger.log_dir:
        logger._experiment = _Rows(logger.log_dir)


def forget_curves(logger: Logger, step: int) -> None:
    """Drop the logged entries from a step on, since they will be logged again."""
    if isinstance(logger, TensorBoardLogger):
        # an earlier run with this trainer has closed it
        writer: Any = logger.experiment._get_file_writer()
        writer.add_event(Event(step=step, session_log=SessionLog(status=SessionLog.START)))
    elif isinstance(logger, CSVLogger) and isinstance(logger.experiment, _Rows):
        logger.experiment.forget_from(step)


class _Rows(ExperimentWriter):
    """Writer that appends to the existing rows of ``metrics.csv``."""

    def _check_log_dir_exists(self) -> None:
        """Keep the existing file, which Lightning's writer would delete."""
        with suppress(FileNotFoundError):
            self.metrics_keys = self._read()[0]

    def forget_from(self, step: int) -> None:
        """Keep the rows from before a step."""
        with suppress(FileNotFoundError):
            names, rows = self._read()
            self._replace(names, [row for row in rows if _step(row) < step])

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        self._replace(fieldnames, self._read()[1])

    def _read(self) -> tuple[list[str], list[dict[str, str]]]:
        """The column names, and the rows without a last one that a killed run left unfinished."""
        with open(self.metrics_file_path, encoding="utf-8", newline="", errors="replace") as file:
            lines = file.read().splitlines(keepends=True)
        if lines and not lines[-1].endswith("\n"):
            lines.pop()
        reader = csv.DictReader(lines, restval="")
        return list(reader.fieldnames or ()), list(reader)

    def _replace(self, names: Sequence[str], rows: Sequence[dict[str, str]]) -> None:
        path = Path(self.metrics_file_path)
        if not rows:
            path.unlink()
            return
        text = io.StringIO()
        writer = csv.DictWriter(text, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
        write_whole(path, text.getvalue())


def _step(row: dict[str, str]) -> float:
    """The training step of a row; infinity for a row without one, so that it sorts last."""
    try:
        return float(row["step"])
    except (KeyError, TypeError, ValueError):
        return math.inf
