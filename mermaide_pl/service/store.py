"""The database of the service: SQLite, or PostgreSQL by its URL."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError

from mermaide_pl.config.validation import one_line
from mermaide_pl.service.log import Log
from mermaide_pl.service.tables import METADATA

_READS = "reads_only"  # an option of connections
_PATIENCE = 60  # seconds to wait for another writer of SQLite
_ATTEMPTS = 5  # to make the tables, which several processes may do at once


def make_engine(url: str) -> Engine:
    """What connects to a database, without a connection yet.

    Args:
        url: see `Store`.

    Raises:
        ValueError: one line, if it is not the URL of a database that the service can use.
    """
    try:
        address = make_url(url)
        shown = address.render_as_string(hide_password=True)
        kind = address.get_backend_name()
        if kind not in ("sqlite", "postgresql"):
            raise ValueError(f"--store {shown}: must be sqlite or postgresql+psycopg")
        if kind == "sqlite" and address.database in (None, "", ":memory:"):
            raise ValueError(f"--store {shown}: name a file, sqlite:///fleet.db")
        timeout = {"timeout": _PATIENCE} if kind == "sqlite" else {}
        engine = create_engine(address, connect_args=timeout, pool_pre_ping=True)
    except (ArgumentError, ImportError) as error:
        raise ValueError(f"--store must be the URL of a database: {one_line(error)}") from None
    if kind == "sqlite":
        _durable(engine)
    return engine


class Store:
    """The tables in a database.

    Args:
        url: as SQLAlchemy writes it, ``sqlite:///fleet.db`` or
            ``postgresql+psycopg://user:password@host/fleet``.

    Raises:
        ValueError: one line, if the database cannot be used.
    """

    def __init__(self, url: str) -> None:
        self._engine = make_engine(url)
        for attempt in range(_ATTEMPTS):
            try:
                METADATA.create_all(self._engine)
                return
            except SQLAlchemyError as error:
                if not isinstance(error, DBAPIError) or attempt + 1 == _ATTEMPTS:
                    reason = one_line(error.__cause__ or error)
                    shown = self._engine.url.render_as_string(hide_password=True)
                    raise ValueError(f"--store {shown} cannot be used: {reason}") from None
                time.sleep(0.2)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def writing(self) -> Iterator[Log]:
        """A transaction, durable when the block ends."""
        with self._engine.begin() as connection:
            yield Log(connection)

    @contextmanager
    def reading(self) -> Iterator[Log]:
        """A view of what is durable, which waits for nobody."""
        with self._engine.connect() as connection:
            yield Log(connection.execution_options(**{_READS: True}))


def _durable(engine: Engine) -> None:
    """Let SQLite write ahead, and begin transactions itself, so that writers take turns.

    A file that is moved or deleted while it is open is not used any more: it would be written to,
    and nobody could read it later.
    """
    opened: dict[str, os.stat_result] = {}

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver begins no transactions
        for setting in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {setting}")
        ((_, _, path),) = connection.execute("PRAGMA database_list")
        opened.setdefault(path, os.stat(path))

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        for path, file in opened.items():
            if not (os.path.exists(path) and os.path.samestat(os.stat(path), file)):
                moved = sqlite3.OperationalError(f"{path} was moved or deleted")
                raise OperationalError("BEGIN", None, moved) from moved
        reads = connection.get_execution_options().get(_READS)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
