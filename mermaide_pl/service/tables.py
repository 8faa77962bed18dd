"""The tables of the service.

``events`` is the log, from which all else follows. ``learners`` says where each learner stands, so
that nothing is counted anew; ``adaptations`` and ``snapshots`` spare the principal computing again
what it has computed before.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    Text,
    false,
)

METADATA = MetaData()
_KEY = BigInteger().with_variant(Integer, "sqlite")  # there only an INTEGER counts up by itself

LEARNERS = Table(
    "learners",
    METADATA,
    Column("key", _KEY, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("principal", Text, nullable=False),  # checksum of its meta weights
    Column("settings", JSON, nullable=False),  # of `LiveSettings`
    Column("game", JSON, nullable=False),  # what follows from them, see `described_game`
    Column("target", Integer, nullable=False),  # target arm, agent label
    Column("created", Double, nullable=False),  # seconds since 1970
    Column("paused", Boolean, nullable=False, server_default=false()),
    Column("episode", Integer, nullable=False, server_default="0"),  # episodes that have ended
    Column("step", Integer, nullable=False, server_default="0"),  # observed in the running episode
    Column("level", Integer),  # answered, its outcome not yet observed; null for none
    Column("adapted", Integer, nullable=False, server_default="0"),  # first episode of it; 0: none
    Column("spent", Integer, nullable=False, server_default="0"),  # interventions of the episode
    # of all episodes
    Column("steps", BigInteger, nullable=False, server_default="0"),  # observed
    Column("aligned", BigInteger, nullable=False, server_default="0"),  # pulls of the target
    Column("interventions", BigInteger, nullable=False, server_default="0"),
)
PROGRESS = (
    *("paused", "episode", "step", "level", "adapted", "spent"),
    *("steps", "aligned", "interventions"),
)
"""Columns of learners that change."""


def _learner() -> Column[int]:
    return Column("learner", ForeignKey("learners.key"), primary_key=True, autoincrement=False)


EVENTS = Table(
    "events",
    METADATA,
    _learner(),
    Column("episode", Integer, primary_key=True, autoincrement=False),
    Column("step", Integer, primary_key=True, autoincrement=False),
    Column("level", Integer, nullable=False),
    Column("arm", Integer),  # agent label; null if the episode ended before it was observed
    Column("agent_reward", Double),  # reward units; null where it is hidden
    Column("at", Double, nullable=False),  # seconds since 1970
    sqlite_with_rowid=False,  # kept in the order of the key
)
ADAPTATIONS = Table(
    "adaptations",
    METADATA,
    _learner(),
    Column("episode", Integer, primary_key=True, autoincrement=False),  # the first it is for
    Column("num_episodes", Integer, nullable=False),  # adapted on; 0 for the meta weights
    # parts of `LiveFleet.describe`, null when there is a later adaptation
    Column("adapted", JSON(none_as_null=True)),
    Column("now", JSON(none_as_null=True)),  # as episodes begin
)
SNAPSHOTS = Table(
    "snapshots",
    METADATA,
    _learner(),
    Column("episode", Integer, nullable=False),
    Column("step", Integer, nullable=False),
    Column("now", JSON, nullable=False),  # part of `LiveFleet.describe`
)
